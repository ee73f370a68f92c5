// SPDX-License-Identifier: GPL-2.0-or-later

/// A request on a TCP connection that waits for its answer.
struct StreamRequest {
  var name: String
  /// When it was complete.
  var time: Int64
  var range: Range<Int>
  var isRepeated: Bool
  /// May get no answer.
  var isQuiet = false
  /// What the protocol needs to know again.
  var code: UInt8 = 0
  var tag: [UInt8] = []

  init(_ name: String, _ message: StreamMessage) {
    self.name = name
    time = message.complete
    range = message.range
    isRepeated = message.isRepeated
  }
}

/// The requests that wait on one TCP connection, in their order.
struct OrderedRequests {
  let client: Endpoint
  let server: Endpoint
  let book: Book
  private var list: [StreamRequest] = []
  private var head = 0
  /// How many quiet ones wait with each tag.
  private var quietTags: [[UInt8]: Int] = [:]

  init(_ book: Book, client: Endpoint, server: Endpoint) {
    self.book = book
    self.client = client
    self.server = server
  }

  var count: Int { list.count - head }
  var first: StreamRequest? { head < list.count ? list[head] : nil }

  /// The `index`-th of those that wait.
  subscript(index: Int) -> StreamRequest { list[head + index] }

  mutating func append(_ request: StreamRequest) {
    book.tally.requests += 1
    if request.isRepeated { book.tally.repeatedRequests += 1 }
    list.append(request)
    if request.isQuiet { quietTags[request.tag, default: 0] += 1 }
  }

  /// Whether a single quiet request waits with this tag, so that one need not look for others.
  func hasOneQuiet(_ tag: [UInt8]) -> Bool { quietTags[tag] == 1 }

  private mutating func forgetTag(of request: StreamRequest) {
    guard request.isQuiet, let count = quietTags[request.tag] else { return }
    quietTags[request.tag] = count > 1 ? count - 1 : nil
  }

  /// A request that is due no answer.
  func countSilent() {
    book.tally.requests += 1
    book.tally.silent += 1
  }

  mutating func markRepeated(_ range: Range<Int>) {
    for index in head..<list.count where list[index].range.overlaps(range) {
      book.tally.repeatedRequests += 1
      list[index].isRepeated = true
    }
  }

  /// Takes the `index`-th request out and pairs it with an answer.
  mutating func settle(_ index: Int = 0, with answer: StreamMessage) {
    let request = list[head + index]
    forgetTag(of: request)
    if index == 0 {
      head += 1
      if head == list.count || head > 4_096 {
        list.removeFirst(head)
        head = 0
      }
    } else {
      list.remove(at: head + index)
    }
    book.settle(
      Pair(
        name: request.name, start: request.time, end: answer.first, endLast: answer.isWhole ? answer.complete : nil,
        label: .stream(request.range), retransmitted: request.isRepeated,
        client: client, server: server))
  }

  /// Takes out the quiet requests among the first `upTo`: no answer to them will come any more. Returns how many.
  mutating func dropQuiet(upTo: Int) -> Int {
    let range = head..<head + upTo
    let kept = list[range].filter { !$0.isQuiet }
    let dropped = upTo - kept.count
    guard dropped > 0 else { return 0 }
    for request in list[range] { forgetTag(of: request) }
    list.replaceSubrange(range, with: kept)
    book.tally.silent += dropped
    return dropped
  }

  /// Forgets all; returns how many of them were due an answer.
  mutating func removeAll() -> Int {
    _ = dropQuiet(upTo: count)
    defer { (list, head) = ([], 0) }
    return count
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
  func cutOff(_ answer: StreamMessage) { _ = message(.server, answer) }
  var waiting: Int { requests.count }
  func forget() -> Int {
    reset()
    return requests.removeAll()
  }
}
