// SPDX-License-Identifier: GPL-2.0-or-later

/// memcached over UDP: behind a header of 8 bytes with a request id, a datagram's number and the number of datagrams.
final class MemcachedDatagrams: DatagramDialogue {
  /// An answer of which some datagrams have come.
  private struct Answer {
    var key: ExchangeKey
    var total: Int
    var seen: Set<UInt16> = []
    /// When the datagram with the first byte came.
    var first: Int64?
    var last: Int64
  }
  private var exchanges: KeyedExchanges
  private var answers: BoundedTable<ExchangeKey, Answer>
  /// A longer answer counts as malformed: 1 MiB in datagrams of 1 400 bytes are 749.
  private static let mostDatagrams = 4_096
  /// Between two datagrams of one answer.
  private static let patience: Int64 = 5_000_000_000

  init(_ book: Book, limits: PairingLimits) {
    exchanges = KeyedExchanges(book, limits)
    answers = BoundedTable(limit: min(limits.pending, 1_024))
  }

  private var book: Book { exchanges.book }

  func take(_ packet: Dissected, isRequest: Bool) {
    while let old = answers.popOldest(where: { span(from: $0.last, to: packet.time) > MemcachedDatagrams.patience }) {
      settle(old)
    }
    let bytes = packet.payload
    guard bytes.count >= 8 else { return exchanges.unreadable(packet, isCut: packet.isCut) }
    let (number, total) = (bytes.u16(2), Int(bytes.u16(4)))
    guard total >= 1, total <= MemcachedDatagrams.mostDatagrams, Int(number) < total else {
      return exchanges.unreadable(packet, isCut: false)
    }
    let (client, server) = isRequest ? (packet.source, packet.destination) : (packet.destination, packet.source)
    let key = ExchangeKey(client: client, server: server, match: bytes[0..<2].bytes, vlans: packet.vlans)
    if isRequest {
      // memcached takes requests of one datagram only.
      guard total == 1 else { return book.tally.malformed += 1 }
      request(key, bytes.dropFirst(8), packet)
    } else if total == 1 {
      exchanges.response(key, time: packet.time, last: packet.time)
    } else {
      part(key, number, total, packet.time)
    }
  }

  /// What a request is called, and whether it is due no answer.
  private func command(_ body: ByteView) -> (name: String, isSilent: Bool)? {
    if let header = MemcachedHeader(body) { return (header.name, header.isQuiet) }
    guard !body.isEmpty, let command = MemcachedCommand(body.line(from: 0)?.line ?? body) else { return nil }
    return (command.name, command.isSilent)
  }

  private func request(_ key: ExchangeKey, _ body: ByteView, _ packet: Dissected) {
    guard let (command, isSilent) = command(body) else {
      return exchanges.unreadable(packet, isCut: packet.isCut)
    }
    let name = book.named("memcached-\(command)")
    if let old = answers.remove(key) { settle(old) }
    if isSilent {
      book.count(name) {
        $0.requests += 1
        $0.silent += 1
      }
    } else {
      let label = PairLabel.number("request", UInt32(key.match[0]) << 8 | UInt32(key.match[1]))
      exchanges.request(key, name: name, label: label, time: packet.time, content: body.bytes.hashValue)
    }
  }

  func refuse(_ quoted: Dissected) {
    let ends = ExchangeEnds(client: quoted.source, server: quoted.destination)
    if quoted.payload.count >= 2,
      exchanges.refuse(
        ExchangeKey(
          client: ends.client, server: ends.server, match: quoted.payload[0..<2].bytes, vlans: quoted.vlans))
    {
      return
    }
    exchanges.missed(ends, quoted.time, count: 1)
  }

  private func part(_ key: ExchangeKey, _ number: UInt16, _ total: Int, _ time: Int64) {
    var answer = answers.remove(key) ?? Answer(key: key, total: total, last: time)
    guard answer.total == total else {
      book.tally.malformed += 1
      return exchanges.missed(key.ends, time, count: 1)
    }
    guard answer.seen.insert(number).inserted else {
      book.tally.repeatedResponses += 1
      _ = answers.insert(answer, for: key)
      return
    }
    if number == 0 { answer.first = time }
    answer.last = max(answer.last, time)
    if answer.seen.count == total {
      exchanges.response(key, time: answer.first ?? time, last: answer.last)
    } else if let evicted = answers.insert(answer, for: key) {
      settle(evicted)
    }
  }

  /// Of an answer that stays incomplete, the first byte still tells the response time.
  private func settle(_ answer: Answer) {
    guard let first = answer.first else { return exchanges.missed(answer.key.ends, answer.last, count: 1) }
    exchanges.response(answer.key, time: first, last: nil)
  }

  func finish() {
    for answer in answers.removeAll() { settle(answer) }
    exchanges.finish()
  }
}
