// SPDX-License-Identifier: GPL-2.0-or-later

/// ICMP and ICMPv6 echo: identifier, sequence number, and the first bytes of the data, which the answer carries back.
/// The data keeps a lost request apart from one with the same number 65 536 requests later.
final class ICMPEcho: DatagramDialogue {
  /// Identifier, sequence number and 16 bytes of data.
  private static let keySize = 20
  private var exchanges: KeyedExchanges
  private let name: PairName

  init(_ book: Book, limits: PairingLimits) {
    exchanges = KeyedExchanges(book, limits, copyWindow: KeyedExchanges.networkCopies)
    name = book.named("icmp")
  }

  func take(_ packet: Dissected, isRequest: Bool) {
    guard case .icmp(let type, let code, let isIPv6) = packet.transport, code == 0 else { return }
    let isRequest = type == (isIPv6 ? 128 : 8)
    guard isRequest || type == (isIPv6 ? 129 : 0) else { return }
    guard packet.payloadLength >= 4 else { return exchanges.unreadable(packet, isCut: false) }
    // Fewer bytes than the other side's are another key.
    guard packet.payload.count >= min(packet.payloadLength, ICMPEcho.keySize) else {
      return exchanges.unreadable(packet, isCut: true)
    }
    if isRequest {
      let label = PairLabel.echo(id: packet.payload.u16(0), sequence: packet.payload.u16(2))
      exchanges.request(
        key(packet, client: packet.source, server: packet.destination), name: name, label: label, time: packet.time)
    } else {
      exchanges.response(
        key(packet, client: packet.destination, server: packet.source), time: packet.time, last: packet.time)
    }
  }

  private func key(_ packet: Dissected, client: Endpoint, server: Endpoint) -> ExchangeKey {
    ExchangeKey(
      client: client, server: server, match: packet.payload.prefix(ICMPEcho.keySize).bytes, vlans: packet.vlans)
  }

  func refuse(_ quoted: Dissected) {
    guard case .icmp(let type, _, let isIPv6) = quoted.transport, type == (isIPv6 ? 128 : 8) else { return }
    if !exchanges.refuse(key(quoted, client: quoted.source, server: quoted.destination)) {
      exchanges.missed(ExchangeEnds(client: quoted.source, server: quoted.destination), quoted.time, count: 1)
    }
  }

  func finish() { exchanges.finish() }
}
