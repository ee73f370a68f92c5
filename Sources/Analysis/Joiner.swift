// SPDX-License-Identifier: GPL-2.0-or-later
import Recording

/// One segment within a clock domain, by slots, with the result that grows.
struct SegmentPlan {
  var from: Int
  var to: Int
  var result: SegmentResult
  /// Delays below zero, kept but worth a warning.
  var negative = 0
  /// Packets of a protocol that the hook point at `to` was never seen to record.
  var notAsked = 0
  /// Packets that `to` did not see and a later hook point of the path did.
  var passedUnseen = 0
  /// The same as ``result`` of each group of flows, where there are several.
  var parts: [SegmentResult] = []
  /// Both hook points were stamped by the same clock.
  var isOneClock = true
  /// A tap's point on a path in the kernel, by which some of the path's flows do not come.
  var isFromWire = false
  var isToWire = false
  /// By flow: delay of the packet that passed `from` last; `noDelay` where it has none.
  var previous: [Int64] = []
  static let noDelay = Int64.min

  /// Changes the result, and that of a group.
  mutating func tally(_ part: Int, _ change: (inout SegmentResult) -> Void) {
    change(&result)
    if parts.indices.contains(part) { change(&parts[part]) }
  }
}

/// A path within a clock domain: slots of its hook points, and its segments by where they begin and end.
struct PathPlanInDomain {
  /// Slots of the path's hook points that are attached in this domain, in order.
  var slots: [Int]
  /// The same with those that saw nothing of the path.
  var all: [Int]
  /// All of the path lies in this domain, so that its end-to-end delay can be given.
  var isWhole: Bool
  /// By place in `slots`: the hook point and the one before it were stamped by one clock.
  var isOneClock: [Bool]
  var segments: [SegmentPlan] = []
  /// Slots of devices' hook points between the wire's.
  var inside: [Int] = []
  /// Indices into `segments` by slot.
  var beginning: [[Int]]
  var ending: [[Int]]
}

/// What was said of a packet that did not come within the match window, and is taken back if it comes later.
struct OpenOutcome {
  enum Kind: Equatable {
    case lost(String?)
    case unmatched
    case cutOff
    case notAsked
    /// Of a protocol that the hook point was never seen to record.
    case notAskedProtocol
    case passedUnseen
    case late
    /// Nothing was counted.
    case nothing
  }

  var segment: Int
  var kind: Kind
  /// The stamp at the segment's beginning.
  var stamp: Stamp
  /// The device behind the socket where the segment begins, ``Flight/none`` of one at a device.
  var deviceBehind: Int
}

/// Follows packets from hook point to hook point within one clock domain: the second pass over its stamps.
///
/// A stamp is looked at once all that the match window allows has come, in the order of time.
struct Joiner {
  let domain: ClockDomain
  let survey: Survey
  let choice: PathChoice
  let window: Int64
  let slack: Int64
  /// The same between a tap's point and a hook point.
  let wireSlack: Int64
  let byQueue: Bool
  /// Added to a journey's number to make it unique in the session.
  let firstPacket: Int

  var flight: Flight
  var plans: [PathPlanInDomain]
  /// By slot: the bytes of TCP that passed there.
  var ranges: [ByteRanges]
  let isSocket: [Bool]
  /// By number of the journey.
  private var open: [Int: [OpenOutcome]] = [:]
  /// By socket and flow: data that was not read within the window.
  private var unread: [Socket: [Unread]] = [:]
  private var next = 0
  private var swept: UInt64 = 0

  var shares: [ShareSink]
  var wires: [WireSink?]
  var causality: CausalCheck
  var intervals: IntervalSink
  /// Whether any packet was on a path.
  private(set) var hasPackets: [Bool]

  /// Data of one flow that is waited for at a socket, packets.
  private static let mostUnread = 4_096

  private struct Socket: Hashable {
    var slot: Int
    var flow: UInt32
  }

  /// TCP data of which the application has not read the last byte yet.
  private struct Unread {
    var path: Int
    var part: Int
    var outcome: OpenOutcome
  }

