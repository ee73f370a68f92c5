// SPDX-License-Identifier: GPL-2.0-or-later
import Testing

@testable import Analysis

@Suite struct SummaryTests {
  @Test func ranksAreThoseOfTypeOne() {
    #expect(quantileRank(0.5, count: 23) == 12)
    #expect(quantileRank(0.5, count: 2) == 1)
    #expect(quantileRank(0.99, count: 100) == 99)
    #expect(quantileRank(0.99, count: 101) == 100)
    // 0.55 · 100 is 55.00000000000001 in floating point, 0.07 · 100 is 7.000000000000001.
    #expect(quantileRank(0.55, count: 100) == 55)
    #expect(quantileRank(0.07, count: 100) == 7)
    #expect(quantileRank(0.9999, count: 10_000) == 9_999)
    #expect(quantileRank(0.999, count: 1) == 1)
    #expect(quantileRank(0.0001, count: 23) == 1)
  }

  @Test func knownValues() throws {
    let summary = try #require(Summary(delays: [9, 2, 7, 4, 100]))
    #expect(summary.count == 5)
    #expect(summary.min == 2)
    #expect(summary.max == 100)
    #expect(summary.mean == 24.4)
    // Squares about 24.4: 237.16 + 501.76 + 302.76 + 416.16 + 5715.36 = 7173.2.
    #expect(abs(try #require(summary.standardDeviation) - (7_173.2 / 4).squareRoot()) < 1e-9)
    #expect(summary.quantiles.map(\.value) == [7, 100, 100, 100, 100])
    // |x − 7|: 0, 2, 3, 5, 93.
    #expect(summary.medianAbsoluteDeviation == 3)
    // x₍₄₎ = 9, x₍₂₎ = 4.
    #expect(summary.halfInterquartileRange == 2.5)
    #expect(summary.sorted == [2, 4, 7, 9, 100])
    #expect(summary.quantiles.allSatisfy { !$0.hasEnoughSamples && !$0.isResolved && $0.interval == nil })
  }

  @Test func oneSampleAndNone() throws {
    let one = try #require(Summary(delays: [-3]))
    #expect(one.standardDeviation == nil)
    #expect(one.medianAbsoluteDeviation == 0)
    #expect(one.mean == -3)
    #expect(Summary(delays: []) == nil)
  }

  @Test func medianDeviationAgainstTheDefinition() throws {
    var generator = SeededGenerator(state: 17)
    for count in 1...97 {
      let values = (0..<count).map { _ in Int64.random(in: -20...20, using: &generator) }
      let summary = try #require(Summary(delays: values))
      let median = values.sorted()[quantileRank(0.5, count: count) - 1]
      let expected = values.map { abs($0 - median) }.sorted()[quantileRank(0.5, count: count) - 1]
      #expect(summary.medianAbsoluteDeviation == expected)
    }
  }

  @Test func intervalsWidenWithDependence() throws {
    var generator = SeededGenerator(state: 23)
    let independent = (0..<9_973).map { _ in Int64.random(in: 0..<1_000_000, using: &generator) }
    let blocks = independent.prefix(997).flatMap { [Int64](repeating: $0, count: 10) }
    let first = try #require(Summary(delays: independent))
    let second = try #require(Summary(delays: blocks))
    #expect(first.effectiveCount > 8_000)
    #expect(second.effectiveCount < 1_500)
    let narrow = try #require(first.quantiles[1].interval)
    let wide = try #require(second.quantiles[1].interval)
    #expect(wide.upperBound - wide.lowerBound > 2 * (narrow.upperBound - narrow.lowerBound))
    #expect(narrow.contains(first.quantiles[1].value))
    #expect(wide.contains(second.quantiles[1].value))
  }

  @Test func resolvedNeedsABoundAndMoreThanTheClockError() throws {
    var generator = SeededGenerator(state: 29)
    let delays = (0..<997).map { _ in Int64.random(in: 1_000..<2_000, using: &generator) }
    let exact = try #require(Summary(delays: delays))
    #expect(exact.quantiles.map(\.isResolved) == [true, true, true, false, false])
    #expect(exact.quantiles.map(\.hasEnoughSamples) == [true, true, false, false, false])
    let coarse = try #require(Summary(delays: delays, errorBound: 1_700))
    #expect(coarse.quantiles.map(\.isResolved) == [false, true, true, false, false])
    let thousand = try #require(Summary(delays: delays + [1_000, 1_001, 1_002]))
    #expect(thousand.quantiles[2].hasEnoughSamples)
  }

  @Test func effectiveCountAgainstNumPy() throws {
    #expect(StatisticsVectors.autoregressive.count == 15)
    for vector in StatisticsVectors.autoregressive {
      var generator = SeededGenerator(state: 42)
      var value = 0.0
      let outcomes = (0..<vector.n).map { _ in
        let sum = (0..<4).reduce(0.0) { sum, _ in sum + Double(generator.next() >> 11) }
        value = vector.phi * value + (sum / 0x1p53 - 2)
        return value > 0.75
      }
      #expect(outcomes.filter { $0 }.count == vector.ones)
      let effective = effectiveCount(of: outcomes)
      #expect(abs(effective - vector.effective) < 1e-9 * vector.effective, "phi \(vector.phi) n \(vector.n)")
    }
  }

  @Test func seriesWithoutVarianceCountInFull() {
    #expect(effectiveCount(of: [Bool](repeating: false, count: 997)) == 997)
    #expect(effectiveCount(of: [Bool](repeating: true, count: 997)) == 997)
    #expect(effectiveCount(of: []) == 0)
    #expect(effectiveCount(of: [true]) == 1)
    #expect(effectiveCount(of: [true, false]) == 2)
  }

  /// Runs longer than the largest lag that is summed outcome by outcome.
  @Test func longMemoryIsNotCutShort() {
    var generator = SeededGenerator(state: 31)
    let runs = 997
    let length = 4_096
    var outcomes: [Bool] = []
    for _ in 0..<runs {
      let outcome = Bool.random(using: &generator)
      outcomes += [Bool](repeating: outcome, count: length)
    }
    let effective = effectiveCount(of: outcomes)
    // One observation a run, within the error of the estimate.
    #expect(effective > Double(runs) * 0.5)
    #expect(effective < Double(runs) * 1.6)
  }

  @Test func ccdfOverDistinctValues() {
    let points = ccdf([1, 1, 2, 5, 5, 5, 9, 9])
    #expect(points.map(\.value) == [1, 2, 5, 9])
    #expect(points.map(\.exceeding) == [6, 5, 2, 0])
    #expect(points.map(\.fraction) == [0.75, 0.625, 0.25, 0])
    #expect(ccdf([]).isEmpty)
    let band = points[2].band(effectiveCount: 8)
    #expect(band == clopperPearson(2, of: 8))
    #expect(points[3].band(effectiveCount: 4).lowerBound == 0)
  }

  @Test func thinningKeepsTheEndsAndTheLimit() {
    let values = Column((0..<99_991).map { Int64($0) })
    let points = ccdf(values)
    let thin = thinnedCCDF(values, to: 997)
    #expect(thin.count <= 997)
    #expect(thin.count > 500)
    #expect(Array(thin.prefix(249)) == Array(points.prefix(249)))
    #expect(Array(thin.suffix(249)) == Array(points.suffix(249)))
    #expect(zip(thin, thin.dropFirst()).allSatisfy { $0.value < $1.value })
    #expect(thinnedCCDF(Column(Array(values.prefix(997))), to: 997).count == 997)
  }
}
