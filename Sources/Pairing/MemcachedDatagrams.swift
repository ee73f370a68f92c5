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

  init(_ book: Book, limits: PairingLimits) {
    exchanges = KeyedExchanges(book, limit: limits.pending)
    answers = BoundedTable(limit: min(limits.pending, 1_024))
  }

  private var book: Book { exchanges.book }

  func take(_ packet: Dissected, isRequest: Bool) {
    let bytes = packet.payload
    guard bytes.count >= 8 else {
      if packet.isCut { book.tally.truncated += 1 } else { book.tally.malformed += 1 }
      return
    }
    let (number, total) = (bytes.u16(2), Int(bytes.u16(4)))
    guard total >= 1, total <= MemcachedDatagrams.mostDatagrams, Int(number) < total else {
      book.tally.malformed += 1
      return
    }
    let (client, server) = isRequest ? (packet.source, packet.destination) : (packet.destination, packet.source)
    let key = ExchangeKey(client: client, server: server, match: bytes[0..<2].bytes)
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

  private func request(_ key: ExchangeKey, _ body: ByteView, _ packet: Dissected) {
    let name: String
    var isSilent = false
    if let header = MemcachedHeader(body) {
      name = header.name
      isSilent = header.isQuiet
    } else if let command = MemcachedCommand(body.line(from: 0)?.line ?? body) {
      name = command.name
      isSilent = command.isSilent
    } else {
      if packet.isCut { book.tally.truncated += 1 } else { book.tally.malformed += 1 }
      return
    }
    if let old = answers.remove(key) { settle(old) }
    if isSilent {
      book.tally.requests += 1
      book.tally.silent += 1
    } else {
      let label = PairLabel.number("request", UInt32(key.match[0]) << 8 | UInt32(key.match[1]))
      exchanges.request(key, name: "memcached-\(name)", label: label, time: packet.time, content: body.bytes.hashValue)
    }
  }

  private func part(_ key: ExchangeKey, _ number: UInt16, _ total: Int, _ time: Int64) {
    var answer = answers.remove(key) ?? Answer(key: key, total: total, last: time)
    guard answer.total == total else { return book.tally.malformed += 1 }
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
    guard let first = answer.first else { return }
    exchanges.response(answer.key, time: first, last: nil)
  }

  func finish() {
    for answer in answers.removeAll() { settle(answer) }
    exchanges.finish()
  }
}