  /// What became of a packet at a later hook point.
  enum Arrival: Equatable {
    /// The stamp with which all of it was there.
    case at(Int)
    /// The socket had handed the same bytes over before: a copy sent needlessly.
    case already
    /// It was seen behind, so it passed.
    case unseen
    /// `to` never saw its flow, which was seen behind: nothing is known.
    case unknown
    case absent
    /// So many packets have the same bytes there that not all were looked at.
    case unclear
  }

  init(
    _ domain: ClockDomain, _ survey: Survey, _ choice: PathChoice, plans: [PathPlanInDomain], parts: [Int],
    options: AnalysisOptions, firstPacket: Int
  ) {
    self.domain = domain
    self.survey = survey
    self.choice = choice
    self.plans = plans
    window = options.matchWindow
    // Two machines' clocks err by more than two CPUs'.
    slack = min(options.matchWindow, max(options.slack, 2 * domain.error))
    wireSlack = max(slack, options.wireSlack)
    byQueue = options.byQueue
    self.firstPacket = firstPacket
    flight = Flight(
      slotCount: domain.hooks.count, window: UInt64(options.matchWindow), lateness: UInt64(options.lateness))
    ranges = [ByteRanges](repeating: ByteRanges(), count: domain.hooks.count)
    isSocket = domain.hooks.map { $0?.point.hook.isSocket ?? false }
    shares = zip(plans, parts).map { ShareSink($0, parts: $1) }
    wires = plans.map { WireSink($0, domain) }
    causality = CausalCheck(plans, domain, window: options.matchWindow)
    intervals = IntervalSink(domain, flows: survey.flows.count, paths: plans.count, binWidth: options.pitBin)
    hasPackets = [Bool](repeating: false, count: plans.count)
  }

  /// Fills the segments of all paths.
  mutating func join() {
    var feed = StampFeed(domain.recordings)
    var block: [TimedStamp] = []
    var flows = survey.flows
    while feed.next(&block) {
      for timed in block {
        guard let slot = domain.slot(of: timed.stamp.hook) else { continue }
        let stamp = timed.stamp
        advance(to: stamp.time)
        let flow = flows.number(of: stamp.flow)
        let number = flight.add(stamp, own: timed.own, flow: flow, slot: slot)
        let length = stamp.kind == .tcp ? stamp.payloadLength : stamp.kind == .tcpRange ? stamp.length : 0
        if length > 0 {
          ranges[slot].add(flow: flow, sequence: stamp.sequence, length: length, time: stamp.time, stamp: number)
          if stamp.kind == .tcpRange { reconsiderUnread(flow, slot, stamp) }
        }
      }
    }
    advance(to: .max)
    causality.finish(domain, survey, choice)
    for path in plans.indices {
      for segment in plans[path].segments.indices { plans[path].segments[segment].previous = [] }
    }
  }

  /// Looks at the stamps of which all is known at a time, and forgets what nobody will ask for any more.
  private mutating func advance(to time: UInt64) {
    let lag = UInt64(window + wireSlack)
    while next < flight.stamps.end, time - flight.stamps[next].stamp.time > lag {
      look(at: next)
      next += 1
    }
    while let journey = flight.settled(at: time) { retire(journey) }
    let past = lag + UInt64(window + wireSlack)
    while flight.stamps.start < next, time - flight.stamps[flight.stamps.start].stamp.time > past {
      flight.dropStamps(to: flight.stamps.start + 1)
    }
    guard time - swept > UInt64(window) else { return }
    swept = time
    let horizon = time > past ? time - past : 0
    for slot in ranges.indices { ranges[slot].drop(before: horizon, keepsMark: isSocket[slot]) }
    flight.expire(at: time) { open[$0] = nil }
  }

