// SPDX-License-Identifier: GPL-2.0-or-later
import Analysis
import Recording
import Wording

extension Gate {
  struct Problem {
    var reason: String
    var remedy: String
  }

  /// Why this recording cannot answer the requirement, the gravest reason first; nil if it can.
  static func invalidity(
    _ requirement: Requirement, _ segment: SegmentResult, _ result: SessionResult, _ limits: Policy.Limits
  ) -> Problem? {
    incompleteness(segment, result) ?? blindness(segment) ?? ledger(segment, result, limits) ?? time(
      requirement, segment, result, limits)
      ?? sending(requirement, segment, result, limits) ?? fragments(requirement, segment, result) ?? matching(
        segment, limits)
      ?? samples(requirement, segment)
  }

  private static func incompleteness(_ segment: SegmentResult, _ result: SessionResult) -> Problem? {
    if let damage = result.damage.first {
      return Problem(reason: "the recording is damaged: \(damage)", remedy: "record again")
    }
    if let fault = result.clockFaults.first {
      return Problem(
        reason: "the clocks cannot be trusted: \(fault)",
        remedy: "record again; if it comes back, "
          + "`report --json` lists under `clock` what each method says")
    }
    for machine in result.machines where [segment.from.machine, segment.to.machine].contains(machine.name) {
      if machine.isBeingRecorded {
        return Problem(
          reason: "\(machine.name) is still being recorded: what came last may be missing",
          remedy: "wait for its end, or stop latprobe by SIGINT")
      }
      if machine.stoppedAt == nil {
        return Problem(
          reason: "the recording of \(machine.name) was cut off: what came last may be missing",
          remedy: "record again and let latprobe end by itself, by --duration or SIGINT")
      }
      if let error = machine.captures?.compactMap(\.error).first {
        return Problem(
          reason: "a capture was not read to its end: \(error)",
          remedy: "capture again; to go by what could be read, write that part anew (editcap) and read it")
      }
      if machine.endedByFailure {
        let isFull = machine.unwritten > 0 || machine.stoppedBy == Machine.diskFull
        return Problem(
          reason: "the recording of \(machine.name) was ended by a failure (\(machine.stoppedBy ?? "unknown")): "
            + "its last stamps are not on disk",
          remedy: isFull
            ? machine.pairing == nil && machine.captures == nil
              ? "make room on the disk, or use --max-size, and record again"
              : "make room on the disk and record again"
            : "see what latprobe said when it ended, and record again")
      }
      let ends = [segment.from, segment.to].filter { $0.machine == machine.name }.map(\.hook.name)
      if let change = machine.changes?.first(where: { $0.isGap && !Set(ends).isDisjoint(with: $0.hooks) }) {
        return Problem(
          reason: "\(machine.name) did not record all the while: \(change)",
          remedy: "record again, and leave devices and namespaces as they are meanwhile")
      }
      if machine.rotation.deletedStreams > 0 {
        return Problem(
          reason: "rotation deleted \(machine.rotation.deletedEvents) events of \(machine.name)",
          remedy: "record with a larger --max-size, or for a shorter time")
      }
    }
    return nil
  }

  private static func blindness(_ segment: SegmentResult) -> Problem? {
    segment.invalid.map {
      Problem(
        reason: $0,
        remedy:
          "ask for a segment between hook points that saw packets; or see `latprobe hooks` for what it is attached to, and "
          + "name another candidate in the topology")
    }
  }

  private static func ledger(_ segment: SegmentResult, _ result: SessionResult, _ limits: Policy.Limits) -> Problem? {
    for hook in result.hooks where hook.point == segment.from || hook.point == segment.to {
      let sum = hook.ledger.lost + hook.missed
      guard sum.value > limits.ledgerLost else { continue }
      let machine = result.machines.first { $0.name == hook.point.machine }
      if machine?.captures != nil {
        return Problem(
          reason: "\(hook.ledger.lost) packets are missing from the capture at \(hook.point.hook.name) on "
            + "\(hook.point.machine) (dropped, unreadable or out of order), allowed \(limits.ledgerLost)",
          remedy: "capture with a narrower filter or a larger buffer (-B); what is out of order, sort with reordercap")
      }
      // A tap has no --sample.
      let isTap = machine?.interfaces != nil
      return Problem(
        reason: "\(sum) stamps lost at \(hook.point.hook.name) on \(hook.point.machine)"
          + " (buffer full \(hook.ledger.lost), program skipped \(hook.missed)), allowed \(limits.ledgerLost)",
        remedy: "record with a narrower --filter" + (isTap ? ", or where less passes" : " or with --sample 1/N"))
    }
    return nil
  }

