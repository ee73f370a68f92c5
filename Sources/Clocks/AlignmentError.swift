// SPDX-License-Identifier: GPL-2.0-or-later

/// One of the two machines of an alignment.
package enum AlignmentSide: String, Sendable {
  case host, guest
}

/// Why a method cannot align a guest's clock with its host's; each prints as one line.
package enum AlignmentError: Error, Equatable, CustomStringConvertible {
  case noReadings(AlignmentSide)
  case noCounter(AlignmentSide)
  case jumped(AlignmentSide, clock: String, at: Int64)
  case suspended(AlignmentSide)
  case stepped(at: Int64)
  case noGuestCounters
  case countersReadOnce
  case badScaling(vcpu: Int)
  case offsetChanged(vcpu: Int, at: Int64)
  case countersEnded(at: Int64)
  case countersDisagree(ticks: UInt64)
  case noCrossStamps
  case crossStampsOutside
  case scattered
  case crossStampsAlone(at: Int64)
  case noExchanges
  case contradiction(at: Int64)
  case noOverlap
  case implausibleRate(ppm: Double)

  package var description: String {
    switch self {
    case .noReadings(let side):
      "the \(side.rawValue)'s clocks were read fewer than twice: record for longer"
    case .noCounter(let side):
      "the \(side.rawValue)'s recording has no time stamp counter"
    case .jumped(let side, let clock, let at):
      "the \(side.rawValue)'s \(clock) jumped against MONOTONIC at \(seconds(at)): it was paused, resumed or migrated"
    case .suspended(let side):
      "the \(side.rawValue) was suspended during the run"
    case .stepped(let at):
      "CLOCK_REALTIME was set at \(seconds(at)), which its stamps do not survive: stop time synchronisation that steps"
    case .noGuestCounters:
      "the guest's counter offset was not read: record on the host as root with debugfs mounted"
    case .countersReadOnce:
      "the guest's counter offset was read only once: whether it changed is not known"
    case .badScaling(let vcpu):
      "the counter scaling of vCPU \(vcpu) makes no sense"
    case .offsetChanged(let vcpu, let at):
      "the counter offset of vCPU \(vcpu) changed at \(seconds(at)): the guest was migrated, suspended or resumed"
    case .countersEnded(let at):
      "the counters of the guest ended at \(seconds(at)): it was migrated away or stopped"
    case .countersDisagree(let ticks):
      "the counters of the guest's vCPUs differ by \(ticks) ticks"
    case .noCrossStamps:
      "the guest recorded no cross time stamps: load ptp_kvm in the guest"
    case .crossStampsOutside:
      "fewer than two cross time stamps lie within the host's recording"
    case .scattered:
      "the cross time stamps scatter by more than a millisecond"
    case .crossStampsAlone(let at):
      "the cross time stamps jumped at \(seconds(at)), counters and messages did not: a wall clock was set and set back"
    case .noExchanges:
      "no messages were exchanged: record with --guest"
    case .contradiction(let at):
      "the clocks jumped against each other at \(seconds(at)): the guest was paused, resumed or migrated"
    case .noOverlap:
      "the clock readings of host and guest do not overlap"
    case .implausibleRate(let ppm):
      "the clocks would differ in rate by \(Int(clamping: whole(ppm))) ppm: the samples are not of this guest"
    }
  }

  /// Whether it shows that the guest's time did not go on evenly, so that no other method can help.
  package var isInterruption: Bool {
    switch self {
    case .jumped, .suspended, .offsetChanged, .countersEnded, .contradiction: true
    default: false
    }
  }
}

/// A time of MONOTONIC for people.
private func seconds(_ nanoseconds: Int64) -> String {
  let tenths = nanoseconds / 100_000_000
  return "\(tenths / 10).\(abs(tenths % 10)) s"
}
