// SPDX-License-Identifier: GPL-2.0-or-later
import Analysis
import Recording
import Wording

extension Gate {
  /// What speaks against the segments of a sender's recording.
  static func sending(
    _ requirement: Requirement, _ segment: SegmentResult, _ result: SessionResult, _ limits: Policy.Limits
  ) -> Problem? {
    guard segment.direction == "stamp" || segment.direction == "pacing",
      let machine = result.machines.first(where: { $0.name == segment.from.machine })
    else { return nil }
    if let problem = offered(machine, limits) { return problem }
    guard segment.direction == "stamp" else { return nil }
    return silence(requirement, machine) ?? clocks(segment, machine, result) ?? way(machine)
      ?? residence(segment, machine, limits)
  }

  /// A sender that left packets out offered less than it was asked for: what it lost says nothing of the rate asked for.
  private static func offered(_ machine: Machine, _ limits: Policy.Limits) -> Problem? {
    let (unsent, due) = machine.unsent
    guard Double(unsent.value) > limits.unmatched * Double(due.value) else { return nil }
    return Problem(
      reason:
        "\(unsent) of \(due) packets that were due were not sent (\(Text.percent(Double(unsent.value) / Double(due.value)))), "
        + "allowed \(Text.percent(limits.unmatched))",
      remedy: "give a lower --rate, and see that the device stays up")
  }

  /// Losing all is an answer to how much was lost, and to nothing else.
  private static func silence(_ requirement: Requirement, _ machine: Machine) -> Problem? {
    guard let silence = machine.settings["silence"], requirement.metric != .loss else { return nil }
    return Problem(
      reason: "no packet was answered: \(silence)",
      remedy: "see that 'latprobe reflect' runs there and that UDP passes both ways, and send again")
  }

  private static func clocks(_ segment: SegmentResult, _ machine: Machine, _ result: SessionResult) -> Problem? {
    let counts = machine.stampCounts
    if segment.isOneWay {
      // What one way is too short, the other one is too long.
      let ways = result.segments.filter {
        $0.isOneWay && $0.direction == segment.direction && $0.from.machine == segment.from.machine
      }
      for other in ways {
        guard let least = other.summary?.min, least < -other.errorBound else { continue }
        return Problem(
          reason: "a delay of \(other.name) is \(Words.duration(least)), below 0 by more than the clock error "
            + "(±\(Words.duration(other.errorBound))): the two clocks are not aligned as claimed, so neither way is known",
          remedy: "leave --same-clock out if the reflector has a clock of its own, synchronise both, and send again")
      }
    }
    // Round trips by the device's clock or by CLOCK_MONOTONIC are as they were.
    guard let steps = counts["clock_steps"], steps > 0, machine.settings["round_trips"] == "kernel" else { return nil }
    return Problem(
      reason: "CLOCK_REALTIME was set \(steps) times during the run, by which packets were stamped: delays of those on "
        + "their way then are wrong",
      remedy: "send again while nothing sets the clock, or with --timestamps user")
  }

  private static func way(_ machine: Machine) -> Problem? {
    let carrier = machine.changes?.first { $0.what == .noCarrier }
    guard let way = machine.settings["way"] ?? carrier.map({ "\($0)" }) else { return nil }
    return Problem(
      reason: "the way of the packets changed: \(way)", remedy: "keep devices and routes as they are, and send again")
  }

  private static func residence(_ segment: SegmentResult, _ machine: Machine, _ limits: Policy.Limits) -> Problem? {
    guard segment.name == "round-trip-less-residence", let count = machine.stampCounts["without_residence"],
      Double(count.value) > limits.unmatched * Double(segment.count + count.value)
    else { return nil }
    return Problem(
      reason: "\(count) answers do not tell how long the reflector had them, or what cannot be",
      remedy: "go by stamp/round-trip, or use a reflector that gives both its times, as 'latprobe reflect' does")
  }
}

extension Machine {
  fileprivate var stampCounts: [String: Count] { pairing?.protocols.first { $0.name == "stamp" }?.counts ?? [:] }
}

extension SegmentResult {
  fileprivate var isOneWay: Bool { name == "one-way-forward" || name == "one-way-backward" }
}
