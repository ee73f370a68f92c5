// SPDX-License-Identifier: GPL-2.0-or-later
import Analysis
import Recording
import Testing

@testable import Reporting

@Suite struct GateTests {
  private func check(
    _ text: String, _ result: SessionResult, limits: Policy.Limits = Policy.Limits(), alpha: Double = 0.05
  ) throws -> GateReport {
    Gate.check(result, policy: Policy(requirements: [try Requirement(parsing: text)], alpha: alpha, limits: limits))
  }

  private func check(_ text: String, delays: [Int64]) throws -> GateCheck {
    let report = try check(text, Synthetic.session([Synthetic.segment(.txg2, .txh0, delays: delays)]))
    return try #require(report.runs.first?.checks.first)
  }

  // MARK: Quantiles

  /// The vectors for p99 at α = 0.05: n, passes up to, fails from.
  @Test(arguments: [(299, 0, 7), (1_000, 4, 16), (10_000, 83, 118), (100_000, 948, 1_053)])
  func vectors(_ count: Int, _ passes: Int, _ fails: Int) throws {
    func verdict(_ bad: Int) throws -> GateCheck {
      try check("txg2-txh0 p99 <= 200ns", delays: Synthetic.spread(count: count, bad: bad))
    }
    #expect(try verdict(0).verdict == .pass)
    let atPass = try verdict(passes)
    // Chance gives the mixed series a little dependence; what the rule allows is then that of n'.
    let n = try #require(atPass.decision?.independentCount)
    let rule = decideQuantile(
      violations: 0, count: n, effectiveCount: Double(n), violationProbability: 0.01, alpha: 0.05)
    #expect(atPass.decision?.passesUpTo == rule.passesUpTo)
    let exact = decideQuantile(
      violations: 0, count: count, effectiveCount: Double(count), violationProbability: 0.01, alpha: 0.05)
    #expect(exact.passesUpTo == passes)
    #expect(exact.failsFrom == fails)
    #expect(try verdict(fails * 2).verdict == .fail)
    #expect(try verdict(count / 100).verdict == .inconclusive)
  }

  @Test(arguments: [("p99", 299), ("p99.9", 2_995), ("p99.99", 29_956)])
  func fewestSamplesThatPass(_ metric: String, _ fewest: Int) throws {
    // All different and in no order: the series of the quantile itself is independent.
    var random = SplitMix(seed: 11)
    func delays(_ count: Int) -> [Int64] { (1...count).map { Int64($0) }.shuffled(using: &random) }
    let enough = try check("txg2-txh0 \(metric) < 1ms", delays: delays(fewest + fewest / 20))
    #expect(enough.verdict == .pass)
    let few = try check("txg2-txh0 \(metric) < 1ms", delays: delays(fewest - 1))
    #expect(few.verdict == .inconclusive)
    #expect(few.remedy?.hasPrefix("record at least \(fewest) (about 1.") == true, "\(few.remedy ?? "")")
  }

  @Test func lessIsNotLessOrEqual() throws {
    let delays = Synthetic.spread(count: 1_000, bad: 0)
    #expect(try check("txg2-txh0 p99 <= 100ns", delays: delays).verdict == .pass)
    #expect(try check("txg2-txh0 p99 < 100ns", delays: delays).verdict == .fail)
    #expect(try check("txg2-txh0 p99 >= 100ns", delays: delays).verdict == .pass)
    #expect(try check("txg2-txh0 p99 > 100ns", delays: delays).verdict == .fail)
  }

  @Test func greaterIsTheMirror() throws {
    let delays = Synthetic.spread(count: 1_000, bad: 500)
    // x_0.25 is 100, x_0.75 is 300; the threshold between them.
    #expect(try check("txg2-txh0 p25 > 200ns", delays: delays).verdict == .fail)
    #expect(try check("txg2-txh0 p75 > 200ns", delays: delays).verdict == .pass)
    #expect(try check("txg2-txh0 p50 > 200ns", delays: delays).verdict == .inconclusive)
    #expect(try check("txg2-txh0 p50 < 200ns", delays: delays).verdict == .inconclusive)
  }

