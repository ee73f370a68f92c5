// SPDX-License-Identifier: GPL-2.0-or-later
import Clocks
import Testing

@testable import TestPackets

@Suite struct TestPacketTests {
  @Test func bytesAreThoseOfRFC8762() throws {
    let packet = TestPacket(sequence: 0x0102_0304, time: 1_700_000_000_000_000_005)
    #expect(
      packet.bytes(size: 44)
        == [
          0x01, 0x02, 0x03, 0x04,  // sequence number
          0x65, 0x53, 0xf1, 0x00,  // seconds since 1970, PTPv2's truncated format
          0x00, 0x00, 0x00, 0x05,  // nanoseconds
          0x5d, 0x80,  // error estimate: S 0, Z 1, scale 29, multiplier 128: 16 s
          0x00, 0x00,  // SSID
        ] + [UInt8](repeating: 0, count: 28))
    #expect(TestPacket(payload: packet.bytes(size: 1000)) == packet)
    #expect(packet.bytes(size: 1000).count == 1000)
    #expect(packet.bytes(size: 1000).dropFirst(16).allSatisfy { $0 == 0 })
    #expect(TestPacket(payload: [1, 2, 3]) == nil)
    // Cut, it is the same up to its end; no further than behind the SSID.
    for size in 0...43 {
      let cut = packet.bytes(size: size)
      #expect(cut == Array(packet.bytes(size: 44).prefix(max(size, 16))) && TestPacket(payload: cut) == packet)
    }
  }

  @Test func aScheduleDoesNotDrift() {
    var schedule = Schedule(start: Instant(nanoseconds: 1_000), pace: Pace(rate: 3))
    let times = (0..<300_001).map { _ in schedule.next().nanoseconds }
    #expect(times[0] == 1_000 && times[1] == 333_334_333 && times[300_000] == 100_000_000_001_000)
    var bursts = Schedule(start: Instant(nanoseconds: 0), pace: Pace(rate: 1_000_000, burst: 3))
    let due = (0..<7).map { _ in bursts.next().nanoseconds }
    #expect(due == [0, 0, 0, 3000, 3000, 3000, 6000])
  }

  /// Mean and spread of the distribution; the same seed, the same times.
  @Test(arguments: [(Pace.Interval.uniform, 1 / 3.0), (.exponential, 1.0)])
  func randomIntervals(interval: Pace.Interval, variance: Double) {
    func gaps(_ seed: UInt64) -> [Double] {
      var schedule = Schedule(
        start: Instant(nanoseconds: 0), pace: Pace(rate: 1000, interval: interval, seed: seed))
      let times = (0..<100_001).map { _ in Double(schedule.next().nanoseconds) }
      return zip(times, times.dropFirst()).map { ($1 - $0) / 1e6 }
    }
    let first = gaps(7)
    let mean = first.reduce(0, +) / 100_000
    let spread = first.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / 100_000
    #expect(abs(mean - 1) < 0.02 && abs(spread - variance) < 0.05, "\(mean) \(spread)")
    #expect(first.allSatisfy { $0 >= 0 } && first == gaps(7) && first != gaps(8))
  }

  @Test func quantilesOfAHistogram() {
    var histogram = Histogram()
    #expect(histogram.quantile(0.5) == nil)
    for value in stride(from: Int64(1), through: 1_000_000, by: 7) { histogram.add(value) }
    for p in [0.001, 0.5, 0.99, 0.999] {
      let (exact, found) = (1_000_000 * p, Double(histogram.quantile(p) ?? 0))
      #expect(found >= exact - 7 && found <= exact * 1.01 + 7, "\(p): \(found)")
    }
    histogram.add(.max)
    histogram.add(-5)
    #expect(histogram.max == .max && histogram.quantile(1) == .max)
  }
}
