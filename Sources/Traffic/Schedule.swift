internal import CTraffic
// SPDX-License-Identifier: GPL-2.0-or-later
package import Clocks

/// When packets are due: at a constant rate from a start on. A packet that left late does not delay those behind it.
package struct Schedule: Sendable {
  package let start: Instant<Monotonic>
  /// Packets a second.
  package let rate: Double

  package init(start: Instant<Monotonic>, rate: Double) {
    self.start = start
    self.rate = rate
  }

  package func time(of number: UInt64) -> Instant<Monotonic> {
    Instant(nanoseconds: start.nanoseconds + Int64((Double(number) * 1e9 / rate).rounded()))
  }

  /// How many packets are due before a time.
  package func count(until end: Instant<Monotonic>) -> UInt64 {
    let length = Double(end.nanoseconds) - Double(start.nanoseconds)
    var count = UInt64(max(0, (length * rate / 1e9).rounded(.up)))
    while count > 0, time(of: count - 1) >= end { count -= 1 }
    return count
  }

  /// Sleeps until then; a signal ends it early.
  package static func sleep(until time: Instant<Monotonic>) { _ = lp_sleep_until(time.nanoseconds) }
}
