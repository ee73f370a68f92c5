// SPDX-License-Identifier: GPL-2.0-or-later
internal import Recording
package import TestPackets
internal import Wording

/// Puts packets and their answers together. Pure: times come from whoever calls.
///
/// A packet is known for ``patience``; an answer after that is to an unknown packet.
package struct RoundTrips: Sendable {
  /// Nanoseconds.
  static let patience: Int64 = 10_000_000_000
  static let names = ["round-trip", "round-trip-less-residence", "round-trip-intended", "pacing"]
  /// Counts that are told when they are 0 too.
  private static let told: Set = ["requests", "paired", "lost_forward", "lost_backward"]
  static let oneWayNames = ["one-way-forward", "one-way-backward"]

  struct Arrival: Sendable {
    /// When it came, by the clock that also says when packets left; nil: that clock did not say.
    var time: Int64?
    /// When it came, CLOCK_MONOTONIC.
    var monotonic: Int64
    /// When it came, CLOCK_REALTIME of this program.
    var real: Int64
    /// When it was read, CLOCK_MONOTONIC; nil: not told.
    var read: Int64?
  }

  /// A pair, and when it was known, CLOCK_MONOTONIC.
  struct Found: Sendable {
    var pair: RecordedPair
    var time: Int64
  }

  private struct Probe {
    let packet: SentPacket
    var number: UInt64 { packet.number }
    var left: Int64?
    var arrival: Arrival?
    var reflection: Reflection?
    var isStamped = false
    var isDiscarded = false
  }

  /// Packets and answers are stamped by CLOCK_REALTIME of the kernel, so that one-way delays are too.
  private let isByKernel: Bool
  private(set) var oneWay: OneWayDelays
  private(set) var reflectorTimes = ReflectorTimes()
  /// How often CLOCK_REALTIME was set.
  var clockSteps = 0
  /// How often the device changed by which packets leave.
  var wayChanges = 0

  private var probes: [UInt32: Probe] = [:]
  private var oldest: UInt64 = 0
  private var next: UInt64 = 0
  /// The sender's highest number that was answered, and how many packets had left before that one.
  private var highest: (number: UInt64, before: Int)?
  /// The reflector's own highest number.
  private var reflected = 0
  /// The reflector has numbers of its own, as somebody says or they show.
  private var isStateful: Bool
  /// Those numbers began anew.
  private var isRenumbered = false
  /// Answered once at least.
  package private(set) var answered = 0
  private var unstamped = 0
  /// Round trips that no clock allows: it was set meanwhile.
  private(set) var discarded = 0
  /// When the last answer came, CLOCK_MONOTONIC.
  private(set) var lastAnswerAt: Int64 = 0
  /// Packets that were sent behind the last one that was answered.
  var unansweredAtEnd: UInt64 { next - min(next, (highest?.number ?? 0) + 1) }
  private var repeated = 0
  /// Of these, those that the reflector got twice, as they have numbers of their own.
  private var duplicatedThere = 0
  private var disordered = 0
  private var unknown = 0
  private(set) var malformed = 0
  package private(set) var delays = Histogram()
  package private(set) var lateness = Histogram()
  /// Not taken yet.
  private var pairs: [Found] = []

  /// Nanoseconds by which packets are handed over early.
  private let lead: Int64
  /// Packets that left earlier than due by more than half of that.
  private(set) var leftEarly = 0

  init(isByKernel: Bool = false, isSameClock: Bool = false, isStateful: Bool = false, lead: Int64 = 0) {
    self.isByKernel = isByKernel
    self.isStateful = isStateful
    self.lead = lead
    oneWay = OneWayDelays(isSameClock: isSameClock)
  }

  /// Whether an answer may still come.
  var isWaiting: Bool { probes.values.contains { $0.arrival == nil } }

  mutating func takePairs() -> [Found] {
    defer { pairs.removeAll(keepingCapacity: true) }
    return pairs
  }

  /// - Parameters:
  ///   - left: when it left, where that is known already.
  ///   - isHandedEarly: that it is handed over tells nothing about when it leaves: ``departed(_:at:)`` does.
  mutating func sent(_ packet: SentPacket, left: Int64?, isHandedEarly: Bool = false) {
    if !isHandedEarly { pace(packet, actual: packet.actual) }
    if probes.isEmpty { oldest = packet.number }
    probes[UInt32(truncatingIfNeeded: packet.number)] = Probe(packet: packet, left: left)
    next = packet.number + 1
    while oldest < next, let probe = probes[UInt32(truncatingIfNeeded: oldest)],
      packet.actual - probe.packet.actual > RoundTrips.patience
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

  /// Whether this is the first stamp of the packet: a packet that goes through several devices may get one of each.
  mutating func isFirstStamp(of sequence: UInt32) -> Bool {
    guard let probe = probes[sequence], !probe.isStamped else { return false }
    probes[sequence]?.isStamped = true
    return true
  }

  /// - Parameter time: CLOCK_MONOTONIC.
  mutating func departed(_ sequence: UInt32, at time: Int64) {
    guard let probe = probes[sequence] else { return }
    if probe.packet.due - time > lead / 2 { leftEarly += 1 }
    pace(probe.packet, actual: time)
  }

  private mutating func pace(_ packet: SentPacket, actual: Int64) {
    lateness.add(actual - packet.due)
    let pair = RecordedPair(
      name: 3, start: packet.due, end: actual, last: nil, isRepeated: false,
      number: UInt32(truncatingIfNeeded: packet.number))
    pairs.append(Found(pair: pair, time: actual))
  }

  mutating func malformedAnswer() { malformed += 1 }

  mutating func came(_ reflection: Reflection, _ arrival: Arrival) {
    guard var probe = probes[reflection.senderSequence] else { return unknown += 1 }
    // An echo: nothing of it is a reflector's.
    if reflection.isCut, reflection.sent == probe.packet.time { return malformed += 1 }
    if reflection.sequence != reflection.senderSequence { isStateful = true }
    // The wire has 32 bits for it.
    let own = reflected + Int(Int32(truncatingIfNeeded: Int(reflection.sequence) - reflected))
    reflected = max(reflected, own)
    guard probe.arrival == nil else {
      repeated += 1
      if let known = probe.reflection?.sequence, known != reflection.sequence {
        duplicatedThere += 1
        // So that a copy of this answer is none of the packet.
        probe.reflection?.sequence = max(known, reflection.sequence)
        probes[reflection.senderSequence] = probe
      }
      return
    }
    answered += 1
    lastAnswerAt = max(lastAnswerAt, arrival.monotonic)
    if let highest, probe.number < highest.number {
      disordered += 1
    } else {
      highest = (probe.number, Int(probe.number) - Int(probe.packet.refused))
      // All that were answered came there before this one, but for a few that were overtaken twice.
      if 2 * (own + 1) < answered { isRenumbered = true }
    }
    (probe.arrival, probe.reflection) = (arrival, reflection)
    probes[reflection.senderSequence] = probe
    pair(probe)
  }

  private mutating func pair(_ probe: Probe) {
    guard let arrival = probe.arrival, let reflection = probe.reflection, let end = arrival.time,
      let left = probe.left
    else { return }
    let delay = end &- left
    guard RoundTrips.isPossible(delay, of: probe.packet, arrival) else {
      discarded += 1
      probes[UInt32(truncatingIfNeeded: probe.number)]?.isDiscarded = true
      return
    }
    delays.add(delay)
    var spans: [(name: UInt16, start: Int64, end: Int64)] = [
      (0, arrival.monotonic - delay, arrival.monotonic), (2, probe.packet.due, arrival.monotonic),
    ]
    let residence = reflectorTimes.residence(reflection, delay: delay, now: arrival.real)
    oneWay.distrust = reflectorTimes.refusal
    if let residence {
      spans.insert((1, arrival.monotonic - delay &+ residence, arrival.monotonic), at: 1)
    }
    if let times = times(probe, reflection, arrival, left: left, end: end),
      oneWay.take(times, sender: probe.packet.error, reflector: reflection.error)
    {
      let start = arrival.monotonic - delay
      spans.append((4, start, start &+ times.forward))
      spans.append((5, arrival.monotonic &- times.backward, arrival.monotonic))
    }
    let number = UInt32(truncatingIfNeeded: probe.number)
    for (name, start, end) in spans {
      let pair = RecordedPair(name: name, start: start, end: end, last: nil, isRepeated: false, number: number)
      pairs.append(Found(pair: pair, time: arrival.monotonic))
    }
  }

  /// Both ends of a round trip lie between the send call and the reading of the answer, by whatever clock.
  private static func isPossible(_ delay: Int64, of packet: SentPacket, _ arrival: Arrival) -> Bool {
    guard let read = arrival.read else { return true }
    let most = read &- packet.actual
    return delay >= 0 && delay <= most + most / 1000 + 1000
  }

  /// Nil where the answer is cut, so that it does not say when the packet came.
  private mutating func times(
    _ probe: Probe, _ reflection: Reflection, _ arrival: Arrival, left: Int64, end: Int64
  ) -> FourTimes? {
    guard let received = reflection.received else {
      if reflection.isCut { oneWay.takeCut() }
      return nil
    }
    return FourTimes(
      sent: isByKernel ? left : probe.packet.time, received: received, answered: reflection.sent,
      came: isByKernel ? end : arrival.real)
  }

  private mutating func forget(_ probe: Probe) {
    if let arrival = probe.arrival, arrival.time == nil || probe.left == nil, !probe.isDiscarded { unstamped += 1 }
    probes[UInt32(truncatingIfNeeded: oldest)] = nil
    oldest += 1
  }

  /// No stamp and no answer will come any more.
  mutating func finish() {
    while let probe = probes[UInt32(truncatingIfNeeded: oldest)] { forget(probe) }
  }

  /// - Parameter state: what the sending thread has counted.
  func tallies(_ state: PacedThread.State) -> [PairingAccount.Tally] {
    let sent = Int(state.sent)
    var counts = [
      "requests": sent, "paired": answered - unstamped - discarded,
      "unanswered": max(0, sent - answered - state.ownDrops),
      "abandoned": unstamped + discarded, "own_drops": state.ownDrops,
      "repeated_responses": repeated, "duplicated_forward": duplicatedThere,
      "unmatched_responses": unknown, "malformed": malformed, "disordered": disordered,
      "clock_steps": clockSteps, "without_residence": reflectorTimes.withoutResidence,
      "impossible_times": reflectorTimes.neverPossible, "way_changes": wayChanges,
    ]
    if oneWay.isTold {
      counts["clock_jumps"] = oneWay.jumps
      counts["negative_forward"] = oneWay.negative.forward
      counts["negative_backward"] = oneWay.negative.backward
    }
    if isRenumbered { counts["renumbered"] = 1 }
    if let (forward, backward) = lossByDirection {
      counts["lost_forward"] = forward
      // An answer that found no room here has come back.
      if state.ownDrops == 0 { counts["lost_backward"] = backward }
    }
    let due = max(Int(lateness.count), Int(state.sent + state.refused.count)) + Int(state.overdue)
    let pacing = [
      "requests": due, "paired": Int(lateness.count), "missed_slots": Int(state.missed), "overdue": Int(state.overdue),
      "refused": Int(state.refused.count), "dropped_late": state.droppedLate, "left_early": leftEarly,
    ]
    return [("stamp", counts), ("pacing", pacing)].map { name, counts in
      PairingAccount.Tally(name: name, counts: counts.filter { $0.value > 0 || RoundTrips.told.contains($0.key) })
    }
  }

  /// Packets lost on the way there, and answers lost on the way back, up to the last answer; nil where the reflector's
  /// numbers do not tell: they are the sender's, or equal to them, or do not fit the answers, as after its restart.
  private var lossByDirection: (forward: Int, backward: Int)? {
    guard isStateful, !isRenumbered, let highest else { return nil }
    // The reflector has numbered copies too.
    let forward = max(0, highest.before - reflected + duplicatedThere)
    let backward = max(0, reflected + 1 - answered - duplicatedThere)
    return forward + backward <= highest.before + 1 - answered ? (forward, backward) : nil
  }

  var pairing: PairingAccount {
    let names = RoundTrips.names.map { PairingAccount.Name(name: $0, ofProtocol: $0 == "pacing" ? "pacing" : "stamp") }
    // What was recorded before a clock said that it is not synchronised has no name, and so is no segment.
    let more = oneWay.isTold ? RoundTrips.oneWayNames : []
    return PairingAccount(
      names: names + more.map { PairingAccount.Name(name: $0, ofProtocol: "stamp", error: oneWay.error) },
      protocols: [],
      packets: [:])
  }

  /// How one-way delays were measured, for people; nil where there are none.
  var oneWayText: String? {
    guard oneWay.isTold else { return nil }
    let times = isByKernel ? "the kernel's stamps" : "this program's time"
    let clocks =
      oneWay.isSameClock
      ? "the reflector has the same clock (--same-clock)"
      : "both clocks say that they are synchronised (S = 1), and off by ±\(Words.duration(oneWay.error)) together at most"
    return "sent and received by \(times), CLOCK_REALTIME; \(clocks)"
  }
}