  @Test func dependenceCostsSamples() throws {
    // 10 violations in a row among 2 000: one event, not ten.
    var delays = [Int64](repeating: 100, count: 2_000)
    for index in 700..<720 { delays[index] = 300 }
    let burst = try check("txg2-txh0 p98 <= 200ns", delays: delays)
    let mixed = try check("txg2-txh0 p98 <= 200ns", delays: Synthetic.spread(count: 2_000, bad: 20))
    #expect(mixed.verdict == .pass)
    #expect(burst.verdict == .inconclusive)
    #expect((burst.effectiveCount ?? 0) < 300)
    #expect(burst.decision?.violations == 20)
  }

  // MARK: Other metrics

  @Test func meanByBatches() throws {
    let delays = Synthetic.spread(count: 2_100, bad: 1_050)
    #expect(try check("txg2-txh0 mean < 230ns", delays: delays).verdict == .pass)
    #expect(try check("txg2-txh0 mean < 170ns", delays: delays).verdict == .fail)
    #expect(try check("txg2-txh0 mean < 200ns", delays: delays).verdict == .inconclusive)
    #expect(try check("txg2-txh0 mean > 170ns", delays: delays).verdict == .pass)
    #expect(try check("txg2-txh0 mean > 230ns", delays: delays).verdict == .fail)
    let few = try check("txg2-txh0 mean < 1s", delays: Array(delays.prefix(209)))
    #expect(few.verdict == .inconclusive)
    #expect(few.remedy == "record at least 210 (about 1.00× longer)")
    let constant = [Int64](repeating: 100, count: 210)
    #expect(try check("txg2-txh0 mean < 101ns", delays: constant).verdict == .pass)
    #expect(try check("txg2-txh0 mean < 99ns", delays: constant).verdict == .fail)
    #expect(try check("txg2-txh0 mean < 100ns", delays: constant).verdict == .inconclusive)
  }

  /// Upper tail of Student's t with 20 degrees of freedom: `scipy.stats.t.sf(t, 20)`.
  @Test(arguments: [
    (0.0, 0.5), (1.0, 0.16462828858585468), (1.724718242920787, 0.05), (2.5279770027415727, 0.01),
    (-1.0, 0.8353717114141453), (5.0, 3.4365142897710985e-05),
  ])
  func studentTail(_ t: Double, _ tail: Double) {
    #expect(abs(Gate.studentTail(t) - tail) < 1e-9)
  }

  @Test func factsAboutTheRecording() throws {
    let delays: [Int64] = [100, 200, 300, 400, 700]
    for (text, verdict) in [
      ("max < 701ns", Verdict.pass), ("max < 700ns", .fail), ("max <= 700ns", .pass), ("min >= 100ns", .pass),
      ("min > 100ns", .fail), ("mad <= 100ns", .pass), ("mad < 100ns", .fail), ("sd < 230.3ns", .pass),
      ("sd < 230.2ns", .fail), ("count >= 5", .pass), ("count > 5", .fail), ("loss <= 0%", .pass),
    ] {
      let check = try check("txg2-txh0 \(text)", delays: delays)
      #expect(check.verdict == verdict, "\(text)")
      #expect((check.reason == nil) == (verdict == .pass))
    }
    #expect(try check("txg2-txh0 sd < 1s", delays: [5]).verdict == .invalid)
  }

  @Test func lossCountsPacketsThatNeverCame() throws {
    var segment = Synthetic.segment(.txg2, .txh0, delays: [Int64](repeating: 100, count: 97))
    segment.lost = 3
    let result = Synthetic.session([segment])
    #expect(try check("txg2-txh0 loss <= 3%", result).verdict == .pass)
    #expect(try check("txg2-txh0 loss < 3%", result).verdict == .fail)
    segment = Synthetic.segment(.txg2, .txh0, delays: [])
    segment.lost = 3
    #expect(try check("txg2-txh0 loss < 3%", Synthetic.session([segment])).verdict == .fail)
    #expect(try check("txg2-txh0 loss <= 100%", Synthetic.session([segment])).verdict == .invalid)
  }

