// SPDX-License-Identifier: GPL-2.0-or-later

/// Unit of a file's times.
package enum TimeResolution: Sendable, Hashable, CustomStringConvertible {
  /// 10⁻ⁿ seconds.
  case decimal(Int)
  /// 2⁻ⁿ seconds.
  case binary(Int)

  /// Nanoseconds of a time in this unit, `offset` seconds later; nil from 2^62 on, 146 years.
  ///
  /// What is no whole number of nanoseconds is rounded to the nearest, a half up; units of 10⁻⁹ s and coarser ones are exact.
  package func nanoseconds(_ units: UInt64, offset: Int64 = 0) -> Int64? {
    var time: UInt128
    switch self {
    case .decimal(let digits) where digits <= 9:
      time = UInt128(units) * TimeResolution.power(of: 9 - digits)
    case .decimal(let digits):
      // 2⁶⁴ units are less than half a nanosecond from 10⁻²⁹ s on.
      let divisor = TimeResolution.power(of: min(digits - 9, 21))
      time = (UInt128(units) + divisor / 2) / divisor
    case .binary(let bits):
      time = UInt128(units) * 1_000_000_000
      if bits > 0 { time = (time + 1 << (bits - 1)) >> bits }
    }
    let sum = Int128(time) + Int128(offset) * 1_000_000_000
    // What a recording can hold.
    return sum.magnitude < 1 << 62 ? Int64(sum) : nil
  }

  package var description: String {
    switch self {
    case .decimal(let digits): "10^-\(digits) s"
    case .binary(let bits): "2^-\(bits) s"
    }
  }

  private static func power(of digits: Int) -> UInt128 { (0..<digits).reduce(1) { power, _ in power * 10 } }
}
