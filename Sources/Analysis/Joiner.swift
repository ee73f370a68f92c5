// SPDX-License-Identifier: GPL-2.0-or-later
import Recording

/// Follows packets from hook point to hook point within one clock domain: the second pass over its stamps.
///
/// A stamp is looked at once all that the match window allows has come, in the order of time.
///
/// Trade: questions are `mutating`, too. For each call that only borrows a structure of this size the compiler copies all of
/// it, which took a tenth of the time.
struct Joiner: ~Copyable {
  let domain: ClockDomain
  let survey: Survey
  let choice: PathChoice
  let window: Int64
  let slack: Int64
  /// The same between a tap's point and a hook point.
  let wireSlack: Int64
  let byQueue: Bool
  let byPacket: Bool
  /// Added to a journey's number to make it unique in the session.
  let firstPacket: Int

  var flight: Flight
  var plans: [PathPlanInDomain]
  /// By slot: the bytes of TCP that passed there.
  var ranges: [ByteRanges]
  let isSocket: [Bool]
  /// By flow: to a multicast or broadcast address.
  let isToMany: [Bool]
  /// By flow: between addresses of which nothing passed both of a tap's points.
  let isStranger: [Bool]
  /// By number of the journey.
  var open: [Int: [OpenOutcome]] = [:]
  /// By socket and flow: data that was not read within the window.
  var unread: [Socket: UnreadData<Unread>] = [:]
  private var next = 0
  private var swept: UInt64 = 0

  var shares: [ShareSink]
  var wires: [WireSink?]
  var causality: CausalCheck
  var intervals: IntervalSink
  var ends: EndSink
  /// Whether any packet was on a path.
  private(set) var hasPackets: [Bool]

  struct Socket: Hashable {
    var slot: Int
    var flow: UInt32
  }

  /// TCP data of which the application has not read the last byte yet.
  struct Unread {
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
    isToMany: [Bool], isStranger: [Bool], options: AnalysisOptions, firstPacket: Int, on scratch: Scratch
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
    byPacket = options.byPacket
    self.firstPacket = firstPacket
    self.isToMany = isToMany
    self.isStranger = isStranger
    flight = Flight(
      slotCount: domain.hooks.count, window: UInt64(options.matchWindow), lateness: UInt64(options.lateness))
    ranges = [ByteRanges](repeating: ByteRanges(), count: domain.hooks.count)
    isSocket = domain.hooks.map { $0?.point.hook.isSocket ?? false }
    shares = zip(plans, parts).map { ShareSink($0, parts: $1, on: scratch) }
    wires = plans.map { WireSink($0, domain, on: scratch) }
    causality = CausalCheck(plans, domain, window: options.matchWindow)
    intervals = IntervalSink(domain, flows: survey.flows.count, paths: plans.count, binWidth: options.pitBin)
    ends = EndSink(plans, domain, isToMany: isToMany, options: options)
    hasPackets = [Bool](repeating: false, count: plans.count)
  }

  /// Fills the segments of all paths.
  mutating func join() throws(RecordingError) {
    let feed = try FeedAhead(domain.recordings)
    var flows = survey.flows
    while let block = try feed.next() {
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
    try causality.finish(domain, survey, choice)
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
    while let journey = flight.expired(at: time) { open[journey] = nil }
  }

  private mutating func retire(_ number: Int) {
    let journey = flight.journeys[number]
    if journey.path >= 0 {
      causality.note(number, flight, path: journey.path)
      let isWhole = plans[journey.path].all.last(where: { !isSocket[$0] || !journey.isTCP }).map {
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
    if isFirst { ends.take(flight.stamps[index], path: path, domain.drops) }
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
    let ends = plans[path].segments[segment].ends
    let (to, slack) = (ends.to, slack(of: ends))
    if flight.known(journey, to, notBefore: earliest(after: index, slack)) != nil {
      tally(path, segment, journey) { $0.duplicate -= 1 }
    }
    var arrival = arrival(of: index, journey, from: slot, to: to, slack, plans[path].all)
    if arrival == .absent {
      if wasSeen(index, journey, from: slot, behind: to, slack, plans[path].all) {
        arrival = .unseen
      } else if ends.isInvalid || isBlind(index, at: to, plans[path].all) {
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
    flight.change(journey) { ($0.path, $0.part, $0.isTCP) = (path, part, stamp.kind == .tcp) }
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
  private mutating func completeStamps(of journey: Int, _ plan: PathPlanInDomain) -> [Int]? {
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
        if origin.isData, here.payloadLength != origin.payloadLength || here.sequence != origin.sequence {
          return nil
        }
        stamps[place] = stamp
      } else {
        guard isSocket[slot], origin.isData,
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
    let ends = plans[path].segments[segment].ends
    let from = ends.from
    let stamp = flight.stamps[index].stamp
    if flight.cell(journey, from) != nil || flight.journeys[journey].before >> UInt32(from) & 1 != 0 {
      if isAmbiguous(journey, at: from, path) { return }
      let start = flight.known(journey, from)
      if start.map({ stamp.time >= earliest(after: $0, slack(of: ends)) }) ?? true {
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
    if ends.isFromWire, !isSeen(index, at: from) { return }
    if stamp.isData, wasCovered(index, at: from, slack(of: ends)) { return }
    tally(path, segment, journey) { $0.unmatched += 1 }
  }

  private mutating func count(_ arrival: Arrival, of index: Int, _ journey: Int, _ path: Int, _ segment: Int) {
    let stamp = flight.stamps[index].stamp
    var found = SegmentPlan.noDelay
    switch arrival {
    case .at(let there):
      let ends = plans[path].segments[segment].ends
      let delay = flight.delay(from: index, to: there, isOneClock: ends.isOneClock)
      if delay > window {
        tally(path, segment, journey) { $0.late += 1 }
      } else {
        found = delay
        let packet = UInt32(truncatingIfNeeded: firstPacket + flight.journeys[journey].number)
        let isNearEnd = domain.hooks[ends.to]?.isCutOff(stamp.time, window) == true
        tally(path, segment, journey) { [byQueue, byPacket] result in
          result.delays.append(delay)
          if byPacket {
            result.starts.append(stamp.time)
            result.packets.append(packet)
          }
          if byQueue { result.queues.append(stamp.queue) }
          if isNearEnd { result.countNearEnd += 1 }
        }
        if delay < (ends.isOneClock ? 0 : -ends.errorBound) { plans[path].segments[segment].negative += 1 }
      }
    case .already: tally(path, segment, journey) { $0.duplicate += 1 }
    case .unclear: tally(path, segment, journey) { $0.ambiguous += 1 }
    case .unseen: say(.passedUnseen, of: index, journey, path, segment)
    case .unknown: say(.unmatched, of: index, journey, path, segment)
    case .absent: say(outcome(of: index, journey, path, segment), of: index, journey, path, segment)
    }
    follow(index, found, journey, path, segment)
  }

  /// Changes the result of a segment, and that of the journey's group.
  @inline(__always)
  mutating func tally(_ path: Int, _ segment: Int, _ journey: Int, _ change: (inout SegmentResult) -> Void) {
    tally(path, segment, part: flight.journeys[journey].part, change)
  }

  @inline(__always)
  mutating func tally(_ path: Int, _ segment: Int, part: Int, _ change: (inout SegmentResult) -> Void) {
    plans[path].segments[segment].tally(part, change)
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
