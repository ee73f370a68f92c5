// SPDX-License-Identifier: GPL-2.0-or-later
import Foundation

/// P(X ≤ k) for X ~ Binomial(n, p).
///
/// The regularised incomplete beta function I_{1−p}(n − k, k + 1) by its continued fraction (DLMF 8.17.22, modified
/// Lentz), with the leading factor written as a binomial probability in Loader's saddle-point form, so that nothing
/// cancels: about 12 digits up to n = 10⁸.
/// - Complexity: O(√n) at worst (k near the mean), a few dozen steps in the tails.
package func binomialCDF(_ k: Int, n: Int, p: Double) -> Double {
  binomialTails(k, n: n, p: p).lower
}

/// P(X > k), accurate where it is tiny, unlike `1 - binomialCDF`.
package func binomialSurvival(_ k: Int, n: Int, p: Double) -> Double {
  binomialTails(k, n: n, p: p).upper
}

/// The smallest k with P(X ≤ k) ≥ `probability`, as `scipy.stats.binom.ppf` for 0 < probability < 1.
/// - Complexity: O(log n) evaluations of ``binomialCDF(_:n:p:)``.
package func binomialQuantile(_ probability: Double, n: Int, p: Double) -> Int {
  guard n > 0, p > 0, probability > 0 else { return 0 }
  guard p < 1, probability < 1 else { return n }
  let mean = Double(n) * p
  let step = max(1, Int((Double(n) * p * (1 - p)).squareRoot()))
  var low = min(n, max(0, Int(mean)))
  var high = low
  // Bracket: cdf(low − 1) < probability ≤ cdf(high).
  while high < n, binomialCDF(high, n: n, p: p) < probability { high = min(n, high + step) }
  while low > 0, binomialCDF(low - 1, n: n, p: p) >= probability { low = max(0, low - step) }
  while low < high {
    let middle = low + (high - low) / 2
    if binomialCDF(middle, n: n, p: p) >= probability { high = middle } else { low = middle + 1 }
  }
  return low
}

/// Clopper–Pearson interval for a proportion: exact, two-sided.
///
/// The lower bound solves P(X ≥ k) = α/2, the upper one P(X ≤ k) = α/2.
/// - Complexity: about 50 evaluations of ``binomialCDF(_:n:p:)`` a bound.
package func clopperPearson(_ k: Int, of n: Int, confidence: Double = 0.95) -> ClosedRange<Double> {
  guard n > 0 else { return 0...1 }
  let tail = (1 - confidence) / 2
  let lower = k <= 0 ? 0 : solve { binomialSurvival(k - 1, n: n, p: $0) > tail }
  let upper = k >= n ? 1 : solve { binomialCDF(k, n: n, p: $0) <= tail }
  return min(lower, upper)...max(lower, upper)
}

/// The smallest p in 0…1 for which `isReached` holds, which must hold from some p on.
private func solve(_ isReached: (Double) -> Bool) -> Double {
  var low = 0.0
  var high = 1.0
  while true {
    let middle = (low + high) / 2
    if middle <= low || middle >= high || high - low < 1e-13 * high { return middle }
    if isReached(middle) { high = middle } else { low = middle }
  }
}

private func binomialTails(_ k: Int, n: Int, p: Double) -> (lower: Double, upper: Double) {
  if k < 0 { return (0, 1) }
  if k >= n { return (1, 0) }
  if p <= 0 { return (1, 0) }
  if p >= 1 { return (0, 1) }
  let a = Double(n - k)
  let b = Double(k + 1)
  let q = 1 - p
  // The fraction converges fast left of the mean of the beta distribution; right of it the mirrored one does.
  if q < (a + 1) / (a + b + 2) {
    let lower = min(1, p * binomialMass(k, n: n, p: p) * betaFraction(a, b, q))
    return (lower, 1 - lower)
  }
  let upper = min(1, q * binomialMass(k + 1, n: n, p: p) * betaFraction(b, a, p))
  return (1 - upper, upper)
}

/// The continued fraction of I_x(a, b) without its leading factor x^a (1−x)^b / (a B(a, b)).
private func betaFraction(_ a: Double, _ b: Double, _ x: Double) -> Double {
  let tiny = 1e-300
  func notZero(_ value: Double) -> Double { abs(value) < tiny ? tiny : value }
  var c = 1.0
  var d = 1 / notZero(1 - (a + b) * x / (a + 1))
  var result = d
  // √(a + b) steps suffice; the bound only guards against values that are not numbers.
  let limit = 200 + Int(40 * (a + b).squareRoot())
  for step in 1...limit {
    let m = Double(step)
    let even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
    d = 1 / notZero(1 + even * d)
    c = notZero(1 + even / c)
    result *= d * c
    let odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
    d = 1 / notZero(1 + odd * d)
    c = notZero(1 + odd / c)
    result *= d * c
    if abs(d * c - 1) < 1e-15 { break }
  }
  return result
}

/// P(X = k). C. Loader, "Fast and accurate computation of binomial probabilities" (2000).
func binomialMass(_ k: Int, n: Int, p: Double) -> Double {
  if k < 0 || k > n { return 0 }
  if p <= 0 { return k == 0 ? 1 : 0 }
  if p >= 1 { return k == n ? 1 : 0 }
  let count = Double(n)
  if k == 0 { return exp(count * log1p(-p)) }
  if k == n { return exp(count * log(p)) }
  let x = Double(k)
  let rest = Double(n - k)
  let exponent =
    stirlingError(count) - stirlingError(x) - stirlingError(rest)
    - deviance(x, count * p) - deviance(rest, count * (1 - p))
  return exp(exponent) * (count / (2 * Double.pi * x * rest)).squareRoot()
}

/// ln n! − ln(√(2πn) (n/e)ⁿ).
private func stirlingError(_ n: Double) -> Double {
  if n < 16 {
    var factorial = 1.0
    for factor in stride(from: 2.0, through: n, by: 1) { factorial *= factor }
    return log(factorial) - (0.5 * log(2 * Double.pi * n) + n * log(n) - n)
  }
  let square = n * n
  return (1 / 12.0 - (1 / 360.0 - (1 / 1260.0 - (1 / 1680.0 - 1 / 1188.0 / square) / square) / square) / square) / n
}

/// x ln(x/m) + m − x, by a series where x is near m and the difference would cancel.
private func deviance(_ x: Double, _ m: Double) -> Double {
  guard abs(x - m) < 0.1 * (x + m) else { return x * log(x / m) + m - x }
  let v = (x - m) / (x + m)
  var sum = (x - m) * v
  var term = 2 * x * v
  for j in 1..<1000 {
    term *= v * v
    let next = sum + term / Double(2 * j + 1)
    if next == sum { break }
    sum = next
  }
  return sum
}
