// SPDX-License-Identifier: GPL-2.0-or-later
import Clocks
import Testing

@testable import Host

@Suite struct SystemWatchTests {
  private func reading(_ monotonic: Int64, ahead: Int64 = 0, slept: Int64 = 0, window: Int64 = 100) -> ClockReading {
    ClockReading(
      monotonic: Instant(nanoseconds: monotonic), window: window, monotonicRaw: Instant(nanoseconds: 0),
      realtime: Instant(nanoseconds: monotonic + slept + ahead), tai: Instant(nanoseconds: 0),
      boottime: Instant(nanoseconds: monotonic + slept), counter: 0)
  }

  /// By more than what reading takes and a microsecond.
  @Test func aClockThatIsSet() {
    let start = reading(1_000_000, ahead: 5_000_000)
    for (next, asleep, set): (ClockReading, Int64, Int64) in [
      (reading(9_000_000_000, ahead: 5_000_000), 0, 0),
      (reading(101_000_000, ahead: 5_001_199), 0, 0),
      (reading(101_000_000, ahead: 5_001_201), 0, 1201),
      (reading(101_000_000, ahead: 4_998_000), 0, -2000),
      (reading(101_000_000, ahead: 4_998_000, window: 900_000), 0, 0),
      (reading(101_000_000, ahead: 5_000_000, slept: 7_000_000_000), 7_000_000_000, 0),
      (reading(101_000_000, ahead: 2_000_000, slept: 7_000_000_000), 7_000_000_000, -3_000_000),
    ] {
      let found = SystemWatch.steps(from: start, to: next)
      #expect(found.asleep == asleep && found.set == set, "\(found)")
    }
  }
}
