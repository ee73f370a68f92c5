// SPDX-License-Identifier: GPL-2.0-or-later

/// What tells one exchange from another.
struct ExchangeKey: Hashable {
  var client: Endpoint
  var server: Endpoint
  /// The fields of the message.
  var match: [UInt8]
  /// Of the packet: two that both have tags belong together only if those are the same.
  var vlans = VLANTags()

  var ends: ExchangeEnds { ExchangeEnds(client: client, server: server) }
  fileprivate var untagged: ExchangeKey { ExchangeKey(client: client, server: server, match: match) }
}

struct ExchangeEnds: Hashable {
  var client: Endpoint
  var server: Endpoint
}

/// Requests that wait for an answer with the same key.
///
/// Two CPUs or clocks stamp packets, so an answer may come some µs before its request. It waits for it for a while.
struct KeyedExchanges {
  private struct Early {
    var time: Int64
    var last: Int64?
    /// Further copies of it.
    var copies = 0
  }
  private struct Waiting {
    var key: ExchangeKey
    var name: PairName
    var label: PairLabel
    /// First copy.
    var time: Int64
    var content: Int
    var isRepeated = false
    /// An answer of an earlier time. It is this request's, unless another one comes.
    var early: Early?
    /// An equal one was answered right before: this is a copy of it, unless it has an answer of its own.
    var mayBeCopy = false
  }
  private struct Answered {
    var name: PairName
    var time: Int64
  }
  let book: Book
  /// After this long a request counts as unanswered.
  private let timeout: Int64
  /// For this long a request with the same key is a further copy, after that a new request.
  private let repeatWindow: Int64
  /// For this long behind an answer, an equal request may be a copy that the network made.
  private let copyWindow: Int64
  /// How long an answer may come before its request.
  private let disorder: Int64
  private var waiting: BoundedTable<ExchangeKey, Waiting>
  /// The tags of requests that have some, by their key without.
  private var tagged: BoundedTable<ExchangeKey, VLANTags>
  /// What was answered, by the hash of the answer's key.
  private var answered: BoundedTable<Int, Answered>
  private var early: BoundedTable<ExchangeKey, Early>
  private var unread: UnreadAnswers<ExchangeEnds>

  /// Where every request has a key of its own.
  static let networkCopies: Int64 = 100_000_000

  init(
    _ book: Book, _ limits: PairingLimits, timeout: Int64 = 60_000_000_000, repeatWindow: Int64? = nil,
    copyWindow: Int64 = 0
  ) {
    self.book = book
    self.copyWindow = copyWindow
    self.timeout = timeout
    self.repeatWindow = repeatWindow ?? timeout
    disorder = limits.disorder
    waiting = BoundedTable(limit: limits.pending)
    tagged = BoundedTable(limit: limits.pending)
    answered = BoundedTable(limit: limits.pending)
    early = BoundedTable(limit: limits.pending)
    unread = UnreadAnswers(limit: limits.pending)
  }

  /// - Parameters:
  ///   - content: what all copies have in common, where the key is used again; one with another is a new request.
  ///   - other: a key that an answer to it may have, too.
  mutating func request(
    _ key: ExchangeKey, name: PairName, label: PairLabel, time: Int64, content: Int = 0, other: ExchangeKey? = nil
  ) {
    expire(time)
    if let earlier = waiting[key] {
      if earlier.content == content, span(from: earlier.time, to: time) < repeatWindow {
        book.count(earlier.name) { $0.repeatedRequests += 1 }
        waiting.update(key) { $0.isRepeated = true }
        return
      }
      _ = waiting.remove(key)
      giveUp(earlier)
    }
    book.count(name) { $0.requests += 1 }
    var new = Waiting(key: key, name: name, label: label, time: time, content: content)
    new.early = takeEarly(key) ?? other.flatMap { takeEarly($0) }
    if let answer = new.early {
      book.count(name) { $0.repeatedResponses += answer.copies }
      if answer.time == time {
        new.early = nil
        return settle(new, key, answer.time, answer.last)
      }
    }
    if copyWindow > 0, let answer = answered[key.hashValue] {
      new.mayBeCopy = span(from: answer.time, to: time) <= copyWindow
    }
    if !key.vlans.isEmpty { _ = tagged.insert(key.vlans, for: key.untagged) }
    if let evicted = waiting.insert(new, for: key) { book.lose(evicted.name, .evicted) }
  }

