// SPDX-License-Identifier: GPL-2.0-or-later

/// What a gate asks of a quantile.
package enum QuantileClaim: Sendable, Equatable {
  /// x_p ≤ T; a value > T speaks against it.
  case atMost
  /// x_p < T; a value ≥ T speaks against it.
  case below
  /// x_p ≥ T; a value < T speaks against it.
  case atLeast
  /// x_p > T; a value ≤ T speaks against it.
  case above

  /// Whether `value` speaks against the claim with threshold `threshold`.
  package func isViolated(by value: Int64, threshold: Double) -> Bool {
    switch self {
    case .atMost: Double(value) > threshold
    case .below: Double(value) >= threshold
    case .atLeast: Double(value) < threshold
    case .above: Double(value) <= threshold
    }
  }

  /// Probability of a violation at which the claim just holds: 1 − p for an upper bound, p for a lower one.
  package func violationProbability(_ probability: Double) -> Double {
    switch self {
    case .atMost, .below: 1 - probability
    case .atLeast, .above: probability
    }
  }
}

package enum GateOutcome: String, Sendable, Equatable {
  case pass
  case fail
  case inconclusive
}

/// A decision by the binomial rule and every number it rests on.
package struct QuantileDecision: Sendable, Equatable {
  package var outcome: GateOutcome
  /// Samples, n.
  package var count: Int
  /// Samples that speak against the claim, K.
  package var violations: Int
  package var effectiveCount: Double
  /// ⌊n_eff⌋, n': what the decision counts with.
  package var independentCount: Int
  /// K n'/n rounded up: what must be small enough to pass.
  package var violationsForPass: Int
  /// K n'/n rounded down: what must be large enough to fail.
  package var violationsForFail: Int
  /// The most violations among n' that pass; nil if not even 0 does.
  package var passesUpTo: Int?
  /// The fewest violations among n' that fail; nil if not even n' do.
  package var failsFrom: Int?
  /// The fewest independent samples that can pass at all, without a violation.
  package var fewestToPass: Int
}

/// Decides whether quantile `probability` of `delays` keeps to `threshold`.
///
/// With K violations among n samples, K' = K n'/n, n' = ⌊n_eff⌋ and v the probability of a violation at which the claim
/// just holds: PASS if B(⌈K'⌉; n', v) ≤ α, FAIL if 1 − B(⌊K'⌋ − 1; n', v) ≤ α, else INCONCLUSIVE. n_eff is that of the
/// series of violations in time order. Without any violation, or with nothing but violations, that series says nothing
/// about dependence; then it is that of the series 1{x > x_p} of the samples' own quantile.
///
/// - Parameters:
///   - delays: nanoseconds, in time order. Without any the outcome is inconclusive.
///   - probability: of the quantile, greater than 0 and less than 1.
///   - threshold: nanoseconds; not a number makes the outcome inconclusive.
///   - alpha: bound of the probability of a wrong PASS and of a wrong FAIL.
package func gateQuantile(
  delays: Column<Int64>, probability: Double, claim: QuantileClaim, threshold: Double, alpha: Double = 0.05
) -> QuantileDecision {
  let series = BitSeries(delays) { claim.isViolated(by: $0, threshold: threshold) }
  let violations = series.ones
  var effective = series.effectiveCount()
  if violations == 0 || violations == delays.count {
    if let own = quantile(probability, ofSorted: delays.ascending()) {
      effective = effectiveCount(of: delays, exceeding: own)
    }
  }
  var decision = decideQuantile(
    violations: violations, count: delays.count, effectiveCount: effective,
    violationProbability: claim.violationProbability(probability), alpha: alpha)
  if threshold.isNaN { decision.outcome = .inconclusive }
  return decision
}

/// The binomial rule on counts alone.
package func decideQuantile(
  violations: Int, count: Int, effectiveCount: Double, violationProbability: Double, alpha: Double = 0.05
) -> QuantileDecision {
  let independent = count == 0 ? 0 : max(1, min(count, Int(effectiveCount)))
  let scaled = violations.multipliedFullWidth(by: independent)
  let (quotient, remainder) = count == 0 ? (0, 0) : count.dividingFullWidth(scaled)
  let forPass = quotient + (remainder > 0 ? 1 : 0)
  let v = violationProbability
  // P(X ≤ k) ≤ α up to the quantile of α, or one less; P(X ≥ k) ≤ α from the quantile of 1 − α on, plus one.
  let atAlpha = binomialQuantile(alpha, n: independent, p: v)
  let passesUpTo = binomialCDF(atAlpha, n: independent, p: v) <= alpha ? atAlpha : atAlpha - 1
  var failsFrom = max(0, binomialQuantile(1 - alpha, n: independent, p: v) - 1)
  while failsFrom <= independent, binomialSurvival(failsFrom - 1, n: independent, p: v) > alpha { failsFrom += 1 }
  var outcome = GateOutcome.inconclusive
  if count > 0 {
    if forPass <= passesUpTo {
      outcome = .pass
    } else if quotient >= failsFrom {
      outcome = .fail
    }
  }
  return QuantileDecision(
    outcome: outcome, count: count, violations: violations, effectiveCount: effectiveCount,
    independentCount: independent, violationsForPass: forPass, violationsForFail: quotient,
    passesUpTo: passesUpTo >= 0 && count > 0 ? passesUpTo : nil,
    failsFrom: failsFrom <= independent && count > 0 ? failsFrom : nil,
    fewestToPass: fewestSamplesToPass(violationProbability: v, alpha: alpha))
}

/// ⌈ln α / ln(1 − v)⌉, found by the rule itself: the fewest samples that pass without a violation.
package func fewestSamplesToPass(violationProbability: Double, alpha: Double = 0.05) -> Int {
  guard violationProbability > 0, alpha > 0 else { return Int.max }
  var high = 1
  while binomialMass(0, n: high, p: violationProbability) > alpha {
    guard high < Int.max / 4 else { return Int.max }
    high *= 2
  }
  var low = high / 2 + 1
  while low < high {
    let middle = low + (high - low) / 2
    if binomialMass(0, n: middle, p: violationProbability) <= alpha { high = middle } else { low = middle + 1 }
  }
  return low
}
