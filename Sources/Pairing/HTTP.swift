// SPDX-License-Identifier: GPL-2.0-or-later

/// HTTP/1.0 and 1.1 on a TCP connection: answers in the order of the requests. Interim answers (1xx) settle nothing.
///
/// Headers are read line by line, so that each byte is looked at once, however the header is cut into segments.
final class HTTPStream: OrderedDialogue {
  /// What comes next.
  private enum Place {
    case start
    /// The lines of the header, up to an empty one.
    case header
    /// Chunk sizes.
    case chunks
    /// The lines after the last chunk, up to an empty one.
    case trailer
    case untilClose
  }
  var requests: OrderedRequests
  private var places: (client: Place, server: Place) = (.start, .start)
  private var framing: (client: HTTPFraming, server: HTTPFraming) = (HTTPFraming(), HTTPFraming())
  private var method = ""
  private var status = 0

  /// What is known of a method, in ``StreamRequest/code``.
  private static let (head, connect): (UInt8, UInt8) = (1, 2)
  /// Longer names of methods are not told.
  private static let longestMethod = 64

  init(_ book: Book, _ ends: StreamEnds) { requests = OrderedRequests(book, ends) }

  func reset() {
    places = (.start, .start)
    framing = (HTTPFraming(), HTTPFraming())
  }

  func endsAtClose(_ side: Side) -> Bool { side == .server && places.server == .untilClose }

  func step(_ side: Side, _ bytes: ByteView) -> StreamStep {
    let place = side == .client ? places.client : places.server
    if place == .untilClose { return .part(bytes.count) }
    // What follows CONNECT is HTTP only if the server refuses.
    if place == .start, side == .client, requests.last?.code == HTTPStream.connect { return .wait }
    guard let (line, next) = bytes.line(from: 0) else { return .more }
    switch place {
    case .start:
      // An empty line is to be passed over before a request (RFC 9112, 2.2), and some servers send one behind a body.
      if line.isEmpty { return .pass(next) }
      if side == .client && line.starts(with: "PRI * HTTP/2.0") { return .leave }
      guard side == .client ? readRequest(line) : readStatus(line) else { return .malformed }
      set(side, .header)
      return .part(next)
    case .header:
      let reads = side == .client ? framing.client.read(line) : framing.server.read(line)
      guard reads else { return .malformed }
      return line.isEmpty ? body(side, next) : .part(next)
    case .chunks:
      let end = line.firstIndex(of: UInt8(ascii: ";")) ?? line.count
      let digits = line[0..<end].trimmed
      guard digits.isHexadecimal, let text = digits.withoutLeadingZeros.text, let size = Int("0" + text, radix: 16),
        size < 1 << 40
      else { return .malformed }
      if size == 0 { set(side, .trailer) }
      return .part(size == 0 ? next : next + size + 2)
    case .trailer: return line.isEmpty ? .end(next) : .part(next)
    case .untilClose: return .part(bytes.count)
    }
  }

  private func set(_ side: Side, _ value: Place) {
    if side == .client { places.client = value } else { places.server = value }
  }

  /// The header has ended.
  private func body(_ side: Side, _ next: Int) -> StreamStep {
    let read = side == .client ? framing.client : framing.server
    if side == .client { framing.client = HTTPFraming() } else { framing.server = HTTPFraming() }
    if side == .server && hasNoBody { return .end(next) }
    switch read.body {
    case .malformed: return .malformed
    case .chunked:
      set(side, .chunks)
      return .part(next)
    case .length(let length): return .end(next + length)
    case .untilClose:
      // A request cannot be ended so.
      guard side == .server else { return .malformed }
      set(side, .untilClose)
      return .part(next)
    case .none:
      if side == .client { return .end(next) }
      set(side, .untilClose)
      return .part(next)
    }
  }

  private func readRequest(_ line: ByteView) -> Bool {
    guard let blank = line.firstIndex(of: UInt8(ascii: " ")), line[0..<blank].isToken,
      let version = line.lastWord, version.starts(with: "HTTP/1."), version.count == 8, line.count > blank + 9
    else { return false }
    method = blank <= HTTPStream.longestMethod ? line[0..<blank].text ?? "other" : "other"
    return true
  }

  private func readStatus(_ line: ByteView) -> Bool {
    let words = line.words(2)
    guard words.count == 2, words[0].starts(with: "HTTP/1."), words[1].count == 3, let number = words[1].number,
      number >= 100
    else { return false }
    status = number
    return true
  }

  /// The connection speaks something else behind this answer.
  private var isUpgrade: Bool {
    status == 101 || (requests.first?.code == HTTPStream.connect && (200..<300).contains(status))
  }

  private var hasNoBody: Bool {
    status < 200 || status == 204 || status == 304 || requests.first?.code == HTTPStream.head || isUpgrade
  }

  func message(_ side: Side, _ message: StreamMessage) -> StreamFit {
    set(side, .start)
    if side == .client {
      var request = StreamRequest(requests.book.named("http-\(method)"), message)
      request.code = method == "HEAD" ? HTTPStream.head : method == "CONNECT" ? HTTPStream.connect : 0
      requests.append(request)
      return .fits
    }
    if status < 200 && status != 101 {
      requests.book.tally.provisional += 1
      return .fits
    }
    guard requests.count > 0 else {
      requests.book.tally.unmatchedResponses += 1
      return .mismatch
    }
    let isUpgrade = isUpgrade
    requests.settle(with: message)
    return isUpgrade ? .leave : .fits
  }
}
