// SPDX-License-Identifier: GPL-2.0-or-later

/// HTTP/1.0 and 1.1 on a TCP connection: answers in the order of the requests. Interim answers (1xx) settle nothing.
final class HTTPStream: OrderedDialogue {
  /// What follows the header, or the part of the body before.
  private enum Body {
    case header
    /// Chunk sizes are next.
    case chunks
    /// The lines after the last chunk, up to an empty one.
    case trailer
    case untilClose
  }
  var requests: OrderedRequests
  private var body: (client: Body, server: Body) = (.header, .header)
  private var method = ""
  private var status = 0
  /// The connection speaks something else behind this answer.
  private var isUpgrade = false

  init(_ book: Book, client: Endpoint, server: Endpoint) {
    requests = OrderedRequests(book, client: client, server: server)
  }

  func reset() { (body, isUpgrade) = ((.header, .header), false) }

  func endsAtClose(_ side: Side) -> Bool { side == .server && body.server == .untilClose }

  func step(_ side: Side, _ bytes: ByteView) -> StreamStep {
    switch side == .client ? body.client : body.server {
    case .header: return header(side, bytes)
    case .chunks:
      guard let (line, next) = bytes.line(from: 0) else { return .more }
      let end = line.firstIndex(of: UInt8(ascii: ";")) ?? line.count
      guard let text = line[0..<end].trimmed.text, let size = Int(text, radix: 16), size >= 0, size < 1 << 40 else {
        return .malformed
      }
      if size == 0 {
        set(side, .trailer)
        return .part(next)
      }
      return .part(next + size + 2)
    case .trailer:
      guard let (line, next) = bytes.line(from: 0) else { return .more }
      return line.isEmpty ? .end(next) : .part(next)
    case .untilClose: return .part(bytes.count)
    }
  }

  private func set(_ side: Side, _ value: Body) {
    if side == .client { body.client = value } else { body.server = value }
  }

  private func header(_ side: Side, _ bytes: ByteView) -> StreamStep {
    guard let (start, first) = bytes.line(from: 0) else { return .more }
    // Before a request an empty line is to be passed over (RFC 9112, 2.2).
    if start.isEmpty { return side == .client ? .part(first) : .malformed }
    guard side == .client ? readRequest(start) : readStatus(start) else { return .malformed }

    var length: Int?
    var isChunked = false
    var at = first
    while true {
      guard let (line, next) = bytes.line(from: at) else { return .more }
      at = next
      if line.isEmpty { break }
      guard let colon = line.firstIndex(of: UInt8(ascii: ":")) else { continue }
      let (name, value) = (line[0..<colon], line.dropFirst(colon + 1).trimmed)
      if name.isWord("content-length") {
        guard let number = value.number, length == nil || length == number else { return .malformed }
        length = number
      } else if name.isWord("transfer-encoding") {
        isChunked = value.count >= 7 && value.dropFirst(value.count - 7).isWord("chunked")
      }
    }
    if side == .server && hasNoBody { return .end(at) }
    if isChunked {
      set(side, .chunks)
      return .part(at)
    }
    if let length { return .end(at + length) }
    if side == .client { return .end(at) }
    set(side, .untilClose)
    return .part(at)
  }

  private func readRequest(_ line: ByteView) -> Bool {
    let words = line.words(4)
    guard words.count == 3, words[2].starts(with: "HTTP/1."), words[0].count <= 24, let text = words[0].text,
      text.utf8.allSatisfy({ (0x41...0x5a).contains($0) || $0 == 0x2d })
    else { return false }
    method = text
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

  private var hasNoBody: Bool {
    let method = requests.first?.name
    isUpgrade = status == 101 || (method == "http-CONNECT" && (200..<300).contains(status))
    return status < 200 || status == 204 || status == 304 || method == "http-HEAD" || isUpgrade
  }

  func message(_ side: Side, _ message: StreamMessage) -> Bool {
    set(side, .header)
    if side == .client {
      requests.append(StreamRequest("http-\(method)", message))
      return true
    }
    if status < 200 && status != 101 {
      requests.book.tally.provisional += 1
      return true
    }
    guard requests.count > 0 else {
      requests.book.tally.unmatchedResponses += 1
      return false
    }
    requests.settle(with: message)
    return !isUpgrade
  }
}
