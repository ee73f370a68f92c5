// SPDX-License-Identifier: GPL-2.0-or-later
import Analysis
import Recording
import Testing
import Wording

@testable import Reporting

/// The terminal table, letter by letter.
@Suite struct TableTests {
  /// 2 000 delays, 1 ns apart, in no order: enough for p99 (20 beyond it), not for p99.9 (2).
  private func quiet() -> SessionResult {
    var random = SplitMix(seed: 3)
    let first = (1...2_000).map { Int64($0) }.shuffled(using: &random)
    let second = first.map { $0 * 10_000 }
    return Synthetic.session([
      Synthetic.segment(.txg1, .txg2, share: 0.0625, delays: first),
      Synthetic.segment(.txg2, .txh0, share: 0.9375, delays: second),
      Synthetic.segment(.txg1, .txh0, neighbour: false, delays: zip(first, second).map { $0 + $1 }),
    ])
  }

  @Test func allIsClear() {
    #expect(
      Report.table(quiet()) == """
        tx: txg1 → txg2 → txh0
          segment   packets     p50     p90     p99    p99.9     max  share slow 1 %
          txg1-txg2    2000 1.00 µs 1.80 µs 1.98 µs ?2.00 µs 2.00 µs  6.3 %        –
          txg2-txh0    2000 10.0 ms 18.0 ms 19.8 ms ?20.0 ms 20.0 ms 93.8 %        –
          ──────────────────────────────────────────────────────────────────────────
          txg1-txh0    2000 10.0 ms 18.0 ms 19.8 ms ?20.0 ms 20.0 ms
          → 94 % of the delay is in txg2-txh0.

          share: part of the end-to-end delay; slow 1 %: the same of the packets above
            its p99
          ? unresolved: too few samples for an upper bound, or below the clock error

        Ledger    stamps 2991, lost 0
        Machine   testhost: Linux 6.18.5 x86_64, 2 × Test CPU, clock source tsc
                  topology veth, filter 'udp port 5001', every packet, identity full, a
                  stamp costs 118 ns
                  recorded 10.0 s, stopped by duration
        Clock     same clock, error at most ±0 ns
        Session   7d1c, run=1

        """)
  }

  @Test func everythingIsOdd() {
    var result = quiet()
    result.segments[0].share = 1
    result.segments[0].slowShare = 0.5
    result.segments[0].slowCount = 7
    result.segments[0].meaning = "qdisc"
    result.segments[0].probeTime = 600
    result.segments[0].lost = 3
    result.segments[0].unmatched = 5
    result.segments[0].ambiguous = 7
    result.segments[0].duplicate = 11
    result.segments[0].late = 13
    result.segments[0].cutOff = 17
    result.segments[0].errorBound = 1_900
    result.segments[1] = Synthetic.segment(.txg2, .txh0, delays: [])
    result.segments[1].invalid = "txh0 saw none of the packets"
    result.segments.removeLast()
    result.hooks[1].ledger.lost = 29
    result.hooks[1].missed = 31
    result.hooks.append(
      HookResult(
        point: Point(hook: .txh2, machine: Synthetic.machine), attachedAs: nil,
        absentBecause: "veth\u{1B}[31m has no stamp",
        ledger: LedgerRow(hook: "txh2", cpu: 0), missed: 0))
    result.machines[0].sampling = Machine.Sampling(oneIn: 16, udpBy: "packet", tcpBy: "flow")
    result.machines[0].stoppedAt = nil
    result.machines[0].filter = nil
    result.machines[0].stampCost = nil
    result.clockMethod = nil
    result.damage = ["stream_0_1: ends within a packet"]
    result.warnings = ["one is odd"]
    #expect(
      Report.table(result, terminal: Terminal(width: 120)) == """
        tx: txg1 → txg2 → txh0
          segment           packets       p50      p90      p99     p99.9      max    share  slow 1 %
          txg1-txg2  qdisc     2000  *1.00 µs  1.80 µs  1.98 µs  ?2.00 µs  2.00 µs  100.0 %   ~50.0 %  ████████████
            └ lost 3, unmatched 5, ambiguous 7, duplicate 11, late 13, cut off 17, clock ±1.90 µs
          txg2-txh0               0         –        –        –         –        –        –         –
            └ INVALID: txh0 saw none of the packets
          → half of txg1-txg2 (qdisc) took up to 1.00 µs, one in 100 more than 1.98 µs, 1.98 times as long; 3 packets were lost
            in txg1-txg2 (qdisc).

          share: part of the end-to-end delay; slow 1 %: the same of the packets above its p99
          ~ fewer than 10 samples beyond it
          ? unresolved: too few samples for an upper bound, or below the clock error
          – no samples
          * more than half of it is the probes' own time: a stamp costs up to 600 ns

        Ledger    stamps 2991, lost 29, missed by recursion 31
          hook  seen  filtered  sampled  emitted  lost  unbound  missed  attached as
          txg1  1020        23        0      997     0        0       0  tp_btf:net_dev_queue
          txg2  1020        23        0      997    29        0      31  tp_btf:net_dev_queue
          txh0  1020        23        0      997     0        0       0  tp_btf:net_dev_queue
        Absent    txh2: veth?[31m has no stamp
        Machine   testhost: Linux 6.18.5 x86_64, 2 × Test CPU, clock source tsc
                  topology veth, filter none, sampled 1/16 (UDP by packet, TCP by flow), identity full
        Clock     the machines' clocks could not be aligned: no segment crosses from one to the other
        Session   7d1c, run=1
        Damage    stream_0_1: ends within a packet
        Warning   one is odd

        """)
  }

  /// Both ways of one path, and a stray packet.
  private func twoWays() -> SessionResult {
    var result = quiet()
    let names = ["10.0.0.1 -> 10.0.0.2", "10.0.0.2 -> 10.0.0.1"]
    result.groups = names.flatMap { name in
      result.segments.map { segment in
        var segment = segment
        segment.group = name
        return segment
      }
    }
    var stray = Synthetic.segment(.txg1, .txg2, delays: [5])
    stray.group = "fe80::1 -> ff02::2"
    result.groups.append(stray)
    return result
  }

  @Test func groupsOfFlowsHaveTablesOfTheirOwn() {
    let lines = Report.table(twoWays()).split(separator: "\n")
    #expect(lines.filter { $0.hasPrefix("tx") } == ["tx, 10.0.0.1 → 10.0.0.2:", "tx, 10.0.0.2 → 10.0.0.1:"])
    #expect(lines.count { $0.hasPrefix("  txg1-txg2") } == 2)
    #expect(lines.contains("  (of tx 1 smaller groups with 1 packets are in groups.csv)"))
  }

  @Test(arguments: [40, 60, 80, 81, 100, 120, 200])
  func everyLineFits(_ width: Int) {
    for result in [quiet(), twoWays(), Synthetic.demo()] {
      let text = Report.table(result, terminal: Terminal(width: width))
      for line in text.split(separator: "\n") where !line.contains("←") {
        #expect(line.count <= max(width, 56), "\(line)")
      }
      if width < 60 { #expect(text.contains("left out at \(width) columns: p90")) }
      if width > 100 { #expect(!text.contains("left out")) }
    }
  }

  @Test func colourIsForTerminalsAlone() {
    var result = quiet()
    result.segments[0].lost = 3
    #expect(!Report.table(result).contains("\u{1b}"))
    let terminal = Terminal(width: 80, hasColor: true)
    let text = terminal.shown(Report.table(result, terminal: terminal))
    #expect(text.contains("\u{1b}[31m    └ lost 3\u{1b}[0m"))
    #expect(text.replacing(/\u{1b}\[[0-9]+m/, with: "") == Report.table(result))
  }

  @Test func aUnitStaysWithItsNumber() {
    #expect(Words.wrapped("it takes 12.3 µs, or 40 %", 13) == ["it takes", "12.3 µs, or", "40 %"])
    #expect(Words.wrapped("  one two three", 9, indent: 4) == ["  one two", "    three"])
  }

  @Test func theTailIsNamedWhereItIsElsewhere() {
    var result = quiet()
    result.segments[0].slowShare = 0.75
    result.segments[1].slowShare = 0.25
    #expect(
      Report.conclusion(result.segments)
        == "94 % of the delay is in txg2-txh0; the slowest 1 % of packets spent 75 % of theirs in txg1-txg2.")
    result.segments[1].slowShare = 0.9
    #expect(
      Report.conclusion(result.segments)
        == "94 % of the delay is in txg2-txh0; the slowest 1 % of packets spent 90 % of theirs there.")
  }

  @Test func delaysThatDependOnOneAnotherAreUnresolved() {
    let ramp = Synthetic.segment(.txg1, .txg2, delays: (1...2_000).map { Int64($0) })
    #expect(Report.table(Synthetic.session([ramp])).contains("?1.00 µs ?1.80 µs ?1.98 µs"))
  }

  @Test func marksTellTooFewFromUnresolved() {
    func row(_ quantile: Quantile) -> String {
      var result = quiet()
      result.segments[0].summary?.quantiles[2] = quantile
      return Report.table(result).split(separator: "\n").first { $0.contains("txg1-txg2") }.map { String($0) } ?? ""
    }
    let few = Quantile(probability: 0.99, value: 1_980, interval: 1...2, isResolved: true, hasEnoughSamples: false)
    #expect(row(few).contains(" ~1.98 µs "))
    var fine = few
    fine.hasEnoughSamples = true
    #expect(row(fine).contains(" 1.98 µs "))
  }

  @Test func withoutAnySegmentTheTableSaysSo() {
    #expect(Report.table(Synthetic.session()).hasPrefix("No packets were seen at two hook points"))
  }

  @Test func directionsWithoutSamplesAreTheLast() {
    let empty = Synthetic.segment(.rxh1, .rxg0, direction: "rx", delays: [])
    let full = Synthetic.segment(.txg1, .txg2, delays: [100, 200, 300])
    #expect(Report.directions(Synthetic.session([empty, full])) == ["tx", "rx"])
  }

  @Test func verboseShowsTheLedger() {
    let rows = Report.table(quiet(), verbose: true).split(separator: "\n").filter { $0.contains("tp_btf:") }
    #expect(rows.count == 3)
  }
}

