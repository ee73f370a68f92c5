// SPDX-License-Identifier: GPL-2.0-or-later

extension Dissected {
  /// Of an ICMP error: the packet that could not be delivered, as far as it is quoted (RFC 792, RFC 4443).
  var refused: Dissected? {
    guard case .icmp(let type, let code, let isIPv6) = transport else { return nil }
    // What is too long is only sent again in pieces.
    let isRefusal = isIPv6 ? [1, 3, 4].contains(type) : type == 3 && code != 4 || type == 11 || type == 12
    guard isRefusal, payload.count > 4 else { return nil }
    return quoted(payload.dropFirst(4))
  }

  private func quoted(_ bytes: ByteView) -> Dissected? {
    guard let version = bytes.isEmpty ? nil : bytes[0] >> 4 else { return nil }
    let (header, length, number): (Int, Int, UInt8)
    let (from, to): (IPAddress, IPAddress)
    switch version {
    case 4:
      header = Int(bytes[0] & 0x0f) * 4
      guard header >= 20, bytes.count >= header + 8 else { return nil }
      (length, number) = (Int(bytes.u16(2)) - header, bytes[9])
      (from, to) = (IPAddress(bytes[12..<16]), IPAddress(bytes[16..<20]))
    case 6:
      header = 40
      guard bytes.count >= header + 8 else { return nil }
      (length, number) = (Int(bytes.u16(4)), bytes[6])
      (from, to) = (IPAddress(bytes[8..<24]), IPAddress(bytes[24..<40]))
    default: return nil
    }
    let rest = bytes.dropFirst(header)
    func packet(_ transport: Transport, _ size: Int, hasPorts: Bool = true) -> Dissected? {
      guard length >= size else { return nil }
      return Dissected(
        time: time, source: Endpoint(address: from, port: hasPorts ? rest.u16(0) : 0),
        destination: Endpoint(address: to, port: hasPorts ? rest.u16(2) : 0), transport: transport,
        payload: rest.prefix(length).dropFirst(size), payloadLength: length - size, vlans: vlans)
    }
    switch number {
    case 17: return packet(.udp, 8)
    case 6:
      let flags = rest.count > 13 ? rest[13] : 0x02
      return packet(.tcp(TCPHeader(sequence: rest.u32(4), acknowledgment: 0, flags: flags)), 20)
    case 1, 58:
      return packet(.icmp(type: rest[0], code: rest[1], isIPv6: number == 58), 4, hasPorts: false)
    default: return nil
    }
  }
}
