// SPDX-License-Identifier: GPL-2.0-or-later
import Analysis
import Recording

/// Static pictures by gnuplot: SVG and PNG, with data and script beside them so that `gnuplot NAME.gp` in the
/// folder draws them again.
enum Plots {
  /// One picture: a script and the data files it reads.
  struct Figure {
    /// File name without extension, safe for a shell.
    var name: String
    var script: String
    var data: [(name: String, text: String)]
  }

  /// - Returns: one line for each thing that was not drawn.
  /// - Throws: ``FileError``; a gnuplot that is missing or fails is no error but a line.
  static func write(_ result: SessionResult, to folder: borrowing Folder) throws -> [String] {
    try removeEarlier(in: folder)
    var notes: [String] = []
    var figures: [Figure] = []
    for direction in Report.directions(result) {
      let segments = result.segments.filter { $0.direction == direction }
      let drawn = drawable(segments)
      if drawn.isEmpty {
        let isOne = segments.contains { ($0.summary?.max ?? 0) > 0 }
        notes.append(
          "no plots for direction \(Text.plain(direction)): "
            + (isOne ? "one packet makes no distribution" : "no packet has a delay > 0 ns there"))
      } else {
        figures.append(ccdfFigure(direction, drawn, result))
        figures.append(delayFigure(direction, drawn, result))
      }
      for block in Report.blocks(result) where block.direction == direction && block.group != nil {
        let drawn = drawable(block.segments)
        if !drawn.isEmpty { figures.append(ccdfFigure(direction, drawn, result, group: block.group)) }
      }
      if let figure = pitFigure(direction, result) { figures.append(figure) }
    }
    return try notes + draw(figures, in: folder)
  }

  /// Writes each figure's data and script, then its pictures.
  static func draw(_ figures: [Figure], in folder: borrowing Folder) throws(FileError) -> [String] {
    for figure in figures {
      for file in figure.data { try folder.write(file.text, to: file.name) }
      try folder.write(figure.script, to: "\(figure.name).gp")
    }
    return try Gnuplot.draw(figures, in: folder)
  }

  /// Those with a distribution to draw: a single delay has none, and a logarithmic axis no place for 0 and less.
  private static func drawable(_ segments: [SegmentResult]) -> [SegmentResult] {
    segments.filter { $0.count > 1 && ($0.summary?.max ?? 0) > 0 }
  }

  /// Pictures of an earlier report, which may have had other directions; other files stay.
  private static func removeEarlier(in folder: borrowing Folder) throws {
    for name in try folder.names()
    where ["ccdf-", "delay-", "pit-"].contains(where: name.hasPrefix)
      && [".csv", ".gp", ".png", ".svg"].contains(where: name.hasSuffix)
    {
      try folder.removeOutput(name)
    }
  }

  /// Letters, digits, `.`, `_` and `-` stay; a number keeps names apart that become equal.
  static func fileName(_ kind: String, _ direction: String, group: String? = nil, in result: SessionResult) -> String {
    func safe(_ direction: String, _ group: String?) -> String {
      let name = direction + (group.map { "-" + $0.replacing(" -> ", with: "-to-").replacing(", ", with: "-") } ?? "")
      return String(name.map { $0.isASCII && ($0.isLetter || $0.isNumber || "._-".contains($0)) ? $0 : "_" })
    }
    let all =
      Report.directions(result).map { ($0, String?.none) }
      + Report.blocks(result).filter { $0.group != nil }.map { ($0.direction, $0.group) }
    let index = all.firstIndex { $0 == (direction, group) } ?? 0
    let name = safe(direction, group)
    let isTaken = all[..<index].contains { safe($0.0, $0.1) == name }
    return "\(kind)-\(name)" + (isTaken ? "-\(index + 1)" : "")
  }

  /// Host, kernel, topology and sample count, for the foot of each picture.
  static func footer(_ result: SessionResult, samples: String) -> String {
    var words = result.machines.map { $0.captures == nil ? "\($0.hostname), Linux \($0.kernel)" : $0.name }
    words = words.enumerated().filter { words.firstIndex(of: $1) == $0 }.map(\.element)
    let topologies = Set(result.machines.map(\.topology)).sorted()
    if !topologies.isEmpty { words.append("topology \(topologies.joined(separator: ", "))") }
    words.append(samples)
    return Text.plain(words.joined(separator: "  ·  "))
  }

  static func microseconds(_ nanoseconds: Int64) -> String { "\(Double(nanoseconds) / 1000)" }
}
