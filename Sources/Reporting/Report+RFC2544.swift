// SPDX-License-Identifier: GPL-2.0-or-later
package import Recording
import Wording

/// What `latprobe rfc2544` shows and writes.
extension Report {
  /// One row a trial, in the order in which they were done.
  package static func writeTrials(_ trials: [Trial], to directory: String) throws(FileError) {
    try Folder.forOutput(directory, below: .trusted).write(trialsCSV(trials), to: "trials.csv")
  }

  /// Removes what an earlier run wrote there.
  package static func removeResults(in directory: String) throws {
    guard try Folder.isThere(directory) else { return }
    let folder = try Folder.forOutput(directory, below: .trusted)
    for name in ["trials.csv", "throughput.csv", "loss-curve.csv"] { try folder.removeOutput(name) }
    guard let plots = try folder.openFolder("plots") else { return }
    for name in try Plots.filesOfResults(in: plots) { try plots.removeOutput(name) }
  }

  /// Writes `throughput.csv` and `loss-curve.csv`, and draws both.
  ///
  /// - Returns: one line for each picture that is missing, with the remedy.
  package static func write(
    _ results: [FrameResult], conditions: String, to directory: String
  ) throws(FileError) -> [String] {
    let folder = try Folder.forOutput(directory, below: .trusted)
    try folder.write(throughputCSV(results), to: "throughput.csv")
    try folder.write(lossCSV(results), to: "loss-curve.csv")
    return try Plots.write(results, conditions: conditions, to: folder.outputFolder("plots"))
  }

  static func trialsCSV(_ trials: [Trial]) -> String {
    let header =
      ([
        "purpose,frame,rate_pps,duration_s,due,unsent,sent,answered,lost,repeated,disordered,own_drops,sent_rate_pps"
      ] + columns("latency") + columns("late") + ["verdict,clock_steps"]).joined(separator: ",")
    let rows = trials.map { trial in
      ([
        trial.purpose.rawValue, String(trial.frame), Words.fixed(trial.rate, 3), Words.fixed(trial.duration, 6),
      ]
        + [
          trial.due, trial.unsent, trial.sent, trial.answered, trial.lost, trial.repeated, trial.disordered,
          trial.ownDrops,
        ].map { String($0) } + [Words.fixed(trial.sentRate, 3)] + cells(trial.latency) + cells(trial.lateness)
        + [trial.verdict.rawValue, String(trial.clockSteps)]).joined(separator: ",")
    }
    return ([header] + rows).joined(separator: "\n") + "\n"
  }

  static func throughputCSV(_ results: [FrameResult]) -> String {
    let header =
      ([
        "frame,line_rate_pps,highest_tried_pps,throughput_pps,throughput_share,lost,failing_rate_pps,failing_verdict"
      ] + columns("latency") + [
        "back_to_back_packets,back_to_back_rate_pps,back_to_back_limit,back_to_back_failing_packets",
        "back_to_back_failing_verdict",
      ])
      .joined(separator: ",")
    let rows = results.map { result in
      ([
        String(result.frame), Words.fixed(result.lineRate, 3), Words.fixed(result.highest, 3),
        result.throughput.map { Words.fixed($0, 3) } ?? "",
        result.throughput.map { Words.fixed($0 / result.lineRate, 6) } ?? "",
        result.throughput == nil ? "" : String(result.lost),
        result.failingRate.map { Words.fixed($0, 3) } ?? "",
        result.failingRate == nil ? "" : result.failingVerdict.rawValue,
      ] + cells(result.latency)
        + [
          result.burst.map { String($0) } ?? "", result.burst == nil ? "" : Words.fixed(result.burstRate, 3),
          result.burst == nil ? "" : result.isBurstLimit ? "true" : "false",
          result.failingBurst.map { String($0) } ?? "",
          result.failingBurst == nil ? "" : result.failingBurstVerdict.rawValue,
        ]).joined(separator: ",")
    }
    return ([header] + rows).joined(separator: "\n") + "\n"
  }

