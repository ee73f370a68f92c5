// SPDX-License-Identifier: GPL-2.0-or-later
package import Clocks
internal import Glibc

/// Waits for a time of CLOCK_MONOTONIC on the calling thread.
package protocol Wait: Sendable {
  /// - Returns: the clock when the wait was over; never before `target`, but for ``RelativeSleep`` where a signal came.
  func wait(until target: Instant<Monotonic>) -> Instant<Monotonic>
}

/// clock_nanosleep to an absolute time.
package struct AbsoluteSleep: Wait {
  package init() {}

  package func wait(until target: Instant<Monotonic>) -> Instant<Monotonic> {
    var time = timespec(nanoseconds: max(target.nanoseconds, 0))
    while unsafe clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &time, nil) == EINTR {}
    return .now
  }
}

/// nanosleep for the time that is left.
package struct RelativeSleep: Wait {
  package init() {}

  package func wait(until target: Instant<Monotonic>) -> Instant<Monotonic> {
    let now = Instant<Monotonic>.now
    var time = timespec(nanoseconds: max(target.nanoseconds - now.nanoseconds, 0))
    unsafe nanosleep(&time, nil)
    return .now
  }
}

/// Sleeps until a guard time before the target, then reads the clock until it is there.
///
/// The guard is mean + 3σ of what short sleeps miss by, measured on this thread (HighPerTimer), so that nearly all sleeps end
/// before the target; it is what a wait costs in processor time.
package struct HybridWait: Wait {
  /// Most nanoseconds that a wait may spin for: a few sleeps that ended late must not make it one that only spins.
  package static let longestGuard: Int64 = 1_000_000

  /// Nanoseconds.
  package let guardTime: Int64

  package init(guardTime: Int64) { self.guardTime = min(max(guardTime, 0), HybridWait.longestGuard) }

  /// Measures the guard: takes `count` · (`length` + what sleeps miss by), 60 ms or so. Processors that sleep for longer
  /// take longer to wake.
  package init(measuring count: Int = 100, sleepsOf length: Int64 = 500_000) {
    self.init(guardTime: HybridWait.guardTime(of: HybridWait.misses(count, length)))
  }

  /// Nanoseconds, of two sleeps at least.
  fileprivate static func misses(_ count: Int, _ length: Int64) -> [Int64] {
    let sleep = AbsoluteSleep()
    return (0..<max(count, 2)).map { _ in
      let target = Instant<Monotonic>(nanoseconds: Instant<Monotonic>.now.nanoseconds + length)
      return sleep.wait(until: target).nanoseconds - target.nanoseconds
    }
  }

  /// Mean + 3σ (n − 1), rounded up.
  static func guardTime(of misses: [Int64]) -> Int64 {
    let mean = misses.reduce(0.0) { $0 + Double($1) } / Double(misses.count)
    let squares = misses.reduce(0.0) { $0 + (Double($1) - mean) * (Double($1) - mean) }
    return Int64((mean + 3 * (squares / Double(misses.count - 1)).squareRoot()).rounded(.up))
  }

  package func wait(until target: Instant<Monotonic>) -> Instant<Monotonic> {
    var now = Instant<Monotonic>.now
    if target.nanoseconds - now.nanoseconds > guardTime {
      now = AbsoluteSleep().wait(until: Instant(nanoseconds: target.nanoseconds - guardTime))
    }
    while now < target { now = .now }
    return now
  }
}

/// As ``HybridWait`` for waits one after the other, with a guard that follows what sleeps miss by.
///
/// The guard moves until one sleep in 200 ends after its target (stochastic approximation of that quantile), but not beyond
/// twice the median and 10 µs: what is later than that is a stall of the machine, and spinning does not help against
/// it. Mean + 3σ of a few sleeps takes a stall among them for their nature: it was 21 to 875 µs on a busy machine where
/// the median was 22 µs.
package struct AdaptiveWait: Sendable {
  /// Sleeps that end after their target.
  private static let share = 0.005

  /// Of what sleeps miss by, nanoseconds.
  private var median: Int64
  /// Nanoseconds.
  package private(set) var guardTime: Int64

  /// Measures where to begin, as ``HybridWait/init(measuring:sleepsOf:)``.
  package init(measuring count: Int = 100, sleepsOf length: Int64 = 500_000) {
    self.init(misses: HybridWait.misses(count, length))
  }

  init(misses: [Int64]) {
    let sorted = misses.sorted()
    median = sorted[sorted.count / 2]
    guardTime = sorted[sorted.count - 1]
    bound()
  }

  /// As ``Wait/wait(until:)``.
  package mutating func wait(until target: Instant<Monotonic>) -> Instant<Monotonic> {
    var now = Instant<Monotonic>.now
    if target.nanoseconds - now.nanoseconds > guardTime {
      let end = target.nanoseconds - guardTime
      now = AbsoluteSleep().wait(until: Instant(nanoseconds: end))
      learn(miss: now.nanoseconds - end)
    }
    while now < target { now = .now }
    return now
  }

  /// - Parameter miss: nanoseconds by which a sleep ended too late.
  mutating func learn(miss: Int64) {
    median += miss > median ? max(median / 64, 1) : -max(median / 64, 1)
    let step = Double(max(guardTime / 8, 1000))
    guardTime += Int64((miss > guardTime ? step * (1 - AdaptiveWait.share) : -step * AdaptiveWait.share).rounded())
    bound()
  }

  private mutating func bound() {
    median = max(median, 100)
    guardTime = min(max(guardTime, median), 2 * median + 10_000, HybridWait.longestGuard)
  }
}

extension timespec {
  fileprivate init(nanoseconds: Int64) {
    self.init(tv_sec: Int(nanoseconds / 1_000_000_000), tv_nsec: Int(nanoseconds % 1_000_000_000))
  }
}
