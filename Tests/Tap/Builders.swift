// SPDX-License-Identifier: GPL-2.0-or-later

/// A packet of a test's file.
struct TestPacket {
  var seconds: UInt32
  /// Micro- or nanoseconds.
  var fraction: UInt32
  var frame: [UInt8]
}

/// 23 packets, a millisecond and one unit apart.
func testPackets() -> [TestPacket] {
  (0..<23).map { index in
    TestPacket(
      seconds: 1_700_000_000, fraction: UInt32(index * 1001), frame: udpFrame(id: UInt16(index)))
  }
}

/// A pcap file.
func pcap(
  _ packets: [TestPacket], magic: UInt32 = 0xA1B2_C3D4, big: Bool = false, linkType: UInt32 = 1,
  snapLength: UInt32 = 262_144
) -> [UInt8] {
  var file = Bytes(big: big)
  file.u32(magic)
  file.u16(2)  // version
  file.u16(4)
  file.u32(0)  // time zone
  file.u32(0)  // accuracy
  file.u32(snapLength)
  file.u32(linkType)
  for packet in packets {
    file.u32(packet.seconds)
    file.u32(packet.fraction)
    file.u32(UInt32(packet.frame.count))
    file.u32(UInt32(packet.frame.count))
    file.raw(packet.frame)
  }
  return file.bytes
}

/// Blocks of a pcapng file.
struct Pcapng {
  let isBig: Bool
  private(set) var bytes: [UInt8] = []

  init(big: Bool = false) {
    isBig = big
    section()
  }

  mutating func block(_ type: UInt32, _ body: [UInt8]) {
    var block = Bytes(big: isBig)
    let padding = [UInt8](repeating: 0, count: (4 - body.count % 4) % 4)
    let size = UInt32(12 + body.count + padding.count)
    block.u32(type)
    block.u32(size)
    block.raw(body + padding)
    block.u32(size)
    bytes += block.bytes
  }

  mutating func section() {
    var body = Bytes(big: isBig)
    body.u32(0x1A2B_3C4D)
    body.u16(1)  // version
    body.u16(0)
    body.u64(.max)  // length of the section: unknown
    block(0x0A0D_0D0A, body.bytes)
  }

  func option(_ code: UInt16, _ value: [UInt8]) -> [UInt8] {
    var option = Bytes(big: isBig)
    option.u16(code)
    option.u16(UInt16(value.count))
    option.raw(value + [UInt8](repeating: 0, count: (4 - value.count % 4) % 4))
    return option.bytes
  }

  func number(_ value: UInt64) -> [UInt8] {
    var bytes = Bytes(big: isBig)
    bytes.u64(value)
    return bytes.bytes
  }

  mutating func interface(
    _ name: String? = nil, linkType: UInt16 = 1, resolution: UInt8? = nil, offset: Int64? = nil,
    extra: [UInt8] = []
  ) {
    var body = Bytes(big: isBig)
    body.u16(linkType)
    body.u16(0)  // reserved
    body.u32(0)  // snap length: no limit
    if let name { body.raw(option(2, Array(name.utf8))) }
    if let resolution { body.raw(option(9, [resolution])) }
    if let offset { body.raw(option(14, number(UInt64(bitPattern: offset)))) }
    body.raw(extra)
    if name != nil || resolution != nil || offset != nil { body.raw([0, 0, 0, 0]) }
    block(1, body.bytes)
  }

  mutating func packet(
    _ units: UInt64, _ frame: [UInt8], interface: UInt32 = 0, length: UInt32? = nil, dropped: UInt64? = nil,
    extra: [UInt8] = []
  ) {
    var body = Bytes(big: isBig)
    body.u32(interface)
    body.u32(UInt32(truncatingIfNeeded: units >> 32))
    body.u32(UInt32(truncatingIfNeeded: units))
    body.u32(UInt32(frame.count))
    body.u32(length ?? UInt32(frame.count))
    body.raw(frame + [UInt8](repeating: 0, count: (4 - frame.count % 4) % 4))
    if let dropped { body.raw(option(4, number(dropped))) }
    body.raw(extra)
    block(6, body.bytes)
  }

