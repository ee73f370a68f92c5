// SPDX-License-Identifier: GPL-2.0-or-later

/// Redis: answers in the order of the commands; push messages answer nothing.
final class RedisStream: OrderedDialogue {
  var requests: OrderedRequests
  private var scanners: (client: RESPScanner, server: RESPScanner) = (RESPScanner(), RESPScanner())
  /// The first words of the command that has begun: its name, and what CLIENT is told to do.
  private var words: [String] = []
  private var hasBegun = false

  /// After these a connection carries what is no answer, or not one answer a command: UNSUBSCRIBE and its like get one a
  /// channel, and with RESP3 only pushes.
  private static let leaving: Set<String> = [
    "SUBSCRIBE", "PSUBSCRIBE", "SSUBSCRIBE", "UNSUBSCRIBE", "PUNSUBSCRIBE", "SUNSUBSCRIBE", "MONITOR", "SYNC", "PSYNC",
    "REPLCONF",
  ]
  /// Longer words are no command's.
  private static let longestWord = 64

  init(_ book: Book, _ ends: StreamEnds) { requests = OrderedRequests(book, ends) }

  func reset() { (scanners, words, hasBegun) = ((RESPScanner(), RESPScanner()), [], false) }

  func step(_ side: Side, _ bytes: ByteView) -> StreamStep {
    if side == .server { return step(&scanners.server, bytes) }
    if !hasBegun && bytes[0] != UInt8(ascii: "*") { return inline(bytes) }
    if hasBegun, wantsWord, let (line, next) = bytes.line(from: 0) {
      if let size = line.dropFirst(1).number, size <= RedisStream.longestWord {
        guard bytes.count >= next + size + 2 else { return .short }
        words.append(bytes[next..<next + size].text?.uppercased() ?? "")
      } else {
        words.append("")
      }
    }
    switch step(&scanners.client, bytes) {
    case .part(let count):
      hasBegun = true
      return .part(count)
    case .end(let count): return leaves ? .leave : .end(count)
    case let other: return other
    }
  }

  private func step(_ scanner: inout RESPScanner, _ bytes: ByteView) -> StreamStep {
    switch scanner.step(bytes) {
    case .more: return .more
    case .part(let count): return .part(count)
    case .end(let count): return .end(count)
    case .malformed: return .malformed
    }
  }

  /// Other words decide nothing, and may be cut short.
  private var wantsWord: Bool { words.isEmpty || (words.count == 1 && words[0] == "CLIENT") }

  private var leaves: Bool {
    guard let verb = words.first else { return false }
    return RedisStream.leaving.contains(verb) || (verb == "CLIENT" && words.dropFirst().first == "REPLY")
  }

  /// A command typed as plain words. What the server does not know it answers, too.
  private func inline(_ bytes: ByteView) -> StreamStep {
    guard let (line, next) = bytes.line(from: 0) else { return .more }
    let parts = line.trimmed.words(2).map { $0.trimmed.text?.uppercased() ?? "" }
    guard let verb = parts.first else { return .pass(next) }
    guard !verb.isEmpty else { return .malformed }
    words = parts.map { String($0.filter { $0 != "\"" && $0 != "'" }) }
    return leaves ? .leave : .end(next)
  }

  /// Names have `.` (modules), `_` (SORT_RO) and digits, too.
  private static func isVerb(_ word: String) -> Bool {
    !word.isEmpty && word.utf8.count <= 32
      && word.utf8.allSatisfy {
        (0x41...0x5a).contains($0) || (0x30...0x39).contains($0) || $0 == 0x2e || $0 == 0x5f || $0 == 0x2d
      }
  }

  func message(_ side: Side, _ message: StreamMessage) -> StreamFit {
    if side == .client {
      let verb = words.first ?? ""
      let isEmpty = words.isEmpty
      (words, hasBegun) = ([], false)
      // `*0` is no command.
      if !isEmpty {
        let name = requests.book.named("redis-\(RedisStream.isVerb(verb) ? verb : "other")")
        requests.append(StreamRequest(name, message))
      }
      return .fits
    }
    if scanners.server.type == UInt8(ascii: ">") { return .fits }
    guard requests.count > 0 else {
      requests.book.tally.unmatchedResponses += 1
      return .mismatch
    }
    requests.settle(with: message)
    return .fits
  }
}
