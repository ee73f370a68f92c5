// SPDX-License-Identifier: GPL-2.0-or-later

/// What pairing needs of one packet.
struct Dissected {
  struct TCPHeader {
    var sequence: UInt32
    var acknowledgment: UInt32
    var flags: UInt8

    var isFIN: Bool { flags & 0x01 != 0 }
    var isSYN: Bool { flags & 0x02 != 0 }
    var isRST: Bool { flags & 0x04 != 0 }
    var isACK: Bool { flags & 0x10 != 0 }
  }
  enum Transport {
    case udp
    case tcp(TCPHeader)
    case icmp(type: UInt8, code: UInt8, isIPv6: Bool)
  }
  var time: Int64
  var source: Endpoint
  var destination: Endpoint
  var transport: Transport
  /// As far as it was captured; ICMP: what follows the checksum.
  var payload: ByteView
  /// Bytes of payload on the wire.
  var payloadLength: Int
  var vlans = VLANTags()
  /// As in ``PairingPacket/segmentSize``.
  var segmentSize: Int?

  var isCut: Bool { payload.count < payloadLength }
}

extension Dissected {
  /// The longest UDP payload that crosses a usual network in one piece.
  private static let usualPayload = 1_472

  /// Whether this may be several datagrams that the capture does not tell apart.
  var mayBeSeveral: Bool { segmentSize == nil && payloadLength > Dissected.usualPayload }

  /// Each datagram of a UDP packet that the kernel segments later, or has put together.
  func forEachDatagram(_ body: (Dissected) -> Void) {
    guard let size = segmentSize, size > 0, size < payloadLength else { return body(self) }
    var place = 0
    while place < payloadLength {
      var part = self
      part.payload = payload.dropFirst(place).prefix(size)
      part.payloadLength = min(size, payloadLength - place)
      body(part)
      place += size
    }
  }
}

enum Dissection {
  case packet(Dissected)
  case notIP
  case fragment
  /// IP, but no transport that is paired.
  case other
  case malformed
  /// A header lies behind the end of what was captured.
  case truncated
}

/// Takes a packet apart down to UDP, TCP or ICMP.
func dissect(_ packet: PairingPacket) -> Dissection {
  let isCut = packet.bytes.count < packet.length
  switch LinkType(number: packet.linkType).payload(of: packet.bytes.span, vlan: packet.vlan) {
  case .notIP: return .notIP
  case .ends: return isCut ? .truncated : .malformed
  case .ip(let offset, let vlans):
    let datagram = ByteView(packet.bytes).dropFirst(offset)
    let wire = max(packet.length, packet.bytes.count) - offset
    let found =
      datagram[0] >> 4 == 4
      ? ipv4(datagram, wire: wire, time: packet.time) : ipv6(datagram, wire: wire, time: packet.time)
    guard case .packet(var dissected) = found else { return found }
    dissected.vlans = vlans
    dissected.segmentSize = packet.segmentSize
    return .packet(dissected)
  }
}

/// A packet taken before segmentation or after its offloaded reversal can be longer than the length field can say, which is 0
/// then; Linux makes none of more than 512 KiB.
private let mostBytes = 1 << 19

private func ipv4(_ datagram: ByteView, wire: Int, time: Int64) -> Dissection {
  guard datagram.count >= 20 else { return wire > datagram.count ? .truncated : .malformed }
  let header = Int(datagram[0] & 0x0f) * 4
  let total = datagram.u16(2) == 0 ? wire : Int(datagram.u16(2))
  guard header >= 20, total >= header, total <= wire, total <= mostBytes else { return .malformed }
  if datagram.u16(6) & 0x3fff != 0 { return .fragment }
  guard datagram.count >= header else { return .truncated }
  return transport(
    datagram.prefix(total).dropFirst(header), length: total - header, number: datagram[9], time: time,
    from: IPAddress(datagram[12..<16]), to: IPAddress(datagram[16..<20]))
}

private func ipv6(_ datagram: ByteView, wire: Int, time: Int64) -> Dissection {
  guard datagram.count >= 40 else { return wire > datagram.count ? .truncated : .malformed }
  let total = datagram.u16(4) == 0 ? wire : 40 + Int(datagram.u16(4))
  guard total <= wire, total <= mostBytes else { return .malformed }
  let whole = datagram.prefix(total)
  var at = 40
  var next = datagram[6]
  while true {
    let size: Int
    switch next {
    case 0, 43, 60, 135, 139, 140:
      guard at + 8 <= total else { return .malformed }
      guard at + 8 <= whole.count else { return .truncated }
      size = (Int(whole[at + 1]) + 1) * 8
    case 51:
      guard at + 8 <= total else { return .malformed }
      guard at + 8 <= whole.count else { return .truncated }
      size = (Int(whole[at + 1]) + 2) * 4
    case 44:
      guard at + 8 <= total else { return .malformed }
      guard at + 8 <= whole.count else { return .truncated }
      // Offset and "more" both 0: an atomic fragment, which is whole.
      if whole.u16(at + 2) & 0xfff9 != 0 { return .fragment }
      size = 8
    default:
      return transport(
        whole.dropFirst(at), length: total - at, number: next, time: time,
        from: IPAddress(datagram[8..<24]), to: IPAddress(datagram[24..<40]))
    }
    next = whole[at]
    at += size
    guard at <= total else { return .malformed }
    guard at <= whole.count else { return .truncated }
  }
}

private func transport(
  _ bytes: ByteView, length: Int, number: UInt8, time: Int64, from: IPAddress, to: IPAddress
) -> Dissection {
  let smallest: Int
  switch number {
  case 17: smallest = 8
  case 6: smallest = 20
  case 1, 58: smallest = 4
  default: return .other
  }
  guard length >= smallest else { return .malformed }
  guard bytes.count >= smallest else { return .truncated }

  func packet(_ transport: Dissected.Transport, header: Int, length: Int, ports: Bool = true) -> Dissection {
    .packet(
      Dissected(
        time: time, source: Endpoint(address: from, port: ports ? bytes.u16(0) : 0),
        destination: Endpoint(address: to, port: ports ? bytes.u16(2) : 0), transport: transport,
        payload: bytes.prefix(length).dropFirst(header), payloadLength: length - header))
  }
  switch number {
  case 17:
    // 0: longer than the field can say.
    let told = bytes.u16(4) == 0 ? length : Int(bytes.u16(4))
    guard told >= 8, told <= length else { return .malformed }
    return packet(.udp, header: 8, length: told)
  case 6:
    let header = Int(bytes[12] >> 4) * 4
    guard header >= 20, header <= length else { return .malformed }
    guard header <= bytes.count else { return .truncated }
    let fields = Dissected.TCPHeader(sequence: bytes.u32(4), acknowledgment: bytes.u32(8), flags: bytes[13])
    return packet(.tcp(fields), header: header, length: length)
  default:
    return packet(
      .icmp(type: bytes[0], code: bytes[1], isIPv6: number == 58), header: 4, length: length, ports: false)
  }
}
