// SPDX-License-Identifier: GPL-2.0-or-later

/// ICMP and ICMPv6 echo: identifier, sequence number, and the first bytes of the data, which the answer carries back.
/// The data keeps a lost request apart from one with the same number 65 536 requests later.
final class ICMPEcho: DatagramDialogue {
  /// Identifier, sequence number and 16 bytes of data.
  private static let keySize = 20
  private var exchanges: KeyedExchanges

  init(_ book: Book, limits: PairingLimits) { exchanges = KeyedExchanges(book, limit: limits.pending) }

  func take(_ packet: Dissected, isRequest: Bool) {
    guard case .icmp(let type, let code, let isIPv6) = packet.transport, code == 0 else { return }
    let isRequest = type == (isIPv6 ? 128 : 8)
    guard isRequest || type == (isIPv6 ? 129 : 0) else { return }
    guard packet.payloadLength >= 4 else { return exchanges.book.tally.malformed += 1 }
    // Fewer bytes than the other side's are another key.
    guard packet.payload.count >= min(packet.payloadLength, ICMPEcho.keySize) else {
      return exchanges.cutShort(isAnswer: !isRequest)
    }
    let (client, server) = isRequest ? (packet.source, packet.destination) : (packet.destination, packet.source)
    let key = ExchangeKey(client: client, server: server, match: packet.payload.prefix(ICMPEcho.keySize).bytes)
    if isRequest {
      let label = PairLabel.echo(id: packet.payload.u16(0), sequence: packet.payload.u16(2))
      exchanges.request(key, name: "icmp", label: label, time: packet.time)
    } else {
      exchanges.response(key, time: packet.time, last: packet.time)
    }
  }

  func finish() { exchanges.finish() }
}
