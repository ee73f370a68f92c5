// SPDX-License-Identifier: GPL-2.0-or-later
import Tap
import Testing

@Suite struct PcapTests {
  @Test(arguments: [(false, false), (false, true), (true, false), (true, true)])
  func everyMagic(nano: Bool, big: Bool) throws {
    var packets: [(seconds: UInt32, fraction: UInt32, frame: [UInt8])] = []
    for index in 0..<UInt32(23) { packets.append((1_700_000_000, 999_900 + index, udpFrame(id: UInt16(index)))) }
    let read = try Read(pcap(packets, nano: nano, big: big))
    #expect(read.error == nil)
    #expect(read.packets.map(\.bytes) == packets.map(\.frame))
    let unit: Int64 = nano ? 1 : 1000
    let times = packets.map { 1_700_000_000_000_000_000 + Int64($0.fraction) * unit }
    #expect(read.packets.map(\.time) == times)
    let interface = try #require(read.interfaces.first)
    #expect(read.interfaces.count == 1)
    #expect(interface.linkType == .ethernet)
    #expect(interface.resolution == .decimal(nano ? 9 : 6))
    #expect(interface.packets == 23)
    #expect(interface.drops == nil)
  }
}
