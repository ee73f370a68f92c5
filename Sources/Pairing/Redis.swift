// SPDX-License-Identifier: GPL-2.0-or-later

/// Finds the end of a RESP2 or RESP3 value, piece by piece, so that long strings need not be held.
struct RESPScanner {
  enum Step {
    case more
    /// So many bytes belong to the value, which goes on; may reach beyond the bytes at hand.
    case part(Int)
    case end(Int)
    case malformed
  }
  /// How many values are still to come, by level.
  private var open: [Int] = []
  /// The type of the outermost value.
  private(set) var type: UInt8 = 0
  /// Deeper answers count as malformed; Redis itself nests four levels.
  private static let deepest = 32

  mutating func step(_ bytes: ByteView) -> Step {
    guard let (line, next) = bytes.line(from: 0) else { return .more }
    guard !line.isEmpty else { return .malformed }
    let kind = line[0]
    if open.isEmpty { type = kind }
    let rest = line.dropFirst(1)
    switch UnicodeScalar(kind) {
    case "+", "-", ":", "_", ",", "#", "(": return value(next)
    case "$", "=", "!":
      if isNull(rest) { return value(next) }
      guard let size = rest.number, size < 1 << 31 else { return .malformed }
      return value(next + size + 2)
    case "*", "~", ">", "%", "|":
      if isNull(rest) { return value(next) }
      guard let count = rest.number, count < 1 << 24 else { return .malformed }
      let values = kind == UInt8(ascii: "%") || kind == UInt8(ascii: "|") ? 2 * count : count
      // Attributes stand before the value they belong to and are none themselves.
      if kind == UInt8(ascii: "|") {
        if open.isEmpty { open.append(1) }
        open[open.count - 1] += 1
      }
      if values == 0 { return value(next) }
      guard open.count < RESPScanner.deepest else { return .malformed }
      open.append(values)
      return .part(next)
    default: return .malformed
    }
  }

  private func isNull(_ text: ByteView) -> Bool { text.starts(with: "-1") && text.count == 2 }

  private mutating func value(_ bytes: Int) -> Step {
    while let left = open.last {
      if left > 1 {
        open[open.count - 1] = left - 1
        return .part(bytes)
      }
      open.removeLast()
    }
    return .end(bytes)
  }
}

/// Redis: answers in the order of the commands; push messages answer nothing.
final class RedisStream: OrderedDialogue {
  var requests: OrderedRequests
  private var scanners: (client: RESPScanner, server: RESPScanner) = (RESPScanner(), RESPScanner())
  /// The first two words of the command that has begun.
  private var words: [String] = []
  private var hasBegun = false

  /// After these a connection carries what is no answer, or not one answer a command: UNSUBSCRIBE and its like get one a
  /// channel, and with RESP3 only pushes.
  private static let leaving: Set<String> = [
    "SUBSCRIBE", "PSUBSCRIBE", "SSUBSCRIBE", "UNSUBSCRIBE", "PUNSUBSCRIBE", "SUNSUBSCRIBE", "MONITOR", "SYNC", "PSYNC",
    "REPLCONF",
  ]

  init(_ book: Book, client: Endpoint, server: Endpoint) {
    requests = OrderedRequests(book, client: client, server: server)
  }

  func reset() { (scanners, words, hasBegun) = ((RESPScanner(), RESPScanner()), [], false) }

  func step(_ side: Side, _ bytes: ByteView) -> StreamStep {
    if side == .server {
      switch scanners.server.step(bytes) {
      case .more: return .more
      case .part(let count): return .part(count)
      case .end(let count): return .end(count)
      case .malformed: return .malformed
      }
    }
    if !hasBegun && bytes[0] != UInt8(ascii: "*") { return inline(bytes) }
    // The first two strings of the array are wanted whole.
    if hasBegun, words.count < 2, let (line, next) = bytes.line(from: 0), let size = line.dropFirst(1).number,
      size <= 64
    {
      guard bytes.count >= next + size + 2 else { return .more }
      words.append(bytes[next..<next + size].text?.uppercased() ?? "")
    } else if hasBegun, words.count < 2, bytes.line(from: 0) != nil {
      words.append("")
    }
    switch scanners.client.step(bytes) {
    case .more: return .more
    case .part(let count):
      hasBegun = true
      return .part(count)
    case .end(let count): return leaves ? .leave : .end(count)
    case .malformed: return .malformed
    }
  }

  private var leaves: Bool {
    guard let verb = words.first else { return false }
    return RedisStream.leaving.contains(verb) || (verb == "CLIENT" && words.dropFirst().first == "REPLY")
  }

  /// A command typed as plain words.
  private func inline(_ bytes: ByteView) -> StreamStep {
    guard let (line, next) = bytes.line(from: 0) else { return .more }
    let parts = line.words(2).map { $0.text?.uppercased() ?? "" }
    if parts.isEmpty && line.isEmpty { return .part(next) }
    guard let verb = parts.first, RedisStream.isVerb(verb) else { return .malformed }
    words = parts
    return leaves ? .leave : .end(next)
  }

  private static func isVerb(_ word: String) -> Bool {
    !word.isEmpty && word.utf8.count <= 24 && word.utf8.allSatisfy { (0x41...0x5a).contains($0) || $0 == 0x2e }
  }

  func message(_ side: Side, _ message: StreamMessage) -> Bool {
    if side == .client {
      let verb = words.first ?? ""
      let isEmpty = words.isEmpty
      (words, hasBegun) = ([], false)
      // `*0` is no command.
      if !isEmpty { requests.append(StreamRequest("redis-\(RedisStream.isVerb(verb) ? verb : "other")", message)) }
      return true
    }
    if scanners.server.type == UInt8(ascii: ">") { return true }
    guard requests.count > 0 else {
      requests.book.tally.unmatchedResponses += 1
      return false
    }
    requests.settle(with: message)
    return true
  }
}
