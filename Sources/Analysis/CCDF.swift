// SPDX-License-Identifier: GPL-2.0-or-later

/// One step of a complementary distribution function.
package struct CCDFPoint: Sendable, Equatable {
  /// Nanoseconds.
  package var value: Int64
  /// How many samples are greater than `value`.
  package var exceeding: Int
  /// `exceeding` over the number of samples.
  package var fraction: Double

  package init(value: Int64, exceeding: Int, count: Int) {
    self.value = value
    self.exceeding = exceeding
    fraction = Double(exceeding) / Double(count)
  }

  /// Pointwise 95 % Clopper–Pearson band of `fraction`, for `count` samples (n_eff where they depend on one another).
  package func band(effectiveCount: Double, confidence: Double = 0.95) -> ClosedRange<Double> {
    let independent = max(1, Int(effectiveCount))
    let scaled = min(independent, Int((fraction * Double(independent)).rounded()))
    return clopperPearson(scaled, of: independent, confidence: confidence)
  }
}

/// CCDF(x) = fraction of values > x, one point for each distinct value, ascending; the last one is 0.
/// - Complexity: O(n).
package func ccdf(_ sorted: Column<Int64>) -> [CCDFPoint] {
  var points: [CCDFPoint] = []
  forEachCCDFPoint(sorted) { points.append($0) }
  return points
}

/// The same, point by point.
package func forEachCCDFPoint<Failure>(
  _ sorted: Column<Int64>, _ body: (CCDFPoint) throws(Failure) -> Void
) throws(Failure) {
  var last: Int64?
  var rest = sorted.count
  for value in sorted {
    if let last, value != last { try body(CCDFPoint(value: last, exceeding: rest, count: sorted.count)) }
    last = value
    rest -= 1
  }
  if let last { try body(CCDFPoint(value: last, exceeding: 0, count: sorted.count)) }
}

/// At most `limit` (from 16 on) of the points of the CCDF of `sorted`, fit for a plot: a quarter of them from each end
/// exactly as they are, the rest spread evenly over the logarithm of `exceeding` in between.
/// - Complexity: O(n) time, O(limit) memory.
package func thinnedCCDF(_ sorted: Column<Int64>, to limit: Int = 2_000) -> [CCDFPoint] {
  let limit = max(16, limit)
  var count = 0
  forEachCCDFPoint(sorted) { _ in count += 1 }
  let edge = limit / 4
  let spread = limit - 2 * edge
  var (first, last) = (0, 0)
  if count > limit {
    var number = 0
    forEachCCDFPoint(sorted) { point in
      if number == edge { first = point.exceeding }
      if number == count - edge - 1 { last = point.exceeding }
      number += 1
    }
  }
  let isThinned = first > last && last > 0
  // Octaves by significand and exponent: log2 without a mathematical library.
  func logarithm(_ value: Int) -> Double {
    let number = Double(value)
    return Double(number.exponent) + (number.significand - 1)
  }
  let top = isThinned ? logarithm(first) : 0
  let width = isThinned ? (top - logarithm(last)) / Double(spread) : 1
  var result: [CCDFPoint] = []
  var number = 0
  var cell = -1
  forEachCCDFPoint(sorted) { point in
    if isThinned, edge..<(count - edge) ~= number {
      let at = min(spread - 1, Int((top - logarithm(point.exceeding)) / width))
      if at > cell {
        result.append(point)
        cell = at
      }
    } else {
      result.append(point)
    }
    number += 1
  }
  return result
}
