// SPDX-License-Identifier: GPL-2.0-or-later
internal import CTimestamp
internal import Glibc

/// A clock of the machine; a time point's type names its clock.
package protocol MachineClock {
  static var identifier: Int32 { get }
}

/// CLOCK_MONOTONIC: what kernel programs stamp with; slewed by NTP, stands still in suspend.
package enum Monotonic: MachineClock { package static var identifier: Int32 { CLOCK_MONOTONIC } }
/// CLOCK_MONOTONIC_RAW: as MONOTONIC, never slewed.
package enum MonotonicRaw: MachineClock { package static var identifier: Int32 { CLOCK_MONOTONIC_RAW } }
/// CLOCK_REALTIME: UTC, may be stepped.
package enum Realtime: MachineClock { package static var identifier: Int32 { CLOCK_REALTIME } }
/// CLOCK_TAI: UTC without leap seconds, if somebody told the kernel the offset.
package enum TAI: MachineClock { package static var identifier: Int32 { CLOCK_TAI } }
/// CLOCK_BOOTTIME: as MONOTONIC, counting suspend.
package enum Boottime: MachineClock { package static var identifier: Int32 { CLOCK_BOOTTIME } }

/// A point on one clock. Points of two clocks cannot be subtracted: that takes an alignment.
package struct Instant<C: MachineClock>: Sendable, Hashable, Comparable {
  /// Nanoseconds since the clock's own epoch.
  package var nanoseconds: Int64

  package init(nanoseconds: Int64) { self.nanoseconds = nanoseconds }

  package static var now: Instant {
    var time = timespec()
    unsafe clock_gettime(C.identifier, &time)
    return Instant(nanoseconds: Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec))
  }

  package static func < (left: Instant, right: Instant) -> Bool { left.nanoseconds < right.nanoseconds }
  package static func - (left: Instant, right: Instant) -> Duration {
    .nanoseconds(left.nanoseconds - right.nanoseconds)
  }
}

/// All clocks of the machine, read between two readings of MONOTONIC.
package struct ClockReading: Sendable {
  /// The middle of the two readings.
  package var monotonic: Instant<Monotonic>
  /// Time between the two, in nanoseconds: each other clock was read within ± half of it.
  package var window: Int64
  package var monotonicRaw: Instant<MonotonicRaw>
  package var realtime: Instant<Realtime>
  package var tai: Instant<TAI>
  package var boottime: Instant<Boottime>
  /// Ticks of the time stamp counter, 0 where there is none.
  package var counter: UInt64

  package init(
    monotonic: Instant<Monotonic>, window: Int64, monotonicRaw: Instant<MonotonicRaw>, realtime: Instant<Realtime>,
    tai: Instant<TAI>, boottime: Instant<Boottime>, counter: UInt64
  ) {
    self.monotonic = monotonic
    self.window = window
    self.monotonicRaw = monotonicRaw
    self.realtime = realtime
    self.tai = tai
    self.boottime = boottime
    self.counter = counter
  }

  /// The best of a few readings: the one with the shortest window.
  package static func now(tries: Int = 5) -> ClockReading {
    var best = once()
    for _ in 1..<max(tries, 1) + 1 {
      let next = once()
      if next.window < best.window { best = next }
    }
    return best
  }

  private static func once() -> ClockReading {
    let before = Instant<Monotonic>.now
    let raw = Instant<MonotonicRaw>.now
    let realtime = Instant<Realtime>.now
    let counter = lp_timestamp_counter()
    let tai = Instant<TAI>.now
    let boottime = Instant<Boottime>.now
    let after = Instant<Monotonic>.now
    let window = after.nanoseconds - before.nanoseconds
    return ClockReading(
      monotonic: Instant(nanoseconds: before.nanoseconds + window / 2), window: window, monotonicRaw: raw,
      realtime: realtime, tai: tai, boottime: boottime, counter: counter)
  }
}
