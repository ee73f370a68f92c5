// SPDX-License-Identifier: GPL-2.0-or-later
import Analysis
import Recording
import Wording

/// How the machines' clocks were compared.
extension Report {
  static func clock(_ result: SessionResult) -> JSONValue {
    .fields([
      ("method", .optional(result.clockMethod)),
      ("error_ns", .optional(result.clockError)),
      ("guests", .array(result.clocks.map(guestClock))),
      ("faults", .array(result.clockFaults.map { .string($0) })),
    ])
  }

  private static func guestClock(_ clock: GuestClock) -> JSONValue {
    let allow = clock.packetsAllow
    return .fields([
      ("guest", .string(clock.guest)),
      ("host", .string(clock.host)),
      ("method", .optional(clock.method)),
      ("error_ns", .optional(clock.error)),
      ("drift_ppm", .optional(clock.driftPPM)),
      ("samples", .count(clock.samples)),
      ("packets_allow_ns", .array([.optional(allow.least), .optional(allow.greatest)])),
      ("methods", .array(clock.methods.map(method))),
    ])
  }

  private static func method(_ method: GuestClock.Method) -> JSONValue {
    .fields([
      ("name", .string(method.name)),
      ("error_ns", .optional(method.error)),
      ("drift_ppm", .optional(method.driftPPM)),
      ("samples", .count(method.samples)),
      ("failure", .optional(method.failure)),
      ("disagreement_ns", .optional(method.disagreement)),
      ("allowance_ns", .optional(method.allowance)),
    ])
  }

  /// One line for the whole, one for each guest, one for the one-way delays of each sender.
  static func clockLines(_ result: SessionResult) -> [String] {
    machineLines(result)
      + result.machines.compactMap { machine in
        machine.settings["one_way"].map { "\(machine.name), one-way delays: \($0)" }
      }
  }

  private static func machineLines(_ result: SessionResult) -> [String] {
    guard let method = result.clockMethod else {
      let aligned = result.clocks.filter { $0.method != nil }
      if aligned.isEmpty {
        return ["the machines' clocks could not be aligned: no segment crosses from one to the other"]
      }
      return result.clocks.map(clockLine)
    }
    guard result.clocks.isEmpty else { return result.clocks.map(clockLine) }
    let bound = result.clockError.map { ", error at most ±\(Words.duration($0))" } ?? ", error unknown"
    let isByUnit = result.machines.contains { $0.captureStep() > 0 }
    return [method + bound + (isByUnit ? ": the unit of the captures' times" : "")]
  }

  private static func clockLine(_ clock: GuestClock) -> String {
    guard let method = clock.method else { return "\(clock.guest) is not aligned with \(clock.host)" }
    var words = ["\(clock.guest) aligned with \(clock.host) by \(method)"]
    if let error = clock.error { words.append("error at most ±\(Words.duration(error))") }
    if let drift = clock.driftPPM { words.append("drift \(Words.fixed(drift, 3)) ppm") }
    words.append("\(clock.samples) samples")
    for other in clock.methods {
      guard let gap = other.disagreement, let allowance = other.allowance else { continue }
      words.append(
        "\(other.name) differs by \(Words.duration(gap)) of ±\(Words.duration(allowance)) allowed")
    }
    return words.joined(separator: ", ")
  }
}
