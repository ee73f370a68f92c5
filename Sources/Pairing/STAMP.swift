// SPDX-License-Identifier: GPL-2.0-or-later

/// STAMP and TWAMP test packets (RFC 8762, RFC 5357): the reflector's packet carries the sender's sequence number and
/// time stamp, which together tell the probe.
final class STAMP: DatagramDialogue {
  private var exchanges: KeyedExchanges
  /// Smallest test packets, without and with authentication. Some TWAMP Light reflectors answer 38 bytes.
  private static let (plain, authenticated) = (38, 112)

  private let name: PairName

  init(_ book: Book, limits: PairingLimits) {
    exchanges = KeyedExchanges(book, limits, copyWindow: KeyedExchanges.networkCopies)
    name = book.named("stamp")
  }

  func take(_ packet: Dissected, isRequest: Bool) {
    guard packet.payloadLength >= 14 else { return exchanges.unreadable(packet, isCut: false) }
    // Both ports may be the reflector's: then the answer is what echoes a probe under way.
    if isRequest && packet.source.port == packet.destination.port, let key = answerKey(packet),
      exchanges.isWaiting(key)
    {
      exchanges.response(key, time: packet.time, last: packet.time)
    } else if isRequest {
      guard let key = probeKey(packet) else { return exchanges.unreadable(packet, isCut: true) }
      exchanges.request(
        key, name: name, label: .number("sequence", packet.payload.u32(0)), time: packet.time)
    } else if let key = answerKey(packet) {
      exchanges.response(key, time: packet.time, last: packet.time)
    } else {
      exchanges.unreadable(packet, isCut: packet.isCut)
    }
  }

  func refuse(_ quoted: Dissected) {
    if let key = probeKey(quoted), exchanges.refuse(key) { return }
    exchanges.missed(ExchangeEnds(client: quoted.source, server: quoted.destination), quoted.time, count: 1)
  }

  private func probeKey(_ packet: Dissected) -> ExchangeKey? {
    let bytes = packet.payload
    // Too short to tell whether it is authenticated.
    guard bytes.count >= min(packet.payloadLength, 16) else { return nil }
    let at = isAuthenticated(packet) ? 16 : 4
    guard bytes.count >= at + 8 else { return nil }
    return ExchangeKey(
      client: packet.source, server: packet.destination, match: bytes[0..<4].bytes + bytes[at..<at + 8].bytes,
      vlans: packet.vlans)
  }

  private func answerKey(_ packet: Dissected) -> ExchangeKey? {
    let at = isAuthenticated(packet) ? (sequence: 48, time: 64) : (sequence: 24, time: 28)
    let bytes = packet.payload
    guard packet.payloadLength >= STAMP.plain, bytes.count >= at.time + 8 else { return nil }
    return ExchangeKey(
      client: packet.destination, server: packet.source,
      match: bytes[at.sequence..<at.sequence + 4].bytes + bytes[at.time..<at.time + 8].bytes, vlans: packet.vlans)
  }

  func finish() { exchanges.finish() }

  /// Where unauthenticated packets have their time stamp, authenticated ones have zeros.
  private func isAuthenticated(_ packet: Dissected) -> Bool {
    guard packet.payloadLength >= STAMP.authenticated, packet.payload.count >= 16 else { return false }
    return packet.payload[4..<16].bytes.allSatisfy { $0 == 0 }
  }
}
