// SPDX-License-Identifier: GPL-2.0-or-later
import Pairing
import Stamping
import Tap
import Testing

@Suite struct PcapngTests {
  private let frame = udpFrame(id: 7)

  @Test(arguments: [false, true]) func bothByteOrders(big: Bool) throws {
    let read = try Read(pcapng(big: big))
    #expect(read.error == nil)
    #expect(read.packets.map(\.bytes) == testPackets().map(\.frame))
    let times = testPackets().map { Int64($0.seconds) * 1_000_000_000 + Int64($0.fraction) }
    #expect(read.packets.map(\.time) == times)
    let interface = try #require(read.interfaces.first)
    #expect(interface.name == "eth0")
    #expect(interface.resolution == .decimal(9))
    #expect(interface.packets == 23)
    #expect(interface.drops == 5)
  }

  /// Every block that the format describes, and some that it does not.
  @Test func everyBlock() throws {
    var file = Pcapng()
    file.interface("a")
    file.block(4, [0, 0, 0, 0])  // names
    file.block(10, [1, 2, 3, 4])  // secrets
    file.block(0xBAD, [1, 2, 3, 4])  // custom
    file.block(0x7777_7777, [])
    file.packet(1, frame, length: 1500, dropped: 3)
    file.oldPacket(2, frame + [0, 0], dropped: 2)
    file.oldPacket(3, frame + [0, 0], dropped: 0xFFFF)
    file.simplePacket(frame)
    file.packet(4, frame, interface: 1)
    let read = try Read(file.bytes)
    #expect(read.error == nil)
    #expect(read.packets.map(\.time) == [1000, 2000, 3000])
    #expect(read.packets.first?.length == 1500)
    #expect(read.packets.first?.bytes == frame)
    #expect(read.statistics.skipped == [.otherBlock: 1, .noTime: 1, .unknownInterface: 1])
    #expect(read.interfaces.first?.drops == 5)
  }

  @Test func severalInterfacesAndSections() throws {
    var file = Pcapng()
    for _ in 0..<3 {
      file.interface("in", resolution: 9)
      file.interface("out", linkType: 101, resolution: 6, offset: 1000)
      file.packet(1, frame)
      file.packet(1, frame, interface: 1)
      file.statistics(interface: 1, dropped: 1, byKernel: 1)
      file.statistics(interface: 1, dropped: 3, byKernel: 4)
      file.section()
    }
    // A section in the other byte order, with other interfaces.
    var second = Pcapng(big: true)
    second.interface("in", resolution: 9)
    second.interface("else")
    second.packet(2, frame)
    second.packet(2, frame, interface: 1)
    let read = try Read(file.bytes + second.bytes)
    #expect(read.error == nil)
    #expect(read.interfaces.map(\.name) == ["in", "out", "else"])
    #expect(read.interfaces.map(\.packets) == [4, 3, 1])
    #expect(read.interfaces.map(\.drops) == [nil, 21, nil])
    #expect(read.interfaces.map(\.linkType) == [.ethernet, .raw, .ethernet])
    #expect(read.packets.map(\.interface) == [0, 1, 0, 1, 0, 1, 0, 2])
    #expect(read.packets.suffix(3).map(\.time) == [1_000_000_001_000, 2, 2000])
  }