  @Test func lossIsOfPacketsThatWereAskedFor() throws {
    var segment = Synthetic.segment(.txg2, .txh0, delays: [Int64](repeating: 100, count: 1_000))
    (segment.lost, segment.cutOff, segment.countNearEnd) = (20, 230, 920)
    let low = try check("txg2-txh0 loss < 20%", Synthetic.session([segment])).runs[0].checks[0]
    #expect(low.verdict == .fail && low.measured == 0.2 && low.count == 80)
    (segment.lost, segment.cutOff, segment.countNearEnd) = (0, 250, 1_000)
    let none = try check("txg2-txh0 loss <= 1%", Synthetic.session([segment])).runs[0].checks[0]
    #expect(none.verdict == .inconclusive && none.measured == nil && none.remedy != nil)
    #expect(try check("txg2-txh0 p50 < 1us", Synthetic.session([segment])).verdict == .pass)
    // 1 unmatched of the 100 that were asked for, not of 1 001.
    (segment.unmatched, segment.countNearEnd) = (1, 901)
    let unmatched = try check("txg2-txh0 p50 < 1us", Synthetic.session([segment])).runs[0].checks[0]
    #expect(unmatched.verdict == .invalid && unmatched.reason?.contains("(1 of 100)") == true, "\(unmatched)")
  }

  // MARK: INVALID

  private func fine() -> SessionResult {
    Synthetic.session([Synthetic.segment(.txg2, .txh0, delays: Synthetic.spread(count: 1_000, bad: 0))])
  }

  private static let metrics = ["p50 < 1s", "mean < 1s", "max < 1s", "sd < 1s", "mad < 1s", "min >= 0ns"]

  @Test func fineIsFine() throws {
    for metric in GateTests.metrics { #expect(try check("txg2-txh0 \(metric)", fine()).verdict == .pass) }
  }

  @Test func noSamplesNeverPass() throws {
    let empty = Synthetic.session([Synthetic.segment(.txg2, .txh0, delays: [])])
    for metric in GateTests.metrics + ["loss <= 100%", "count < 5", "count >= 0"] {
      #expect(try check("txg2-txh0 \(metric)", empty).verdict == .invalid, "\(metric)")
    }
  }

  @Test func unknownNamesNeverPass() throws {
    for name in ["txg2-txh1", "rx/txg2-txh0", "q*", "TXG2-TXH0"] {
      let report = try check("\(name) count >= 0", fine())
      #expect(report.verdict == .invalid)
      let conclusion = report.conclusion ?? ""
      #expect(conclusion.hasPrefix("INVALID: no segment named \(name); "), "\(conclusion)")
      #expect(conclusion.contains("did you mean") == (name != "q*"), "\(conclusion)")
      #expect(conclusion.hasSuffix("there is \(name.contains("/") ? "tx/" : "")txg2-txh0"), "\(conclusion)")
    }
    let nothing = try check("* p50 < 1s", Synthetic.session())
    #expect(nothing.verdict == .invalid)
  }

  @Test func anAbsentHookIsNamed() throws {
    var result = fine()
    result.hooks.append(
      HookResult(
        point: Point(hook: .txh2, machine: Synthetic.machine), attachedAs: nil, absentBecause: "veth has no stamp",
        ledger: LedgerRow(hook: "txh2", cpu: 0), missed: 0))
    let report = try check("txh0-txh2 p50 < 1s", result)
    #expect(
      report.conclusion
        == "INVALID: no segment named txh0-txh2: txh2 is absent (veth has no stamp); there is txg2-txh0")
  }

  @Test func lossesInTheLedgerAreInvalid() throws {
    for lost in [(1, 0), (0, 1)] {
      var result = fine()
      result.hooks[1].ledger.lost = Count(lost.0)
      result.hooks[1].missed = Count(lost.1)
      for metric in GateTests.metrics + ["count >= 1", "loss < 1%"] {
        let report = try check("txg2-txh0 \(metric)", result)
        #expect(report.verdict == .invalid, "\(metric)")
        #expect(report.conclusion?.contains("1 stamps lost at txh0") == true)
      }
      var limits = Policy.Limits()
      limits.ledgerLost = 1
      #expect(try check("txg2-txh0 p50 < 1s", result, limits: limits).verdict == .pass)
    }
    var elsewhere = fine()
    var other = Synthetic.hook(.rxg0, emitted: 5, lost: 5)
    other.missed = .max
    elsewhere.hooks.append(other)
    #expect(try check("txg2-txh0 p50 < 1s", elsewhere).verdict == .pass)
  }

