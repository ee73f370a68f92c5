// SPDX-License-Identifier: GPL-2.0-or-later

/// A request on a TCP connection that waits for its answer.
struct StreamRequest {
  var name: PairName
  /// When it was complete.
  var time: Int64
  var range: Range<Int>
  var isRepeated: Bool
  /// May get no answer.
  var isQuiet = false
  /// What the protocol needs to know again.
  var code: UInt8 = 0
  var tag: [UInt8] = []

  init(_ name: PairName, _ message: StreamMessage) {
    self.name = name
    time = message.complete
    range = message.range
    isRepeated = message.isRepeated
  }
}

/// The requests that wait on one TCP connection, in their order.
struct OrderedRequests {
  let ends: StreamEnds
  let book: Book
  private var list: [StreamRequest] = []
  private var head = 0
  /// How many wait with each tag, and how many of these are quiet.
  private var tags: [[UInt8]: (all: Int, quiet: Int)] = [:]

  init(_ book: Book, _ ends: StreamEnds) {
    self.book = book
    self.ends = ends
  }

  var count: Int { list.count - head }
  var first: StreamRequest? { head < list.count ? list[head] : nil }
  var last: StreamRequest? { head < list.count ? list[list.count - 1] : nil }

  /// The `index`-th of those that wait.
  subscript(index: Int) -> StreamRequest { list[head + index] }

  mutating func append(_ request: StreamRequest) {
    book.count(request.name) {
      $0.requests += 1
      if request.isRepeated { $0.repeatedRequests += 1 }
    }
    list.append(request)
    if !request.tag.isEmpty || request.isQuiet { count(request, 1) }
  }

  /// Whether a single quiet request waits with this tag, so that one need not look for others.
  func hasOneQuiet(_ tag: [UInt8]) -> Bool { tags[tag]?.quiet == 1 }

  /// Whether any request that has a tag waits with this one.
  func has(_ tag: [UInt8]) -> Bool { tags[tag] != nil }

  private mutating func count(_ request: StreamRequest, _ change: Int) {
    let old = tags[request.tag] ?? (0, 0)
    let new = (all: old.all + change, quiet: old.quiet + (request.isQuiet ? change : 0))
    tags[request.tag] = new.all > 0 ? new : nil
  }

  private mutating func forgetTag(of request: StreamRequest) {
    if !request.tag.isEmpty || request.isQuiet { count(request, -1) }
  }

  /// A request that is due no answer.
  func countSilent(_ name: PairName) {
    book.count(name) {
      $0.requests += 1
      $0.silent += 1
    }
  }

  /// - Complexity: O(log of those that wait, and those that are in the range).
  mutating func markRepeated(_ range: Range<Int>) {
    var (low, high) = (head, list.count)
    while low < high {
      let middle = (low + high) / 2
      if list[middle].range.upperBound > range.lowerBound { high = middle } else { low = middle + 1 }
    }
    while low < list.count, list[low].range.lowerBound < range.upperBound {
      book.count(list[low].name) { $0.repeatedRequests += 1 }
      list[low].isRepeated = true
      low += 1
    }
  }

  /// Takes the `index`-th request out and pairs it with an answer.
  /// - Complexity: O(index).
  mutating func settle(_ index: Int = 0, with answer: StreamMessage) {
    let request = list[head + index]
    forgetTag(of: request)
    for place in stride(from: head + index, to: head, by: -1) { list[place] = list[place - 1] }
    dropFirst(1)
    book.settle(
      Pair(
        name: request.name.name, start: request.time, end: answer.first,
        endLast: answer.isWhole ? answer.complete : nil, label: .stream(request.range),
        retransmitted: request.isRepeated, client: ends.client, server: ends.server), of: request.name)
  }

  /// Takes out the quiet requests among the first `upTo`: no answer to them will come any more. Returns how many.
  /// - Complexity: O(upTo).
  mutating func dropQuiet(upTo: Int) -> Int {
    var kept = head + upTo
    for place in stride(from: head + upTo - 1, through: head, by: -1) {
      let request = list[place]
      if request.isQuiet {
        forgetTag(of: request)
        book.lose(request.name, .silent)
      } else {
        kept -= 1
        list[kept] = request
      }
    }
    let dropped = kept - head
    dropFirst(dropped)
    return dropped
  }

  private mutating func dropFirst(_ requests: Int) {
    head += requests
    guard head == list.count || head > 4_096 else { return }
    list.removeFirst(head)
    head = 0
  }

  /// Forgets all, quiet ones as silent.
  mutating func removeAll(as fate: Fate) {
    for request in list[head...] { book.lose(request.name, request.isQuiet ? .silent : fate) }
    (list, head, tags) = ([], 0, [:])
  }
}

/// A protocol whose answers come in the order of the requests.
protocol OrderedDialogue: StreamDialogue {
  var requests: OrderedRequests { get set }
  /// Forgets messages that have begun.
  func reset()
}

extension OrderedDialogue {
  func repeated(_ side: Side, _ range: Range<Int>) { if side == .client { requests.markRepeated(range) } }
  /// Its first byte tells the response time all the same.
  func cutOff(_ answer: StreamMessage) -> StreamFit { message(.server, answer) }
  var waiting: Int { requests.count }
  func forget(as fate: Fate, _ time: Int64) {
    reset()
    requests.removeAll(as: fate)
  }
}
