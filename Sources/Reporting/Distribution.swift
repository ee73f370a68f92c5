// SPDX-License-Identifier: GPL-2.0-or-later
import Glibc

/// Shapes of a distribution for files and pictures; input is ascending, nanoseconds.
enum Distribution {
  struct CCDFPoint: Equatable {
    var value: Int64
    /// Fraction of the samples > value.
    var fractionAbove: Double
  }

  /// CCDF(x) = fraction of values > x at every distinct x. The last one is 0.
  /// - Complexity: O(n)
  static func ccdf(_ sorted: [Int64]) -> [CCDFPoint] {
    var points: [CCDFPoint] = []
    let total = Double(sorted.count)
    for index in sorted.indices where index + 1 == sorted.count || sorted[index + 1] != sorted[index] {
      points.append(CCDFPoint(value: sorted[index], fractionAbove: Double(sorted.count - index - 1) / total))
    }
    return points
  }

  /// The CCDF for a picture: steps that differ by less than a pixel are left out, the 200 slowest are all kept.
  ///
  /// Begins at the smallest value with 1, and carries the last fraction above 0 on to the maximum, as a logarithmic
  /// axis has no place for 0. Values ≤ 0 have no place either and are left out.
  static func drawnCCDF(_ sorted: [Int64]) -> [CCDFPoint] {
    let exact = ccdf(sorted)
    guard let least = exact.first(where: { $0.value > 0 }), let last = exact.last, last.value > 0 else { return [] }
    let above = Double(sorted.count - sorted.prefix { $0 <= 0 }.count) / Double(sorted.count)
    var points = [CCDFPoint(value: least.value, fractionAbove: above)]
    for (index, point) in exact.enumerated() where point.value > 0 && point.fractionAbove > 0 {
      guard let drawn = points.last else { continue }
      let moved =
        Double(point.value) / Double(drawn.value) >= 1.002 || drawn.fractionAbove / point.fractionAbove >= 1.002
      if moved || index + 200 >= exact.count || points.count == 1 { points.append(point) }
    }
    if let drawn = points.last {
      points.append(CCDFPoint(value: last.value, fractionAbove: drawn.fractionAbove))
    }
    return points
  }

  struct Bin: Equatable {
    /// The bin holds [low, high).
    var low: Int64
    var high: Int64
    var count: Int
  }

  /// Counts in bins of equal width on a logarithmic axis, 20 a decade, with edges on whole nanoseconds so that
  /// no bin is empty only because it holds no integer. Values ≤ 0 are left out; bins without samples too.
  static func logarithmicBins(_ sorted: [Int64]) -> [Bin] {
    var bins: [Bin] = []
    var edge = 0
    var low: Int64 = 1
    var high: Int64 = 1
    for value in sorted where value > 0 {
      if value >= high || bins.isEmpty {
        while value >= high, high < Int64.max {
          edge += 1
          low = high
          high = max(low, edgeValue(edge))
        }
        bins.append(Bin(low: low, high: high, count: 0))
      }
      bins[bins.count - 1].count += 1
    }
    return bins
  }

  /// round(10^(k/20)) up to what fits.
  private static func edgeValue(_ edge: Int) -> Int64 {
    let value = pow(10, Double(edge) / 20)
    return value < 9e18 ? Int64(value.rounded()) : Int64.max
  }
}
