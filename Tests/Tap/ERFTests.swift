// SPDX-License-Identifier: GPL-2.0-or-later
import Stamping
import Tap
import Testing

@Suite struct ERFTests {
  private let frame = udpFrame(id: 7)
  private let second: UInt64 = 1_700_000_000 << 32

  @Test func ethernetRecords() throws {
    let read = try Read(erfFile())
    #expect(read.error == nil)
    #expect(read.packets.map(\.bytes) == testPackets().map(\.frame))
    #expect(read.interfaces.count == 1)
    #expect(read.interfaces.first?.resolution == .binary(32))
    #expect(read.interfaces.first?.drops == 0)
  }

  /// Fractions of 2⁻³² s and their nearest nanoseconds: half a nanosecond is 2.147 units.
  @Test func rounding() throws {
    let cases: [(UInt64, Int64)] = [
      (0, 0), (1, 0), (2, 0), (3, 1), (4, 1), (6, 1), (7, 2), (1 << 31, 500_000_000), (0x1_0000_0000 - 3, 999_999_999),
      (0x1_0000_0000 - 2, 1_000_000_000), (0xFFFF_FFFF, 1_000_000_000),
    ]
    for (fraction, time) in cases {
      let read = try Read(erf(second | fraction, frame))
      #expect(read.packets.map(\.time) == [1_700_000_000_000_000_000 + time], "\(fraction)")
    }
    let last = try Read(erf(.max, frame))
    #expect(last.packets.map(\.time) == [(1 << 32) * 1_000_000_000])
  }

  @Test func interfacesLossesAndOtherTypes() throws {
    let link: [UInt8] = [0x85, 0, 0, 0, 0, 0, 0, 1]
    let last: [UInt8] = [0x05, 0, 0, 0, 0, 0, 0, 2]
    let file =
      erf(second, frame, lost: 3) + erf(second + 1, frame, flags: 5, lost: 65535)
      + erf(second + 2, frame, type: 1) + erf(second + 3, frame, type: 22, lost: 9)
      + erf(second + 4, frame, type: 11, lost: 777) + erf(second + 5, frame, extensions: [link, last])
      + erf(second + 6, [], type: 48) + erf(second + 7, frame, flags: 0x24) + erf(second + 8, frame, length: 20)
    let read = try Read(file)
    #expect(read.error == nil)
    #expect(read.packets.count == 5)
    #expect(read.packets.map(\.interface) == [0, 1, 0, 0, 0])
    #expect(read.packets.map(\.bytes).dropLast() == [frame, frame, frame, frame])
    #expect(read.packets.last?.bytes == Array(frame.prefix(20)))
    #expect(read.interfaces.map(\.drops) == [3, 65535])
    #expect(read.statistics.skipped == [.otherType(1): 1, .otherType(22): 1, .recordError: 1])
  }

  /// A snapped packet: fewer bytes than on the wire.
  @Test func snapped() throws {
    let read = try Read(erf(second, frame, length: 1500))
    #expect(read.packets.first?.length == 1500)
    #expect(read.packets.first?.bytes.prefix(frame.count) == frame[...])
  }

  @Test func damage() throws {
    let good = erfFile()
    var short = erf(second, frame)
    short[10] = 0
    short[11] = 15
    let read = try Read(good + short)
    #expect(read.packets.count == 23)
    #expect(read.error?.offset == good.count + 10)
    let cut = try Read(Array(good.dropLast(5)))
    #expect(cut.packets.count == 22)
    #expect(cut.error?.message.contains("cut off") == true)
    // Extension headers that never end.
    let endless = [UInt8](repeating: 0xFF, count: 8)
    var record = erf(second, [], extensions: [endless, endless])
    record.removeLast(8)
    record[11] = 32
    #expect(try Read(good + record).statistics.skipped == [.tooShort: 1])
  }

  @Test func whatIsNone() throws {
    for bytes in [Array("Hello, this is no capture at all.\n".utf8), [UInt8](repeating: 0, count: 5000), [1], []] {
      let read = try Read(bytes)
      #expect(read.packets.isEmpty)
      let error = try #require(read.error)
      #expect(error.message.contains(bytes.isEmpty ? "is empty" : "no capture"))
    }
  }
}