  /// An answer that came between `time` and `last`. An unmatched one is counted.
  ///
  /// - Parameter continues: what comes behind the first one with this key is more of the answer, not a copy.
  mutating func response(_ key: ExchangeKey, time: Int64, last: Int64?, continues: Bool = false) {
    expire(time)
    if let request = takeWaiting(key) {
      guard request.early == nil else {
        // One answer before the request and one behind it: either may be to an earlier request.
        book.count(request.name) { $0.ambiguous += 1 }
        book.lose(request.name, .abandoned)
        remember(key, request.name, time)
        return
      }
      settle(request, key, time, last)
    } else if let earlier = answered[key.hashValue], span(from: earlier.time, to: time) <= timeout {
      if !continues { book.count(earlier.name) { $0.repeatedResponses += 1 } }
    } else if early[key] != nil {
      early.update(key) { $0.copies += 1 }
    } else if let evicted = early.insert(Early(time: time, last: last), for: key) {
      book.tally.unmatchedResponses += 1 + evicted.copies
    }
  }

  /// Somebody says that the request cannot be answered; false if it does not wait.
  mutating func refuse(_ key: ExchangeKey) -> Bool {
    guard let request = takeWaiting(key) else { return false }
    book.lose(request.name, .refused)
    return true
  }

  /// A packet that could not be read, of somebody who may have answered.
  mutating func unreadable(_ packet: Dissected, isCut: Bool) {
    if isCut { book.tally.truncated += 1 } else { book.tally.malformed += 1 }
    missed(ExchangeEnds(client: packet.destination, server: packet.source), packet.time, count: 1)
  }

  /// Answers may have come that nobody could read.
  mutating func missed(_ ends: ExchangeEnds, _ time: Int64, count: Int = .max) {
    unread.note(ends, time, count: count)
  }

  /// A part of the request came once more.
  mutating func markRepeated(_ key: ExchangeKey) { waiting.update(key) { $0.isRepeated = true } }

  func isWaiting(_ key: ExchangeKey) -> Bool { place(of: key) != nil }

  mutating func finish() {
    for request in waiting.removeAll() { giveUp(request) }
    for answer in early.removeAll() { book.tally.unmatchedResponses += 1 + answer.copies }
  }

  /// Of the request that an answer with this key belongs to: one of the same tags, else one where either has none.
  private func place(of key: ExchangeKey) -> ExchangeKey? {
    if waiting[key] != nil { return key }
    var other = key
    if key.vlans.isEmpty {
      guard let vlans = tagged[key] else { return nil }
      other.vlans = vlans
    } else {
      other.vlans = VLANTags()
    }
    return waiting[other] != nil ? other : nil
  }

  private mutating func takeWaiting(_ key: ExchangeKey) -> Waiting? {
    guard let place = place(of: key) else { return nil }
    if !place.vlans.isEmpty, tagged[place.untagged] == place.vlans { _ = tagged.remove(place.untagged) }
    return waiting.remove(place)
  }

  private mutating func takeEarly(_ key: ExchangeKey) -> Early? {
    guard early.count > 0 else { return nil }
    return early.remove(key) ?? (key.vlans.isEmpty ? nil : early.remove(key.untagged))
  }

  private mutating func settle(_ request: Waiting, _ key: ExchangeKey, _ time: Int64, _ last: Int64?) {
    remember(key, request.name, time)
    book.settle(
      Pair(
        name: request.name.name, start: request.time, end: time, endLast: last, label: request.label,
        retransmitted: request.isRepeated, client: request.key.client, server: request.key.server), of: request.name)
  }

  private mutating func remember(_ key: ExchangeKey, _ name: PairName, _ time: Int64) {
    _ = answered.insert(Answered(name: name, time: time), for: key.hashValue)
  }

  /// No answer will come any more.
  private mutating func giveUp(_ request: Waiting) {
    if request.mayBeCopy {
      book.count(request.name) {
        $0.requests -= 1
        $0.repeatedRequests += 1
      }
    } else if request.early != nil {
      book.count(request.name) { $0.disordered += 1 }
      book.lose(request.name, .abandoned)
    } else {
      book.lose(request.name, unread.excuses(request.key.ends, since: request.time) ? .abandoned : .unanswered)
    }
  }

  private mutating func expire(_ now: Int64) {
    let (timeout, disorder) = (timeout, disorder)
    while let old = waiting.popOldest(where: { span(from: $0.time, to: now) > timeout }) { giveUp(old) }
    while let old = early.popOldest(where: { span(from: $0.time, to: now) > disorder }) {
      book.tally.unmatchedResponses += 1 + old.copies
    }
  }
}
