// SPDX-License-Identifier: GPL-2.0-or-later
import Testing

@testable import Clocks

/// Other clocks of one machine against its MONOTONIC; a device is 1 000 s ahead of TAI and 50 ppm fast.
@Suite struct LocalMapTests {
  private static let utc: Int64 = 1_700_000_000_000_000_000

  private func readings(stepAt: Int64 = .max, by step: Int64 = 0) -> [ClockReading] {
    (0...40).map { number in
      let now = 5_000_000_000 + Int64(number) * 100_000_000
      return ClockReading(
        monotonic: Instant(nanoseconds: now), window: 80, monotonicRaw: Instant(nanoseconds: now - 77),
        realtime: Instant(nanoseconds: now + Self.utc + (now >= stepAt ? step : 0)), tai: Instant(nanoseconds: 0),
        boottime: Instant(nanoseconds: now + 5), counter: UInt64(now))
    }
  }

  private func device(_ monotonic: Int64) -> Int64 {
    Self.utc + 1_037_000_000_000 + monotonic + (monotonic - 5_000_000_000) / 20_000
  }

  @Test func realtimeIsMonotonicPlusAConstant() throws {
    let map = try LocalMap.realtime(readings())
    for time in [5_000_000_000, 6_123_456_789, 8_999_999_999] as [Int64] {
      let found = try #require(map.monotonic(time + Self.utc))
      #expect(abs(found - time) <= map.maximumError(over: time + Self.utc...time + Self.utc))
    }
    #expect(map.maximumError(over: Self.utc + 5_000_000_000...Self.utc + 9_000_000_000) < 100)
    #expect(map.monotonic(Self.utc - 20_000_000_000) == nil)
  }

  @Test func aClockThatWasSetIsNoHelp() {
    #expect(throws: AlignmentError.stepped(at: 6_900_000_000)) {
      try LocalMap.realtime(readings(stepAt: 7_000_000_000, by: 500_000))
    }
  }

  @Test func aDeviceFollowsItsCrossStamps() throws {
    let crosses = stride(from: Int64(5_000_000_000), through: 9_000_000_000, by: 500_000_000).map { now in
      // Read somewhere in a window of 4 µs.
      DeviceReading(
        device: device(now + 1_500), realtime: Instant(nanoseconds: now + Self.utc), window: 4_000)
    }
    let map = try LocalMap.device(readings(), crosses)
    for time in stride(from: Int64(5_000_100_000), to: 9_000_000_000, by: 37_000_001) {
      let found = try #require(map.monotonic(device(time)))
      #expect(abs(found - time) <= map.maximumError(over: device(time)...device(time)))
    }
    #expect(map.maximumError(over: device(5_000_000_000)...device(9_000_000_000)) < 100_000)
    var set = crosses
    for index in 4..<set.count { set[index].device += 10_000_000 }
    #expect(throws: AlignmentError.self) { try LocalMap.device(readings(), set) }
    #expect(throws: AlignmentError.self) { try LocalMap.device(readings(), []) }
  }
}
