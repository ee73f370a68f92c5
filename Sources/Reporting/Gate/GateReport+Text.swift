// SPDX-License-Identifier: GPL-2.0-or-later
import Wording

extension GateReport {
  /// For people: a line for each check, then the verdict; the last line says why and what to do if it is
  /// INVALID or INCONCLUSIVE.
  package var text: String { text(width: nil) }

  /// - Parameter width: of the terminal; nil where a check is to be one line, as long as it is.
  package func text(width: Int?) -> String {
    let width = width.map { max(40, min($0, GateReport.mostWidth)) }
    var lines: [String] = []
    for run in runs {
      if runs.count > 1 { lines.append("Run \(Text.plain(GateReport.title(run))): \(run.verdict.rawValue)") }
      lines += run.checks.flatMap { GateReport.lines($0, width) }
      lines += run.warnings.flatMap { Words.wrapped("Warning: " + Text.plain($0), width ?? GateReport.mostWidth) }
      if runs.count > 1 { lines.append("") }
    }
    let number = runs.count > 1 ? " over \(runs.count) runs" : ""
    lines.append("Verdict\(number): \(verdict.rawValue) (α = \(policy.alpha))")
    if let conclusion { lines.append(conclusion) }
    return lines.joined(separator: "\n") + "\n"
  }

  /// One line, why and what to do; nil for PASS and FAIL.
  package var conclusion: String? {
    guard verdict == .invalid || verdict == .inconclusive else { return nil }
    if runs.isEmpty { return "INVALID: there is no run to check; name the directory of a recording" }
    let causes = runs.flatMap(\.checks).filter { $0.verdict == verdict }
    guard let first = causes.first else {
      return "INVALID: nothing was required; give --require or a policy with a list 'require'"
    }
    var words = "\(verdict.rawValue): \(first.reason ?? "the reason is not known")"
    if let remedy = first.remedy { words += "; \(remedy)" }
    let others = causes.count - 1
    if others > 0 { words += " (and \(others) more \(verdict.rawValue))" }
    return Text.plain(words)
  }

  private static func title(_ run: GateRun) -> String {
    run.session + run.labels.sorted { $0.key < $1.key }.map { ", \($0.key)=\($0.value)" }.joined()
  }

  private static let mostWidth = 98
  private static let indent = 14

  private static func lines(_ check: GateCheck, _ width: Int?) -> [String] {
    let requirement = check.requirement
    let unit = requirement.metric.unit
    let name = check.segment.map { "\(check.direction ?? "")/\($0)" } ?? requirement.segment
    let threshold = "\(requirement.comparison.rawValue) \(requirement.thresholdText)"
    var line = Text.padded(check.verdict.rawValue, GateReport.indent) + Text.padded(name, max(22, name.count + 1))
    line += Text.padded(requirement.metricName, max(7, requirement.metricName.count + 1))
    line += Text.aligned(check.measured.map(unit.text) ?? "–", 9) + "  " + Text.padded(threshold, 12)
    var basis = "n \(check.count)"
    if let effective = check.effectiveCount { basis += ", n_eff \(Words.fixed(effective, 0))" }
    if let counts = check.decision { basis += ", K \(counted(counts))" }
    if let note = note(requirement.metric), check.verdict != .invalid { basis += ", \(note)" }
    let indent = String(repeating: " ", count: GateReport.indent)
    var lines: [String]
    if let width, line.count + basis.count > width {
      lines = [Text.plain(line).trimmingTrailingSpaces()]
      lines += Words.wrapped(basis, width - GateReport.indent).map { indent + $0 }
    } else {
      lines = [Text.plain(line + basis).trimmingTrailingSpaces()]
    }
    if let group = check.group { lines.append(indent + Text.plain(group)) }
    if let reason = check.reason {
      lines += Words.wrapped(Text.plain(reason), (width ?? mostWidth) - GateReport.indent).map { indent + $0 }
    }
    return lines
  }

  /// `3 (pass ≤ 4, fail ≥ 16)`; with n' < n the violations scaled to n', down and up: `505–506 (…)`.
  private static func counted(_ counts: GateCheck.Counts) -> String {
    var words = "\(counts.violationsForFail)"
    if counts.violationsForPass != counts.violationsForFail { words += "–\(counts.violationsForPass)" }
    let passes = counts.passesUpTo.map { "pass ≤ \($0)" } ?? "too few to pass"
    let fails = counts.failsFrom.map { "fail ≥ \($0)" } ?? "too few to fail"
    return "\(words) (\(passes), \(fails))"
  }

  private static func note(_ metric: Requirement.Metric) -> String? {
    switch metric {
    case .min, .max, .standardDeviation, .medianAbsoluteDeviation, .loss, .count: "of this recording"
    case .quantile, .mean: nil
    }
  }
}
