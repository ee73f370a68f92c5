// SPDX-License-Identifier: GPL-2.0-or-later
import Recording
import Wording

extension ResolvedTopology {
  /// The table of `latprobe hooks`: a line for each hook point and part, then the paths.
  ///
  /// - Parameters:
  ///   - verbose: adds every candidate and rung that was passed over, and the BPF programs.
  ///   - width: of the terminal; nil where nothing has to fit.
  package func table(verbose: Bool = false, width: Int? = nil) -> String {
    var lines = ["\(topology.name): \(topology.summary)", "kernel \(kernel), \(topology.file)", ""]
    var rows = [["hook", "side", "watches", "attached as"]]
    for hook in hooks {
      var lead = [hook.point.name, hook.side.rawValue, hook.watch.rawValue]
      for part in hook.parts {
        for line in ResolvedTopology.cell(part, isOptional: hook.isOptional, verbose: verbose) {
          rows.append(lead + [line])
          lead = ["", "", ""]
        }
      }
    }
    let widths = (0..<3).map { column in rows.map { $0[column].count }.max() ?? 0 }
    for row in rows {
      let padded = (0..<3).map { row[$0] + String(repeating: " ", count: widths[$0] - row[$0].count) }
      lines += Words.hanging(padded.map { $0 + "  " }.joined(), row[3], width)
    }
    lines.append("")
    for path in topology.paths { lines.append("path \(path.name): \(path.hooks.joined(separator: " "))") }
    if !topology.segments.isEmpty {
      lines.append("longer segments: \(topology.segments.map(\.name).joined(separator: " "))")
    }
    if hooks.contains(where: { $0.parts.contains { $0.absence?.kind == .refused } }) {
      let hint = "The kernel has what is refused above: see `latprobe doctor` for the cause and the remedy."
      lines += Words.hanging("", hint, width)
    }
    return lines.joined(separator: "\n") + "\n"
  }

  private static func cell(_ part: ResolvedPart, isOptional: Bool, verbose: Bool) -> [String] {
    let name = part.name.map { "\($0)=" } ?? ""
    var lines: [String]
    if let probe = part.probe {
      lines = [name + probe.description]
      if verbose { lines.append("  program \(probe.programs.joined(separator: ", "))") }
    } else {
      lines = [name + "absent" + (isOptional ? " (optional)" : "")]
    }
    if verbose || part.probe == nil { lines += part.attempts.map { "  not \($0.description)" } }
    return lines
  }
}
