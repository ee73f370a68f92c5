// SPDX-License-Identifier: GPL-2.0-or-later
import Testing

@testable import Analysis

/// Against SciPy; the vectors are made by Tests/Fixtures/make_statistics_vectors.py.
@Suite struct BinomialTests {
  @Test func distributionFunction() {
    #expect(StatisticsVectors.binomial.count == 80)
    for vector in StatisticsVectors.binomial {
      let lower = binomialCDF(vector.k, n: vector.n, p: vector.p)
      let upper = binomialSurvival(vector.k, n: vector.n, p: vector.p)
      #expect(isClose(lower, vector.lower), "B(\(vector.k); \(vector.n), \(vector.p)) = \(lower), not \(vector.lower)")
      #expect(isClose(upper, vector.upper), "1 - B(\(vector.k); \(vector.n), \(vector.p)) = \(upper)")
    }
  }

  /// Ten digits, also of tiny tails; what is smaller than 1e-280 only has to be small.
  private func isClose(_ value: Double, _ expected: Double) -> Bool {
    abs(value - expected) <= 1e-10 * expected || (value < 1e-280 && expected < 1e-280)
  }

  @Test func edges() {
    #expect(binomialCDF(-1, n: 23, p: 0.5) == 0)
    #expect(binomialCDF(23, n: 23, p: 0.5) == 1)
    #expect(binomialCDF(0, n: 0, p: 0.5) == 1)
    #expect(binomialCDF(3, n: 23, p: 0) == 1)
    #expect(binomialCDF(3, n: 23, p: 1) == 0)
    #expect(binomialQuantile(0.5, n: 0, p: 0.5) == 0)
    #expect(binomialQuantile(0.5, n: 23, p: 1) == 23)
    #expect(binomialMass(-1, n: 23, p: 0.5) == 0)
    #expect(binomialMass(24, n: 23, p: 0.5) == 0)
  }

  @Test func massesSumToOne() {
    for n in [1, 15, 16, 17, 997] {
      let sum = (0...n).reduce(0.0) { $0 + binomialMass($1, n: n, p: 0.37) }
      #expect(abs(sum - 1) < 1e-12)
    }
  }

  @Test func inverse() {
    #expect(StatisticsVectors.quantiles.count == 120)
    for vector in StatisticsVectors.quantiles {
      let k = binomialQuantile(vector.probability, n: vector.n, p: vector.p)
      #expect(k == vector.k, "quantile \(vector.probability) of (\(vector.n), \(vector.p))")
    }
  }

  @Test func intervalsOfQuantiles() {
    #expect(StatisticsVectors.intervals.contains { $0.high == 0 })
    for vector in StatisticsVectors.intervals {
      let ranks = quantileIntervalRanks(vector.p, count: vector.n, effectiveCount: Double(vector.n))
      let hasBounds = vector.low > 0 && vector.high > 0
      #expect(ranks == (hasBounds ? vector.low...vector.high : nil), "n \(vector.n) p \(vector.p)")
    }
  }

  @Test func proportions() {
    for vector in StatisticsVectors.proportions {
      let interval = clopperPearson(vector.k, of: vector.n)
      #expect(abs(interval.lowerBound - vector.low) <= 1e-9 * vector.low)
      #expect(abs(interval.upperBound - vector.high) <= 1e-9 * vector.high)
    }
    #expect(clopperPearson(0, of: 0) == 0...1)
  }

  /// Exact coverage of the p99 interval from the reference: 98.9, 98.0, 97.6, 95.6 %.
  @Test(arguments: [(300, 0.989), (500, 0.980), (1_000, 0.976), (10_000, 0.956)])
  func coverage(n: Int, expected: Double) throws {
    let low = binomialQuantile(0.025, n: n, p: 0.99)
    let high = binomialQuantile(0.975, n: n, p: 0.99) + 1
    let coverage = binomialCDF(high - 1, n: n, p: 0.99) - binomialCDF(low - 1, n: n, p: 0.99)
    #expect(abs(coverage - expected) < 0.0006)
  }
}
