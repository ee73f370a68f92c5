// SPDX-License-Identifier: GPL-2.0-or-later

/// Numbers and strings as people read them. No locale: a decimal point, and the same text everywhere.
package enum Text {
  /// A time with three significant digits and its unit: `873 ns`, `12.3 µs`, `-4.00 ms`.
  ///
  /// - Parameter nanoseconds: any finite number.
  static func duration(_ nanoseconds: Double) -> String {
    let units: [(name: String, size: Double)] = [("ns", 1), ("µs", 1e3), ("ms", 1e6), ("s", 1e9)]
    let size = abs(nanoseconds)
    // A value that rounds up to 1000 belongs to the next unit: 999.6 µs is 1.00 ms.
    let unit = units.first { size / $0.size < 999.5 } ?? units[3]
    let number = nanoseconds / unit.size
    let isWhole = unit.name == "ns" && number == number.rounded()
    return "\(isWhole ? fixed(number, 0) : significant(number)) \(unit.name)"
  }

  /// Three significant digits, all digits before the point kept: `1.23`, `12.3`, `123`, `1234`.
  static func significant(_ number: Double) -> String {
    let size = abs(number)
    return fixed(number, size < 9.995 ? 2 : size < 99.95 ? 1 : 0)
  }

  /// `digits` places after the point, rounded half away from zero. Magnitudes beyond 10¹⁵ are printed as they are.
  static func fixed(_ number: Double, _ digits: Int) -> String {
    var scale = 1.0
    for _ in 0..<digits { scale *= 10 }
    let scaled = (abs(number) * scale).rounded()
    guard scaled.isFinite, scaled < 1e15 else { return "\(number)" }
    let sign = number < 0 && scaled > 0 ? "-" : ""
    let whole = Int64(scaled / scale)
    guard digits > 0 else { return sign + String(whole) }
    let fraction = String(Int64(scaled) - whole * Int64(scale))
    return "\(sign)\(whole).\(String(repeating: "0", count: digits - fraction.count))\(fraction)"
  }

  /// A fraction as a percentage: `0.041` is `4.1 %`; three significant digits below 1 %.
  static func percent(_ fraction: Double) -> String {
    let value = fraction * 100
    if value == 0 { return "0 %" }
    if abs(value) >= 0.995 { return "\(fixed(value, 1)) %" }
    if abs(value) < 0.0005 { return "\(value < 0 ? "-" : "")<0.001 %" }
    return "\(fixed(value, 3)) %"
  }

  /// `p99.9` for 0.999.
  static func quantileName(_ probability: Double) -> String {
    var digits = fixed(probability * 100, 6)
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

  /// Breaks at spaces so that no line is longer than `width`, except for words that are. Spaces at the beginning stay;
  /// further lines begin with `indent` of them.
  static func wrapped(_ string: String, _ width: Int, indent: Int = 0) -> [String] {
    var lines: [String] = []
    let start = String(string.prefix { $0 == " " })
    var line = start
    var isEmpty = true
    // A unit stays with its number.
    let units: Set<String> = ["ns", "µs", "ms", "s", "%"]
    let words = string.split(separator: " ").reduce(into: [String]()) { words, word in
      let isUnit = units.contains(String(word.prefix { !",;:).".contains($0) }))
      if isUnit, words.last?.last?.isNumber == true {
        words[words.count - 1] += " \(word)"
      } else {
        words.append(String(word))
      }
    }
    for word in words {
      if !isEmpty, line.count + 1 + word.count > width {
        lines.append(line)
        line = String(repeating: " ", count: indent)
        isEmpty = true
      }
      line += isEmpty ? word : " \(word)"
      isEmpty = false
    }
    if !isEmpty { lines.append(line) }
    return lines
  }
}