  /// Whose they were is not known: they may be answers that seem not to have come.
  private static func fragments(
    _ requirement: Requirement, _ segment: SegmentResult, _ result: SessionResult
  ) -> Problem? {
    guard requirement.metric == .loss,
      let machine = result.machines.first(where: { $0.name == segment.from.machine }), machine.fragments > 0
    else { return nil }
    return Problem(
      reason: "\(machine.fragments) IP fragments were not paired: what they carried seems lost",
      remedy: "filter the capture for traffic without fragments, or let the service send shorter packets")
  }

  private static func time(
    _ requirement: Requirement, _ segment: SegmentResult, _ result: SessionResult, _ limits: Policy.Limits
  ) -> Problem? {
    if let least = segment.summary?.min, least < -segment.errorBound {
      return Problem(
        reason: "a delay of \(Words.duration(least)) is below 0 by more than the clock error "
          + "(±\(Words.duration(segment.errorBound))): the clocks are not aligned as claimed",
        remedy: "check the clock source and record again")
    }
    let error = requirement.quantity.error(segment)
    guard requirement.metric.unit == .nanoseconds, error > 0 else { return nil }
    guard Double(error) > limits.clockError * abs(requirement.threshold) else { return nil }
    let isByUnit = result.machines.contains { $0.name == segment.from.machine && $0.captureStep() > 0 }
    return Problem(
      reason: "the clock error ±\(Words.duration(error)) is more than "
        + "\(Text.percent(limits.clockError)) of the threshold \(requirement.thresholdText)",
      remedy: isByUnit
        ? "the capture's times are that coarse: capture with nanoseconds (tcpdump --time-stamp-precision=nano)"
        : "align the clocks better, or ask for a segment on one machine")
  }

  /// Late packets took longer than the match window; leaving them out must not make a segment look faster.
  private static func matching(_ segment: SegmentResult, _ limits: Policy.Limits) -> Problem? {
    let unknown = segment.unmatched + segment.late
    let total = Double(segment.count + segment.lost + segment.ambiguous + unknown)
    guard total > 0 else { return nil }
    // Near the end none is known to be unmatched.
    let asked = total - Double(segment.countNearEnd)
    let unmatched = unknown > 0 ? Double(unknown) / asked : 0
    if unmatched > limits.unmatched {
      return Problem(
        reason: "\(Text.percent(unmatched)) of the packets are unmatched or late "
          + "(\(unknown) of \(Int(asked))), allowed \(Text.percent(limits.unmatched))",
        remedy: "check that both hook points see the same traffic, and that the filter and the devices are right")
    }
    let ambiguous = Double(segment.ambiguous) / total
    if ambiguous > limits.ambiguous {
      return Problem(
        reason: "\(Text.percent(ambiguous)) of the packets are ambiguous "
          + "(\(segment.ambiguous) of \(Int(total))), allowed \(Text.percent(limits.ambiguous))",
        remedy: "filter for traffic whose packets differ, or send more slowly")
    }
    return nil
  }

  private static func samples(_ requirement: Requirement, _ segment: SegmentResult) -> Problem? {
    guard segment.count == 0 || segment.summary == nil else {
      let isSuccessive = requirement.quantity == .ipdv || requirement.quantity == .absoluteIPDV
      guard isSuccessive, segment.successive.isEmpty else { return nil }
      return Problem(
        reason: "no two packets on \(segment.direction)/\(segment.name) are known to have been sent in succession",
        remedy: "record packets that latprobe sends, or packets at hook points")
    }
    // Counting and losing are possible without a delay; whether that may pass is decided with the value.
    if requirement.metric == .count || requirement.metric == .loss { return nil }
    return Problem(
      reason: "no samples on \(segment.direction)/\(segment.name)",
      remedy: "record while packets pass both hook points")
  }
}