/// The wire delay and what hook points explain of it.
@Suite struct WireTableTests {
  func result() throws -> SessionResult {
    var random = SplitMix(seed: 5)
    let software = (0..<2_000).map { Int64(3_000 + $0) }.shuffled(using: &random)
    let rest = (0..<2_000).map { Int64(800 + $0 / 10) }.shuffled(using: &random)
    var segment = Synthetic.segment(
      .wireIn, .wireOut, direction: "forward", neighbour: false, delays: zip(software, rest).map { $0 + $1 })
    segment.wire = WireDelay(
      software: "rxh0-txh2", explained: try #require(Summary(delays: software)),
      unexplained: try #require(Summary(delays: rest)))
    return Synthetic.session([Synthetic.segment(.rxh0, .txh2, direction: "forward", delays: software), segment])
  }

  @Test func partsStandBelowTheDelay() throws {
    let lines = Report.table(try result(), terminal: Terminal(width: 120)).split(separator: "\n").map(String.init)
    let place = try #require(lines.firstIndex { $0.hasPrefix("  wire-in-wire-out") })
    func words(_ line: String) -> String { line.split(separator: " ").joined(separator: " ") }
    #expect(words(lines[place + 1]) == "explained 2000 4.00 µs 4.80 µs 4.98 µs ?5.00 µs 5.00 µs")
    #expect(words(lines[place + 2]) == "unexplained 2000 899 ns 979 ns 997 ns ?999 ns 999 ns")
    #expect(
      lines.contains("  explained: by the segments of rxh0-txh2; unexplained: the rest of the same packets' wire delay")
    )
    #expect(lines.allSatisfy { $0.count <= 120 })
  }

