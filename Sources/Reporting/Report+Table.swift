// SPDX-License-Identifier: GPL-2.0-or-later
package import Analysis
import Recording
import Wording

/// The report for the terminal.
extension Report {
  /// - Parameters:
  ///   - verbose: shows the ledger row by row even when nothing was lost.
  ///   - terminal: what it can show; where nothing has to fit, lines are as long as on the narrowest usual terminal.
  package static func table(
    _ result: SessionResult, verbose: Bool = false, terminal: Terminal = Terminal()
  ) -> String {
    let width = max(40, terminal.width ?? usualWidth)
    let result = result.withPlainNames
    var lines: [String] = []
    let blocks = blocks(result)
    if blocks.isEmpty {
      let isPaired = result.machines.contains { $0.pairing != nil }
      lines += [
        isPaired
          ? "No request and its answer were seen: there is nothing to report."
          : "No packets were seen at two hook points: there is no segment to report.", "",
      ]
    }
    for block in blocks {
      lines += blockLines(block, result, width, terminal) + variationLines(block.segments, width)
      lines.append("")
    }
    let marks = legend(result, blocks, width) + strayLines(result, width)
    if !marks.isEmpty { lines += marks + [""] }
    lines += notes(result, verbose: verbose, width: width, terminal)
    return lines.map { $0.trimmingTrailingSpaces() }.joined(separator: "\n") + "\n"
  }

  /// Columns of a pipe or a file, too: what is left out for them is in the files.
  static let usualWidth = 80
  static let tableProbabilities = [0.5, 0.9, 0.99, 0.999]
  private static let barWidth = 12
  /// Groups of flows that are shown of a path; the files have all.
  static let mostGroups = 6

  // MARK: Blocks

  /// A table: a path, or a group of flows on it.
  struct Block {
    var direction: String
    var group: String?
    var segments: [SegmentResult]
    /// Groups of the path that stand in no table, and their packets; told below the last one.
    var hidden = (groups: 0, packets: 0)

    /// Its packets, with those that have no delay.
    var weight: Int {
      segments.map { $0.count + $0.lost + $0.unmatched + $0.ambiguous + $0.notAsked }.max() ?? 0
    }
  }

  static func blocks(_ result: SessionResult) -> [Block] { shown(allBlocks(result)) }

  /// A few stray packets, such as a host's router solicitations, do not come before the application; lost ones stay.
  private static func shown(_ blocks: [Block]) -> [Block] {
    let most = blocks.map(\.weight).max() ?? 0
    return blocks.filter { block in
      block.weight >= mostStray || block.weight * 100 >= most
        || !block.segments.contains(where: \.isNeighbour)
        || block.segments.contains { $0.lost > 0 }
    }
  }

  /// Fewer packets than these are strays where others are a hundred times as many.
  private static let mostStray = 10

  /// What ``blocks(_:)`` leaves out, by path.
  private static func strayLines(_ result: SessionResult, _ width: Int) -> [String] {
    let all = allBlocks(result)
    let kept = Set(shown(all).map { [$0.direction, $0.group ?? ""] })
    var counts: [(direction: String, count: Int)] = []
    for block in all where !kept.contains([block.direction, block.group ?? ""]) {
      let count = block.weight + block.hidden.packets
      if counts.last?.direction == block.direction {
        counts[counts.count - 1].count += count
      } else {
        counts.append((block.direction, count))
      }
    }
    guard !counts.isEmpty else { return [] }
    let words = counts.map { "\($0.count) of \(Text.plain($0.direction))" }.joined(separator: ", ")
    return Words.wrapped("  stray packets are not shown: \(words) (segments.csv, groups.csv)", width, indent: 4)
  }

