// SPDX-License-Identifier: GPL-2.0-or-later
package import Analysis
import Recording
import Wording

/// The figures of the HighPerTimer study: `latprobe timer`.
extension Report {
  package static func timerTable(_ result: SessionResult, terminal: Terminal = Terminal()) -> String {
    let width = max(40, terminal.width ?? usualWidth)
    var lines: [String] = []
    for block in blocks(result) {
      var table = TextTable(columns: [
        .init(title: "", isLeft: true), .init(title: "n"), .init(title: "median"), .init(title: "MAD", drop: 2),
        .init(title: "½ IQR", drop: 3), .init(title: "min", drop: 1), .init(title: "mean", drop: 4),
        .init(title: "p99.9"), .init(title: "max"),
      ])
      for segment in block.segments {
        guard let summary = segment.summary else { continue }
        let figures = [
          summary.quantile(0.5).map { Double($0.value) }, Double(summary.medianAbsoluteDeviation),
          summary.halfInterquartileRange, Double(summary.min), summary.mean,
        ].map { $0.map(Words.duration) ?? "–" }
        table.rows.append(
          .cells(
            [segment.name, String(summary.count)] + figures
              + [marked(summary.quantile(0.999)), Words.duration(summary.max)]))
      }
      let rendered = table.rendered(width: width)
      lines += [block.direction] + rendered.lines
      if !rendered.leftOut.isEmpty {
        lines.append("  (left out at \(width) columns: \(rendered.leftOut.joined(separator: ", ")))")
      }
      lines.append("")
    }
    if lines.isEmpty { lines = ["Nothing was measured.", ""] }
    let marks = legend(result, blocks(result), width)
    if !marks.isEmpty { lines += marks + [""] }
    return lines.map { $0.trimmingTrailingSpaces() }.joined(separator: "\n") + "\n"
  }
}