  static let applied = AppliedCalibration(
    direction: "eth1-eth2", segment: "wire-in-wire-out", from: "eth2", to: "eth1", added: 512, interval: [510, 517],
    uncertainty: 5, isHardware: true, createdAt: 1_700_000_000)

  @Test func aCalibrationIsAlwaysTold() throws {
    var result = try result()
    #expect(!Report.table(result).contains("Constant"))
    result.calibrations = [Self.applied]
    let text = Report.table(result).split(separator: "\n").map { $0.trimmingPrefix { $0 == " " } }.joined(
      separator: " ")
    #expect(
      text.contains(
        "Constant  eth1-eth2 wire-in-wire-out: +512 ns in every delay, the constant from eth2 to eth1 of 2023-11-14, 95 % "
          + "interval 510 ns … 517 ns, which is ±5 ns of the error"), "\(text)")
    result.calibrations[0].isHardware = false
    #expect(Report.table(result).contains("of software stamps"))
  }

  @Test func jsonHasBothParts() throws {
    guard case .array(let segments)? = Report.json(try result())["segments"] else {
      Issue.record("no segments")
      return
    }
    #expect(segments[0]["wire"] == .null)
    let wire = try #require(segments[1]["wire"])
    #expect(wire["software"] == .string("rxh0-txh2") && wire["count"] == .integer(2_000))
    #expect(wire["explained"]?["p50_ns"] == .integer(3_999) && wire["unexplained"]?["max_ns"] == .integer(999))
  }
}

