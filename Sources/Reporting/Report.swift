// SPDX-License-Identifier: GPL-2.0-or-later
package import Analysis
import Recording

/// What `latprobe report` shows and writes of one session.
package enum Report {
  /// Writes CSV files, `report.json` and `plots/` into `directory`, which is created where it does not exist.
  ///
  /// - Parameters:
  ///   - delays: also writes `delays.csv`, one row a packet and segment.
  /// - Returns: one line for each thing that is missing from the output, with its remedy (gnuplot, empty directions).
  /// - Throws: ``FileError`` on a full disk and the like; files that were complete by then stay.
  package static func write(_ result: SessionResult, to directory: String, delays: Bool) throws -> [String] {
    let folder = try Folder.forOutput(directory)
    try writeTables(of: result, to: folder, delays: delays)
    try folder.write(json(result).text, to: "report.json")
    let complaints = try Plots.write(result, to: folder.outputFolder("plots"))
    try result.scratch?.check()
    return complaints
  }

  /// Names of the directions in the result's order, those without any sample last.
  static func directions(_ result: SessionResult) -> [String] {
    var names: [String] = []
    var known: Set<String> = []
    let sampled = result.segments.filter { $0.summary != nil }
    for segment in sampled + result.segments where known.insert(segment.direction).inserted {
      names.append(segment.direction)
    }
    return names
  }

  /// True where stamps were lost at a hook point: the buffer was full or the kernel skipped the program.
  static func hasLosses(_ hook: HookResult) -> Bool { hook.ledger.lost > 0 || hook.missed > 0 }
}