  @Test func unmatchedLateAndAmbiguousHaveLimits() throws {
    func verdict(_ change: (inout SegmentResult) -> Void) throws -> Verdict {
      var result = fine()
      change(&result.segments[0])
      return try check("txg2-txh0 p50 < 1s", result).verdict
    }
    #expect(try verdict { $0.unmatched = 1 } == .pass)
    #expect(try verdict { $0.unmatched = 2 } == .invalid)
    #expect(try verdict { $0.late = 2 } == .invalid)
    #expect(try verdict { ($0.unmatched, $0.late) = (1, 1) } == .invalid)
    #expect(try verdict { $0.ambiguous = 10 } == .pass)
    #expect(try verdict { $0.ambiguous = 11 } == .invalid)
    #expect(try verdict { $0.duplicate = 500 } == .pass)
    #expect(try verdict { $0.cutOff = 500 } == .pass)
    #expect(try verdict { $0.lost = 500 } == .pass)
  }

  @Test func clockErrorCountsForTimesOnly() throws {
    var result = fine()
    result.segments[0].errorBound = 21
    #expect(try check("txg2-txh0 p50 < 200ns", result).verdict == .invalid)
    #expect(try check("txg2-txh0 max < 200ns", result).verdict == .invalid)
    #expect(try check("txg2-txh0 count > 5", result).verdict == .pass)
    #expect(try check("txg2-txh0 loss < 5%", result).verdict == .pass)
    result.segments[0].errorBound = 20
    #expect(try check("txg2-txh0 p50 < 200ns", result).verdict == .pass)
  }

  @Test func timeBelowZeroIsInvalid() throws {
    var segment = Synthetic.segment(.txg2, .txh0, delays: Synthetic.spread(count: 1_000, bad: 0) + [-5])
    #expect(try check("txg2-txh0 p50 < 1s", Synthetic.session([segment])).verdict == .invalid)
    segment.errorBound = 5
    #expect(try check("txg2-txh0 p50 < 1s", Synthetic.session([segment])).verdict == .pass)
  }

