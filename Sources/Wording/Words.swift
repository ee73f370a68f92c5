// SPDX-License-Identifier: GPL-2.0-or-later

/// How numbers are said to people, the same everywhere: no locale, a decimal point, one style of units.
package enum Words {
  /// A time with three significant digits and its unit: `873 ns`, `12.3 µs`, `-4.00 ms`.
  ///
  /// - Parameter nanoseconds: any finite number.
  package static func duration(_ nanoseconds: Double) -> String {
    let units: [(name: String, size: Double)] = [("ns", 1), ("µs", 1e3), ("ms", 1e6), ("s", 1e9)]
    let size = abs(nanoseconds)
    // A value that rounds up to 1000 belongs to the next unit: 999.6 µs is 1.00 ms.
    let unit = units.first { size / $0.size < 999.5 } ?? units[3]
    let number = nanoseconds / unit.size
    let isWhole = unit.name == "ns" && number == number.rounded()
    return "\(isWhole ? fixed(number, 0) : significant(number)) \(unit.name)"
  }

  package static func duration(_ nanoseconds: some BinaryInteger) -> String { duration(Double(nanoseconds)) }

  /// Three significant digits, all digits before the point kept: `1.23`, `12.3`, `123`, `1234`.
  package static func significant(_ number: Double) -> String {
    let size = abs(number)
    return fixed(number, size < 9.995 ? 2 : size < 99.95 ? 1 : 0)
  }

  /// `digits` places after the point, rounded half away from zero. Magnitudes beyond 10¹⁵ are printed as they are.
  package static func fixed(_ number: Double, _ digits: Int) -> String {
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
}
