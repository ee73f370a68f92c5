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

  private func isNull(_ text: ByteView) -> Bool { text.starts(with: "-") && text.dropFirst(1).isDigits }

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