  private mutating func retire(_ number: Int) {
    let journey = flight.journeys[number]
    if journey.path >= 0 {
      causality.note(number, flight, path: journey.path)
      let isWhole = plans[journey.path].all.last(where: { !isSocket[$0] || journey.isDatagram }).map {
        journey.seen >> UInt32($0) & 1 != 0
      }
      flight.retire(isWhole: isWhole ?? true)
    } else {
      flight.retire(isWhole: true)
    }
  }

  private mutating func look(at index: Int) {
    let journey = flight.stamps[index].journey
    guard journey != Flight.none else { return }
    if flight.journeys[journey].path == Journey.unknown { choosePath(of: journey, flight.stamps[index].stamp) }
    flight.change(journey) { $0.waiting -= 1 }
    let path = flight.journeys[journey].path
    guard path != Flight.none else { return }
    hasPackets[path] = true
    let slot = Int(flight.stamps[index].slot)
    let isFirst = flight.cell(journey, slot) == index && flight.journeys[journey].before >> UInt32(slot) & 1 == 0
    intervals.take(flight.stamps[index], path: path)
    if flight.journeys[journey].firstStamp == index, flight.journeys[journey].before == 0 { whole(journey, path) }
    if flight.journeys[journey].isOpen { reconsider(index, journey, path) }
    for segment in plans[path].ending[slot] { arrive(index, journey, path, isFirst: isFirst, segment) }
    for segment in plans[path].beginning[slot] { depart(index, journey, path, segment) }
  }

  /// Follows a packet from where a segment begins.
  private mutating func depart(_ index: Int, _ journey: Int, _ path: Int, _ segment: Int) {
    let slot = Int(flight.stamps[index].slot)
    if isAmbiguous(journey, at: slot, path) {
      tally(path, segment, journey) { $0.ambiguous += 1 }
      follow(index, SegmentPlan.noDelay, journey, path, segment)
      return
    }
    let slack = slack(of: plans[path].segments[segment])
    let to = plans[path].segments[segment].to
    if flight.known(journey, to, notBefore: earliest(after: index, slack)) != nil {
      tally(path, segment, journey) { $0.duplicate -= 1 }
    }
    var arrival = arrival(of: index, journey, from: slot, to: to, slack, plans[path].all)
    if arrival == .absent {
      if wasSeen(index, journey, from: slot, behind: to, slack, plans[path].all) {
        arrival = .unseen
      } else if plans[path].segments[segment].result.invalid != nil || isBlind(index, at: to, plans[path].all) {
        arrival = .unknown
      }
    }
    count(arrival, of: index, journey, path, segment)
  }

  private mutating func choosePath(of journey: Int, _ stamp: Stamp) {
    var path = Flight.none
    var part = Flight.none
    if let slot = survey.leading.first(where: { flight.known(journey, $0) != nil }),
      let lead = flight.known(journey, slot)
    {
      var shape = Shape(flow: flight.stamps[lead].flow)
      shape.isOfTap = flight.stamps[lead].stamp.hook.isWire
      if let slot = survey.wire.input, let number = flight.known(journey, slot) {
        shape.input = Shape.End(flow: flight.stamps[number].flow, device: flight.stamps[number].stamp.cpu)
      }
      if let slot = survey.wire.output, let number = flight.known(journey, slot) {
        shape.output = Shape.End(flow: flight.stamps[number].flow, device: flight.stamps[number].stamp.cpu)
      }
      path = choice.path(of: shape)
      if path != Flight.none { part = choice.part(path, shape.flow) }
    }
    flight.change(journey) { ($0.path, $0.part, $0.isDatagram) = (path, part, stamp.kind == .udp) }
  }

  private mutating func whole(_ journey: Int, _ path: Int) {
    let plan = plans[path]
    if shares[path].isAskedFor, let stamps = completeStamps(of: journey, plan) {
      shares[path].add(part: flight.journeys[journey].part) { place in
        flight.delay(from: stamps[place - 1], to: stamps[place], isOneClock: plan.isOneClock[place])
      }
    }
    if let parts = wireParts(of: journey, path) { wires[path]?.add(parts) }
  }

