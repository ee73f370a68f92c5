// SPDX-License-Identifier: GPL-2.0-or-later
import Clocks
import Testing

@testable import Traffic

@Suite struct TestPacketTests {
  @Test func bytesAreThoseOfRFC8762() throws {
    let packet = TestPacket(sequence: 0x0102_0304, time: 1_700_000_000_000_000_005)
    #expect(
      packet.bytes(size: 44)
        == [
          0x01, 0x02, 0x03, 0x04,  // sequence number
          0x65, 0x53, 0xf1, 0x00,  // seconds since 1970, PTPv2's truncated format
          0x00, 0x00, 0x00, 0x05,  // nanoseconds
          0x60, 0x01,  // error estimate: S 0, Z 1, scale 32, multiplier 1
          0x00, 0x00,  // SSID
        ] + [UInt8](repeating: 0, count: 28))
    #expect(TestPacket(payload: packet.bytes(size: 1000)) == packet)
    #expect(packet.bytes(size: 1000).count == 1000)
    #expect(packet.bytes(size: 1000).dropFirst(16).allSatisfy { $0 == 0 })
    #expect(TestPacket(payload: [1, 2, 3]) == nil)
  }

  @Test func aScheduleDoesNotDrift() {
    let schedule = Schedule(start: Instant(nanoseconds: 1_000), rate: 3)
    #expect(schedule.time(of: 0).nanoseconds == 1_000)
    #expect(schedule.time(of: 1).nanoseconds == 333_334_333)
    #expect(schedule.time(of: 3_000_000).nanoseconds == 1_000_000_000_001_000)
    #expect(schedule.count(until: Instant(nanoseconds: 1_000)) == 0)
    #expect(schedule.count(until: Instant(nanoseconds: 1_001)) == 1)
    #expect(schedule.count(until: Instant(nanoseconds: 333_334_333)) == 1)
    #expect(schedule.count(until: Instant(nanoseconds: 333_334_334)) == 2)
    #expect(schedule.count(until: Instant(nanoseconds: 1_000_000_001_000)) == 3_000)
  }

  @Test func sleepingEndsAtTheTime() {
    let until = Instant<Monotonic>(nanoseconds: Instant<Monotonic>.now.nanoseconds + 20_000_000)
    Schedule.sleep(until: until)
    #expect(Instant<Monotonic>.now >= until)
  }
}