  static func lossCSV(_ results: [FrameResult]) -> String {
    let rows = results.flatMap { result in
      result.lossCurve.map { trial in
        [
          String(trial.frame), Words.fixed(trial.rate / result.lineRate, 6), Words.fixed(trial.rate, 3),
          Words.fixed(trial.sentRate, 3), Words.fixed(trial.lossShare, 9), trial.verdict.rawValue,
        ].joined(separator: ",")
      }
    }
    return (["frame,line_rate_share,rate_pps,sent_rate_pps,loss,verdict"] + rows).joined(separator: "\n") + "\n"
  }

  private static func columns(_ name: String) -> [String] {
    ["min", "mean", "p50", "p99", "p99_9", "max"].map { "\(name)_\($0)_ns" }
  }

  private static func cells(_ quantiles: Trial.Quantiles?) -> [String] {
    guard let figures = quantiles else { return Array(repeating: "", count: columns("").count) }
    return [figures.min, figures.mean, figures.p50, figures.p99, figures.p999, figures.max].map { String($0) }
  }

  /// - Parameters:
  ///   - acceptedLoss: share of the packets.
  package static func table(
    _ results: [FrameResult], acceptedLoss: Double, measured: (throughput: Bool, bursts: Bool),
    terminal: Terminal = Terminal()
  ) -> String {
    let width = max(40, terminal.width ?? usualWidth)
    var table = TextTable(columns: [
      .init(title: "frame"), .init(title: "line pps", drop: 3), .init(title: "pps"), .init(title: "of line", drop: 1),
      .init(title: "Mbit/s", drop: 5), .init(title: "min", drop: 4), .init(title: "mean"), .init(title: "p99"),
      .init(title: "max", drop: 2), .init(title: measured.bursts ? "back-to-back" : "", drop: 1),
    ])
    for result in results {
      table.rows.append(.cells(cells(result, measured)))
      let remarks = remarks(result, measured)
      if !remarks.isEmpty { table.rows.append(.text(remarks.joined(separator: "; "))) }
    }
    let rendered = table.rendered(width: width)
    var lines = rendered.lines + leftOut(rendered.leftOut, width, file: "throughput.csv") + [""]
    lines += lossTable(results, width)
    var sentences: [String] = []
    if results.contains(where: \.isLossy) {
      sentences.append("The reflector may have refused some: see what it says at its end, and its --rate-limit.")
    }
    if results.contains(where: \.isSendersFault) {
      sentences.append(
        "This machine was too busy to send what a trial asks for: let it do nothing else, or give --fifo 50, --cpu N, a "
          + "lower --line-rate or a longer --longest-stall.")
    }
    let found = results.contains { $0.throughput != nil } ? ": at the rates found every packet was answered" : ""
    sentences.append(
      "Accepted loss: "
        + (acceptedLoss == 0
          ? "0\(found)." : "\(Text.percent(acceptedLoss)) of the packets: not the throughput of RFC 2544."))
    sentences.append("Line: what fits on it, preamble and gap included; Mbit/s too. Frames have their check sequence.")
    sentences.append("Round trips through the reflector: loss on either way counts, delays are of both ways together.")
    lines += sentences.flatMap { Words.wrapped($0, width, indent: 2) }
    return lines.joined(separator: "\n") + "\n"
  }

  private static func cells(_ result: FrameResult, _ measured: (throughput: Bool, bursts: Bool)) -> [String] {
    let throughput = result.throughput
    let isLeast = result.isSendersLimit || result.unfinished == "throughput"
    // On the wire, with preamble and gap.
    let bits = throughput.map { $0 * Double(8 * (result.frame + 20)) / 1e6 }
    let latency = result.latency
    let isLeastBurst = result.isBurstLimit || result.isSendersBurst || result.unfinished == "back-to-back"
    let burst = result.burst.map { (isLeastBurst ? "≥ " : "") + String($0) } ?? "–"
    return [
      String(result.frame), Words.fixed(result.lineRate, 1),
      throughput.map { (isLeast ? "≥ " : "") + Words.fixed($0, 1) } ?? "–",
      throughput.map { Text.percent($0 / result.lineRate) } ?? "–", bits.map { Words.fixed($0, 3) } ?? "–",
    ] + [latency?.min, latency?.mean, latency?.p99, latency?.max].map { $0.map { Words.duration($0) } ?? "–" }
      + [measured.bursts ? burst : ""]
  }