  @Test func resolutions() throws {
    // Resolution byte, units, offset in seconds, nanoseconds.
    let cases: [(UInt8?, UInt64, Int64?, Int64)] = [
      (nil, 1_700_000_000_000_001, nil, 1_700_000_000_000_001_000),
      (0, 1_700_000_000, nil, 1_700_000_000_000_000_000),
      (3, 1, nil, 1_000_000),
      (9, 1_700_000_000_123_456_789, nil, 1_700_000_000_123_456_789),
      (9, 1, -1, -999_999_999),
      (12, 1_499, nil, 1), (12, 1_500, nil, 2), (10, 5, nil, 1), (10, 4, nil, 0),
      (0x80, 3, nil, 3_000_000_000),
      (0x80 | 32, 1 << 32, nil, 1_000_000_000),
      (0x80 | 32, 2, nil, 0), (0x80 | 32, 3, nil, 1), (0x80 | 1, 1, 5, 5_500_000_000),
      (127, .max, nil, 0), (0xFF, .max, nil, 0), (29, .max, nil, 0), (28, .max, nil, 2),
    ]
    for (resolution, units, offset, time) in cases {
      var file = Pcapng()
      file.interface(resolution: resolution, offset: offset)
      file.packet(units, frame)
      let read = try Read(file.bytes)
      #expect(read.packets.map(\.time) == [time], "\(String(describing: resolution)) \(units)")
    }
    for (resolution, units, offset) in [(UInt8(0), UInt64.max, Int64(0)), (9, .max, 0), (9, 0, .max), (9, 0, .min)] {
      var file = Pcapng()
      file.interface(resolution: resolution, offset: offset)
      file.packet(units, frame)
      let read = try Read(file.bytes)
      #expect(read.error == nil)
      #expect(read.statistics.skipped == [.timeOutOfRange: 1])
    }
  }

  @Test func damagedBlocks() throws {
    var good = Pcapng()
    good.interface()
    good.packet(1, frame)
    let place = good.bytes.count
    for size in [UInt32(0), 8, 11, 13, 14, 1 << 24 + 4, 1 << 31, .max] {
      var bytes = Bytes()
      bytes.raw(good.bytes)
      bytes.u32(6)
      bytes.u32(size)
      bytes.raw([UInt8](repeating: 0, count: 100))
      let read = try Read(bytes.bytes)
      #expect(read.packets.count == 1)
      let error = try #require(read.error, "\(size)")
      #expect([place, place + 4].contains(error.offset))
      #expect(error.message.contains("\(size) bytes"))
    }
    // Another length at the end.
    var bytes = good.bytes
    bytes[place - 4] ^= 4
    #expect(try Read(bytes).error?.message.contains("ends with") == true)
    // No byte order.
    bytes = good.bytes
    bytes[8] = 0
    #expect(try Read(bytes).error?.message.contains("byte order") == true)
    bytes = good.bytes
    bytes[12] = 2
    #expect(try Read(bytes).error?.message.contains("version 2") == true)
  }

  @Test func overlongOptionsAndPackets() throws {
    var file = Pcapng()
    file.interface()
    file.packet(1, frame, extra: [4, 0, 200, 0])
    var body = Bytes()
    for word in [UInt32(0), 0, 1, 5000, 5000] { body.u32(word) }
    body.raw(frame)
    file.block(6, body.bytes)
    file.block(6, [0, 0, 0, 0])
    file.block(5, [0, 0, 0, 0])
    let read = try Read(file.bytes)
    #expect(read.error == nil)
    #expect(read.packets.count == 1)
    #expect(read.statistics.skipped == [.tooShort: 2])
    #expect(read.statistics.damagedOptions == 2)
    // An interface whose options are damaged has no sure unit of time.
    var other = Pcapng()
    other.interface(extra: [9, 0, 200, 0])
    #expect(try Read(other.bytes).error?.message.contains("options of an interface") == true)
  }

  @Test func endlessInterfacesAreRefused() throws {
    var file = Pcapng()
    for _ in 0..<5000 { file.interface() }
    #expect(try Read(file.bytes).error?.message.contains("4096 interfaces") == true)
    // The same ones over and over are no more interfaces.
    var same = Pcapng()
    for _ in 0..<5000 {
      same.section()
      same.interface("x")
    }
    let read = try Read(same.bytes)
    #expect(read.error == nil)
    #expect(read.interfaces.count == 1)
  }

  @Test func emptyBlocksAreWalkedOver() throws {
    var file = Pcapng()
    file.interface()
    let empty: [UInt8] = [0xEE, 0, 0, 0, 12, 0, 0, 0, 12, 0, 0, 0]
    var bytes = file.bytes
    for _ in 0..<100_000 { bytes += empty }
    let read = try Read(bytes)
    #expect(read.error == nil)
    #expect(read.statistics.skipped == [.otherBlock: 100_000])
  }
}
