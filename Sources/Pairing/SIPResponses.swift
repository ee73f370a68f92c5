// SPDX-License-Identifier: GPL-2.0-or-later

/// SIP response times on one leg: Call-ID, CSeq and the two ends. Each first answer of a status is a pair; a final one settles the request.
final class SIPResponses: SIPDialogue {
  private struct Transaction {
    var start: Int64
    var hop: SIPHop
    var isRepeated = false
    /// It has its final answer, or is due none.
    var isSettled: Bool
    var statuses: Set<Int> = []
  }
  /// An answer that came a little before its request.
  private struct Early {
    var message: SIPMessage
    var hop: SIPHop
  }
  let book: Book
  private var transactions: BoundedTable<ExchangeKey, Transaction>
  /// The tags of requests that have some, by their key without.
  private var tagged: BoundedTable<ExchangeKey, VLANTags>
  private var early: BoundedTable<ExchangeKey, [Early]>
  private var unread: UnreadAnswers<ExchangeEnds>
  private let disorder: Int64
  /// A telephone may ring for three minutes.
  private static let timeout: Int64 = 300_000_000_000
  /// More answers to one request are not expected within some ms.
  private static let mostEarly = 4
  /// Of provisional answers to one request.
  private static let mostStatuses = 32

  init(_ book: Book, limits: PairingLimits) {
    self.book = book
    disorder = limits.disorder
    transactions = BoundedTable(limit: limits.pending)
    tagged = BoundedTable(limit: limits.pending)
    early = BoundedTable(limit: limits.pending)
    unread = UnreadAnswers(limit: limits.pending)
  }

  func take(_ message: SIPMessage, _ hop: SIPHop) {
    expire(hop.last)
    let (client, server) = message.status == nil ? (hop.from, hop.to) : (hop.to, hop.from)
    let ends = legEnds(client, server)
    var key = ExchangeKey(client: ends.from, server: ends.to, match: message.match, vlans: hop.vlans)
    if message.status == nil { return request(message, hop, key) }
    // One of the same tags, else one where either has none.
    if transactions[key] == nil { key.vlans = key.vlans.isEmpty ? tagged[key] ?? key.vlans : VLANTags() }
    if transactions[key] != nil { return answer(message, hop, key) }
    key.vlans = hop.vlans
    var waiting = early[key] ?? []
    waiting.append(Early(message: message, hop: hop))
    guard waiting.count <= SIPResponses.mostEarly else { return book.tally.unmatchedResponses += 1 }
    if early[key] != nil {
      early.update(key) { $0 = waiting }
    } else if let evicted = early.insert(waiting, for: key) {
      book.tally.unmatchedResponses += evicted.count
    }
  }

  private func answer(_ message: SIPMessage, _ hop: SIPHop, _ key: ExchangeKey) {
    guard let status = message.status, let transaction = transactions[key] else { return }
    guard !transaction.isSettled, !transaction.statuses.contains(status),
      status >= 200 || transaction.statuses.count < SIPResponses.mostStatuses
    else {
      book.tally.repeatedResponses += 1
      return
    }
    let pair = Pair(
      name: "sip-\(message.name)", start: transaction.start, end: hop.first, endLast: hop.last,
      label: .text(message.label), retransmitted: transaction.isRepeated, client: transaction.hop.from,
      server: transaction.hop.to)
    transactions.update(key) {
      $0.statuses.insert(status)
      $0.isSettled = status >= 200
    }
    if status >= 200 {
      book.settle(pair, of: nil)
    } else if pair.isOrdered {
      book.tally.provisional += 1
      book.pairs.append(pair)
    } else {
      book.tally.disordered += 1
    }
  }

  private func request(_ message: SIPMessage, _ hop: SIPHop, _ key: ExchangeKey) {
    if transactions[key] != nil {
      book.tally.repeatedRequests += 1
      transactions.update(key) { $0.isRepeated = true }
      return
    }
    if !key.vlans.isEmpty {
      var untagged = key
      untagged.vlans = VLANTags()
      _ = tagged.insert(key.vlans, for: untagged)
    }
    let isSilent = message.method == "ACK"
    let transaction = Transaction(start: hop.last, hop: hop, isSettled: isSilent)
    book.tally.requests += 1
    if isSilent { book.tally.silent += 1 }
    if let evicted = transactions.insert(transaction, for: key), !evicted.isSettled { book.tally.evicted += 1 }
    for answer in early.remove(key) ?? [] { self.answer(answer.message, answer.hop, key) }
  }

  func missed(from: Endpoint, to: Endpoint, _ time: Int64, count: Int) {
    let ends = legEnds(to, from)
    unread.note(ExchangeEnds(client: ends.from, server: ends.to), time, count: count)
  }

  private func close(_ old: Transaction) {
    guard !old.isSettled else { return }
    let ends = legEnds(old.hop.from, old.hop.to)
    book.lose(
      nil,
      unread.excuses(ExchangeEnds(client: ends.from, server: ends.to), since: old.start) ? .abandoned : .unanswered)
  }

  private func expire(_ now: Int64) {
    while let old = transactions.popOldest(where: { span(from: $0.start, to: now) > SIPResponses.timeout }) {
      close(old)
    }
    let disorder = disorder
    while let old = early.popOldest(where: { span(from: $0[0].hop.last, to: now) > disorder }) {
      book.tally.unmatchedResponses += old.count
    }
  }

  func finish() {
    for left in transactions.removeAll() { close(left) }
    for answers in early.removeAll() { book.tally.unmatchedResponses += answers.count }
  }
}
