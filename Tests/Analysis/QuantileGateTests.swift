// SPDX-License-Identifier: GPL-2.0-or-later
import Testing

@testable import Analysis

@Suite struct QuantileGateTests {
  /// n, most violations that pass, fewest that fail, for p99 at α = 0.05.
  @Test(arguments: [(299, 0, 7), (1_000, 4, 16), (10_000, 83, 118), (100_000, 948, 1_053)])
  func p99Limits(n: Int, passes: Int, fails: Int) {
    func decide(_ violations: Int) -> QuantileDecision {
      decideQuantile(violations: violations, count: n, effectiveCount: Double(n), violationProbability: 1 - 0.99)
    }
    #expect(decide(0).passesUpTo == passes)
    #expect(decide(0).failsFrom == fails)
    #expect(decide(passes).outcome == .pass)
    #expect(decide(passes + 1).outcome == .inconclusive)
    #expect(decide(fails - 1).outcome == .inconclusive)
    #expect(decide(fails).outcome == .fail)
  }

  @Test(arguments: [(0.99, 299), (0.999, 2_995), (0.9999, 29_956)])
  func fewestSamples(probability: Double, fewest: Int) {
    #expect(fewestSamplesToPass(violationProbability: 1 - probability) == fewest)
    func outcome(_ count: Int) -> GateOutcome {
      decideQuantile(
        violations: 0, count: count, effectiveCount: Double(count), violationProbability: 1 - probability
      ).outcome
    }
    #expect(outcome(fewest) == .pass)
    #expect(outcome(fewest - 1) == .inconclusive)
  }

  @Test func dependenceScalesTheCounts() {
    // K' = 7 · 299 / 997 = 2.1: three do not pass, two do not fail.
    let decision = decideQuantile(violations: 7, count: 997, effectiveCount: 299.9, violationProbability: 0.01)
    #expect(decision.independentCount == 299)
    #expect(decision.violationsForPass == 3)
    #expect(decision.violationsForFail == 2)
    #expect(decision.outcome == .inconclusive)
  }

  @Test func noSamplesDecideNothing() {
    let decision = gateQuantile(delays: [], probability: 0.99, claim: .atMost, threshold: 100)
    #expect(decision.outcome == .inconclusive)
    #expect(decision.passesUpTo == nil)
    #expect(decision.failsFrom == nil)
    #expect(decision.fewestToPass == 299)
  }

  @Test func aThresholdThatIsNoNumberNeverPasses() {
    let delays = [Int64](repeating: 5, count: 997)
    #expect(
      gateQuantile(delays: Column(delays), probability: 0.99, claim: .atMost, threshold: .nan).outcome == .inconclusive)
    #expect(
      gateQuantile(delays: Column(delays), probability: 0.99, claim: .above, threshold: .nan).outcome == .inconclusive)
  }

  @Test func equalityDecidesBetweenTheClaims() {
    let delays = [Int64](repeating: 100, count: 997)
    func outcome(_ claim: QuantileClaim, _ threshold: Double = 100) -> GateOutcome {
      gateQuantile(delays: Column(delays), probability: 0.99, claim: claim, threshold: threshold).outcome
    }
    #expect(outcome(.atMost) == .pass)
    #expect(outcome(.below) == .fail)
    #expect(outcome(.below, 100.5) == .pass)
    #expect(outcome(.atLeast) == .pass)
    #expect(outcome(.above) == .fail)
    #expect(outcome(.above, 99) == .pass)
  }

  @Test func aLowerBoundOfTheMedian() {
    var generator = SeededGenerator(state: 3)
    let delays = (0..<997).map { _ in Int64.random(in: 0..<1_000, using: &generator) }
    func outcome(_ threshold: Double) -> GateOutcome {
      gateQuantile(delays: Column(delays), probability: 0.5, claim: .above, threshold: threshold).outcome
    }
    #expect(outcome(400) == .pass)
    #expect(outcome(500) == .inconclusive)
    #expect(outcome(600) == .fail)
  }

  @Test func aBurstIsNotManyObservations() {
    // 5 % slow packets, all in one burst: one event, which proves little either way.
    var delays = [Int64](repeating: 10, count: 997)
    for index in 500..<550 { delays[index] = 1_000 }
    let burst = gateQuantile(delays: Column(delays), probability: 0.99, claim: .atMost, threshold: 100)
    #expect(burst.violations == 50)
    #expect(burst.effectiveCount < 60)
    #expect(burst.outcome == .inconclusive)
    // The same packets spread out are 50 independent ones.
    var generator = SeededGenerator(state: 9)
    delays.shuffle(using: &generator)
    #expect(gateQuantile(delays: Column(delays), probability: 0.99, claim: .atMost, threshold: 100).outcome == .fail)
  }

  @Test func withoutViolationsTheOwnQuantileTellsTheDependence() {
    // A slow drift below the threshold: far fewer than 997 observations.
    let delays = (0..<997).map { Int64($0) }
    let decision = gateQuantile(delays: Column(delays), probability: 0.99, claim: .atMost, threshold: 5_000)
    #expect(decision.violations == 0)
    #expect(decision.effectiveCount < 299)
    #expect(decision.outcome == .inconclusive)
    var generator = SeededGenerator(state: 9)
    let shuffled = delays.shuffled(using: &generator)
    #expect(
      gateQuantile(delays: Column(shuffled), probability: 0.99, claim: .atMost, threshold: 5_000).outcome == .pass)
  }

  /// On samples whose quantile lies exactly at the threshold a PASS or FAIL is wrong: each at most α of the time.
  @Test func wrongDecisionsAreRare() {
    var generator = SeededGenerator(state: 11)
    var wrong: [GateOutcome: Int] = [:]
    let trials = 997
    for _ in 0..<trials {
      let delays = (0..<500).map { _ in Int64.random(in: 0..<1_000, using: &generator) }
      wrong[
        gateQuantile(delays: Column(delays), probability: 0.9, claim: .below, threshold: 900).outcome, default: 0] += 1
    }
    #expect(wrong[.pass, default: 0] < trials * 7 / 100)
    #expect(wrong[.fail, default: 0] < trials * 7 / 100)
    #expect(wrong[.inconclusive, default: 0] > trials * 80 / 100)
  }
}
