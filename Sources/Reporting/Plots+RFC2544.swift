// SPDX-License-Identifier: GPL-2.0-or-later
import Recording
import Wording

extension Plots {
  /// Throughput beside the line's maximum, and loss by rate.
  static func write(
    _ results: [FrameResult], conditions: String, to folder: borrowing Folder
  ) throws(FileError) -> [String] {
    try draw([throughputFigure(results, conditions), lossFigure(results, conditions)].compactMap(\.self), in: folder)
  }

  /// Names of what ``write(_:conditions:to:)`` may have written there: the data of a frame size, or of any figure.
  static func filesOfResults(in folder: borrowing Folder) throws -> [String] {
    try folder.names().filter {
      $0.wholeMatch(of: /(throughput\.csv|loss-[0-9]+\.csv|(throughput|loss)\.(gp|svg|png))/) != nil
    }
  }

  private static func throughputFigure(_ results: [FrameResult], _ conditions: String) -> Figure? {
    guard results.contains(where: { $0.throughput != nil }) else { return nil }
    let rows = results.map { result in
      let share = (result.throughput ?? 0) / result.lineRate * 100
      let shares = result.isSendersLimit ? "0,\(share)" : "\(share),0"
      let found =
        result.throughput.map { "\(result.isSendersLimit ? "≥ " : "")\(Words.fixed($0, 1))" } ?? "not confirmed"
      return "\(result.frame),\(shares),\(found),of \(Words.fixed(result.lineRate, 1))"
    }
    func bars(_ column: Int) -> String { "'' using 0:\(column):(0.5) with boxes linecolor rgb" }
    var series = [
      "'throughput.csv' using 0:(100):xtic(1) with boxes linecolor rgb '#dddddd' title 'fits on the line'",
      "\(bars(2)) '\(Gnuplot.colours[0])' title 'throughput'",
    ]
    if results.contains(where: { $0.throughput != nil && $0.isSendersLimit }) {
      series.append(
        "\(bars(3)) '\(Gnuplot.colours[4])' title 'at least: limit of the sender'")
    }
    series += [
      "'' using 0:(108):4 with labels font ',12' notitle",
      "'' using 0:(103.5):5 with labels font ',11' textcolor rgb '#606060' notitle",
    ]
    let body = """
      set title 'Throughput without loss by frame size, packets per second' font ',16'
      set xlabel 'frame in bytes, with check sequence'
      set ylabel '% of what fits on the line'
      set yrange [0:112]
      set xrange [-0.6:\(Double(results.count) - 0.4)]
      set ytics 0, 20, 100
      set boxwidth 0.75
      set style fill solid 0.85 noborder
      set key outside right top Left reverse samplen 2 spacing 1.4
      set bmargin 5.5
      plot \(series.joined(separator: ", \\\n  "))
      """
    return Figure(
      name: "throughput", script: Gnuplot.script(name: "throughput", footer: conditions, body: body),
      data: [
        (
          "throughput.csv",
          "# frame,throughput_percent,sender_limit_percent,throughput_pps,line_rate_pps\n"
            + rows.joined(separator: "\n") + "\n"
        )
      ])
  }

  private static func lossFigure(_ results: [FrameResult], _ conditions: String) -> Figure? {
    var data: [(name: String, text: String)] = []
    var curves: [String] = []
    for result in results {
      // Where less was sent than was due, the loss is not that of the rate.
      let trials = result.lossCurve.filter { $0.verdict != .notOffered }
      guard !trials.isEmpty else { continue }
      let file = "loss-\(result.frame).csv"
      let rows = trials.map { "\($0.rate / result.lineRate * 100),\($0.lossShare * 100)" }
      data.append((file, "# line_rate_percent,loss_percent\n" + rows.joined(separator: "\n") + "\n"))
      let colour = Gnuplot.colours[curves.count % Gnuplot.colours.count]
      curves.append(
        "'\(file)' using 1:2 with linespoints linewidth 2 pointtype 7 linecolor rgb '\(colour)' title '\(result.frame) bytes'"
      )
    }
    guard !curves.isEmpty else { return nil }
    let body = """
      set title 'Loss by rate' font ',16'
      set xlabel 'rate in % of what fits on the line'
      set ylabel 'packets lost in %'
      set xrange [0:*]
      set yrange [0:100]
      set key outside right top Left reverse samplen 2 spacing 1.4
      set bmargin 5.5
      plot \(curves.joined(separator: ", \\\n  "))
      """
    return Figure(
      name: "loss", script: Gnuplot.script(name: "loss", footer: conditions, body: body), data: data)
  }
}
