// SPDX-License-Identifier: GPL-2.0-or-later
package import Analysis
import Recording

/// The report for the terminal: plain text, at most 100 columns as long as names are short.
extension Report {
  /// - Parameter verbose: shows the ledger row by row even when nothing was lost.
  package static func table(_ result: SessionResult, verbose: Bool = false) -> String {
    var lines: [String] = []
    let directions = directions(result)
    if directions.isEmpty { lines += ["No packets were seen at two hook points: there is no segment to report.", ""] }
    for direction in directions {
      let segments = result.segments.filter { $0.direction == direction }
      lines += directionLines(segments, direction) + variationLines(segments)
      lines.append("")
    }
    let marks = legend(result)
    if !marks.isEmpty { lines += [marks, ""] }
    lines += notes(result, verbose: verbose)
    return lines.map { $0.trimmingTrailingSpaces() }.joined(separator: "\n") + "\n"
  }

  static let tableProbabilities = [0.5, 0.9, 0.99, 0.999]
  private static let valueWidth = 10
  private static let barWidth = 12

  // MARK: One direction

  private static func directionLines(_ segments: [SegmentResult], _ direction: String) -> [String] {
    let queueWidth = segments.flatMap(\.queues).max().map { "  queue \($0)".count } ?? 0
    let partWidth = segments.contains { $0.wire != nil } ? "  unexplained".count : 0
    let nameWidth = max(9, queueWidth, partWidth, segments.map(\.name.count).max() ?? 0)
    let neighbours = segments.filter(\.isNeighbour)
    let rest = segments.filter { !$0.isNeighbour }
    var header = "  " + Text.padded("segment", nameWidth) + Text.aligned("packets", 10)
    for probability in tableProbabilities {
      header += Text.aligned(Text.quantileName(probability), valueWidth)
    }
    header += Text.aligned("max", valueWidth) + Text.aligned("share", 9)
    var lines = [title(direction, neighbours), header]
    for segment in neighbours { lines += row(segment, nameWidth) }
    if !rest.isEmpty {
      lines.append("  " + String(repeating: "─", count: header.count - 2))
      for segment in rest { lines += row(segment, nameWidth) }
    }
    return lines
  }

  private static func title(_ direction: String, _ neighbours: [SegmentResult]) -> String {
    guard let first = neighbours.first else { return Text.plain(direction) }
    let hooks = [first.from.hook.name] + neighbours.map(\.to.hook.name)
    return "\(Text.plain(direction)):  \(hooks.joined(separator: " → "))"
  }

  private static func row(_ segment: SegmentResult, _ nameWidth: Int) -> [String] {
    var line = "  " + Text.padded(segment.name, nameWidth) + Text.aligned(String(segment.count), 10)
    for probability in tableProbabilities {
      line += Text.aligned(marked(segment.summary?.quantile(probability)), valueWidth)
    }
    line += Text.aligned(segment.summary.map { Text.duration(Double($0.max)) } ?? "–", valueWidth)
    if let share = segment.share {
      line += Text.aligned(Text.fixed(share * 100, 1) + " %", 9) + "  " + bar(share)
    } else if segment.isNeighbour {
      line += Text.aligned("–", 9)
    }
    let rest = remainder(segment)
    return [line] + (rest.isEmpty ? [] : ["  " + Text.padded("", nameWidth) + "     └ " + rest])
      + segment.byQueue.map { partRow("queue \($0.queue)", $0.summary, nameWidth) }
      + (segment.wire.map {
        [partRow("explained", $0.explained, nameWidth), partRow("unexplained", $0.unexplained, nameWidth)]
      } ?? [])
  }

  private static func partRow(_ name: String, _ summary: Summary, _ nameWidth: Int) -> String {
    var line = "  " + Text.padded("  \(name)", nameWidth) + Text.aligned(String(summary.count), 10)
    for probability in tableProbabilities {
      line += Text.aligned(marked(summary.quantile(probability)), valueWidth)
    }
    return line + Text.aligned(Text.duration(Double(summary.max)), valueWidth)
  }

  /// `?` is unresolved, `~` rests on fewer than ten samples, `–` has no samples.
  static func marked(_ quantile: Quantile?) -> String {
    guard let quantile else { return "–" }
    let mark = !quantile.isResolved ? "?" : quantile.hasEnoughSamples ? "" : "~"
    return mark + Text.duration(Double(quantile.value))
  }

  /// A bar in eighths of a column.
  private static func bar(_ share: Double) -> String {
    let eighths = Int((min(max(share, 0), 1) * Double(barWidth) * 8).rounded())
    let parts = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"]
    return String(repeating: "█", count: eighths / 8) + parts[eighths % 8]
  }

  /// What was not given a delay, only what is not zero.
  private static func remainder(_ segment: SegmentResult) -> String {
    var words: [String] = []
    for (name, count) in [
      ("lost", segment.lost), ("unmatched", segment.unmatched), ("ambiguous", segment.ambiguous),
      ("duplicate", segment.duplicate), ("late", segment.late), ("cut off", segment.cutOff),
    ] where count > 0 {
      words.append("\(name) \(count)")
    }
    if segment.errorBound > 0 { words.append("clock ±\(Text.duration(Double(segment.errorBound)))") }
    return words.joined(separator: ", ")
  }

  static func legend(_ result: SessionResult) -> String {
    let shown = result.segments.flatMap { segment in
      tableProbabilities.map { segment.summary?.quantile($0) }
        + (segment.wire.map { wire in
          tableProbabilities.flatMap { [wire.explained.quantile($0), wire.unexplained.quantile($0)] }
        } ?? [])
    }
    var marks: [String] = []
    if shown.contains(where: { $0?.isResolved == true && $0?.hasEnoughSamples == false }) {
      marks.append("~ fewer than 10 samples beyond it")
    }
    if shown.contains(where: { $0?.isResolved == false }) {
      marks.append("? unresolved: too few samples for an upper bound, or below the clock error")
    }
    if shown.contains(where: { $0 == nil }) { marks.append("– no samples") }
    for software in Set(result.segments.compactMap(\.wire?.software)).sorted() {
      marks.append("explained: by the segments of \(software); unexplained: the rest of the same packets' wire delay")
    }
    return marks.isEmpty ? "" : marks.map { "  " + $0 }.joined(separator: "\n")
  }
}

extension String {
  func trimmingTrailingSpaces() -> String {
    var text = self[...]
    while text.last == " " { text.removeLast() }
    return String(text)
  }
}
