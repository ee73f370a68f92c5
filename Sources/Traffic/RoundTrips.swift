// SPDX-License-Identifier: GPL-2.0-or-later
internal import Recording

/// Puts packets and their answers together. Pure: times come from whoever calls.
///
/// A packet is known for ``patience``; an answer after that is to an unknown packet.
package struct RoundTrips: Sendable {
  /// Nanoseconds.
  static let patience: Int64 = 10_000_000_000
  static let names = ["round-trip", "round-trip-less-residence", "round-trip-intended", "pacing"]

  struct Arrival: Sendable {
    /// When it came, by the clock that also says when packets left; nil: that clock did not say.
    var time: Int64?
    /// When it came, CLOCK_MONOTONIC.
    var monotonic: Int64
    /// Nanoseconds that the reflector had it; nil: the answer does not say.
    var residence: Int64?
  }

  private struct Probe {
    let number: UInt64
    let due: Int64
    var left: Int64?
    var arrival: Arrival?
  }

  private var probes: [UInt32: Probe] = [:]
  private var oldest: UInt64 = 0
  private var next: UInt64 = 0
  /// The sender's highest number that was answered.
  private var highest: UInt64?
  /// The reflector's own highest number, and the packet that had it.
  private var reflected: (own: UInt32, number: UInt64)?
  private var isStateful = false
  /// Answered once at least.
  package private(set) var answered = 0
  private var unstamped = 0
  private var repeated = 0
  private var disordered = 0
  private var unknown = 0
  private var malformed = 0
  package private(set) var delays = Histogram()
  package private(set) var lateness = Histogram()
  /// Not taken yet.
  private var pairs: [RecordedPair] = []

  package init() {}

  /// Whether an answer may still come.
  var isWaiting: Bool { probes.values.contains { $0.arrival == nil } }

  mutating func takePairs() -> [RecordedPair] {
    defer { pairs.removeAll(keepingCapacity: true) }
    return pairs
  }

  /// - Parameter left: when it left, where that is known already.
  mutating func sent(_ packet: SentPacket, left: Int64?) {
    lateness.add(packet.actual - packet.due)
    pairs.append(RecordedPair(name: 3, start: packet.due, end: packet.actual, last: nil, isRepeated: false))
    if probes.isEmpty { oldest = packet.number }
    probes[UInt32(truncatingIfNeeded: packet.number)] = Probe(number: packet.number, due: packet.due, left: left)
    next = packet.number + 1
    while oldest < next, let probe = probes[UInt32(truncatingIfNeeded: oldest)],
      packet.actual - probe.due > RoundTrips.patience
    {
      forget(probe)
    }
  }

  mutating func left(_ sequence: UInt32, at time: Int64) {
    guard var probe = probes[sequence], probe.left == nil else { return }
    probe.left = time
    probes[sequence] = probe
    pair(probe)
  }

  mutating func malformedAnswer() { malformed += 1 }

  mutating func came(_ reflection: Reflection, _ arrival: Arrival) {
    guard var probe = probes[reflection.senderSequence] else { return unknown += 1 }
    guard probe.arrival == nil else { return repeated += 1 }
    answered += 1
    if let highest, probe.number < highest { disordered += 1 }
    highest = max(highest ?? 0, probe.number)
    if reflection.sequence != reflection.senderSequence { isStateful = true }
    if reflection.sequence >= reflected?.own ?? 0 { reflected = (reflection.sequence, probe.number) }
    probe.arrival = arrival
    probes[reflection.senderSequence] = probe
    pair(probe)
  }

  private mutating func pair(_ probe: Probe) {
    guard let arrival = probe.arrival, let end = arrival.time, let left = probe.left else { return }
    let delay = end - left
    delays.add(delay)
    let starts = [
      (0, arrival.monotonic - delay), (1, arrival.residence.map { arrival.monotonic - delay + $0 }), (2, probe.due),
    ]
    for case (let name, let start?) in starts {
      pairs.append(
        RecordedPair(name: UInt16(name), start: start, end: arrival.monotonic, last: nil, isRepeated: false))
    }
  }

  private mutating func forget(_ probe: Probe) {
    if let arrival = probe.arrival, arrival.time == nil || probe.left == nil { unstamped += 1 }
    probes[UInt32(truncatingIfNeeded: oldest)] = nil
    oldest += 1
  }

  /// No stamp and no answer will come any more.
  mutating func finish() {
    while let probe = probes[UInt32(truncatingIfNeeded: oldest)] { forget(probe) }
  }

  /// - Parameter state: what the sending thread has counted.
  func tallies(_ state: PacedThread.State) -> [Pairing.Tally] {
    let sent = Int(state.sent)
    var counts = [
      "requests": sent, "paired": answered - unstamped, "unanswered": max(0, sent - answered), "abandoned": unstamped,
      "repeated_responses": repeated, "unmatched_responses": unknown, "malformed": malformed, "disordered": disordered,
    ]
    if let (forward, backward) = lossByDirection {
      counts["lost_forward"] = forward
      counts["lost_backward"] = backward
    }
    let due = Int(lateness.count + state.overdue)
    let pacing = [
      "requests": due, "paired": Int(lateness.count), "missed_slots": Int(state.missed), "overdue": Int(state.overdue),
      "refused": Int(state.refused.count),
    ]
    return [("stamp", counts), ("pacing", pacing)].map { name, counts in
      Pairing.Tally(name: name, counts: counts.filter { $0.value > 0 || $0.key == "requests" || $0.key == "paired" })
    }
  }

  /// Packets lost on the way there, and answers lost on the way back, up to the last answer; nil where the reflector's
  /// numbers do not tell: they are the sender's, or equal to them.
  private var lossByDirection: (forward: Int, backward: Int)? {
    guard isStateful, let reflected else { return nil }
    return (max(0, Int(reflected.number) - Int(reflected.own)), max(0, Int(reflected.own) + 1 - answered))
  }

  var pairing: Pairing {
    Pairing(
      names: RoundTrips.names.map { Pairing.Name(name: $0, ofProtocol: $0 == "pacing" ? "pacing" : "stamp") },
      protocols: [], packets: [:])
  }
}
