// SPDX-License-Identifier: GPL-2.0-or-later
/// Rank of the type-1 quantile, ⌈np⌉ within 1 … n; the product's rounding never adds a rank.
package func quantileRank(_ probability: Double, count: Int) -> Int {
  let product = Double(count) * probability
  let nearest = product.rounded()
  // Two roundings (of p and of the product) are at most 2⁻⁵² of the product.
  let rank = abs(product - nearest) <= product * 0x1p-51 ? nearest : product.rounded(.up)
  return min(count, max(1, Int(rank)))
}

/// x₍⌈np⌉₎ of ascending values; nil without values.
package func quantile<Values: RandomAccessCollection>(_ probability: Double, ofSorted sorted: Values) -> Int64?
where Values.Element == Int64, Values.Index == Int {
  sorted.isEmpty ? nil : sorted[quantileRank(probability, count: sorted.count) - 1]
}

/// Ranks (from 1) of the order statistics that bound a quantile, at the given confidence; nil where there is no bound.
///
/// With n' = ⌊n_eff⌋: l = B⁻¹(α/2; n', p) and u = B⁻¹(1 − α/2; n', p) + 1, as SciPy's `quantile_test`. They are ranks
/// among n' values; among n they become ⌊l n/n'⌋ and ⌈u n/n'⌉. No bound: l = 0 or u = n' + 1.
package func quantileIntervalRanks(
  _ probability: Double, count: Int, effectiveCount: Double, confidence: Double = 0.95
) -> ClosedRange<Int>? {
  let independent = max(1, min(count, Int(effectiveCount)))
  let tail = (1 - confidence) / 2
  let lower = binomialQuantile(tail, n: independent, p: probability)
  let upper = binomialQuantile(1 - tail, n: independent, p: probability) + 1
  guard lower >= 1, upper <= independent else { return nil }
  let low = lower * count / independent
  let high = min(count, (upper * count + independent - 1) / independent)
  return low...high
}

extension Summary {
  /// The probabilities every summary gives, in order.
  package static let probabilities = [0.5, 0.9, 0.99, 0.999, 0.9999]

  /// Summary of `delays` in time order; nil without any. `errorBound` is the clock error in nanoseconds.
  /// - Complexity: O(n log n).
  package init?(delays: [Int64], errorBound: Int64 = 0) { self.init(delays: Column(delays), errorBound: errorBound) }

  package init?(delays: Column<Int64>, errorBound: Int64 = 0) {
    let sorted = delays.ascending()
    guard let min = sorted.first, let max = sorted.last, let median = quantile(0.5, ofSorted: sorted),
      let low = quantile(0.25, ofSorted: sorted), let high = quantile(0.75, ofSorted: sorted)
    else { return nil }
    let n = Double(sorted.count)
    // Sums about the smallest value: delays are small beside what a Double holds, absolute offsets need not be.
    let mean = sorted.reduce(0.0) { $0 + Double($1 - min) } / n
    let squares = sorted.reduce(0.0) { sum, value in
      let distance = Double(value - min) - mean
      return sum + distance * distance
    }
    var effective = n
    var quantiles: [Quantile] = []
    for probability in Summary.probabilities {
      guard let value = quantile(probability, ofSorted: sorted) else { continue }
      let independent = Analysis.effectiveCount(of: delays, exceeding: value)
      if probability == 0.99 { effective = independent }
      let ranks = quantileIntervalRanks(probability, count: sorted.count, effectiveCount: independent)
      quantiles.append(
        Quantile(
          probability: probability, value: value,
          interval: ranks.map { ranks in
            let low = sorted[ranks.lowerBound - 1]
            // A disk that fails in between gives 0.
            return low...Swift.max(low, sorted[ranks.upperBound - 1])
          },
          isResolved: ranks != nil && value >= errorBound,
          hasEnoughSamples: n * (1 - probability) >= 10 * (1 - 1e-9)))
    }
    self.init(
      count: sorted.count, effectiveCount: effective, min: min, max: max, mean: mean + Double(min),
      standardDeviation: sorted.count > 1 ? (squares / (n - 1)).squareRoot() : nil,
      medianAbsoluteDeviation: distance(quantileRank(0.5, count: sorted.count), from: median, ofSorted: sorted),
      halfInterquartileRange: Double(high - low) / 2, quantiles: quantiles, sorted: sorted)
  }
}

/// The value of rank `rank` (from 1) among all |x − centre|, within what 64 bits hold.
/// - Complexity: O(log n) for each bit of it.
func distance(_ rank: Int, from centre: Int64, ofSorted sorted: Column<Int64>) -> Int64 {
  func isWithin(_ distance: Int64) -> Bool {
    let (least, isTooLow) = centre.subtractingReportingOverflow(distance)
    let (most, isTooHigh) = centre.addingReportingOverflow(distance)
    let first = isTooLow ? 0 : sorted.partitioningIndex { $0 >= least }
    let end = isTooHigh ? sorted.count : sorted.partitioningIndex { $0 > most }
    return end - first >= rank
  }
  var (low, high) = (Int64(0), Int64.max)
  while low < high {
    let middle = low + (high - low) / 2
    if isWithin(middle) { high = middle } else { low = middle + 1 }
  }
  return low
}

extension RandomAccessCollection where Index == Int {
  /// Index of the first element for which `isReached` holds; it must hold for all that follow.
  /// - Complexity: O(log n).
  package func partitioningIndex(_ isReached: (Element) -> Bool) -> Int {
    var low = startIndex
    var high = endIndex
    while low < high {
      let middle = low + (high - low) / 2
      if isReached(self[middle]) { high = middle } else { low = middle + 1 }
    }
    return low
  }
}