  /// The stamps of a journey that carries every hook point of the path once; nil of another one.
  private func completeStamps(of journey: Int, _ plan: PathPlanInDomain) -> [Int]? {
    let slots = plan.slots
    guard flight.journeys[journey].repeated == 0 || !slots.contains(where: { flight.isRepeated(journey, $0) }),
      let first = flight.known(journey, slots[0])
    else { return nil }
    let origin = flight.stamps[first].stamp
    var stamps = [Int](repeating: first, count: slots.count)
    for (place, slot) in slots.enumerated() {
      if let stamp = flight.known(journey, slot) {
        // A TCP packet that was split or merged on the way is not one packet all the way.
        let here = flight.stamps[stamp].stamp
        if isData(origin), here.payloadLength != origin.payloadLength || here.sequence != origin.sequence {
          return nil
        }
        stamps[place] = stamp
      } else {
        guard isSocket[slot], isData(origin),
          case .at(let found) = arrival(of: first, journey, from: slots[0], to: slot, slack, plan.all)
        else { return nil }
        stamps[place] = found
      }
      if place > 0 {
        let delay = flight.delay(from: stamps[place - 1], to: stamps[place], isOneClock: plan.isOneClock[place])
        let isAtWire = [slots[place - 1], slot].contains { domain.hooks[$0]?.point.hook.isWire == true }
        if delay > window || delay < -(isAtWire ? wireSlack : slack) { return nil }
      }
    }
    return stamps
  }

  /// A stamp at the end of a segment: a further copy, or a packet that was never seen at the beginning.
  private mutating func arrive(_ index: Int, _ journey: Int, _ path: Int, isFirst: Bool, _ segment: Int) {
    let plan = plans[path].segments[segment]
    let from = plan.from
    let stamp = flight.stamps[index].stamp
    if flight.cell(journey, from) != nil || flight.journeys[journey].before >> UInt32(from) & 1 != 0 {
      if isAmbiguous(journey, at: from, path) { return }
      let start = flight.known(journey, from)
      if start.map({ stamp.time >= earliest(after: $0, slack(of: plan)) }) ?? true {
        // All of them; the one that stands for the packet is taken off again where the packet is followed.
        tally(path, segment, journey) { $0.duplicate += 1 }
        return
      }
    } else if !isFirst {
      return
    }
    guard !isSocket[from], let state = domain.hooks[from], !state.point.hook.isOccasional else { return }
    // It may have passed `from` before that began, or after it had stopped.
    guard stamp.time > state.started &+ UInt64(window), stamp.time <= state.stopped,
      !state.isAbsent(from: stamp.time > UInt64(window) ? stamp.time - UInt64(window) : 0, to: stamp.time)
    else { return }
    if plan.isFromWire, !isSeen(index, at: from) { return }
    if isData(stamp), wasCovered(index, at: from, slack(of: plan)) { return }
    tally(path, segment, journey) { $0.unmatched += 1 }
  }

  private mutating func count(_ arrival: Arrival, of index: Int, _ journey: Int, _ path: Int, _ segment: Int) {
    let stamp = flight.stamps[index].stamp
    var found = SegmentPlan.noDelay
    switch arrival {
    case .at(let there):
      let plan = plans[path].segments[segment]
      let delay = flight.delay(from: index, to: there, isOneClock: plan.isOneClock)
      if delay > window {
        tally(path, segment, journey) { $0.late += 1 }
      } else {
        found = delay
        let packet = UInt32(truncatingIfNeeded: firstPacket + flight.journeys[journey].number)
        let isNearEnd = domain.hooks[plan.to]?.isCutOff(stamp.time, window) == true
        tally(path, segment, journey) { [byQueue] result in
          result.delays.append(delay)
          result.starts.append(stamp.time)
          result.packets.append(packet)
          if byQueue { result.queues.append(stamp.queue) }
          if isNearEnd { result.countNearEnd += 1 }
        }
        if delay < (plan.isOneClock ? 0 : -plan.result.errorBound) { plans[path].segments[segment].negative += 1 }
      }
    case .already: tally(path, segment, journey) { $0.duplicate += 1 }
    case .unclear: tally(path, segment, journey) { $0.ambiguous += 1 }
    case .unseen: say(.passedUnseen, of: index, journey, path, segment)
    case .unknown: say(.unmatched, of: index, journey, path, segment)
    case .absent: say(outcome(of: index, journey, path, segment), of: index, journey, path, segment)
    }
    follow(index, found, journey, path, segment)
  }