  private static func allBlocks(_ result: SessionResult) -> [Block] {
    directions(result).flatMap { direction -> [Block] in
      let groups = result.groups.filter { $0.direction == direction }
      var names: [String] = []
      for case let name? in groups.map(\.group) where !names.contains(name) { names.append(name) }
      guard !names.isEmpty else {
        return [Block(direction: direction, segments: result.segments.filter { $0.direction == direction })]
      }
      let all = names.map { name in
        Block(direction: direction, group: name, segments: groups.filter { $0.group == name })
      }
      // A stray packet is no table.
      let counts = all.map { $0.segments.map(\.count).max() ?? 0 }
      let least = counts.reduce(0, +) / 100
      var blocks = zip(all, counts).filter { $0.1 >= least }.prefix(mostGroups).map(\.0)
      let shown = Set(blocks.map(\.group))
      let hidden = zip(all, counts).filter { !shown.contains($0.0.group) }
      if !blocks.isEmpty { blocks[blocks.count - 1].hidden = (hidden.count, hidden.reduce(0) { $0 + $1.1 }) }
      return blocks
    }
  }

  private static func blockLines(
    _ block: Block, _ result: SessionResult, _ width: Int, _ terminal: Terminal
  ) -> [String] {
    let neighbours = block.segments.filter(\.isNeighbour)
    // A group of flows that never passes a point in the middle, such as a tap's, has nothing to say there.
    let rest = block.segments.filter { segment in
      !segment.isNeighbour && (block.group == nil || segment.isAsked || segment.name == block.segments.last?.name)
    }
    var table = TextTable(columns: [
      .init(title: "segment", isLeft: true), .init(title: "", isLeft: true, drop: 2), .init(title: "packets"),
      .init(title: "p50"), .init(title: "p90", drop: 5), .init(title: "p99"), .init(title: "p99.9", drop: 4),
      .init(title: "max", drop: 3), .init(title: "share", drop: 1), .init(title: "slow 1 %", drop: 1),
      .init(title: "", isLeft: true, drop: 6, isDecoration: true),
    ])
    var red: Set<Int> = []
    for (number, segment) in (neighbours + rest).enumerated() {
      if number == neighbours.count, number > 0 { table.rows.append(.rule) }
      table.rows.append(.cells(cells(segment)))
      let remainder = remainder(segment)
      if !remainder.isEmpty {
        if segment.lost > 0 || segment.invalid != nil { red.insert(table.rows.count) }
        table.rows.append(.text(remainder))
      }
      for part in segment.byQueue { table.rows.append(.cells(cells("  queue \(part.queue)", part.summary))) }
      if let wire = segment.wire {
        table.rows.append(.cells(cells("  explained", wire.explained)))
        table.rows.append(.cells(cells("  unexplained", wire.unexplained)))
      }
    }
    let rendered = table.rendered(width: width) { line, row in
      red.contains(row) ? terminal.colored(line, .red) : line
    }
    var lines = title(block, neighbours).flatMap { Words.wrapped($0, width, indent: 2) }
    lines = lines.map { terminal.colored($0, .bold) } + rendered.lines
    if let conclusion = conclusion(block.segments) {
      lines += Words.wrapped("  → " + conclusion, width, indent: 4)
    }
    lines += leftOut(rendered.leftOut, width, file: block.group == nil ? "segments.csv" : "groups.csv")
    if block.hidden.groups > 0 {
      let some = "\(block.hidden.groups) smaller groups with \(block.hidden.packets) packets"
      lines += Words.wrapped("  (of \(block.direction) \(some) are in groups.csv)", width, indent: 3)
    }
    return lines
  }

  /// Which columns did not fit.
  static func leftOut(_ titles: [String], _ width: Int, file: String) -> [String] {
    guard !titles.isEmpty else { return [] }
    let titles = titles.map { $0.isEmpty ? "what the segments are" : $0 }
    let text = "left out at \(width) columns: \(titles.joined(separator: ", ")); \(file) has all"
    return Words.wrapped("  (\(text))", width, indent: 3)
  }

