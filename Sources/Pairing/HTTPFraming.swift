// SPDX-License-Identifier: GPL-2.0-or-later

/// What the header of an HTTP message says of where the message ends (RFC 9112, 6.3), read line by line.
struct HTTPFraming {
  enum Body {
    /// Nothing is said.
    case none
    case length(Int)
    case chunked
    case untilClose
    case malformed
  }
  private enum Field {
    case length
    case encoding
    case other
  }
  private var field = Field.other
  /// Of the field that is read.
  private var value: [UInt8] = []
  private var length: Int?
  private var hasEncoding = false
  private var isChunked = false
  private var isMalformed = false

  /// More of a framing header is no such header.
  private static let longest = 1_024

  /// Takes the next line; false if it can be none of a header.
  mutating func read(_ line: ByteView) -> Bool {
    // A folded line goes on with the value of the field before (RFC 9112, 5.2).
    if !line.isEmpty, line[0] == 0x20 || line[0] == 0x09 {
      if field != .other { take([0x20] + line.trimmed.bytes) }
      return true
    }
    endField()
    guard let colon = line.firstIndex(of: UInt8(ascii: ":")) else { return true }
    // Blanks before the colon are to be taken off (RFC 9112, 5.1).
    let name = line[0..<colon].trimmed
    if name.isWord("content-length") {
      field = .length
    } else if name.isWord("transfer-encoding") {
      field = .encoding
    } else {
      return true
    }
    take(line.dropFirst(colon + 1).trimmed.bytes)
    return true
  }

  private mutating func take(_ bytes: [UInt8]) {
    if value.count + bytes.count > HTTPFraming.longest { isMalformed = true } else { value += bytes }
  }

  private mutating func endField() {
    defer { (field, value) = (.other, []) }
    guard field != .other else { return }
    let elements = ByteView(value).split(UInt8(ascii: ",")).map(\.trimmed).filter { !$0.isEmpty }
    switch field {
    case .length:
      // The same number may stand there more than once.
      if elements.isEmpty { isMalformed = true }
      for element in elements {
        guard let number = element.number, length == nil || length == number else { return isMalformed = true }
        length = number
      }
    case .encoding:
      for element in elements {
        let coding = element.prefix(element.firstIndex(of: UInt8(ascii: ";")) ?? element.count).trimmed
        // Of RFC 2616: no encoding at all.
        if coding.isWord("identity") { continue }
        hasEncoding = true
        isChunked = coding.isWord("chunked")
      }
    case .other: break
    }
  }

  /// Behind the last line.
  var body: Body {
    if isMalformed { return .malformed }
    if hasEncoding { return isChunked ? .chunked : .untilClose }
    return length.map { .length($0) } ?? .none
  }
}
