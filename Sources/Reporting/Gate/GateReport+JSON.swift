// SPDX-License-Identifier: GPL-2.0-or-later

extension GateReport {
  /// As docs/schema/gate.schema.json describes it. `threshold` and `measured` are in `unit`; what cannot be given is null.
  package var json: JSONValue {
    .fields([
      ("format", .integer(1)),
      ("verdict", .string(verdict.rawValue)),
      ("exit_code", .integer(Int64(verdict.exitCode))),
      ("conclusion", .optional(conclusion)),
      ("alpha", .number(policy.alpha)),
      (
        "limits",
        .fields([
          ("ledger_lost", .count(policy.limits.ledgerLost)),
          ("unmatched", .number(policy.limits.unmatched)),
          ("ambiguous", .number(policy.limits.ambiguous)),
          ("clock_error", .number(policy.limits.clockError)),
        ])
      ),
      ("runs", .array(runs.map(GateReport.run))),
    ])
  }

  private static func run(_ run: GateRun) -> JSONValue {
    .fields([
      ("session", .string(run.session)),
      ("labels", .map(run.labels)),
      ("verdict", .string(run.verdict.rawValue)),
      ("warnings", .array(run.warnings.map { .string($0) })),
      ("checks", .array(run.checks.map(check))),
    ])
  }

  private static func check(_ check: GateCheck) -> JSONValue {
    let requirement = check.requirement
    let counts = check.decision
    return .fields([
      ("requirement", .string(requirement.text)),
      ("verdict", .string(check.verdict.rawValue)),
      ("segment", .optional(check.segment)),
      ("direction", .optional(check.direction)),
      ("group", .optional(check.group)),
      ("metric", .string(requirement.metricName)),
      ("operator", .string(requirement.comparison.rawValue)),
      ("unit", .string(requirement.metric.unit.rawValue)),
      ("threshold", .number(requirement.threshold)),
      ("measured", .optional(check.measured)),
      ("n", .count(check.count)),
      ("n_eff", .optional(check.effectiveCount)),
      ("n_independent", .optional(counts.map { Int64($0.independentCount) })),
      ("k", .optional(counts.map { Int64($0.violations) })),
      ("k_for_pass", .optional(counts.map { Int64($0.violationsForPass) })),
      ("k_for_fail", .optional(counts.map { Int64($0.violationsForFail) })),
      ("passes_up_to", .optional(counts?.passesUpTo.map { Int64($0) })),
      ("fails_from", .optional(counts?.failsFrom.map { Int64($0) })),
      ("reason", .optional(check.reason)),
      ("remedy", .optional(check.remedy)),
    ])
  }
}
