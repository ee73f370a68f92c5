// SPDX-License-Identifier: GPL-2.0-or-later
package import Analysis
import Recording
import Wording

/// Checks sessions against a policy (docs/gate.md).
package enum Gate {
  package static func check(_ result: SessionResult, policy: Policy) -> GateReport {
    check([result], policy: policy)
  }

  /// Each session is one run and checked by itself; the report's verdict is that of the worst.
  package static func check(_ results: [SessionResult], policy: Policy) -> GateReport {
    GateReport(policy: policy, runs: results.map { run($0, policy) })
  }

  private static func run(_ result: SessionResult, _ policy: Policy) -> GateRun {
    var checks: [GateCheck] = []
    for requirement in policy.requirements {
      // By groups: each that the segment has; the whole where it has none.
      let segments = result.segments.filter(requirement.matches).flatMap { whole in
        let groups = result.groups.filter { $0.name == whole.name && $0.direction == whole.direction }
        return groups.isEmpty ? [whole] : groups
      }
      if segments.isEmpty { checks.append(noSegment(requirement, result)) }
      checks += segments.map { check(requirement, $0, result, policy) }
    }
    return GateRun(
      session: result.session.id, labels: result.session.labels,
      warnings: (result.emulationWarning.map { [$0] } ?? []) + result.unsentWarnings, checks: checks)
  }

  private static func noSegment(_ requirement: Requirement, _ result: SessionResult) -> GateCheck {
    var check = GateCheck(requirement: requirement, verdict: .invalid)
    var names: [String] = []
    for segment in result.segments {
      let name = requirement.direction == nil ? segment.name : "\(segment.direction)/\(segment.name)"
      if !names.contains(name) { names.append(name) }
    }
    let asked = (requirement.direction.map { "\($0)/" } ?? "") + requirement.segment
    let absent = result.hooks.first { hook in
      hook.attachedAs == nil && requirement.segment.split(separator: "-").contains { $0 == hook.point.hook.name }
    }
    check.reason = "no segment named \(asked)"
    if let absent {
      check.reason =
        "no segment named \(asked): \(absent.point.hook.name) is absent"
        + (absent.absentBecause.map { " (\($0))" } ?? "")
    }
    let meant = absent == nil ? Words.nearest(to: asked, among: names) : nil
    check.remedy =
      names.isEmpty
      ? "record packets that pass two hook points"
      : (meant.map { "did you mean \($0)? " } ?? "") + "there \(names.count == 1 ? "is" : "are") \(Text.list(names))"
    return check
  }

  private static func check(
    _ requirement: Requirement, _ segment: SegmentResult, _ result: SessionResult, _ policy: Policy
  ) -> GateCheck {
    var check = GateCheck(requirement: requirement, verdict: .invalid)
    check.segment = segment.name
    check.direction = segment.direction
    check.group = segment.group
    let values = requirement.quantity.values(segment)
    check.count =
      requirement.metric == .loss ? segment.countAsked : requirement.quantity == .delay ? segment.count : values.count
    check.measured = measured(requirement, segment, values)
    if let problem = invalidity(requirement, segment, result, policy.limits) {
      check.reason = problem.reason
      check.remedy = problem.remedy
      return check
    }
    switch requirement.metric {
    case .quantile(let probability): decideQuantile(&check, values, probability, policy.alpha)
    case .mean: decideMean(&check, values, policy.alpha)
    case .loss where segment.loss == nil && segment.count > 0:
      check.verdict = .inconclusive
      check.reason =
        "all \(segment.count) packets were sent too near the end of the recording to know which of them were lost"
      check.remedy = "record for several times the match window (1s)"
    default: compare(&check)
    }
    return check
  }

  /// The metric's value in this recording; nil where it cannot be given.
  private static func measured(
    _ requirement: Requirement, _ segment: SegmentResult, _ values: Column<Int64>
  ) -> Double? {
    let summary = requirement.quantity == .delay ? segment.summary : Summary(delays: values)
    let value: Double? =
      switch requirement.metric {
      case .quantile(let probability):
        summary.flatMap { quantile(probability, ofSorted: $0.sorted) }.map { Double($0) }
      case .mean: summary?.mean
      case .standardDeviation: summary?.standardDeviation
      case .medianAbsoluteDeviation: summary.map { Double($0.medianAbsoluteDeviation) }
      case .min: summary.map { Double($0.min) }
      case .max: summary.map { Double($0.max) }
      case .count: Double(segment.count)
      case .loss: segment.loss
      }
    return value.flatMap { $0.isFinite ? $0 : nil }
  }

  /// min, max, mad, sd, count and loss are facts about this recording: compared as they are.
  private static func compare(_ check: inout GateCheck) {
    guard let measured = check.measured else {
      check.reason = "\(check.requirement.metricName) cannot be given for \(check.count) samples"
      check.remedy = "record longer"
      return
    }
    let holds = check.requirement.comparison.holds(measured, check.requirement.threshold)
    if holds, check.count == 0 {
      check.reason = "no samples: nothing was measured that could pass"
      check.remedy = "record while packets pass both hook points"
      return
    }
    check.verdict = holds ? .pass : .fail
    if !holds { check.reason = "\(check.requirement.metricName) is \(check.requirement.metric.unit.text(measured))" }
  }
}
