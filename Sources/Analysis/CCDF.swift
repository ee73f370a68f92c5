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
package func ccdf(_ sorted: [Int64]) -> [CCDFPoint] {
  var points: [CCDFPoint] = []
  for (index, value) in sorted.enumerated() where index + 1 == sorted.count || sorted[index + 1] != value {
    points.append(CCDFPoint(value: value, exceeding: sorted.count - index - 1, count: sorted.count))
  }
  return points
}

/// At most `limit` (from 16 on) of the points, fit for a plot: a quarter of them from each end exactly as they are, the
/// rest spread evenly over the logarithm of `exceeding` in between.
package func thinned(_ points: [CCDFPoint], to limit: Int = 2_000) -> [CCDFPoint] {
  let limit = max(16, limit)
  guard points.count > limit else { return points }
  let edge = limit / 4
  let body = points[edge..<(points.count - edge)]
  let spread = limit - 2 * edge
  guard let first = body.first, let last = body.last, first.exceeding > last.exceeding, last.exceeding > 0 else {
    return points
  }
  // Octaves by significand and exponent: log2 without a mathematical library.
  func logarithm(_ value: Int) -> Double {
    let number = Double(value)
    return Double(number.exponent) + (number.significand - 1)
  }
  let top = logarithm(first.exceeding)
  let width = (top - logarithm(last.exceeding)) / Double(spread)
  var result = Array(points[..<edge])
  var cell = -1
  for point in body {
    let at = min(spread - 1, Int((top - logarithm(point.exceeding)) / width))
    if at > cell {
      result.append(point)
      cell = at
    }
  }
  return result + points[(points.count - edge)...]
}