  /// What to say of a packet that is not there.
  private func outcome(of index: Int, _ journey: Int, _ path: Int, _ segment: Int) -> OpenOutcome.Kind {
    let plan = plans[path].segments[segment]
    let (stamp, flow) = (flight.stamps[index].stamp, flight.stamps[index].flow)
    guard let state = domain.hooks[plan.to], !state.point.hook.isOccasional else { return .nothing }
    if plan.isToWire, !isSeen(index, at: plan.to) { return .nothing }
    if isSocket[plan.to] {
      guard stamp.kind == .udp || isData(stamp) else { return .nothing }
      let isSeen = stamp.kind == .udp ? survey.udpSeen[plan.to] : survey.tcpSeen[plan.to]
      if state.isPartial, !isSeen { return .notAskedProtocol }
    }
    if state.isCutOff(stamp.time, window) { return .cutOff }
    if let cause = domain.drops.cause(
      of: stamp, from: earliest(after: index, slack(of: plan)), to: stamp.time &+ UInt64(window))
    {
      return .lost(cause)
    }
    if isSocket[plan.to], !isRead(index, at: plan.to), hasArrived(index, journey, before: plan.to, plans[path].slots) {
      return .notAsked
    }
    // What the kernel did not throw away went another way.
    if tellsDrops(plan) { return .unmatched }
    let isCertain = state.isClean && (stamp.kind != .udp || !survey.flows.hasSuperPackets(flow, at: plan.to))
    return isCertain ? .lost(nil) : .unmatched
  }

  /// Counts what became of a packet that did not come, and notes it for the case that it comes later.
  private mutating func say(
    _ kind: OpenOutcome.Kind, of index: Int, _ journey: Int, _ path: Int, _ segment: Int
  ) {
    change(kind, by: 1, flight.journeys[journey].part, path, segment)
    let plan = plans[path].segments[segment]
    let outcome = OpenOutcome(
      segment: segment, kind: kind, stamp: flight.stamps[index].stamp,
      deviceBehind: deviceBehind(plan.from, plans[path].all) ?? Flight.none)
    if isSocket[plan.to], isData(outcome.stamp) {
      // Bytes at a socket have no key: whoever reads them later is found by them.
      let part = flight.journeys[journey].part
      let flow = flight.stamps[index].flow
      let there = survey.flows.translated[FlowTable.Translation(flow: flow, slot: plan.to)] ?? flow
      unread[Socket(slot: plan.to, flow: there), default: []].append(Unread(path: path, part: part, outcome: outcome))
      return
    }
    open[flight.journeys[journey].number, default: []].append(outcome)
    flight.change(journey) { $0.isOpen = true }
  }

  private mutating func change(_ kind: OpenOutcome.Kind, by number: Int, _ part: Int, _ path: Int, _ segment: Int) {
    func tally(_ change: (inout SegmentResult) -> Void) { plans[path].segments[segment].tally(part, change) }
    switch kind {
    case .lost(let cause):
      tally {
        $0.lost += number
        guard let cause else { return }
        $0.dropped[cause, default: 0] += number
        if $0.dropped[cause] == 0 { $0.dropped[cause] = nil }
      }
    case .unmatched: tally { $0.unmatched += number }
    case .passedUnseen:
      plans[path].segments[segment].passedUnseen += number
      tally { $0.unmatched += number }
    case .cutOff: tally { $0.cutOff += number }
    case .notAsked: tally { $0.notAsked += number }
    case .notAskedProtocol: plans[path].segments[segment].notAsked += number
    case .late: tally { $0.late += number }
    case .nothing: break
    }
  }

