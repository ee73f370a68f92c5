// SPDX-License-Identifier: GPL-2.0-or-later
import Analysis
import Recording
import Wording

extension Plots {
  // MARK: CCDF

  /// More lines than these cannot be told apart.
  static let mostLines = 5

  /// Both axes logarithmic, a line for each segment with its mean marked; end to end broad and grey behind the others, which
  /// differ in dashes too.
  static func ccdfFigure(
    _ direction: String, _ segments: [SegmentResult], _ result: SessionResult, group: String? = nil
  ) -> Figure {
    let name = fileName("ccdf", direction, group: group, in: result)
    var data: [(name: String, text: String)] = []
    var curves: [String] = []
    var means: [String] = []
    var lowest = 1.0
    var range: (low: Double, high: Double) = (.infinity, 0)
    let (whole, lines) = chosen(segments)
    for (number, segment) in ([whole].compactMap(\.self) + lines).enumerated() {
      guard let summary = segment.summary else { continue }
      let corners = Distribution.drawnCCDF(summary.sorted)
      guard let first = corners.first, let last = corners.last else { continue }
      let above = summary.count - summary.sorted.partitioningIndex { Double($0) > summary.mean }
      if above > 0, summary.mean > 0 {
        means.append("\(summary.mean / 1000),\(Double(above) / Double(summary.count))")
      }
      range = (min(range.low, Double(first.value) / 1000), max(range.high, Double(last.value) / 1000))
      lowest = min(lowest, last.fraction)
      let file = "\(name)-\(number + 1).csv"
      let rows = corners.map { "\(microseconds($0.value)),\($0.fraction)" }
      data.append((file, "# \(Text.plain(segment.name)): delay_us,ccdf\n" + rows.joined(separator: "\n") + "\n"))
      let line = whole == nil ? number : number - 1
      let style =
        line < 0
        ? "linewidth 8 linecolor rgb '#c4c4c4' dashtype 1"
        : "linewidth 2.5 linecolor rgb '\(Gnuplot.colours[line % Gnuplot.colours.count])' dashtype \(line + 1)"
      let words = line < 0 ? "end to end" : segment.meaning ?? ""
      let title = Gnuplot.label(segment.name + (words.isEmpty ? "" : ", \(words)"))
      curves.append("'\(file)' using 1:2 with steps \(style) title \(title)")
    }
    let drawn = [whole].compactMap(\.self) + lines
    let others = segments.filter { segment in !drawn.contains { $0.name == segment.name } }.map(\.name)
    if !means.isEmpty {
      data.append(("\(name)-means.csv", "# mean_us,ccdf\n" + means.joined(separator: "\n") + "\n"))
      curves.append(
        "'\(name)-means.csv' using 1:2 with points pointtype 7 pointsize 0.8 linecolor rgb '#000000' title 'mean'")
    }
    let bottom = Gnuplot.floorDecade(lowest)
    let floor = lowest * 0.7
    // A tic's label is a format: %% prints as %.
    let percent = ["100 %%", "10 %%", "1 %%", "0.1 %%", "0.01 %%", "0.001 %%"]
    let yTics = (bottom...0).map { exponent in
      "'\(exponent > -6 ? percent[-exponent] : "1e\(exponent + 2) %%")' 1e\(exponent)"
    }
    let marks = ["p50": 0.5, "p90": 0.1, "p99": 0.01, "p99.9": 0.001, "p99.99": 0.0001].filter { $0.value >= lowest }
    let y2Tics = marks.sorted { $0.value > $1.value }.map { "'\($0.key)' \($0.value)" }
    let axis = axis(range.low, range.high)
    let body = """
      set title \(Gnuplot.label("Delay by segment, direction \(direction)\(group.map { ", \($0.replacing(" -> ", with: " → "))" } ?? "")")) font ',16'
      set xlabel 'delay in µs'
      set ylabel '\(noun(segments)) that took longer'
      set logscale xyy2
      set xrange [\(axis.lowerBound):\(axis.upperBound)]
      set yrange [\(floor):1]
      set y2range [\(floor):1]
      set xtics \(Gnuplot.logarithmicTics(axis))
      set ytics (\(yTics.joined(separator: ", ")))
      set y2tics (\(y2Tics.joined(separator: ", ")))
      set key outside right top Left reverse samplen 4 spacing 1.4
      set bmargin 5.5
      plot \(curves.joined(separator: ", \\\n  "))
      """
    var samples = "n = \(segments.map(\.count).max() ?? 0) \(noun(segments))"
    if !others.isEmpty {
      samples +=
        "  ·  not drawn: \(others.prefix(4).joined(separator: ", "))\(others.count > 4 ? " and more" : "") (ccdf.csv)"
    }
    return Figure(
      name: name, script: Gnuplot.script(name: name, footer: footer(result, samples: samples), body: body), data: data)
  }

