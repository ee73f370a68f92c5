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
    let sleep = AbsoluteSleep()
    let misses = (0..<max(count, 2)).map { _ in
      let target = Instant<Monotonic>(nanoseconds: Instant<Monotonic>.now.nanoseconds + length)
      return sleep.wait(until: target).nanoseconds - target.nanoseconds
    }
    self.init(guardTime: HybridWait.guardTime(of: misses))
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

extension timespec {
  fileprivate init(nanoseconds: Int64) {
    self.init(tv_sec: Int(nanoseconds / 1_000_000_000), tv_nsec: Int(nanoseconds % 1_000_000_000))
  }
}
