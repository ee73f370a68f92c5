// SPDX-License-Identifier: GPL-2.0-or-later
internal import Wording

/// Numbers and strings as people read them. No locale: a decimal point, and the same text everywhere.
package enum Text {
  /// A fraction as a percentage: `0.041` is `4.1 %`; three significant digits below 1 %.
  static func percent(_ fraction: Double) -> String {
    let value = fraction * 100
    if value == 0 { return "0 %" }
    if abs(value) >= 0.995 { return "\(Words.fixed(value, 1)) %" }
    if abs(value) < 0.0005 { return "\(value < 0 ? "-" : "")<0.001 %" }
    return "\(Words.fixed(value, 3)) %"
  }

  /// `p99.9` for 0.999.
  static func quantileName(_ probability: Double) -> String {
    var digits = Words.fixed(probability * 100, 6)
    while digits.hasSuffix("0") { digits.removeLast() }
    if digits.hasSuffix(".") { digits.removeLast() }
    return "p" + digits
  }

  /// `p99_9` for 0.999: the name in JSON and CSV.
  static func quantileKey(_ probability: Double) -> String {
    String(quantileName(probability).map { $0 == "." ? "_" : $0 })
  }

  /// Reads digits with at most one point, no sign and no exponent, as `digits` · 10^`exponent`, rounded once:
  /// `99.9` with −2 is the Double nearest 0.999.
  static func decimal(_ digits: some StringProtocol, exponent: Int) -> Double? {
    let isPlain = digits.utf8.allSatisfy { (0x30...0x39).contains($0) || $0 == UInt8(ascii: ".") }
    guard isPlain, let first = digits.first, first != ".", !digits.hasSuffix(".") else { return nil }
    return Double("\(digits)e\(exponent)").flatMap { $0.isFinite ? $0 : nil }
  }

  static func padded(_ string: String, _ width: Int) -> String {
    string + String(repeating: " ", count: max(0, width - string.count))
  }

  static func aligned(_ string: String, _ width: Int) -> String {
    String(repeating: " ", count: max(0, width - string.count)) + string
  }

  /// `one`, `one and two`, `one, two and three`.
  static func list(_ words: [String]) -> String {
    guard let last = words.last, words.count > 1 else { return words.first ?? "" }
    return words.dropLast().joined(separator: ", ") + " and " + last
  }
}
