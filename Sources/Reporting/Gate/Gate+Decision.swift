// SPDX-License-Identifier: GPL-2.0-or-later
import Analysis
import Wording

extension Gate {
  // MARK: Quantiles

  /// The binomial rule with the effective sample size of the violations.
  static func decideQuantile(_ check: inout GateCheck, _ delays: Column<Int64>, _ probability: Double, _ alpha: Double)
  {
    let requirement = check.requirement
    let decision = gateQuantile(
      delays: delays, probability: probability, claim: requirement.comparison.claim, threshold: requirement.threshold,
      alpha: alpha)
    check.effectiveCount = decision.effectiveCount
    check.decision = GateCheck.Counts(
      violations: decision.violations, independentCount: decision.independentCount,
      violationsForPass: decision.violationsForPass, violationsForFail: decision.violationsForFail,
      passesUpTo: decision.passesUpTo, failsFrom: decision.failsFrom)
    let metric = requirement.metricName
    switch decision.outcome {
    case .pass: check.verdict = .pass
    case .fail:
      check.verdict = .fail
      check.reason = "\(decision.violations) of \(decision.count) packets break the threshold"
    case .inconclusive:
      check.verdict = .inconclusive
      check.reason = "\(decision.independentCount) independent samples cannot decide \(metric)"
      check.remedy = remedy(decision, requirement.comparison.claim.violationProbability(probability), alpha)
    }
  }

  private static func remedy(_ decision: QuantileDecision, _ violationProbability: Double, _ alpha: Double) -> String {
    let have = decision.independentCount
    if have < decision.fewestToPass, decision.violations == 0 {
      let times = Double(decision.fewestToPass) / Double(max(1, have))
      return "record at least \(decision.fewestToPass) (about \(Words.significant(times))× longer)"
    }
    // The share of violations seen so far, kept up for longer: when would it decide?
    for doubling in 1...10 {
      let factor = 1 << doubling
      let later = Analysis.decideQuantile(
        violations: decision.violations * factor, count: decision.count * factor,
        effectiveCount: decision.effectiveCount * Double(factor), violationProbability: violationProbability,
        alpha: alpha)
      if later.outcome != .inconclusive {
        return "record about \(factor)× longer (\(later.independentCount) independent samples), or repeat the run"
      }
    }
    return "the threshold lies too near the value itself: choose another one, or compare repeated runs"
  }

  // MARK: Mean

  /// Batches of the mean's interval; ν = 20 degrees of freedom.
  static let batches = 21
  static let fewestInBatch = 10

  /// Batch means: 21 batches of equal length in time order, Student's t with 20 degrees of freedom on their means
  /// (Law, "Simulation Modeling and Analysis", 9.5.3). PASS or FAIL if one side is left with probability ≤ α.
  ///
  /// n_eff is n s² / (m s_b²): variance of the samples over that of the batch means, times the batches' length m.
  static func decideMean(_ check: inout GateCheck, _ delays: Column<Int64>, _ alpha: Double) {
    let requirement = check.requirement
    let fewest = batches * fewestInBatch
    guard delays.count >= fewest else {
      check.verdict = .inconclusive
      check.reason = "\(delays.count) samples cannot decide a mean"
      check.remedy =
        "record at least \(fewest) (about "
        + "\(Words.significant(Double(fewest) / Double(max(1, delays.count))))× longer)"
      return
    }
    let length = delays.count / batches
    let means = (0..<batches).map { batch in
      delays[(batch * length)..<((batch + 1) * length)].reduce(0.0) { $0 + Double($1) } / Double(length)
    }
    let (mean, spread) = moments(means)
    let (_, sampleSpread) = moments(delays.lazy.map { Double($0) })
    if spread > 0 {
      check.effectiveCount = min(Double(delays.count), max(1, sampleSpread / spread * Double(batches)))
    }
    let distance = mean - requirement.threshold
    // Equal batch means leave no doubt but at the threshold itself.
    let t = spread > 0 ? distance / (spread / Double(batches)).squareRoot() : distance * Double.infinity
    let isUpper = requirement.comparison == .less || requirement.comparison == .lessOrEqual
    let side = isUpper ? t : -t
    if studentTail(-side) <= alpha {
      check.verdict = .pass
    } else if studentTail(side) <= alpha {
      check.verdict = .fail
      check.reason = "the mean is \(Words.duration(check.measured ?? mean))"
    } else {
      check.verdict = .inconclusive
      check.reason = "the threshold lies within the interval of the mean (\(batches) batches of \(length) samples)"
      check.remedy = "record longer, or choose a threshold farther from \(Words.duration(check.measured ?? mean))"
    }
  }

  /// Mean and sample variance.
  private static func moments(_ values: some Collection<Double>) -> (mean: Double, variance: Double) {
    let n = Double(values.count)
    let mean = values.reduce(0, +) / n
    return (mean, values.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / (n - 1))
  }

  /// P(T > t) for Student's t with an even number of degrees of freedom, ν = batches − 1: the finite sum of Abramowitz
  /// and Stegun 26.7.4. Not a number gives 1: no side is left.
  static func studentTail(_ t: Double) -> Double {
    if t.isNaN { return 1 }
    if t.isInfinite { return t > 0 ? 0 : 1 }
    let degrees = Double(batches - 1)
    let sine = t / (degrees + t * t).squareRoot()
    let cosineSquared = degrees / (degrees + t * t)
    var term = 1.0
    var sum = 1.0
    var step = 1.0
    while 2 * step <= degrees - 2 {
      term *= cosineSquared * (2 * step - 1) / (2 * step)
      sum += term
      step += 1
    }
    return (1 - sine * sum) / 2
  }
}