  private static func title(_ block: Block, _ neighbours: [SegmentResult]) -> [String] {
    let name = Text.plain(block.direction)
    let hooks = neighbours.first.map { first in
      ([first.from.hook.name] + neighbours.map(\.to.hook.name)).joined(separator: " → ")
    }
    guard let group = block.group else { return [name + (hooks.map { ":  \($0)" } ?? "")] }
    return ["\(name), \(Text.plain(group).replacing(" -> ", with: " → ")):"] + (hooks.map { ["  \($0)"] } ?? [])
  }

  private static func cells(_ segment: SegmentResult) -> [String] {
    var cells = [Text.plain(segment.name), Text.plain(segment.meaning ?? ""), String(segment.count)]
    for probability in tableProbabilities {
      let mark = probability == 0.5 && segment.isMostlyProbes ? "*" : ""
      cells.append(mark + marked(segment.summary?.quantile(probability)))
    }
    cells.append(segment.summary.map { Words.duration($0.max) } ?? "–")
    if let share = segment.share {
      cells.append(Words.fixed(share * 100, 1) + " %")
      let mark = segment.slowCount < 10 ? "~" : ""
      cells.append(segment.slowShare.map { mark + Words.fixed($0 * 100, 1) + " %" } ?? "–")
      cells.append(bar(share))
    } else {
      cells += segment.isNeighbour ? ["–", "–", ""] : ["", "", ""]
    }
    return cells
  }

  private static func cells(_ name: String, _ summary: Summary) -> [String] {
    [name, "", String(summary.count)] + tableProbabilities.map { marked(summary.quantile($0)) }
      + [Words.duration(summary.max), "", "", ""]
  }

  /// `?` is unresolved, `~` rests on fewer than ten samples, `–` has no samples.
  static func marked(_ quantile: Quantile?) -> String {
    guard let quantile else { return "–" }
    let mark = !quantile.isResolved ? "?" : quantile.hasEnoughSamples ? "" : "~"
    return mark + Words.duration(quantile.value)
  }

  /// A bar in eighths of a column.
  private static func bar(_ share: Double) -> String {
    let eighths = Int((min(max(share, 0), 1) * Double(barWidth) * 8).rounded())
    let parts = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"]
    return String(repeating: "█", count: eighths / 8) + parts[eighths % 8]
  }

  /// Of what is lost, what the kernel says that it threw away.
  private static func causes(_ causes: [String: Int], of all: Int, _ words: String) -> String {
    guard !causes.isEmpty else { return "" }
    let causes = causes.sorted { ($1.value, $0.key) < ($0.value, $1.key) }.map { cause, count in
      count == all ? cause : "\(cause) \(count)"
    }
    return " (\(words) \(Text.plain(causes.joined(separator: ", "))))"
  }

  /// What was not given a delay, only what is not zero.
  private static func remainder(_ segment: SegmentResult) -> String {
    var words: [String] = []
    for (name, count) in [
      ("lost", segment.lost), ("unmatched", segment.unmatched), ("ambiguous", segment.ambiguous),
      ("duplicate", segment.duplicate), ("late", segment.late), ("cut off", segment.cutOff),
      ("not read", segment.notAsked),
    ] where count > 0 {
      let why =
        switch name {
        case "lost": causes(segment.dropped, of: count, "dropped by")
        case "unmatched": causes(segment.discarded, of: count, "copies for others:")
        default: ""
        }
      words.append("\(name) \(count)" + why)
    }
    if segment.errorBound > 0 { words.append("clock ±\(Words.duration(segment.errorBound))") }
    if let reason = segment.invalid { words.append("INVALID: \(reason)") }
    return words.joined(separator: ", ")
  }

  // MARK: What it says

