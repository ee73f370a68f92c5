// SPDX-License-Identifier: GPL-2.0-or-later

/// A part of an array, indexed from 0. Reading beyond its end traps: check `count` first.
struct ByteView {
  private let array: [UInt8]
  private let start: Int
  let count: Int
  /// So many bytes at the beginning hold no line end, as was found before.
  var searched = 0

  init(_ array: [UInt8]) { self.init(array, 0..<array.count) }

  init(_ array: [UInt8], _ range: Range<Int>) {
    precondition(range.lowerBound >= 0 && range.upperBound <= array.count)
    self.array = array
    start = range.lowerBound
    count = range.count
  }

  var isEmpty: Bool { count == 0 }

  subscript(index: Int) -> UInt8 {
    precondition(index >= 0 && index < count)
    return array[start + index]
  }

  subscript(range: Range<Int>) -> ByteView {
    precondition(range.lowerBound >= 0 && range.upperBound <= count)
    return ByteView(array, start + range.lowerBound..<start + range.upperBound)
  }

  func u16(_ index: Int) -> UInt16 { UInt16(self[index]) << 8 | UInt16(self[index + 1]) }
  func u32(_ index: Int) -> UInt32 { UInt32(u16(index)) << 16 | UInt32(u16(index + 2)) }

  func dropFirst(_ bytes: Int) -> ByteView { self[min(bytes, count)..<count] }
  func prefix(_ bytes: Int) -> ByteView { self[0..<min(bytes, count)] }

  var bytes: [UInt8] { Array(array[start..<start + count]) }

  func starts(with text: StaticString) -> Bool {
    guard text.utf8CodeUnitCount <= count else { return false }
    return text.withUTF8Buffer { letters in
      for index in 0..<letters.count where unsafe letters[index] != self[index] { return false }
      return true
    }
  }

  func firstIndex(of byte: UInt8, from first: Int = 0) -> Int? {
    var index = first
    while index < count {
      if self[index] == byte { return index }
      index += 1
    }
    return nil
  }

  /// The line that starts at `from`, without its end (`\n` or `\r\n`), and where the next one starts.
  func line(from first: Int) -> (line: ByteView, next: Int)? {
    guard let end = firstIndex(of: UInt8(ascii: "\n"), from: max(first, searched)) else { return nil }
    let text = end > first && self[end - 1] == UInt8(ascii: "\r") ? end - 1 : end
    return (self[first..<text], end + 1)
  }

  /// The words between blanks, at most `limit` of them.
  func words(_ limit: Int) -> [ByteView] {
    var words: [ByteView] = []
    var index = 0
    while index < count, words.count < limit {
      let end = firstIndex(of: UInt8(ascii: " "), from: index) ?? count
      if end > index { words.append(self[index..<end]) }
      index = end + 1
    }
    return words
  }

  func split(_ separator: UInt8) -> [ByteView] {
    var parts: [ByteView] = []
    var index = 0
    while let end = firstIndex(of: separator, from: index) {
      parts.append(self[index..<end])
      index = end + 1
    }
    return parts + [self[index..<count]]
  }

  /// What stands behind the last blank.
  var lastWord: ByteView? {
    let text = trimmed
    guard let start = (0..<text.count).last(where: { text[$0] == 0x20 }) else { return text.isEmpty ? nil : text }
    return text.dropFirst(start + 1)
  }

  var trimmed: ByteView {
    var (low, high) = (0, count)
    while low < high, self[low] == 0x20 || self[low] == 0x09 { low += 1 }
    while high > low, self[high - 1] == 0x20 || self[high - 1] == 0x09 { high -= 1 }
    return self[low..<high]
  }

  /// ASCII text; nil if it holds anything else than printable characters.
  var text: String? {
    for index in 0..<count where self[index] < 0x20 || self[index] > 0x7e { return nil }
    return String(decoding: array[start..<start + count], as: UTF8.self)
  }

  var isDigits: Bool { count > 0 && (0..<count).allSatisfy { (0x30...0x39).contains(self[$0]) } }
  var isCapitals: Bool {
    count > 0 && (0..<count).allSatisfy { (0x41...0x5a).contains(self[$0]) || self[$0] == 0x5f }
  }

  /// Small letters and `_`, as memcached's commands.
  var isCommand: Bool { count > 0 && (0..<count).allSatisfy { (0x61...0x7a).contains(self[$0]) || self[$0] == 0x5f } }

  var isHexadecimal: Bool {
    count > 0
      && (0..<count).allSatisfy {
        switch self[$0] {
        case 0x30...0x39, 0x41...0x46, 0x61...0x66: true
        default: false
        }
      }
  }

  var withoutLeadingZeros: ByteView { dropFirst((0..<count).first { self[$0] != 0x30 } ?? count) }

  /// A name as HTTP (RFC 9110, 5.6.2) and SIP (RFC 3261, 25.1) have them for methods.
  var isToken: Bool {
    count > 0
      && (0..<count).allSatisfy { index in
        switch self[index] {
        case 0x30...0x39, 0x41...0x5a, 0x61...0x7a: true
        default: "!#$%&'*+-.^_`|~".utf8.contains(self[index])
        }
      }
  }

  /// A decimal number without sign, of at most 18 digits, zeros in front left out.
  var number: Int? {
    guard isDigits else { return nil }
    var value = 0
    for index in 0..<count {
      guard value < 100_000_000_000_000_000 else { return nil }
      value = value * 10 + Int(self[index] - 0x30)
    }
    return value
  }

  /// Whether it is `text` (lower case), whatever the case of its letters.
  func isWord(_ text: StaticString) -> Bool {
    guard text.utf8CodeUnitCount == count else { return false }
    return text.withUTF8Buffer { letters in
      for index in 0..<count {
        let byte = self[index]
        let lower = (0x41...0x5a).contains(byte) ? byte | 0x20 : byte
        if unsafe lower != letters[index] { return false }
      }
      return true
    }
  }
}
