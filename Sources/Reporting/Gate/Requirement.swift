// SPDX-License-Identifier: GPL-2.0-or-later
import Analysis
import Wording

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

  /// What the metric is of: delays, or their variation (RFC 5481).
  package enum Quantity: String, Sendable, CaseIterable {
    case delay
    /// D(i) − D(min).
    case pdv
    /// D(i) − D(i−1) of packets sent in succession.
    case ipdv
    /// |D(i) − D(i−1)|.
    case absoluteIPDV = "ipdv-abs"

    /// In nanoseconds, in order of time.
    func values(_ segment: SegmentResult) -> Column<Int64> {
      switch self {
      case .delay: segment.delays
      case .pdv: segment.summary.map { least in segment.delays.map { $0 &- least.min } } ?? []
      case .ipdv: segment.successive
      case .absoluteIPDV: segment.successive.map(magnitude)
      }
    }

    /// Bound of the clock error in them, nanoseconds.
    func error(_ segment: SegmentResult) -> Int64 { self == .delay ? segment.errorBound : segment.variationError }
  }

  /// What ``threshold`` and a measured value are counted in.
  package enum Unit: String, Sendable {
    case nanoseconds = "ns"
    case fraction
    case packets

    func text(_ value: Double) -> String {
      switch self {
      case .nanoseconds: Words.duration(value)
      case .fraction: Text.percent(value)
      case .packets: Words.fixed(value, 0)
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
  package var quantity = Quantity.delay
  package var metric: Metric
  package var comparison: Operator
  /// In the metric's unit.
  package var threshold: Double
  /// The threshold as it was written, with its unit as times are printed, `200 µs`: rounding it for the eye could hide why a verdict came out as it did.
  package var thresholdText: String

  /// `p99`, `pdv p99`.
  var metricName: String { quantity == .delay ? metric.name : "\(quantity.rawValue) \(metric.name)" }

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