  /// The table in one sentence; nil where there is nothing to say.
  static func conclusion(_ segments: [SegmentResult]) -> String? {
    func name(_ segment: SegmentResult) -> String {
      segment.name + (segment.meaning.map { " (\(Text.plain($0)))" } ?? "")
    }
    // Not all of it, where it is not all.
    func percent(_ share: Double) -> String {
      share < 1 && share >= 0.995 ? "over 99 %" : Words.fixed(share * 100, 0) + " %"
    }
    let shared = segments.filter { $0.share != nil }.sorted { ($0.share ?? 0) > ($1.share ?? 0) }
    var words: [String] = []
    if shared.count > 1, let first = shared.first, let share = first.share {
      var text = "\(percent(share)) of the delay is in \(name(first))"
      if share < 0.5, let second = shared[1].share { text += ", \(percent(second)) in \(name(shared[1]))" }
      words.append(text)
      if let slowest = shared.max(by: { $0.slowShare ?? 0 < $1.slowShare ?? 0 }), let slow = slowest.slowShare {
        words.append(
          "the slowest 1 % of packets spent \(percent(slow)) of theirs "
            + (slowest.name == first.name && share >= 0.5 ? "there" : "in \(name(slowest))"))
      }
    } else if let most = segments.filter({ $0.invalid == nil }).max(by: { $0.count < $1.count }),
      let median = most.summary?.quantile(0.5), let high = most.summary?.quantile(0.99), median.isResolved,
      high.isResolved,
      median.value > 0
    {
      let times = Double(high.value) / Double(median.value)
      words.append(
        "half of \(name(most)) took up to \(Words.duration(median.value)), one in 100 more than "
          + "\(Words.duration(high.value)), \(Words.significant(times)) times as long")
    }
    for segment in segments where segment.isNeighbour && segment.lost > 0 {
      words.append("\(segment.lost) packets were lost in \(name(segment))")
    }
    return words.isEmpty ? nil : words.joined(separator: "; ") + "."
  }

  static func legend(_ result: SessionResult, _ blocks: [Block], _ width: Int) -> [String] {
    let segments = blocks.flatMap(\.segments)
    let shown = segments.flatMap { segment in
      tableProbabilities.map { segment.summary?.quantile($0) }
        + (segment.wire.map { wire in
          tableProbabilities.flatMap { [wire.explained.quantile($0), wire.unexplained.quantile($0)] }
        } ?? [])
    }
    var marks: [String] = []
    if segments.contains(where: { $0.share != nil }) {
      marks.append("share: part of the end-to-end delay; slow 1 %: the same of the packets above its p99")
    }
    if shown.contains(where: { $0?.isResolved == true && $0?.hasEnoughSamples == false })
      || segments.contains(where: { $0.slowShare != nil && $0.slowCount < 10 })
    {
      marks.append("~ fewer than 10 samples beyond it")
    }
    if shown.contains(where: { $0?.isResolved == false }) {
      marks.append("? unresolved: too few samples for an upper bound, or below the clock error")
    }
    if shown.contains(where: { $0 == nil }) { marks.append("– no samples") }
    let probed = segments.filter(\.isMostlyProbes)
    if let most = probed.compactMap(\.probeTime).max() {
      marks.append("* more than half of it is the probes' own time: a stamp costs up to \(Words.duration(most))")
    }
    for software in Set(segments.compactMap(\.wire?.software)).sorted() {
      marks.append("explained: by the segments of \(software); unexplained: the rest of the same packets' wire delay")
    }
    return marks.flatMap { Words.wrapped("  " + $0, width, indent: 4) }
  }
}

extension String {
  func trimmingTrailingSpaces() -> String {
    var text = self[...]
    while text.last == " " { text.removeLast() }
    return String(text)
  }
}

extension SessionResult {
  /// A line break in a name must not make a line of its own.
  fileprivate var withPlainNames: SessionResult {
    var result = self
    for index in segments.indices {
      result.segments[index].name = Text.plain(segments[index].name)
      result.segments[index].direction = Text.plain(segments[index].direction)
    }
    for index in groups.indices {
      result.groups[index].name = Text.plain(groups[index].name)
      result.groups[index].direction = Text.plain(groups[index].direction)
    }
    return result
  }
}

extension SegmentResult {
  /// Whether any packet was to be seen at both ends.
  fileprivate var isAsked: Bool {
    count + lost + unmatched + ambiguous + late + cutOff + notAsked > 0 || invalid != nil
  }
}
