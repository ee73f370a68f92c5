// SPDX-License-Identifier: GPL-2.0-or-later

/// Counts of nanoseconds, 128 bins for each power of two: quantiles are rounded up by less than 1 %, the extremes are exact.
package struct Histogram: Sendable {
  private var bins = [UInt64](repeating: 0, count: 64 * 128)
  package private(set) var count: UInt64 = 0
  package private(set) var max: Int64 = 0
  private var least = Int64.max
  private var sum = 0.0

  package init() {}

  /// Exact; 0 without samples.
  package var min: Int64 { count > 0 ? least : 0 }
  /// 0 without samples.
  package var mean: Double { count > 0 ? sum / Double(count) : 0 }

  /// Less than 0 counts as 0.
  package mutating func add(_ value: Int64) {
    let value = Swift.max(value, 0)
    let shift = Swift.max(0, 56 - value.leadingZeroBitCount)
    bins[shift * 128 + Int(value >> shift)] += 1
    count += 1
    max = Swift.max(max, value)
    least = Swift.min(least, value)
    sum += Double(value)
  }

  /// x of rank ⌈np⌉; nil without samples.
  package func quantile(_ p: Double) -> Int64? {
    guard count > 0 else { return nil }
    let rank = UInt64(Swift.max(1, (Double(count) * p).rounded(.up)))
    var seen: UInt64 = 0
    for (index, bin) in bins.enumerated() where bin > 0 {
      seen += bin
      guard seen >= rank else { continue }
      let shift = Swift.max(0, index / 128 - 1)
      return Swift.min(max, (Int64(index - shift * 128 + 1) << Int64(shift)) &- 1)
    }
    return max
  }
}
