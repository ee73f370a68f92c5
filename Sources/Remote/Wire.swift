// SPDX-License-Identifier: GPL-2.0-or-later
internal import Recording

/// Puts a payload together: little-endian numbers, texts as a 16-bit length and UTF-8.
struct WireWriter {
  private(set) var bytes: [UInt8] = []

  mutating func put(_ value: some FixedWidthInteger) {
    unsafe withUnsafeBytes(of: value.littleEndian) { unsafe bytes.append(contentsOf: $0) }
  }

  mutating func put(raw value: some Sequence<UInt8>) { bytes.append(contentsOf: value) }

  /// Cut at `limit` bytes, so that what is written can be read; characters that a reader refuses become `?`.
  mutating func put(_ text: String, limit: Int) {
    var kept: [UInt8] = []
    for character in text.unicodeScalars {
      let next = Array(String(Wire.isPrintable(character) ? character : "?").utf8)
      if kept.count + next.count > limit { break }
      kept += next
    }
    put(UInt16(kept.count))
    put(raw: kept)
  }

  mutating func put(_ texts: [String], count: Int, limit: Int) {
    put(UInt8(clamping: min(texts.count, count)))
    for text in texts.prefix(count) { put(text, limit: limit) }
  }
}

enum Wire {
  /// No control characters: what the other side says ends up on a terminal.
  static func isPrintable(_ character: Unicode.Scalar) -> Bool {
    switch character.properties.generalCategory {
    case .control, .format, .lineSeparator, .paragraphSeparator, .surrogate: false
    default: true
    }
  }
}

/// Takes a payload apart; every length is checked before anything is allocated.
struct WireReader {
  private var rest: ArraySlice<UInt8>

  init(_ bytes: some Collection<UInt8>) { rest = ArraySlice(bytes) }

  mutating func number<Value: FixedWidthInteger>(_ type: Value.Type = Value.self) throws(RemoteError) -> Value {
    var value = Value.zero
    for (index, byte) in try raw(MemoryLayout<Value>.size).enumerated() {
      value |= Value(truncatingIfNeeded: byte) << (8 * index)
    }
    return value
  }

  mutating func count() throws(RemoteError) -> Count {
    let number = try number(UInt64.self)
    guard number <= UInt64(Count.limit) else { throw .violation("an impossible count, \(number)") }
    return Count(number)
  }

  mutating func raw(_ count: Int) throws(RemoteError) -> ArraySlice<UInt8> {
    guard count <= rest.count else { throw .violation("a message is too short") }
    defer { rest = rest.dropFirst(count) }
    return rest.prefix(count)
  }

  mutating func text(limit: Int) throws(RemoteError) -> String {
    let count = Int(try number(UInt16.self))
    guard count <= limit else { throw .violation("a text of \(count) bytes where \(limit) are allowed") }
    guard let text = String(validating: try raw(count), as: UTF8.self),
      text.unicodeScalars.allSatisfy(Wire.isPrintable)
    else { throw .violation("a text that is not printable UTF-8") }
    return text
  }

  mutating func texts(count limit: Int, each: Int) throws(RemoteError) -> [String] {
    let count = Int(try number(UInt8.self))
    guard count <= limit else { throw .violation("\(count) texts where \(limit) are allowed") }
    var texts: [String] = []
    for _ in 0..<count { texts.append(try text(limit: each)) }
    return texts
  }

  mutating func flag() throws(RemoteError) -> Bool {
    switch try number(UInt8.self) {
    case 0: false
    case 1: true
    case let other: throw .violation("\(other) where 0 or 1 belongs")
    }
  }

  mutating func all() -> [UInt8] {
    defer { rest = [] }
    return Array(rest)
  }

  /// Nothing may follow.
  func end() throws(RemoteError) {
    guard rest.isEmpty else { throw .violation("\(rest.count) bytes too many in a message") }
  }
}