  @Test func incompleteRecordingsAreInvalid() throws {
    var cut = fine()
    cut.machines[0].stoppedAt = nil
    #expect(try check("txg2-txh0 p50 < 1s", cut).conclusion?.contains("was cut off") == true)
    cut.machines[0].isBeingRecorded = true
    #expect(try check("txg2-txh0 p50 < 1s", cut).conclusion?.contains("is still being recorded") == true)
    var rotated = fine()
    rotated.machines[0].rotation.deletedStreams = 1
    #expect(try check("txg2-txh0 p50 < 1s", rotated).conclusion?.contains("rotation deleted") == true)
    var damaged = fine()
    damaged.damage = ["stream_0_1: ends within a packet"]
    let report = try check("txg2-txh0 p50 < 1s", damaged)
    #expect(report.conclusion == "INVALID: the recording is damaged: stream_0_1: ends within a packet; record again")
    for result in [cut, rotated, damaged] { #expect(try check("* count > 1", result).verdict == .invalid) }
  }

  /// A sender that left out more than is allowed proves nothing; a few are told.
  @Test(arguments: [(1, Verdict.pass), (2, .invalid)])
  func aSenderThatDidNotSend(unsent: Int, verdict: Verdict) throws {
    var segment = Synthetic.segment(.wireIn, .wireOut, direction: "stamp", delays: Synthetic.spread(count: 999, bad: 0))
    segment.name = "round-trip"
    for name in ["refused", "overdue"] {
      var result = Synthetic.session([segment])
      result.machines[0].pairing = PairingAccount(
        names: [], protocols: [PairingAccount.Tally(name: "pacing", counts: ["requests": 1000, name: unsent])],
        packets: [:])
      let report = try check("stamp/round-trip loss < 1%", result)
      #expect(report.verdict == verdict, "\(report.text)")
      #expect(report.runs[0].warnings.contains { $0.contains("\(unsent) of 1000 packets that were due were not sent") })
    }
  }

  @Test func nothingRequiredOrRecordedIsInvalid() {
    let none = Gate.check(fine(), policy: Policy(requirements: []))
    #expect(none.verdict == .invalid)
    #expect(none.conclusion?.hasPrefix("INVALID: nothing was required") == true)
    let noRun = Gate.check([], policy: Policy(requirements: []))
    #expect(noRun.verdict == .invalid)
    #expect(noRun.text.hasSuffix("INVALID: there is no run to check; name the directory of a recording\n"))
  }

  // MARK: The whole

  @Test func theWorstDecides() throws {
    let order: [Verdict] = [.pass, .inconclusive, .fail, .invalid]
    #expect(order.sorted() == order)
    #expect(order.map(\.exitCode) == [0, 3, 2, 3])
    let texts = ["txg2-txh0 p50 < 1s", "txg2-txh0 p99.99 < 1s", "txg2-txh0 p50 < 1ns", "nothing p50 < 1s"]
    var requirements: [Requirement] = []
    for (text, verdict) in zip(texts, order) {
      requirements.append(try Requirement(parsing: text))
      #expect(Gate.check(fine(), policy: Policy(requirements: requirements)).verdict == verdict)
    }
  }

  @Test func eachRunIsChecked() throws {
    let slow = Synthetic.session([Synthetic.segment(.txg2, .txh0, delays: Synthetic.spread(count: 1_000, bad: 900))])
    let policy = Policy(requirements: [try Requirement(parsing: "txg2-txh0 p50 < 200ns")])
    let report = Gate.check([fine(), slow], policy: policy)
    #expect(report.runs.map(\.verdict) == [.pass, .fail])
    #expect(report.verdict == .fail)
    #expect(report.text.contains("Run 7d1c, run=1: PASS\n"))
    #expect(report.text.hasSuffix("Verdict over 2 runs: FAIL (α = 0.05)\n"))
  }

  @Test func patternsCheckEverySegment() throws {
    let report = try check("east-west/* p50 < 1s", Synthetic.demo())
    #expect(report.runs.first?.checks.count == 7)
    #expect(try check("* p50 < 1s", Synthetic.demo()).runs.first?.checks.count == 9)
  }

  @Test func textOfAPass() throws {
    let text = try check("txg2-txh0 p99 <= 200ns", fine()).text
    #expect(
      text == """
        PASS          tx/txg2-txh0          p99       100 ns  <= 200 ns   n 1000, n_eff 1000, K 0 (pass ≤ 4, fail ≥ 16)
        Verdict: PASS (α = 0.05)

        """)
  }

  @Test func theLastLineSaysWhyAndWhatToDo() throws {
    var random = SplitMix(seed: 5)
    let few = (1...180).map { Int64($0) }.shuffled(using: &random)
    let result = Synthetic.session([Synthetic.segment(.txg2, .txh0, delays: few)])
    let text = try check("txg2-txh0 p99 < 1ms", result).text
    #expect(
      text == """
        INCONCLUSIVE  tx/txg2-txh0          p99       179 ns  < 1 ms      n 180, n_eff 180, K 0 (too few to pass, fail ≥ 5)
                      180 independent samples cannot decide p99
        Verdict: INCONCLUSIVE (α = 0.05)
        INCONCLUSIVE: 180 independent samples cannot decide p99; record at least 299 (about 1.66× longer)

        """)
  }

  @Test func jsonHoldsTheNumbers() throws {
    let json = try check("txg2-txh0 p99 <= 200ns", fine()).json
    #expect(json["verdict"] == .string("PASS"))
    #expect(json["exit_code"] == .integer(0))
    #expect(json["conclusion"] == .null)
    guard case .array(let runs)? = json["runs"], case .array(let checks)? = runs.first?["checks"] else {
      Issue.record("runs and checks are lists")
      return
    }
    let check = try #require(checks.first)
    #expect(check["requirement"] == .string("txg2-txh0 p99 <= 200ns"))
    #expect(check["threshold"] == .number(200))
    #expect(check["measured"] == .number(100))
    #expect(check["unit"] == .string("ns"))
    #expect(check["n"] == .integer(1_000))
    #expect(check["k"] == .integer(0))
    #expect(check["passes_up_to"] == .integer(4))
    #expect(check["fails_from"] == .integer(16))
    #expect(check["reason"] == .null)
  }
}
