// SPDX-License-Identifier: GPL-2.0-or-later

/// What a gate says of one requirement on one segment, of a run, or of all runs.
package enum Verdict: String, Sendable, Comparable, CaseIterable {
  case pass = "PASS"
  /// Too few independent samples to decide.
  case inconclusive = "INCONCLUSIVE"
  case fail = "FAIL"
  /// The recording cannot be trusted for this question, so not even a FAIL can.
  case invalid = "INVALID"

  package var exitCode: Int32 {
    switch self {
    case .pass: 0
    case .fail: 2
    case .inconclusive, .invalid: 3
    }
  }

  /// By what decides over several: PASS < INCONCLUSIVE < FAIL < INVALID.
  package static func < (left: Verdict, right: Verdict) -> Bool { left.severity < right.severity }

  private var severity: Int {
    switch self {
    case .pass: 0
    case .inconclusive: 1
    case .fail: 2
    case .invalid: 3
    }
  }
}

/// One requirement checked on one segment, with the numbers that the verdict rests on.
package struct GateCheck: Sendable {
  package var requirement: Requirement
  package var verdict: Verdict
  /// Nil where no segment has such a name.
  package var segment: String?
  package var direction: String?
  /// Of one group of flows, its name.
  package var group: String?
  /// In the metric's unit; nil where it cannot be given.
  package var measured: Double?
  /// Samples, n.
  package var count: Int = 0
  /// The binomial rule's numbers; nil for other metrics and where the verdict is INVALID.
  package var decision: Counts?
  /// Effective sample size behind the verdict; nil where none is used.
  package var effectiveCount: Double?
  /// Why the verdict is not PASS; nil for PASS.
  package var reason: String?
  /// What to do about an INVALID or INCONCLUSIVE verdict.
  package var remedy: String?

  /// Violations K among n, scaled to n' independent samples, and what would pass and fail.
  package struct Counts: Sendable, Equatable {
    package var violations: Int
    package var independentCount: Int
    package var violationsForPass: Int
    package var violationsForFail: Int
    package var passesUpTo: Int?
    package var failsFrom: Int?
  }
}

/// The checks of one run (session).
package struct GateRun: Sendable {
  package var session: String
  package var labels: [String: String]
  /// What a reader of the verdict should know, and the verdict does not depend on.
  package var warnings: [String] = []
  package var checks: [GateCheck]

  package var verdict: Verdict { checks.map(\.verdict).max() ?? .invalid }
}

/// The verdict over one or several runs: that of the worst check, in the order of ``Verdict``.
package struct GateReport: Sendable {
  package var policy: Policy
  package var runs: [GateRun]

  /// Without runs or requirements nothing was checked: INVALID, never PASS.
  package var verdict: Verdict { runs.map(\.verdict).max() ?? .invalid }
}
