// SPDX-License-Identifier: GPL-2.0-or-later
package import Analysis
import Recording

/// The figures of the HighPerTimer study: `latprobe timer`.
extension Report {
  package static func timerTable(_ result: SessionResult) -> String {
    var lines: [String] = []
    for direction in directions(result) {
      let segments = result.segments.filter { $0.direction == direction }
      let width = max(20, segments.map(\.name.count).max() ?? 0)
      lines.append(direction)
      lines.append(
        "  " + Text.padded("", width)
          + ["n", "median", "MAD", "½ IQR", "min", "mean", "p99.9", "max"].map { Text.aligned($0, 10) }.joined())
      for segment in segments {
        guard let summary = segment.summary else { continue }
        let tail = summary.quantile(0.999)
        let figures = [
          summary.quantile(0.5).map { Double($0.value) }, Double(summary.medianAbsoluteDeviation),
          summary.halfInterquartileRange, Double(summary.min), summary.mean,
        ].map { $0.map(Text.duration) ?? "–" }
        lines.append(
          "  " + Text.padded(segment.name, width)
            + ([String(summary.count)] + figures + [marked(tail), Text.duration(Double(summary.max))])
            .map { Text.aligned($0, 10) }.joined())
      }
      lines.append("")
    }
    if lines.isEmpty { lines = ["Nothing was measured.", ""] }
    let marks = legend(result)
    if !marks.isEmpty { lines += [marks, ""] }
    return lines.map { $0.trimmingTrailingSpaces() }.joined(separator: "\n") + "\n"
  }
}
