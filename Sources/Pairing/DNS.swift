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

  func key(client: Endpoint, server: Endpoint) -> ExchangeKey {
    ExchangeKey(client: client, server: server, match: match)
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
  private struct Asker: Hashable {
    var client: Endpoint
    var server: Endpoint
    var id: UInt16
  }
  /// The key of the last question, for answers that leave the question out.
  private var latest: BoundedTable<Asker, ExchangeKey>

  init(_ book: Book, limits: PairingLimits) {
    exchanges = KeyedExchanges(book, limit: limits.pending, repeatWindow: DNS.repeatWindow)
    latest = BoundedTable(limit: limits.pending)
  }

  func take(_ packet: Dissected, isRequest: Bool) {
    let book = exchanges.book
    let message: DNSMessage
    do {
      message = try DNSMessage(packet.payload)
    } catch {
      if error == .short && packet.isCut { book.tally.truncated += 1 } else { book.tally.malformed += 1 }
      return
    }
    take(message, from: packet.source, to: packet.destination, first: packet.time, last: packet.time)
  }

  /// - Parameters:
  ///   - first: when its first byte came.
  ///   - last: when it was complete.
  fileprivate func take(_ message: DNSMessage, from: Endpoint, to: Endpoint, first: Int64, last: Int64) {
    if message.isResponse {
      var key = message.key(client: to, server: from)
      if !message.hasQuestion, let whole = latest[Asker(client: to, server: from, id: message.id)] { key = whole }
      exchanges.response(key, time: first, last: last)
    } else {
      let key = message.key(client: from, server: to)
      _ = latest.insert(key, for: Asker(client: from, server: to, id: message.id))
      exchanges.request(key, name: "dns", label: .question(key.match), time: last)
    }
  }

  func finish() { exchanges.finish() }
}

/// DNS on a TCP connection: each message behind its length.
final class DNSStream: StreamDialogue {
  private let dns: DNS
  private let client: Endpoint
  private let server: Endpoint
  private var message: DNSMessage?
  /// The last requests, to know again what comes once more.
  private var recent: [(range: Range<Int>, key: ExchangeKey)] = []

  init(_ dns: DNS, client: Endpoint, server: Endpoint) {
    self.dns = dns
    self.client = client
    self.server = server
  }

  func step(_ side: Side, _ bytes: ByteView) -> StreamStep {
    guard bytes.count >= 2 else { return .more }
    let length = Int(bytes.u16(0))
    guard bytes.count >= 2 + length else { return .more }
    guard let message = try? DNSMessage(bytes[2..<2 + length]) else { return .malformed }
    self.message = message
    return .end(2 + length)
  }

  func message(_ side: Side, _ times: StreamMessage) -> Bool {
    guard let message, message.isResponse == (side == .server) else { return false }
    let (from, to) = side == .client ? (client, server) : (server, client)
    dns.take(message, from: from, to: to, first: times.first, last: times.complete)
    if side == .client {
      let key = message.key(client: client, server: server)
      if recent.count == 64 { recent.removeFirst() }
      recent.append((times.range, key))
      if times.isRepeated { dns.exchanges.markRepeated(key) }
    }
    return true
  }

  func repeated(_ side: Side, _ range: Range<Int>) {
    guard side == .client else { return }
    for request in recent where request.range.overlaps(range) { dns.exchanges.markRepeated(request.key) }
  }

  /// Requests wait in the table of all connections, which tells them apart without order.
  var waiting: Int { 0 }
  func forget() -> Int { 0 }
}
