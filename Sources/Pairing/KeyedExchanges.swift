// SPDX-License-Identifier: GPL-2.0-or-later

/// What tells one exchange from another.
struct ExchangeKey: Hashable {
  var client: Endpoint
  var server: Endpoint
  /// The fields of the message.
  var match: [UInt8]
}

/// Requests that wait for an answer with the same key.
struct KeyedExchanges {
  private struct Waiting {
    var key: ExchangeKey
    var name: String
    var label: PairLabel
    /// First copy.
    var time: Int64
    var content: Int
    var isRepeated = false
  }
  let book: Book
  /// After this long a request counts as unanswered.
  private let timeout: Int64
  /// For this long a request with the same key is a further copy, after that a new request.
  private let repeatWindow: Int64
  private var waiting: BoundedTable<ExchangeKey, Waiting>
  /// Answers whose key was cut off: each may be what a request waits for.
  private var unknownAnswers = 0

  init(_ book: Book, limit: Int, timeout: Int64 = 60_000_000_000, repeatWindow: Int64? = nil) {
    self.book = book
    self.timeout = timeout
    self.repeatWindow = repeatWindow ?? timeout
    waiting = BoundedTable(limit: limit)
  }

  /// - Parameter content: what all copies have in common, where the key is used again; one with another is a new request.
  mutating func request(_ key: ExchangeKey, name: String, label: PairLabel, time: Int64, content: Int = 0) {
    expire(time)
    if let earlier = waiting[key] {
      if earlier.content == content, span(from: earlier.time, to: time) < repeatWindow {
        book.tally.repeatedRequests += 1
        waiting.update(key) { $0.isRepeated = true }
        return
      }
      _ = waiting.remove(key)
      giveUp()
    }
    book.tally.requests += 1
    if waiting.insert(Waiting(key: key, name: name, label: label, time: time, content: content), for: key) != nil {
      book.tally.evicted += 1
    }
  }

  /// An answer that came between `time` and `last`. An unmatched one is counted.
  @discardableResult
  mutating func response(_ key: ExchangeKey, time: Int64, last: Int64?) -> Bool {
    expire(time)
    guard let request = waiting.remove(key) else {
      book.tally.unmatchedResponses += 1
      return false
    }
    return book.settle(
      Pair(
        name: request.name, start: request.time, end: time, endLast: last, label: request.label,
        retransmitted: request.isRepeated, client: key.client, server: key.server))
  }

  /// A part of the request came once more.
  mutating func markRepeated(_ key: ExchangeKey) { waiting.update(key) { $0.isRepeated = true } }

  func isWaiting(_ key: ExchangeKey) -> Bool { waiting[key] != nil }

  mutating func finish() { for _ in waiting.removeAll() { giveUp() } }

  /// A message that the capture cut within its key.
  mutating func cutShort(isAnswer: Bool) {
    book.tally.truncated += 1
    if isAnswer { unknownAnswers += 1 }
  }

  /// No answer came that could be read.
  private mutating func giveUp() {
    guard unknownAnswers > 0 else { return book.tally.unanswered += 1 }
    unknownAnswers -= 1
    book.tally.abandoned += 1
  }

  private mutating func expire(_ now: Int64) {
    let timeout = timeout
    while waiting.popOldest(where: { span(from: $0.time, to: now) > timeout }) != nil { giveUp() }
  }
}