  /// End to end, and the segments that take most of it or of its slowest packets; of pairs and timers, which lie on no path,
  /// the first ones.
  private static func chosen(_ segments: [SegmentResult]) -> (whole: SegmentResult?, lines: [SegmentResult]) {
    let neighbours = segments.filter(\.isNeighbour)
    guard !neighbours.isEmpty else { return (nil, Array(segments.prefix(mostLines))) }
    let whole = segments.last { !$0.isNeighbour && $0.invalid == nil }
    let most = mostLines - (whole == nil ? 0 : 1)
    let weights = neighbours.map { max($0.share ?? 0, $0.slowShare ?? 0) }
    let taken = Set(neighbours.indices.sorted { (weights[$1], $0) < (weights[$0], $1) }.prefix(most))
    return (whole, neighbours.indices.filter(taken.contains).map { neighbours[$0] })
  }

  // MARK: Packet interval times

  private static let pitOrder: [HookPoint] = [
    .txg2, .txh0, .rxh1, .rxg0, .rxh0, .txg1, .txh1, .txh2, .wireIn, .wireOut, .txg0, .rxg1,
  ]
  /// Bins are drawn as they were counted, so that a burst is not blurred; more than these do not fit side by side. Only
  /// where less than half of the intervals would be seen, bins are put together.
  private static let mostBins: Int64 = 1000

  /// One panel for each of two hook points, txg2 and txh0 where they exist, up to p99 of the intervals or
  /// ``mostBins``, whichever is less; what lies beyond is counted in the panel's title.
  static func pitFigure(_ direction: String, _ result: SessionResult) -> Figure? {
    let candidates = result.intervals.filter { $0.direction == direction && $0.count > 0 && $0.binWidth > 0 }
    let ordered = pitOrder.flatMap { hook in candidates.filter { $0.point.hook == hook } }
    let shown = Array(ordered.prefix(2))
    guard let first = shown.first else { return nil }
    let name = fileName("pit", direction, in: result)
    let together = binsTogether(shown)
    let end = min(mostBins, max(20, (shown.map { binHolding(0.99, of: $0) }.max() ?? 0) / together + 1))
    let width = Double(first.binWidth * together) / 1000
    var data: [(name: String, text: String)] = []
    var panels: [String] = []
    for (number, histogram) in shown.enumerated() {
      let file = "\(name)-\(number + 1).csv"
      let bins = merged(histogram.bins, together).filter { $0.index >= 0 && $0.index < end }
      let unit = Double(histogram.binWidth * together) / 1000
      let rows = bins.map { "\((Double($0.index) + 0.5) * unit),\($0.count)" }
      data.append((file, "# \(histogram.point.hook.name): middle_us,count\n" + rows.joined(separator: "\n") + "\n"))
      let isLast = number == shown.count - 1
      let beyond = histogram.count - bins.reduce(0) { $0 + $1.count }
      let label =
        "\(histogram.point.hook.name): n = \(histogram.count), mean \(Words.duration(histogram.mean))"
        + (beyond > 0 ? ", \(beyond) beyond the right edge" : "")
      let top = Double(max(5, bins.map(\.count).max() ?? 5)) * 2
      panels.append(
        """
        set title \(Gnuplot.label(label)) font ',13' offset 0,-0.5
        set xlabel '\(isLast ? "time between successive packets of a flow in µs" : "")'
        set ylabel 'packets per \(text(width)) µs'
        set yrange [0.7:\(top)]
        set ytics \(Gnuplot.logarithmicTics(1...top))
        plot '\(file)' using 1:2 with boxes fillstyle solid 0.85 noborder linecolor rgb '\(Gnuplot.colours[number])' notitle
        unset label 1
        """)
    }
    let title = "Packet interval times, direction \(direction)"
    let foot = footer(result, samples: "bins of \(text(width)) µs")
    let body = """
      set logscale y
      set xrange [0:\(Double(end) * width)]
      set xtics auto
      set boxwidth \(width)
      set multiplot layout \(shown.count),1 title \(Gnuplot.label(title)) font ',16' margins 0.09,0.975,0.13,0.88 spacing 0.06,0.13
      \(panels.joined(separator: "\n"))
      unset multiplot
      """
    return Figure(name: name, script: Gnuplot.script(name: name, footer: foot, body: body), data: data)
  }

  /// How many bins are drawn as one.
  private static func binsTogether(_ shown: [PITHistogram]) -> Int64 {
    guard shown.contains(where: { binHolding(0.5, of: $0) >= mostBins }) else { return 1 }
    let last = shown.map { binHolding(0.99, of: $0) }.max() ?? 0
    var decade: Int64 = 1
    // A billion bins are an interval of more than the longest recording.
    while decade < 1_000_000_000 {
      for factor in [1, 2, 5] as [Int64] where last / (factor * decade) < mostBins { return factor * decade }
      decade *= 10
    }
    return decade
  }

  private static func merged(
    _ bins: [(index: Int64, count: Int)], _ together: Int64
  ) -> [(index: Int64, count: Int)] {
    guard together > 1 else { return bins }
    return bins.filter { $0.index >= 0 }.reduce(into: []) { merged, bin in
      let index = bin.index / together
      if let last = merged.last, last.index == index {
        merged[merged.count - 1].count += bin.count
      } else {
        merged.append((index, bin.count))
      }
    }
  }

