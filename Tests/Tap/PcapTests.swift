// SPDX-License-Identifier: GPL-2.0-or-later
import Pairing
import Stamping
import Tap
import Testing

@Suite struct PcapTests {
  @Test(arguments: [(UInt32(0xA1B2_C3D4), false), (0xA1B2_C3D4, true), (0xA1B2_3C4D, false), (0xA1B2_3C4D, true)])
  func everyMagic(magic: UInt32, big: Bool) throws {
    let packets = testPackets()
    let isNano = magic == 0xA1B2_3C4D
    let read = try Read(pcap(packets, magic: magic, big: big))
    #expect(read.error == nil)
    #expect(read.packets.map(\.bytes) == packets.map(\.frame))
    let unit: Int64 = isNano ? 1 : 1000
    let times = packets.map { 1_700_000_000_000_000_000 + Int64($0.fraction) * unit }
    #expect(read.packets.map(\.time) == times)
    let interface = try #require(read.interfaces.first)
    #expect(read.interfaces.count == 1)
    #expect(interface.linkType == .ethernet)
    #expect(interface.resolution == .decimal(isNano ? 9 : 6))
    #expect(interface.packets == 23)
    #expect(interface.drops == nil)
    #expect(read.statistics.packets == 23)
    #expect(read.statistics.skipped.isEmpty)
  }

  @Test(arguments: [UInt32(0xA1B2_CD34), 0xA12B_3C4D, 0x1C00_01AC])
  func variantsAreRefused(magic: UInt32) throws {
    for big in [false, true] {
      let read = try Read(pcap(testPackets(), magic: magic, big: big))
      let error = try #require(read.error)
      #expect(error.offset == 0)
      #expect(error.message.contains("variant"))
      #expect(error.message.contains("editcap"))
      #expect(read.packets.isEmpty)
    }
  }

  @Test func otherVersionsAreRefused() throws {
    var bytes = pcap(testPackets())
    bytes[6] = 2
    let error = try #require(try Read(bytes).error)
    #expect(error.offset == 4)
    #expect(error.message.contains("2.2"))
  }

  @Test func linkTypesAndFrameCheckBits() throws {
    for (number, type) in [
      (UInt32(101), LinkType.raw), (113, .linuxSLL), (276, .linuxSLL2), (147, LinkType(number: 147)),
    ] {
      let read = try Read(pcap(testPackets(), linkType: number | 0x2400_0000 & 0xFC00_0000))
      #expect(read.interfaces.first?.linkType == type)
      #expect(type.number == Int(number))
      #expect(LinkType(number: Int(number)) == type)
    }
  }

  @Test func oddRecords() throws {
    var packets = testPackets()
    packets[5].fraction = 1_000_000
    packets[9].fraction = 1
    packets[11].frame = []
    let read = try Read(pcap(packets, snapLength: 0))
    #expect(read.error == nil)
    #expect(read.packets.count == 22)
    #expect(read.statistics.skipped == [.impossibleFraction: 1])
    #expect(read.packets[10].bytes.isEmpty)
  }

  @Test func cutOffAtEveryByte() throws {
    let whole = pcap(Array(testPackets().prefix(3)))
    let record = 16 + 46
    for count in whole.indices {
      let read = try Read(Array(whole[..<count]))
      let packets = count < 24 ? 0 : (count - 24) / record
      #expect(read.packets.count == packets)
      let isWhole = count >= 24 && (count - 24) % record == 0
      #expect((read.error == nil) == isWhole, "\(count) bytes")
      if count >= 24, let error = read.error { #expect(error.offset == 24 + packets * record) }
    }
  }

  @Test func hugeRecordsAreRefused() throws {
    for size in [UInt32(1 << 24) + 1, 1 << 31, .max] {
      var bytes = Bytes()
      bytes.raw(pcap(testPackets()))
      let place = bytes.bytes.count
      bytes.u64(0)
      bytes.u32(size)
      bytes.u32(size)
      bytes.raw([UInt8](repeating: 0, count: 1000))
      let read = try Read(bytes.bytes)
      #expect(read.packets.count == 23)
      let error = try #require(read.error)
      #expect(error.offset == place)
      #expect(error.message.contains("\(size) bytes"))
    }
  }
}
