// SPDX-License-Identifier: GPL-2.0-or-later
import Analysis
import Foundation
package import Recording
import Wording

/// What a calibration found, and what it did to a report.
extension Report {
  /// One line for each direction, and one for the difference.
  package static func lines(_ calibration: Calibration) -> [String] {
    var lines = calibration.directions.map { direction in
      "\(direction.from) (\(direction.transmitClock)) to \(direction.to) (\(direction.receiveClock)): "
        + "\(Words.duration(direction.constant)), 95 % interval \(interval(direction.interval))"
        + (direction.error > 0 ? ", clocks ±\(Words.duration(direction.error))" : "")
        + ", \(direction.count) frames from \(Words.duration(direction.least)) to \(Words.duration(direction.greatest)), "
        + "lost \(direction.lost)"
    }
    lines.append(
      "asymmetry: \(Words.duration(calibration.asymmetry)), \(interval(calibration.asymmetryInterval))")
    if calibration.directions.contains(where: { !$0.isHardware }) {
      lines.append("software stamps: these constants hold for the kernel's path at this load, not for the ports")
    }
    return lines
  }

  static func calibrationLines(_ result: SessionResult) -> [String] {
    result.calibrations.map { applied in
      "\(applied.direction) \(applied.segment): \(applied.added < 0 ? "−" : "+")\(Words.duration(abs(applied.added))) in every delay, the "
        + "constant from \(applied.from) to \(applied.to) of \(date(applied.createdAt)), 95 % interval "
        + "\(interval(applied.interval)), which is ±\(Words.duration(applied.uncertainty)) of the error"
        + (applied.isHardware ? "" : "; of software stamps, so it holds for the kernel's path at that load only")
    }
  }

  static func calibration(_ applied: AppliedCalibration) -> JSONValue {
    .fields([
      ("direction", .string(applied.direction)),
      ("segment", .string(applied.segment)),
      ("from", .string(applied.from)),
      ("to", .string(applied.to)),
      ("added_ns", .integer(applied.added)),
      ("interval_ns", .array(applied.interval.map { .integer($0) })),
      ("uncertainty_ns", .integer(applied.uncertainty)),
      ("hardware", .bool(applied.isHardware)),
      ("calibrated_at_s", .number(applied.createdAt)),
    ])
  }

  private static func interval(_ bounds: [Int64]) -> String {
    bounds.map { Words.duration($0) }.joined(separator: " … ")
  }

  private static func date(_ seconds: Double) -> String {
    Date(timeIntervalSince1970: seconds).formatted(.iso8601.year().month().day())
  }
}
