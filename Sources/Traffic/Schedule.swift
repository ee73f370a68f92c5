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

  /// Sleeps until then; a signal ends it early.
  package static func sleep(until time: Instant<Monotonic>) { _ = lp_sleep_until(time.nanoseconds) }
}