  /// Takes back what was said of a packet before this stamp of it came.
  private mutating func reconsider(_ index: Int, _ journey: Int, _ path: Int) {
    let (number, part) = (flight.journeys[journey].number, flight.journeys[journey].part)
    guard var outcomes = open.removeValue(forKey: number) else { return }
    let stamp = flight.stamps[index].stamp
    let slot = Int(flight.stamps[index].slot)
    outcomes.removeAll { outcome in
      let plan = plans[path].segments[outcome.segment]
      let isThere = plan.to == slot && (!isData(outcome.stamp) || coversEnd(stamp, of: outcome.stamp))
      if outcome.deviceBehind == slot, flight.isRepeated(journey, slot) {
        change(outcome.kind, by: -1, part, path, outcome.segment)
        tally(path, outcome.segment, journey) { $0.ambiguous += 1 }
        return true
      }
      return isThere && outcome.kind == .late
    }
    for place in outcomes.indices {
      let (segment, old) = (outcomes[place].segment, outcomes[place].kind)
      let plan = plans[path].segments[segment]
      guard old != .late, stamp.time >= outcomes[place].stamp.time else { continue }
      let isThere = !isData(outcomes[place].stamp) || coversEnd(stamp, of: outcomes[place].stamp)
      if plan.to == slot, isThere {
        outcomes[place].kind = .late
        tally(path, segment, journey) { $0.duplicate -= 1 }
      } else if isBehind(slot, plan.to, path), isThere, old != .passedUnseen {
        outcomes[place].kind = .passedUnseen
      } else {
        continue
      }
      change(old, by: -1, part, path, segment)
      change(outcomes[place].kind, by: 1, part, path, segment)
    }
    open[number] = outcomes
  }

  /// Counts data as late that an application reads only now.
  private mutating func reconsiderUnread(_ flow: UInt32, _ slot: Int, _ range: Stamp) {
    let socket = Socket(slot: slot, flow: flow)
    guard let waiting = unread[socket] else { return }
    unread[socket] = nil
    var rest: [Unread] = []
    for data in waiting {
      let stamp = data.outcome.stamp
      let last = stamp.sequence &+ stamp.payloadLength &- 1
      guard last &- range.sequence < range.length else {
        rest.append(data)
        continue
      }
      change(data.outcome.kind, by: -1, data.part, data.path, data.outcome.segment)
      change(.late, by: 1, data.part, data.path, data.outcome.segment)
    }
    // As much as a socket holds: of more, the oldest are not waited for.
    if !rest.isEmpty { unread[socket] = rest.suffix(Joiner.mostUnread) }
  }

  private func isBehind(_ slot: Int, _ other: Int, _ path: Int) -> Bool {
    let all = plans[path].all
    guard let place = all.firstIndex(of: other), domain.hooks[other]?.point.hook.isOccasional == false else {
      return false
    }
    return all[(place + 1)...].contains(slot)
  }

  /// Changes the result of a segment, and that of the journey's group.
  @inline(__always)
  private mutating func tally(_ path: Int, _ segment: Int, _ journey: Int, _ change: (inout SegmentResult) -> Void) {
    plans[path].segments[segment].tally(flight.journeys[journey].part, change)
  }

  /// The difference to the delay of the packet of its flow that was at `from` before it, where both have one.
  private mutating func follow(_ index: Int, _ delay: Int64, _ journey: Int, _ path: Int, _ segment: Int) {
    if plans[path].segments[segment].previous.isEmpty {
      plans[path].segments[segment].previous = [Int64](repeating: SegmentPlan.noDelay, count: survey.flows.count)
    }
    let flow = Int(flight.stamps[index].flow)
    let before = plans[path].segments[segment].previous[flow]
    plans[path].segments[segment].previous[flow] = delay
    guard before != SegmentPlan.noDelay, delay != SegmentPlan.noDelay else { return }
    tally(path, segment, journey) { $0.successive.append(delay - before) }
  }
}
