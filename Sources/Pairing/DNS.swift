// SPDX-License-Identifier: GPL-2.0-or-later

/// A DNS message as far as pairing looks at it.
struct DNSMessage {
  enum Failure: Error {
    case malformed
    /// The end of the bytes came first.
    case short
  }
  var id: UInt16
  var isResponse: Bool
  /// The id; then name (lower case), type and class of the first question, if there is one.
  var match: [UInt8]

  init(_ bytes: ByteView) throws(Failure) {
    guard bytes.count >= 12 else { throw .short }
    id = bytes.u16(0)
    isResponse = bytes[2] & 0x80 != 0
    match = [bytes[0], bytes[1]]
    guard bytes.u16(4) > 0 else { return }
    var at = 12
    while true {
      guard at < bytes.count else { throw .short }
      let label = Int(bytes[at])
      // A first question has nothing before it that it could point to.
      guard label <= 63, at - 12 + label <= 255 else { throw .malformed }
      if label == 0 { break }
      at += label + 1
    }
    guard at + 5 <= bytes.count else { throw .short }
    match.reserveCapacity(2 + at + 5 - 12)
    for index in 12..<at + 5 {
      let byte = bytes[index]
      match.append(index < at && (0x41...0x5a).contains(byte) ? byte | 0x20 : byte)
    }
  }

  var hasQuestion: Bool { match.count > 2 }

  /// Whether the answer is a zone, in several messages (RFC 5936, RFC 1995).
  static func isTransfer(_ match: [UInt8]) -> Bool {
    guard match.count >= 6 else { return false }
    let type = ByteView(match).u16(match.count - 4)
    return type == 252 || type == 251
  }

  /// For people: `id 4711 a.example type 1`.
  static func label(of match: [UInt8]) -> String {
    let question = ByteView(match).dropFirst(2)
    let id = "id \(ByteView(match).u16(0))"
    guard question.count >= 5 else { return id }
    var name = ""
    var at = 0
    while question[at] != 0 {
      let end = at + 1 + Int(question[at])
      name += (name.isEmpty ? "" : ".") + (question[at + 1..<end].text ?? "?")
      at = end
    }
    return "\(id) \(name.isEmpty ? "." : name) type \(question.u16(question.count - 4))"
  }
}

/// DNS over UDP and TCP: id and question within the connection or pair of endpoints.
final class DNS: DatagramDialogue {
  /// What tshark calls `dns.retransmission_timer`.
  static let repeatWindow: Int64 = 7_000_000_000
  fileprivate var exchanges: KeyedExchanges
  private let name: PairName
  /// The question of the last request with an id, for answers that leave the question out.
  private var latest: BoundedTable<ExchangeKey, [UInt8]>

  init(_ book: Book, limits: PairingLimits) {
    exchanges = KeyedExchanges(
      book, limits, repeatWindow: DNS.repeatWindow, copyWindow: KeyedExchanges.networkCopies)
    name = book.named("dns")
    latest = BoundedTable(limit: limits.pending)
  }

  func take(_ packet: Dissected, isRequest: Bool) {
    do {
      take(try DNSMessage(packet.payload), of: packet, first: packet.time, last: packet.time)
    } catch {
      exchanges.unreadable(packet, isCut: error == .short && packet.isCut)
    }
  }

  func refuse(_ quoted: Dissected) {
    if let message = try? DNSMessage(quoted.payload), !message.isResponse,
      exchanges.refuse(key(message.match, client: quoted.source, server: quoted.destination, quoted.vlans))
    {
      return
    }
    exchanges.missed(ExchangeEnds(client: quoted.source, server: quoted.destination), quoted.time, count: 1)
  }

  private func key(_ match: [UInt8], client: Endpoint, server: Endpoint, _ vlans: VLANTags) -> ExchangeKey {
    ExchangeKey(client: client, server: server, match: match, vlans: vlans)
  }

  /// - Parameters:
  ///   - first: when its first byte came.
  ///   - last: when it was complete.
  fileprivate func take(_ message: DNSMessage, of packet: Dissected, first: Int64, last: Int64) {
    take(message, from: packet.source, to: packet.destination, packet.vlans, first: first, last: last)
  }

  fileprivate func take(
    _ message: DNSMessage, from: Endpoint, to: Endpoint, _ vlans: VLANTags, first: Int64, last: Int64
  ) {
    let id = Array(message.match.prefix(2))
    if message.isResponse {
      let asker = key(id, client: to, server: from, VLANTags())
      let match = message.hasQuestion ? message.match : latest[asker] ?? message.match
      exchanges.response(
        key(match, client: to, server: from, vlans), time: first, last: last,
        continues: DNSMessage.isTransfer(match))
    } else {
      let asker = key(id, client: from, server: to, VLANTags())
      _ = latest.insert(message.match, for: asker)
      let bare = key(id, client: from, server: to, vlans)
      exchanges.request(
        key(message.match, client: from, server: to, vlans), name: name, label: .question(message.match), time: last,
        other: message.hasQuestion ? bare : nil)
    }
  }

  func finish() { exchanges.finish() }
}

/// DNS on a TCP connection: each message behind its length.
final class DNSStream: StreamDialogue {
  private let dns: DNS
  private let client: Endpoint
  private let server: Endpoint
  private let vlans: VLANTags
  private var message: DNSMessage?
  /// The last requests, to know again what comes once more.
  private var recent: [(range: Range<Int>, key: ExchangeKey)] = []
  private static let mostRecent = 8

  init(_ dns: DNS, _ ends: StreamEnds) {
    self.dns = dns
    client = ends.client
    server = ends.server
    vlans = ends.vlans
  }

  func step(_ side: Side, _ bytes: ByteView) -> StreamStep {
    guard bytes.count >= 2 else { return .more }
    let length = Int(bytes.u16(0))
    guard bytes.count >= 2 + length else { return .more }
    guard let message = try? DNSMessage(bytes[2..<2 + length]) else { return .malformed }
    self.message = message
    return .end(2 + length)
  }

  func message(_ side: Side, _ times: StreamMessage) -> StreamFit {
    guard let message, message.isResponse == (side == .server) else { return .mismatch }
    let (from, to) = side == .client ? (client, server) : (server, client)
    dns.take(message, from: from, to: to, vlans, first: times.first, last: times.complete)
    if side == .client {
      let key = ExchangeKey(client: client, server: server, match: message.match, vlans: vlans)
      if recent.count == DNSStream.mostRecent { recent.removeFirst() }
      recent.append((times.range, key))
      if times.isRepeated { dns.exchanges.markRepeated(key) }
    }
    return .fits
  }

  func repeated(_ side: Side, _ range: Range<Int>) {
    guard side == .client else { return }
    for request in recent where request.range.overlaps(range) { dns.exchanges.markRepeated(request.key) }
  }

  func unread(_ side: Side, _ time: Int64) {
    if side == .server { dns.exchanges.missed(ExchangeEnds(client: client, server: server), time) }
  }

  /// Requests wait in the table of all connections, which tells them apart without order.
  var waiting: Int { 0 }
  func forget(as fate: Fate, _ time: Int64) {
    guard fate != .unanswered else { return }
    dns.exchanges.missed(ExchangeEnds(client: client, server: server), time)
  }
}