@Suite struct TextTests {
  @Test(arguments: [
    (0.0, "0 ns"), (7, "7 ns"), (873, "873 ns"), (999, "999 ns"), (12.34, "12.3 ns"), (1_000, "1.00 µs"),
    (1_234, "1.23 µs"), (9_995, "10.0 µs"), (12_345, "12.3 µs"), (99_950, "100 µs"), (999_499, "999 µs"),
    (999_500, "1.00 ms"), (-1_234, "-1.23 µs"), (-7, "-7 ns"), (4_000_000, "4.00 ms"), (1e9, "1.00 s"),
    (1_234e9, "1234 s"),
  ])
  func durations(_ nanoseconds: Double, _ text: String) {
    #expect(Words.duration(nanoseconds) == text)
  }

  @Test(arguments: [
    (0.5, "p50", "p50"), (0.999, "p99.9", "p99_9"), (0.9999, "p99.99", "p99_99"), (0.99999, "p99.999", "p99_999"),
    (0.1, "p10", "p10"), (0.005, "p0.5", "p0_5"),
  ])
  func quantiles(_ probability: Double, _ name: String, _ key: String) {
    #expect(Text.quantileName(probability) == name)
    #expect(Text.quantileKey(probability) == key)
  }

  @Test(arguments: [
    (0.0, "0 %"), (1, "100.0 %"), (0.0412, "4.1 %"), (0.001, "0.100 %"), (0.00012, "0.012 %"), (1e-9, "<0.001 %"),
  ])
  func percentages(_ fraction: Double, _ text: String) {
    #expect(Text.percent(fraction) == text)
  }

  @Test func queuesHaveRowsOfTheirOwn() throws {
    // Queue 3 is slow: every fifth packet, 10 µs instead of 100 ns.
    var segment = Synthetic.segment(.txg1, .txg2, delays: (0..<1_000).map { $0 % 5 == 0 ? 10_000 : 100 })
    segment.queues = segment.delays.map { $0 > 100 ? 3 : 0 }
    let result = Synthetic.session([segment])
    let rows = Report.table(result).split(separator: "\n").map { $0.split(separator: " ").joined(separator: " ") }
    #expect(rows.contains { $0.hasPrefix("queue 0 800 100 ns") })
    #expect(rows.contains { $0.hasPrefix("queue 3 200 10.0 µs") })
    guard case .array(let segments)? = Report.json(result)["segments"], case .array(let queues)? = segments[0]["queues"]
    else {
      Issue.record("no queues")
      return
    }
    #expect(queues.map { $0["queue"] } == [.integer(0), .integer(3)])
    #expect(queues.map { $0["max_ns"] } == [.integer(100), .integer(10_000)])
  }
}
