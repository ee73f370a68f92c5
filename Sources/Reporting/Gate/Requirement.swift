// SPDX-License-Identifier: GPL-2.0-or-later
import Analysis

/// What a gate asks of the segments whose name matches: `SEGMENT METRIC OP VALUE`, as in `txg2-txh0 p99 < 200us`.
package struct Requirement: Sendable, Equatable {
  package enum Metric: Sendable, Equatable {
    /// Probability between 0 and 1, both left out.
    case quantile(Double)
    case mean
    case standardDeviation
    case medianAbsoluteDeviation
    case min
    case max
    /// lost / (count + lost).
    case loss
    case count

    package var name: String {
      switch self {
      case .quantile(let probability): Text.quantileName(probability)
      case .mean: "mean"
      case .standardDeviation: "sd"
      case .medianAbsoluteDeviation: "mad"
      case .min: "min"
      case .max: "max"
      case .loss: "loss"
      case .count: "count"
      }
    }

    package var unit: Unit {
      switch self {
      case .loss: .fraction
      case .count: .packets
      default: .nanoseconds
      }
    }
  }

  /// What ``threshold`` and a measured value are counted in.
  package enum Unit: String, Sendable {
    case nanoseconds = "ns"
    case fraction
    case packets

    func text(_ value: Double) -> String {
      switch self {
      case .nanoseconds: Text.duration(value)
      case .fraction: Text.percent(value)
      case .packets: Text.fixed(value, 0)
      }
    }
  }

  package enum Operator: String, Sendable {
    case less = "<"
    case lessOrEqual = "<="
    case greater = ">"
    case greaterOrEqual = ">="

    func holds(_ left: Double, _ right: Double) -> Bool {
      switch self {
      case .less: left < right
      case .lessOrEqual: left <= right
      case .greater: left > right
      case .greaterOrEqual: left >= right
      }
    }

    /// The same question as the binomial rule asks it.
    var claim: QuantileClaim {
      switch self {
      case .less: .below
      case .lessOrEqual: .atMost
      case .greater: .above
      case .greaterOrEqual: .atLeast
      }
    }
  }

  /// As it was written, with single spaces.
  package var text: String
  /// Name of a direction, or a pattern with `*` and `?`; nil for any.
  package var direction: String?
  /// Name of a segment, or a pattern with `*` and `?`.
  package var segment: String
  package var metric: Metric
  package var comparison: Operator
  /// In the metric's unit.
  package var threshold: Double
  /// The threshold as it was written, `200us`: rounding it for the eye could hide why a verdict came out as it did.
  package var thresholdText: String

  func matches(_ result: SegmentResult) -> Bool {
    if let direction, !Requirement.glob(direction, matches: result.direction) { return false }
    return Requirement.glob(segment, matches: result.name)
  }

  /// `*` stands for any characters, `?` for one, everything else for itself.
  /// - Complexity: O(pattern · name)
  static func glob(_ pattern: String, matches name: String) -> Bool {
    let pattern = Array(pattern)
    let name = Array(name)
    var (p, n) = (0, 0)
    // Where to go on when the text behind the last star does not fit: give that star one character more.
    var star: (pattern: Int, name: Int)?
    while n < name.count {
      if p < pattern.count, pattern[p] == "*" {
        star = (p, n)
        p += 1
      } else if p < pattern.count, pattern[p] == "?" || pattern[p] == name[n] {
        p += 1
        n += 1
      } else if let last = star {
        star = (last.pattern, last.name + 1)
        p = last.pattern + 1
        n = last.name + 1
      } else {
        return false
      }
    }
    return pattern[p...].allSatisfy { $0 == "*" }
  }
}
