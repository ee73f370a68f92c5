// SPDX-License-Identifier: GPL-2.0-or-later

/// SIP response times on one leg: Call-ID, CSeq and the two ends. Each first answer of a status is a pair; a final one settles the request.
final class SIPResponses: SIPDialogue {
  private struct Transaction {
    var start: Int64
    var client: Endpoint
    var server: Endpoint
    var isRepeated = false
    /// It has its final answer, or is due none.
    var isSettled: Bool
    var statuses: Set<Int> = []
  }
  let book: Book
  private var transactions: BoundedTable<ExchangeKey, Transaction>
  /// A telephone may ring for three minutes.
  private static let timeout: Int64 = 300_000_000_000

  init(_ book: Book, limits: PairingLimits) {
    self.book = book
    transactions = BoundedTable(limit: limits.pending)
  }

  func take(_ message: SIPMessage, from: Endpoint, to: Endpoint, first: Int64, last: Int64) {
    while let old = transactions.popOldest(where: { span(from: $0.start, to: last) > SIPResponses.timeout }) {
      if !old.isSettled { book.tally.unanswered += 1 }
    }
    let (client, server) = message.status == nil ? (from, to) : (to, from)
    let ends = legEnds(client, server)
    let key = ExchangeKey(client: ends.from, server: ends.to, match: message.match)
    guard let status = message.status else {
      request(Transaction(start: last, client: client, server: server, isSettled: message.method == "ACK"), key)
      return
    }
    guard let transaction = transactions[key] else {
      book.tally.unmatchedResponses += 1
      return
    }
    guard !transaction.isSettled, !transaction.statuses.contains(status) else {
      book.tally.repeatedResponses += 1
      return
    }
    let pair = Pair(
      name: "sip-\(message.name)", start: transaction.start, end: first, endLast: last, label: .text(message.label),
      retransmitted: transaction.isRepeated, client: transaction.client, server: transaction.server)
    guard pair.isOrdered else {
      book.tally.disordered += 1
      return
    }
    transactions.update(key) {
      $0.statuses.insert(status)
      $0.isSettled = status >= 200
    }
    if status >= 200 {
      book.settle(pair)
    } else {
      book.tally.provisional += 1
      book.pairs.append(pair)
    }
  }

  private func request(_ transaction: Transaction, _ key: ExchangeKey) {
    if transactions[key] != nil {
      book.tally.repeatedRequests += 1
      transactions.update(key) { $0.isRepeated = true }
      return
    }
    book.tally.requests += 1
    if transaction.isSettled { book.tally.silent += 1 }
    if let evicted = transactions.insert(transaction, for: key), !evicted.isSettled { book.tally.evicted += 1 }
  }

  func finish() { for left in transactions.removeAll() where !left.isSettled { book.tally.unanswered += 1 } }
}
