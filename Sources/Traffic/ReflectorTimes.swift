// SPDX-License-Identifier: GPL-2.0-or-later
internal import TestPackets

/// Whether the times that a reflector gives can be, and how long it had each packet.
///
/// Reflectors leave fields 0, set clocks in between, and write one format and say the other: what cannot be is left out, and
/// said once.
struct ReflectorTimes: Sendable {
  /// Between the beginnings of NTP's time and of PTP's, and how near to this machine's clock a time is to be.
  private static let (epochs, year): (Int64, Int64) = (2_208_988_800_000_000_000, 31_557_600_000_000_000)

  /// Answers that leave the time 0 at which the request came.
  private(set) var untold = 0
  /// Answers that left before their request came, or that say to have been there for longer than they were away.
  private(set) var impossible = 0
  /// Answers whose times are not in the format that they say.
  private(set) var misread = 0
  /// Answers whose residence is within the clock's error, and cannot be.
  private var coarse = 0

  /// Answers without a residence, cut ones left out, which never have one.
  var withoutResidence: Int { untold + impossible + misread + coarse }
  var neverPossible: Int { impossible + misread }

  /// Nanoseconds that the reflector had the packet; nil where that is not told, or cannot be.
  ///
  /// - Parameters:
  ///   - delay: the round trip.
  ///   - now: CLOCK_REALTIME here.
  mutating func residence(_ reflection: Reflection, delay: Int64, now: Int64) -> Int64? {
    if reflection.isCut { return nil }
    guard let residence = reflection.residence else {
      untold += 1
      return nil
    }
    guard !ReflectorTimes.isMisread(reflection, now: now) else {
      misread += 1
      return nil
    }
    // Clocks that differ by 1 000 ppm and 1 µs of rounding explain no more than this.
    let most = delay + delay / 1000 + 1000
    if 0...max(most, 0) ~= residence { return residence }
    let error = reflection.error.isUsable ? reflection.error.nanoseconds : 0
    if -error <= residence, residence <= most.addingReportingOverflow(error).partialValue {
      coarse += 1
    } else {
      impossible += 1
    }
    return nil
  }

  /// NTP's seconds where Z says PTP's, or the other way round: 70 years off, and right without them.
  private static func isMisread(_ reflection: Reflection, now: Int64) -> Bool {
    if reflection.hasWrongNanoseconds { return true }
    let other = reflection.error.isPTP ? reflection.sent &- epochs : reflection.sent &+ epochs
    return (reflection.sent &- now).magnitude > UInt64(year) && (other &- now).magnitude < UInt64(year)
  }

  /// Why its times are no good for delays of each way; nil if nothing speaks against them.
  var refusal: String? {
    if misread > 0 { return "the reflector's times are not in the format that its answers say (Z)" }
    if impossible > 0 { return "the reflector gives impossible times" }
    return untold > 0 ? "the reflector does not say when packets came to it" : nil
  }

  /// One line; nil if all is well.
  var complaint: String? {
    let reasons = [
      (untold, "leave the time 0 at which the request came"),
      (impossible, "left before their request came, or were longer in the reflector than away, as their times say"),
      (misread, "have times in another format than they say (Z)"),
      (coarse, "have times too coarse to tell"),
    ].filter { $0.0 > 0 }.map { "\($0.0) \($0.1)" }
    guard !reasons.isEmpty else { return nil }
    return
      "\(withoutResidence) answers do not tell how long the reflector had them (\(reasons.joined(separator: "; "))): "
      + "they have no round-trip-less-residence"
  }
}