  private static func remarks(_ result: FrameResult, _ measured: (throughput: Bool, bursts: Bool)) -> [String] {
    var remarks = measured.throughput ? [remark(result)] : []
    if result.throughput != nil, result.latency == nil {
      remarks.append("no latency: this machine's clock was set meanwhile")
    }
    if measured.bursts { remarks += burstRemark(result) }
    let isKnown = !measured.throughput || result.throughput != nil || result.failingRate != nil
    if let measurement = result.unfinished, isKnown {
      remarks.append("ended in the measurement of \(measurement)")
    }
    return remarks
  }

  /// Loss at each tenth of the highest rate; a trial that this machine did not offer has none.
  private static func lossTable(_ results: [FrameResult], _ width: Int) -> [String] {
    let curves = results.filter { !$0.lossCurve.isEmpty }
    guard !curves.isEmpty else { return [] }
    // Where there is no room for all, every other one.
    var table = TextTable(
      columns: [.init(title: "frame")]
        + (1...10).reversed().map { .init(title: "\($0 * 10) %", drop: $0 == 10 ? 0 : $0 % 2 == 1 ? 10 + $0 : 10 - $0) }
    )
    for result in curves {
      let cells = result.lossCurve.map { $0.verdict == .notOffered ? "not sent" : Text.percent($0.lossShare) }
      table.rows.append(
        .cells([String(result.frame)] + cells + Array(repeating: "", count: max(0, 10 - cells.count))))
    }
    let isLine = curves.allSatisfy { $0.highest == $0.lineRate }
    let rendered = table.rendered(width: width)
    return ["Loss at rates in percent of \(isLine ? "the line's" : "the highest one tried"):"] + rendered.lines
      + leftOut(rendered.leftOut, width, file: "loss-curve.csv") + [""]
  }

  /// Why the throughput is no higher.
  private static func remark(_ result: FrameResult) -> String {
    let accepted = result.lost > 0 ? "\(result.lost) lost, accepted; " : ""
    guard let failing = result.failingRate else {
      if result.throughput == nil { return "ended before it was found" }
      return accepted + "at the highest rate tried" + (result.isCapped ? ": perhaps no limit of the path" : "")
    }
    let rate = Words.fixed(failing, 1)
    let why =
      switch result.failingVerdict {
      case .notOffered: "this machine did not keep \(rate) up: perhaps no limit of the path"
      case .uneven: "loss at \(rate), but this machine stalled: perhaps no limit of the path"
      case .lossy, .clean: "loss at \(rate)"
      }
    return result.throughput == nil ? "not confirmed at any rate; \(why)" : accepted + why
  }

  /// Why the burst is no longer, where that is not the path's loss.
  private static func burstRemark(_ result: FrameResult) -> [String] {
    guard let failing = result.failingBurst, result.isSendersBurst else { return [] }
    return ["this machine did not do a burst of \(failing): perhaps no limit of the path"]
  }

  /// `0.900 Mbit/s`.
  ///
  /// - Parameter bits: a second.
  package static func lineRate(_ bits: Double) -> String {
    let rate = bits / 1e6
    return Words.fixed(rate, rate == rate.rounded() ? 0 : 3) + " Mbit/s"
  }
}

extension FrameResult {
  /// Whether loss ended any of it.
  fileprivate var isLossy: Bool {
    failingRate != nil && failingVerdict == .lossy || failingBurst != nil && failingBurstVerdict == .lossy
      || lossCurve.contains { $0.verdict == .lossy }
  }

  /// Whether this machine, and not the path, ended the search, so that there is no rate at all.
  fileprivate var isSendersFault: Bool {
    throughput == nil && failingRate != nil && (failingVerdict == .notOffered || failingVerdict == .uneven)
  }
}