  /// Without a fraction where there is none.
  private static func text(_ number: Double) -> String {
    number == number.rounded() ? Words.fixed(number, 0) : Words.significant(number)
  }

  /// Index of the bin that holds the type-1 quantile.
  static func binHolding(_ probability: Double, of histogram: PITHistogram) -> Int64 {
    let rank = quantileRank(probability, count: histogram.count)
    var sum = 0
    for bin in histogram.bins {
      sum += bin.count
      if sum >= rank { return bin.index }
    }
    return histogram.bins.last?.index ?? 0
  }

  // MARK: Delay histograms

  /// One panel a segment, the same range of delays in each, both axes logarithmic.
  static func delayFigure(_ direction: String, _ segments: [SegmentResult], _ result: SessionResult) -> Figure {
    let name = fileName("delay", direction, in: result)
    let columns = segments.count == 1 ? 1 : segments.count <= 4 ? 2 : 3
    let rows = (segments.count + columns - 1) / columns
    let height = rows <= 2 ? 700 : 100 + 300 * rows
    let histograms = segments.map { Distribution.logarithmicBins($0.summary?.sorted ?? []) }
    let all = histograms.joined()
    let low = Double(all.map(\.low).min() ?? 1) / 1000
    let high = Double(all.map(\.high).max() ?? 1) / 1000
    let top = Double(max(5, all.map(\.count).max() ?? 5)) * 2
    var data: [(name: String, text: String)] = []
    var panels: [String] = []
    for (number, segment) in segments.enumerated() {
      let file = "\(name)-\(number + 1).csv"
      let lines = histograms[number].map { "\(microseconds($0.low)),\(microseconds($0.high)),\($0.count)" }
      data.append(
        (file, "# \(Text.plain(segment.name)): low_us,high_us,count\n" + lines.joined(separator: "\n") + "\n"))
      let colour = segment.isNeighbour ? Gnuplot.colours[number % Gnuplot.colours.count] : "#404040"
      let isLowest = number + columns >= segments.count
      panels.append(
        """
        set title \(Gnuplot.label(segment.name)) font ',13' offset 0,-0.6
        \(panelLabels(segment))
        set xlabel '\(isLowest ? "delay in µs" : "")'
        set ylabel '\(number % columns == 0 ? noun(segments) : "")'
        plot '\(file)' using (sqrt($1*$2)):3:1:2:(0.7):3 with boxxyerror fillstyle solid 0.85 noborder linecolor rgb '\(colour)' notitle
        unset label 1
        """)
    }
    let pixels = Double(height)
    let axis = axis(low, high)
    let foot = footer(result, samples: "n = \(segments.map(\.count).max() ?? 0) \(noun(segments)), 20 bins a decade")
    let body = """
      set logscale xy
      set xrange [\(axis.lowerBound):\(axis.upperBound)]
      set xtics \(Gnuplot.logarithmicTics(axis, mostDecades: columns < 3 ? 9 : 4))
      set yrange [0.7:\(top)]
      set ytics \(Gnuplot.logarithmicTics(1...top))
      set multiplot layout \(rows),\(columns) title \(Gnuplot.label("Delay histograms, direction \(direction)")) font ',16' margins 0.1,0.97,\(90 / pixels),\(1 - 80 / pixels) spacing 0.08,\(75 / pixels)
      \(panels.joined(separator: "\n"))
      unset multiplot
      """
    return Figure(name: name, script: Gnuplot.script(name: name, height: height, footer: foot, body: body), data: data)
  }

  /// Figures in the corner where a delay's histogram is lowest.
  private static func panelLabels(_ segment: SegmentResult) -> String {
    var words = ["n = \(segment.count)"]
    for probability in [0.5, 0.99] {
      guard let quantile = segment.summary?.quantile(probability) else { continue }
      words.append("\(Text.quantileName(probability)) \(Words.duration(quantile.value))")
    }
    let hidden = segment.summary?.sorted.partitioningIndex { $0 > 0 } ?? 0
    words.append(hidden > 0 ? "\(hidden) ≤ 0 ns not drawn" : "")
    return words.enumerated().map { number, word in
      "set label \(number + 2) \(Gnuplot.label(word)) at graph 0.97, graph 0.93 right "
        + "offset 0,\(-1.1 * Double(number)) font ',11' textcolor rgb '#404040' front"
    }.joined(separator: "\n  ")
  }

  /// What is counted: pairs and timers lie on no path of packets.
  private static func noun(_ segments: [SegmentResult]) -> String {
    segments.contains(where: \.isNeighbour) ? "packets" : "samples"
  }

  /// A logarithmic axis that reaches a little beyond the data and spans a decade at least.
  private static func axis(_ low: Double, _ high: Double) -> ClosedRange<Double> {
    let start = low * 0.8
    return start...max(high * 1.25, start * 10)
  }
}
