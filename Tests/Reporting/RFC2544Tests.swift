// SPDX-License-Identifier: GPL-2.0-or-later
import Foundation
import Recording
import Testing

@testable import Reporting

/// What `latprobe rfc2544` prints, letter by letter.
@Suite struct RFC2544Tests {
  /// 10 Mbit/s.
  private func result(_ frame: Int, _ throughput: Double?, failing: (Double, Trial.Verdict)?) -> FrameResult {
    let line = 10e6 / Double(8 * (frame + 20))
    var result = FrameResult(frame: frame, lineRate: line, highest: line)
    result.throughput = throughput
    if let failing { (result.failingRate, result.failingVerdict) = failing }
    if throughput != nil {
      result.latency = Trial.Quantiles(
        min: 18_000, mean: 42_300, p50: 40_000, p99: 97_000, p999: 120_000, max: 1_234_567)
    }
    return result
  }

  /// Limits of the path, of this machine and of nothing; loss at any rate; an end before time.
  @Test func table() {
    var results = [
      result(64, 9000, failing: (9100, .notOffered)), result(128, 8446, failing: nil),
      result(512, 492.1, failing: (494.6, .lossy)), result(1024, nil, failing: (12, .lossy)),
      result(1518, nil, failing: nil),
    ]
    (results[1].burst, results[1].isBurstLimit, results[2].burst) = (16_891, true, 43)
    (results[2].unfinished, results[4].unfinished) = ("back-to-back", "throughput")
    let text = Report.table(
      results, acceptedLoss: 0, measured: (throughput: true, bursts: true), terminal: Terminal(width: 100))
    #expect(
      text == """
          frame  line pps       pps  of line  Mbit/s      min     mean      p99      max  back-to-back
             64   14881.0  ≥ 9000.0   60.5 %   6.048  18.0 µs  42.3 µs  97.0 µs  1.23 ms             –
            └ this machine did not keep 9100.0 up: perhaps no limit of the path
            128    8445.9    8446.0  100.0 %  10.000  18.0 µs  42.3 µs  97.0 µs  1.23 ms       ≥ 16891
            └ at the highest rate tried
            512    2349.6     492.1   20.9 %   2.094  18.0 µs  42.3 µs  97.0 µs  1.23 ms          ≥ 43
            └ loss at 494.6; ended in the measurement of back-to-back
           1024    1197.3         –        –       –        –        –        –        –             –
            └ not confirmed at any rate; loss at 12.0
           1518     812.7         –        –       –        –        –        –        –             –
            └ ended before it was found

        The reflector may have refused some: see what it says at its end, and its --rate-limit.
        Accepted loss: 0: at the rates found every packet was answered.
        Line: what fits on it, preamble and gap included; Mbit/s too. Frames have their check sequence.
        Round trips through the reflector: loss on either way counts, delays are of both ways together.

        """)
    for width in [40, 60, 80, 200] {
      let text = Report.table(
        results, acceptedLoss: 0, measured: (throughput: true, bursts: true), terminal: Terminal(width: width))
      #expect(text.split(separator: "\n").allSatisfy { $0.count <= max(width, 56) }, "\(text)")
    }
  }

  /// What the program did not try, or this machine did not do, is a lower bound.
  @Test func lowerBounds() {
    var capped = result(64, 9000, failing: nil)
    capped.highest = 9000
    (capped.burst, capped.failingBurst, capped.failingBurstVerdict) = (700, 710, .notOffered)
    let wide = Terminal(width: 200)
    let text = Report.table(
      [capped], acceptedLoss: 0, measured: (throughput: true, bursts: true), terminal: wide)
    #expect(
      text.contains(" ≥ 9000.0 ") && text.contains(" ≥ 700\n    └ at the highest rate tried: perhaps no"), "\(text)")
    #expect(text.contains("path; this machine did not do a burst of 710: perhaps no limit of the path\n"), "\(text)")
    #expect(!text.contains("reflector may"))
    let bursts = Report.table([capped], acceptedLoss: 0, measured: (throughput: false, bursts: true))
    #expect(bursts.contains(" ≥ 700\n    └ this machine did not do a burst of 710"), "\(bursts)")
    let rows = Report.throughputCSV([capped]).split(separator: "\n").map {
      $0.split(separator: ",", omittingEmptySubsequences: false)
    }
    #expect(rows[0].count == rows[1].count && rows[1].suffix(3).joined(separator: ",") == "false,710,not-offered")
    capped.failingBurstVerdict = .lossy
    let lossy = Report.table([capped], acceptedLoss: 0, measured: (throughput: false, bursts: true))
    #expect(lossy.contains("  700\n") || lossy.contains(" 700\n"), "\(lossy)")
    #expect(lossy.contains("reflector may have refused some"), "\(lossy)")
  }

  /// An end on the way back up leaves a lower bound; a clock that was set, no latency.
  @Test func unfinishedAndWithoutLatency() {
    var row = result(512, 1034.3, failing: (1248.8, .lossy))
    (row.unfinished, row.latency) = ("throughput", nil)
    let text = Report.table(
      [row], acceptedLoss: 0, measured: (throughput: true, bursts: false), terminal: Terminal(width: 200))
    #expect(text.contains(" ≥ 1034.3 "), "\(text)")
    #expect(
      text.contains("–\n    └ loss at 1248.8; no latency: this machine's clock was set meanwhile; ended"), "\(text)")
  }

  @Test func noRateFound() {
    let text = Report.table(
      [result(64, nil, failing: (12, .lossy))], acceptedLoss: 0, measured: (throughput: true, bursts: false))
    #expect(text.contains("\nAccepted loss: 0.\n") && !text.contains("too busy"), "\(text)")
  }

  /// No rate because of this machine: it says so, and what to do.
  @Test func aBusyMachine() {
    for verdict in [Trial.Verdict.notOffered, .uneven] {
      let text = Report.table(
        [result(64, nil, failing: (12, verdict))], acceptedLoss: 0, measured: (throughput: true, bursts: false))
      #expect(text.contains("This machine was too busy to send what a trial asks for: let it do"), "\(text)")
      #expect(text.contains("--fifo 50, --cpu N"), "\(text)")
    }
  }

  @Test func lineRates() {
    let texts = [1000, 900_000, 1e9, 1e13].map(Report.lineRate)
    #expect(texts == ["0.001 Mbit/s", "0.900 Mbit/s", "1000 Mbit/s", "10000000 Mbit/s"])
  }

  /// Its own files alone.
  @Test func earlierResultsGo() throws {
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent(UUID().uuidString)
    try FileManager.default.createDirectory(
      at: folder.appendingPathComponent("plots"), withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: folder) }
    let own = [
      "trials.csv", "throughput.csv", "loss-curve.csv", "plots/throughput.csv", "plots/throughput.gp", "plots/loss.svg",
      "plots/loss.png", "plots/loss.gp", "plots/loss-512.csv",
    ]
    let others = ["session.json", "plots/loss-of-mine.csv", "plots/timeline.svg"]
    for name in own + others { try Data().write(to: folder.appendingPathComponent(name)) }
    try Report.removeResults(in: folder.path)
    let left = (own + others).filter { FileManager.default.fileExists(atPath: folder.appendingPathComponent($0).path) }
    #expect(left == others)
    try Report.removeResults(in: folder.path + "/none")
  }

  /// A trial that was not offered has no loss; what was accepted is said.
  @Test func lossByRate() {
    var found = result(512, 2349.6, failing: nil)
    found.lost = 7
    for (sent, answered) in [(1000, 455), (900, 900), (1000, 1000)] {
      var trial = Trial(purpose: .lossCurve, frame: 512, rate: 1000, duration: 1)
      (trial.due, trial.sent, trial.answered) = (1000, sent, answered)
      trial.judge(acceptedLoss: 0)
      found.lossCurve.append(trial)
    }
    let text = Report.table([found], acceptedLoss: 0.01, measured: (throughput: true, bursts: false))
    #expect(text.contains("    └ 7 lost, accepted; at the highest rate tried\n"), "\(text)")
    #expect(
      text.contains(
        """
        Loss at rates in percent of the line's:
          frame   100 %      90 %  80 %
            512  54.5 %  not sent   0 %

        The reflector may have refused some: see what it says at its end, and its
          --rate-limit.
        Accepted loss: 1.0 % of the packets: not the throughput of RFC 2544.
        """), "\(text)")
    let rows = Report.trialsCSV(found.lossCurve).split(separator: "\n").map {
      $0.split(separator: ",", omittingEmptySubsequences: false)
    }
    #expect(rows.count == 4 && rows.allSatisfy { $0.count == 27 })
    #expect(rows[2][4...8].joined(separator: ",") == "1000,100,900,900,0")
    #expect(rows[2][25] == "not-offered" && rows[2][26] == "0" && rows[0][26] == "clock_steps")
  }
}