  /// The block before the enhanced one.
  mutating func oldPacket(_ units: UInt64, _ frame: [UInt8], interface: UInt16 = 0, dropped: UInt16) {
    var body = Bytes(big: isBig)
    body.u16(interface)
    body.u16(dropped)
    body.u32(UInt32(truncatingIfNeeded: units >> 32))
    body.u32(UInt32(truncatingIfNeeded: units))
    body.u32(UInt32(frame.count))
    body.u32(UInt32(frame.count))
    body.raw(frame)
    block(2, body.bytes)
  }

  mutating func simplePacket(_ frame: [UInt8]) {
    var body = Bytes(big: isBig)
    body.u32(UInt32(frame.count))
    body.raw(frame)
    block(3, body.bytes)
  }

  mutating func statistics(interface: UInt32 = 0, dropped: UInt64? = nil, byKernel: UInt64? = nil) {
    var body = Bytes(big: isBig)
    body.u32(interface)
    body.u64(0)  // time
    if let dropped { body.raw(option(5, number(dropped))) }
    if let byKernel { body.raw(option(7, number(byKernel))) }
    body.raw([0, 0, 0, 0])
    block(5, body.bytes)
  }
}

/// 23 packets of a pcapng file with nanoseconds.
func pcapng(big: Bool = false) -> [UInt8] {
  var file = Pcapng(big: big)
  file.interface("eth0", resolution: 9)
  for packet in testPackets() {
    file.packet(UInt64(packet.seconds) * 1_000_000_000 + UInt64(packet.fraction), packet.frame)
  }
  file.statistics(dropped: 5)
  return file.bytes
}

/// One ERF record.
func erf(
  _ time: UInt64, _ frame: [UInt8], type: UInt8 = 2, flags: UInt8 = 4, lost: UInt16 = 0, length: UInt16? = nil,
  extensions: [[UInt8]] = []
) -> [UInt8] {
  var body = extensions.flatMap { $0 }
  let isEthernet = [2, 11, 16, 20].contains(type & 0x7F)
  body += (isEthernet ? [0, 0] : []) + frame
  while body.count % 8 != 0 { body.append(0) }
  var record = Bytes()
  record.u64(time)
  record.isBig = true
  record.u8(type | (extensions.isEmpty ? 0 : 0x80))
  record.u8(flags)
  record.u16(UInt16(16 + body.count))
  record.u16(lost)
  record.u16(length ?? UInt16(frame.count))
  record.raw(body)
  return record.bytes
}

/// 23 Ethernet records of an ERF file, a millisecond and some apart.
func erfFile() -> [UInt8] {
  testPackets().enumerated().flatMap { index, packet in
    erf(UInt64(packet.seconds) << 32 | UInt64(index * 4_300_000 + 1), packet.frame)
  }
}

/// A DNS query from 198.18.0.1, or its answer.
func dnsFrame(_ number: Int, isAnswer: Bool = false) -> [UInt8] {
  let header: [UInt8] = [UInt8(number >> 8 & 255), UInt8(number & 255), isAnswer ? 0x81 : 1, isAnswer ? 0x80 : 0]
  let question: [UInt8] = [0, 1, 0, 0, 0, 0, 0, 0, 1, 97, 0, 0, 1, 0, 1]
  var frame = udpFrame(id: UInt16(number), payload: header + question)
  if isAnswer {
    frame.replaceSubrange(26..<34, with: [198, 18, 0, 2, 198, 18, 0, 1])
    frame.replaceSubrange(34..<38, with: [0, 53, 0x0F, 0xA0])
  } else {
    frame.replaceSubrange(36..<38, with: [0, 53])
  }
  return frame
}

/// An Ethernet frame with TCP from port 4000 of 198.18.0.1 to port 6379 of 198.18.0.2, or back.
func tcpFrame(
  toServer: Bool, sequence: UInt32, acknowledgment: UInt32, flags: UInt8, _ payload: String = ""
) -> [UInt8] {
  var frame = Bytes(big: true)
  frame.raw([2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0, 0x45, 0])
  frame.u16(UInt16(40 + payload.utf8.count))
  frame.raw([0, 0, 0x40, 0, 64, 6, 0, 0, 198, 18, 0, toServer ? 1 : 2, 198, 18, 0, toServer ? 2 : 1])
  for port in toServer ? [4000, 6379] : [6379, 4000] as [UInt16] { frame.u16(port) }
  frame.u32(sequence)
  frame.u32(acknowledgment)
  frame.raw([0x50, flags, 0xFF, 0xFF, 0, 0, 0, 0])
  frame.raw(Array(payload.utf8))
  return frame.bytes
}
