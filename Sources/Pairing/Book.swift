// SPDX-License-Identifier: GPL-2.0-or-later

/// A name that pairs have, with what is counted of the requests whose pairs will have it.
final class PairName {
  let name: String
  fileprivate(set) var tally = PairTally()

  fileprivate init(_ name: String) { self.name = name }
}

/// Why a request has no pair.
enum Fate {
  case unanswered
  case refused
  case silent
  case abandoned
  case evicted
}

/// Where the pairs of one protocol go, and what is counted about it.
final class Book {
  /// Of more names the counts are in those of the protocol alone.
  private static let mostNames = 4_096

  let name: String
  var tally = PairTally()
  var pairs: [Pair] = []
  private var known: [String: PairName] = [:]
  /// In the order in which they came.
  private(set) var names: [PairName] = []

  init(_ name: String) { self.name = name }

  func named(_ name: String) -> PairName {
    if let old = known[name] { return old }
    let new = PairName(name)
    guard names.count < Book.mostNames else { return new }
    known[name] = new
    names.append(new)
    return new
  }

  /// Counts for the protocol and for the name, where that is known.
  func count(_ name: PairName?, _ change: (inout PairTally) -> Void) {
    change(&tally)
    if let name { change(&name.tally) }
  }

  func lose(_ name: PairName?, _ fate: Fate, _ requests: Int = 1) {
    count(name) {
      switch fate {
      case .unanswered: $0.unanswered += requests
      case .refused: $0.refused += requests
      case .silent: $0.silent += requests
      case .abandoned: $0.abandoned += requests
      case .evicted: $0.evicted += requests
      }
    }
  }

  /// Notes a pair that settles its request; false if its times make no sense, so that the request is abandoned.
  @discardableResult
  func settle(_ pair: Pair, of name: PairName?) -> Bool {
    guard pair.isOrdered else {
      count(name) { $0.disordered += 1 }
      lose(name, .abandoned)
      return false
    }
    count(name) {
      $0.paired += 1
      if pair.retransmitted { $0.retransmitted += 1 }
    }
    pairs.append(pair)
    return true
  }
}

/// Nanoseconds from one time to another, at the limits of Int64 if it is more than that.
func span(from start: Int64, to end: Int64) -> Int64 {
  let (difference, overflow) = end.subtractingReportingOverflow(start)
  return overflow ? (end < start ? .min : .max) : difference
}

/// Answers that came and could not be read, by whom they came from: each may be what a request waits for, which then is
/// not known to be without an answer.
struct UnreadAnswers<From: Hashable> {
  private struct Unread {
    /// `.max`: nobody knows how many.
    var count: Int
    var last: Int64
  }
  private var unread: BoundedTable<From, Unread>

  init(limit: Int) { unread = BoundedTable(limit: limit) }

  mutating func note(_ from: From, _ time: Int64, count: Int = 1) {
    let earlier = unread[from]
    let (sum, overflow) = (earlier?.count ?? 0).addingReportingOverflow(count)
    _ = unread.insert(
      Unread(count: overflow ? .max : sum, last: max(time, earlier?.last ?? time)), for: from)
  }

  /// Whether one of them may have been the answer to a request of that time; each is so once.
  mutating func excuses(_ from: From, since time: Int64) -> Bool {
    guard let known = unread[from], known.last >= time, known.count > 0 else { return false }
    if known.count < .max { unread.update(from) { $0.count -= 1 } }
    return true
  }
}
