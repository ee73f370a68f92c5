// SPDX-License-Identifier: GPL-2.0-or-later

/// How many independent observations a dependent series of n yes-or-no outcomes is worth.
///
/// n_eff = n / (1 + 2 Σ ρ_k), the sum cut by Geyer's initial positive sequence (C. Geyer, "Practical Markov chain Monte
/// Carlo", 1992): pairs Γ_m = ρ_2m + ρ_2m+1, the first one with ρ_0 = 1, are added while positive, and
/// 1 + 2 Σ ρ_k = 2 Σ Γ_m − 1. The result is clamped to 1 … n; a series without variance counts in full.
///
/// Trade: at most 1 024 lags are summed outcome by outcome. A series that is still correlated there is summed up in
/// blocks of 64 and the same is done with the blocks, and so on: long-run variance of the blocks over variance of the
/// outcomes. That bounds the cost and never cuts a long memory short.
/// - Complexity: O(16 n) word operations at worst, O(n / 64) a lag.
package func effectiveCount(of outcomes: [Bool]) -> Double {
  BitSeries(Column(outcomes.map { $0 ? 1 : 0 })) { $0 != 0 }.effectiveCount()
}

/// ``effectiveCount(of:)`` for the series 1{value > threshold} of values in time order.
package func effectiveCount(of values: Column<Int64>, exceeding threshold: Int64) -> Double {
  BitSeries(values) { $0 > threshold }.effectiveCount()
}

/// Yes-or-no outcomes in time order, 64 to a word.
struct BitSeries {
  static let maximalLag = 1_024

  private let words: Column<UInt64>
  let count: Int

  /// What grows with the number of values is where theirs is.
  init(_ values: Column<Int64>, where holds: (Int64) -> Bool) {
    count = values.count
    var words = Column<UInt64>(on: values.scratch)
    values.forEachPart { part, own in
      for begin in stride(from: 0, to: own, by: 64) {
        var word: UInt64 = 0
        for index in begin..<min(begin + 64, own) where holds(part[index]) { word |= 1 << UInt64(index & 63) }
        words.append(word)
      }
    }
    self.words = words
  }

  func bit(_ index: Int) -> Int { Int((words[index >> 6] >> UInt64(index & 63)) & 1) }

  var ones: Int {
    var sum = 0
    words.forEachPart { part, _ in sum += part.reduce(0) { $0 + $1.nonzeroBitCount } }
    return sum
  }

  /// Pairs of ones that lie `lag` apart.
  func pairs(at lag: Int) -> Int {
    let skip = lag >> 6
    let shift = UInt64(lag & 63)
    var sum = 0
    words.forEachPart(overlap: skip + 1) { words, own in
      var found = 0
      for index in 0..<min(own, max(0, words.count - skip)) {
        var moved = words[index + skip] >> shift
        if shift > 0, index + skip + 1 < words.count { moved |= words[index + skip + 1] << (64 - shift) }
        found += (words[index] & moved).nonzeroBitCount
      }
      sum += found
    }
    return sum
  }

  func effectiveCount() -> Double {
    let n = Double(count)
    let ones = Double(self.ones)
    guard count > 1, ones > 0, ones < n else { return n }
    let mean = ones / n
    let variance = mean * (1 - mean)
    // Ones among the first and the last count − k outcomes, kept up from lag to lag.
    var head = ones
    var tail = ones
    let sum = geyerSum(count: count) { lag in
      head -= Double(bit(count - lag))
      tail -= Double(bit(lag - 1))
      let pairs = Double(self.pairs(at: lag))
      return (pairs - mean * (head + tail) + Double(count - lag) * mean * mean) / n / variance
    }
    var factor = sum.factor
    if !sum.isComplete {
      let blocks = words.map { Double($0.nonzeroBitCount) }
      factor = longRunVariance(blocks, count: count / 64) / 64 / variance
    }
    // An anti-correlated series never counts for more than it has.
    guard factor > 1 else { return n }
    return Swift.max(1, n / factor)
  }
}

/// 2 Σ Γ_m − 1 by Geyer's rule; not complete if pairs were still positive at the largest lag allowed.
/// `correlation` is asked for lags 1, 2, 3, … in turn.
private func geyerSum(count: Int, correlation: (Int) -> Double) -> (factor: Double, isComplete: Bool) {
  var sum = 0.0
  var lag = 0
  while true {
    let even = lag == 0 ? 1 : correlation(lag)
    guard lag + 1 < count else { return (2 * (sum + Swift.max(0, even)) - 1, true) }
    let pair = even + correlation(lag + 1)
    if pair <= 0 { return (2 * sum - 1, true) }
    sum += pair
    lag += 2
    if lag >= count { return (2 * sum - 1, true) }
    if lag > BitSeries.maximalLag { return (2 * sum - 1, false) }
  }
}

/// Variance times 1 + 2 Σ ρ_k: the limit of m times the variance of a mean of m values; of the first `count` ones.
private func longRunVariance(_ values: Column<Double>, count: Int) -> Double {
  let n = Double(count)
  /// Sum over the first `count` values in turn that have another one `overlap` later.
  func sum(overlap: Int = 0, _ term: (_ part: [Double], _ index: Int) -> Double) -> Double {
    var total = 0.0
    var left = count
    values.forEachPart(overlap: overlap) { part, own in
      var sum = total
      for index in 0..<max(0, min(own, min(part.count, left) - overlap)) { sum += term(part, index) }
      total = sum
      left -= min(own, left)
    }
    return total
  }
  let mean = sum { $0[$1] } / n
  let variance = sum { ($0[$1] - mean) * ($0[$1] - mean) } / n
  guard variance > 0 else { return 0 }
  let correlations = geyerSum(count: count) { lag in
    sum(overlap: lag) { ($0[$1] - mean) * ($0[$1 + lag] - mean) } / n / variance
  }
  if correlations.isComplete { return variance * Swift.max(correlations.factor, 1 / n) }
  var blocks = Column<Double>(on: values.scratch)
  values.forEachPart { part, own in
    for begin in stride(from: 0, to: own / 64 * 64, by: 64) {
      blocks.append(part[begin..<begin + 64].reduce(0, +))
    }
  }
  return longRunVariance(blocks, count: count / 64) / 64
}
