// SPDX-License-Identifier: GPL-2.0-or-later

/// A part of an array, indexed from 0. Reading beyond its end traps: check `count` first.
struct ByteView {
  private let array: [UInt8]
  private let start: Int
  let count: Int

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
    guard let end = firstIndex(of: UInt8(ascii: "\n"), from: first) else { return nil }
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

  /// A decimal number without sign, of at most 18 digits.
  var number: Int? {
    guard count > 0, count <= 18 else { return nil }
    var value = 0
    for index in 0..<count {
      guard (0x30...0x39).contains(self[index]) else { return nil }
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
