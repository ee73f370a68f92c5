// SPDX-License-Identifier: GPL-2.0-or-later
import Testing

@testable import Analysis

@Suite struct GateVectorTests {
  /// statistics: n, most violations that pass, fewest that fail, for p99 at α = 0.05.
  @Test(arguments: [(299, 0, 7), (1_000, 4, 16), (10_000, 83, 118), (100_000, 948, 1_053)])
  func p99Limits(n: Int, passes: Int, fails: Int) {
    let decision = decideQuantile(violations: 0, count: n, effectiveCount: Double(n), violationProbability: 1 - 0.99)
    #expect(decision.passesUpTo == passes)
    #expect(decision.failsFrom == fails)
  }
}
