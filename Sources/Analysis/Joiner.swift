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
  /// Both hook points were stamped by the same clock.
  var isOneClock = true
  /// A tap's point on a path in the kernel, by which some of the path's flows do not come.
  var isFromWire = false
  var isToWire = false
  /// By flow: delay of the packet that passed `from` last; `noDelay` where it has none.
  var previous: [Int64] = []
  static let noDelay = Int64.min
}

/// A path within a clock domain: slots of its hook points, and its segments by where they begin and end.
struct PathPlanInDomain {
  /// Slots of the path's hook points that are attached in this domain, in order.
  var slots: [Int]
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

/// Follows packets from hook point to hook point within one clock domain.
struct Joiner {
  let domain: ClockDomain
  let journeys: Journeys
  let flows: FlowTable
  /// Path of each journey, 255 for none.
  let pathOfJourney: [UInt8]
  let window: Int64
  let slack: Int64
  /// The same between a tap's point and a hook point.
  let wireSlack: Int64
  let byQueue: Bool
  /// Added to a journey's number to make it unique in the session.
  let firstPacket: UInt32

  private var indexes: [RangeIndex?]
  private let isSocket: [Bool]
  /// By slot: stamps of UDP packets, and of TCP packets or bytes, that the hook point recorded at all.
  private let udpSeen: [Bool]
  private let tcpSeen: [Bool]

  /// What became of a packet at a later hook point.
  private enum Arrival {
    /// The stamp with which all of it was there.
    case at(Int)
    /// The socket had handed the same bytes over before: a copy sent needlessly.
    case already
    case absent
  }

  init(
    _ domain: ClockDomain, _ journeys: Journeys, _ flows: FlowTable, pathOfJourney: [UInt8],
    options: AnalysisOptions, firstPacket: UInt32
  ) {
    self.domain = domain
    self.journeys = journeys
    self.flows = flows
    self.pathOfJourney = pathOfJourney
    window = options.matchWindow
    // Two machines' clocks err by more than two CPUs'.
    slack = min(options.matchWindow, max(options.slack, 2 * domain.error))
    wireSlack = max(slack, options.wireSlack)
    byQueue = options.byQueue
    self.firstPacket = firstPacket
    indexes = [RangeIndex?](repeating: nil, count: domain.hooks.count)
    isSocket = domain.hooks.map { $0?.point.hook.isSocket ?? false }
    var udp = [Bool](repeating: false, count: domain.hooks.count)
    var tcp = udp
    for stamp in domain.stamps {
      let slot = Int(domain.slots[Int(stamp.hook.rawValue)])
      guard slot != 255 else { continue }
      switch stamp.kind {
      case .udp: udp[slot] = true
      case .tcp, .tcpRange: tcp[slot] = true
      default: break
      }
    }
    udpSeen = udp
    tcpSeen = tcp
  }

  /// Fills the segments of all paths, walking the stamps in time order so that each segment's samples are in order.
  mutating func join(_ plans: inout [PathPlanInDomain]) {
    var seen = [UInt32](repeating: 0, count: journeys.count)
    for index in domain.stamps.indices {
      guard journeys.of[index] != Journeys.none else { continue }
      let journey = Int(journeys.of[index])
      let path = Int(pathOfJourney[journey])
      guard path != 255 else { continue }
      let slot = Int(domain.slots[Int(domain.stamps[index].hook.rawValue)])
      let isFirst = seen[journey] & (1 << UInt32(slot)) == 0
      seen[journey] |= 1 << UInt32(slot)
      for segment in plans[path].ending[slot] {
        let isAmbiguous = isAmbiguous(journey, at: plans[path].segments[segment].from, plans[path].slots)
        arrive(index, journey, isFirst: isFirst, isAmbiguous: isAmbiguous, &plans[path].segments[segment])
      }
      for segment in plans[path].beginning[slot] {
        if isAmbiguous(journey, at: slot, plans[path].slots) {
          plans[path].segments[segment].result.ambiguous += 1
          follow(index, SegmentPlan.noDelay, &plans[path].segments[segment])
          continue
        }
        let slack = slack(of: plans[path].segments[segment])
        let to = plans[path].segments[segment].to
        if journeys.cell(journey, to, notBefore: earliest(after: index, slack), in: domain.stamps) != nil {
          plans[path].segments[segment].result.duplicate -= 1
        }
        let arrival = arrival(of: index, journey, from: slot, to: to, slack, plans[path].slots)
        count(arrival, of: index, journey, &plans[path].segments[segment])
      }
    }
    for path in plans.indices {
      for segment in plans[path].segments.indices { plans[path].segments[segment].previous = [] }
    }
  }

  /// Gives each neighbour segment its share, from journeys that carry every hook point of the path once.
  mutating func share(_ plan: inout PathPlanInDomain, path: Int) {
    guard plan.isWhole, plan.slots.count > 1 else { return }
    var sums = [Double](repeating: 0, count: plan.slots.count)
    var stamps = [Int](repeating: 0, count: plan.slots.count)
    var isAny = false
    for journey in 0..<journeys.count where Int(pathOfJourney[journey]) == path {
      guard completeStamps(of: journey, plan, &stamps) else { continue }
      isAny = true
      for place in 1..<stamps.count { sums[place] += Double(delay(stamps, place, plan)) }
    }
    let total = sums.reduce(0, +)
    guard isAny, total > 0 else { return }
    for index in plan.segments.indices where plan.segments[index].result.isNeighbour {
      guard let place = plan.slots.firstIndex(of: plan.segments[index].to) else { continue }
      plan.segments[index].result.share = sums[place] / total
    }
  }

  /// From the hook point before to the one at `place`.
  private func delay(_ stamps: [Int], _ place: Int, _ plan: PathPlanInDomain) -> Int64 {
    domain.delay(from: stamps[place - 1], to: stamps[place], isOneClock: plan.isOneClock[place])
  }

  private mutating func completeStamps(of journey: Int, _ plan: PathPlanInDomain, _ stamps: inout [Int]) -> Bool {
    let slots = plan.slots
    guard let first = journeys.cell(journey, slots[0]) else { return false }
    let origin = domain.stamps[first]
    for (place, slot) in slots.enumerated() {
      if journeys.isRepeated(journey, slot) { return false }
      if let stamp = journeys.cell(journey, slot) {
        // A TCP packet that was split or merged on the way is not one packet all the way.
        let here = domain.stamps[stamp]
        if isData(origin), here.payloadLength != origin.payloadLength || here.sequence != origin.sequence {
          return false
        }
        stamps[place] = stamp
      } else {
        guard isSocket[slot], isData(origin),
          case .at(let found) = arrival(of: first, journey, from: slots[0], to: slot, slack, slots)
        else { return false }
        stamps[place] = found
      }
      if place > 0 {
        let delay = delay(stamps, place, plan)
        let isAtWire = [slots[place - 1], slot].contains { domain.hooks[$0]?.point.hook.isWire == true }
        if delay > window || delay < -(isAtWire ? wireSlack : slack) { return false }
      }
    }
    return true
  }

  /// A stamp at the end of a segment: a further copy, or a packet that was never seen at the beginning.
  private mutating func arrive(
    _ index: Int, _ journey: Int, isFirst: Bool, isAmbiguous: Bool, _ segment: inout SegmentPlan
  ) {
    let from = segment.from
    let stamp = domain.stamps[index]
    if let start = journeys.cell(journey, from) {
      if isAmbiguous { return }
      let earliest = earliest(after: start, slack(of: segment))
      if stamp.time >= earliest {
        // All of them; the one that stands for the packet is taken off again where the packet is followed.
        segment.result.duplicate += 1
        return
      }
    } else if !isFirst {
      return
    }
    guard !isSocket[from], let state = domain.hooks[from], !state.point.hook.isOccasional else { return }
    // It may have passed `from` before that began, or after it had stopped.
    guard stamp.time > state.started &+ UInt64(window), stamp.time <= state.stopped,
      !state.isAbsent(from: stamp.time - UInt64(window), to: stamp.time)
    else { return }
    if segment.isFromWire, !isSeen(index, at: from) { return }
    if isData(stamp), wasCovered(index, at: from, slack(of: segment)) { return }
    segment.result.unmatched += 1
  }

  private func count(_ arrival: Arrival, of index: Int, _ journey: Int, _ segment: inout SegmentPlan) {
    let stamp = domain.stamps[index]
    var found = SegmentPlan.noDelay
    defer { follow(index, found, &segment) }
    switch arrival {
    case .at(let there):
      let delay = domain.delay(from: index, to: there, isOneClock: segment.isOneClock)
      if delay > window {
        segment.result.late += 1
      } else {
        found = delay
        segment.result.delays.append(delay)
        segment.result.starts.append(stamp.time)
        segment.result.packets.append(firstPacket + UInt32(journey))
        if byQueue { segment.result.queues.append(stamp.queue) }
        if domain.hooks[segment.to]?.isCutOff(stamp.time, window) == true { segment.result.countNearEnd += 1 }
        if delay < (segment.isOneClock ? 0 : -segment.result.errorBound) { segment.negative += 1 }
      }
    case .already:
      segment.result.duplicate += 1
    case .absent:
      guard let state = domain.hooks[segment.to], !state.point.hook.isOccasional else { return }
      if segment.isToWire, !isSeen(index, at: segment.to) { return }
      if isSocket[segment.to] {
        guard stamp.kind == .udp || isData(stamp) else { return }
        let isSeen = stamp.kind == .udp ? udpSeen[segment.to] : tcpSeen[segment.to]
        if state.isPartial, !isSeen {
          segment.notAsked += 1
          return
        }
      }
      if state.isCutOff(stamp.time, window) {
        segment.result.cutOff += 1
      } else if state.isClean, stamp.kind != .udp || !flows.hasSuperPackets(index, at: segment.to) {
        segment.result.lost += 1
      } else {
        segment.result.unmatched += 1
      }
    }
  }

  /// The difference to the delay of the packet of its flow that was at `from` before it, where both have one.
  private func follow(_ index: Int, _ delay: Int64, _ segment: inout SegmentPlan) {
    if segment.previous.isEmpty {
      segment.previous = [Int64](repeating: SegmentPlan.noDelay, count: flows.ids.count)
    }
    let flow = Int(flows.of[index])
    let before = segment.previous[flow]
    segment.previous[flow] = delay
    if before != SegmentPlan.noDelay, delay != SegmentPlan.noDelay { segment.result.successive.append(delay - before) }
  }

  /// Whether several packets may share the key where a segment begins. txg0 has a stamp for some packets only, so there
  /// the device behind it tells.
  private func isAmbiguous(_ journey: Int, at slot: Int, _ path: [Int]) -> Bool {
    if journeys.isRepeated(journey, slot) { return true }
    guard isSocket[slot], let device = path.first(where: { $0 > slot && !isSocket[$0] }) else { return false }
    return journeys.isRepeated(journey, device)
  }

  /// The earliest time at which the packet of a stamp can be at a later hook point.
  private func earliest(after index: Int, _ slack: Int64) -> UInt64 {
    let time = domain.stamps[index].time
    return time > UInt64(slack) ? time - UInt64(slack) : 0
  }

  private func slack(of segment: SegmentPlan) -> Int64 {
    segment.isFromWire == segment.isToWire ? slack : wireSlack
  }

  /// Whether any packet of the stamp's flow was seen at a slot.
  private func isSeen(_ index: Int, at slot: Int) -> Bool {
    guard let hook = domain.hooks[slot]?.point.hook else { return false }
    return flows.seen[Int(flows.of[index])] & hook.bit != 0
  }

  private func isData(_ stamp: Stamp) -> Bool { stamp.kind == .tcp && stamp.payloadLength > 0 }

  /// When the packet with stamp `index` at `from` was at `to`: all of it, for TCP data.
  private mutating func arrival(
    of index: Int, _ journey: Int, from: Int, to: Int, _ slack: Int64, _ path: [Int]
  ) -> Arrival {
    let stamp = domain.stamps[index]
    if let there = journeys.cell(journey, to, notBefore: earliest(after: index, slack), in: domain.stamps) {
      let other = domain.stamps[there]
      if !isData(stamp) || coversEnd(other, of: stamp) { return .at(there) }
    }
    guard isData(stamp) else { return .absent }
    guard isSocket[to] else {
      return cover(ofEnd: index, journey, from: from, at: to, slack).map { .at($0) } ?? .absent
    }
    // At the socket there are only bytes: look for them where and when the packet was seen last before it.
    var reference = index
    for slot in path.reversed() where slot > from && slot < to && !isSocket[slot] {
      if let own = journeys.cell(journey, slot), coversEnd(domain.stamps[own], of: stamp) {
        reference = own
        break
      }
      if let found = cover(ofEnd: index, journey, from: from, at: slot, slack) {
        reference = found
        break
      }
      if domain.hooks[slot]?.isClean == true { return .absent }
    }
    return read(endOf: index, from: reference, at: to)
  }

  /// The first byte range at socket `to` with the packet's last byte, not before the packet was at `reference`.
  private mutating func read(endOf index: Int, from reference: Int, at to: Int) -> Arrival {
    let earliest = earliest(after: reference, slack)
    var first: RangeIndex.Range?
    var isBefore = false
    forEachCover(ofEnd: index, flowOf: reference, at: to) { range in
      if range.time < earliest {
        isBefore = true
      } else if range.time < first?.time ?? UInt64.max {
        first = range
      }
    }
    if let first { return .at(Int(first.stamp)) }
    return isBefore ? .already : .absent
  }

  /// The first stamp at `to` with the packet's last byte, not before the packet.
  ///
  /// Left out is a stamp that belongs to another packet of just these bytes: a copy sent again stands for itself.
  private mutating func cover(ofEnd index: Int, _ journey: Int, from: Int, at to: Int, _ slack: Int64) -> Int? {
    let earliest = earliest(after: index, slack)
    var first: RangeIndex.Range?
    let domain = self.domain
    let journeys = self.journeys
    forEachCover(ofEnd: index, flowOf: index, at: to) { range in
      guard range.time >= earliest, range.time < first?.time ?? UInt64.max else { return }
      let other = Int(journeys.of[Int(range.stamp)])
      if other != journey, let origin = journeys.cell(other, from) {
        let sent = domain.stamps[origin]
        let here = domain.stamps[Int(range.stamp)]
        if sent.sequence == here.sequence, sent.payloadLength == here.payloadLength { return }
      }
      first = range
    }
    return first.map { Int($0.stamp) }
  }

  /// Whether the last byte of the stamp passed `slot` within the match window before it, in whatever packet.
  private mutating func wasCovered(_ index: Int, at slot: Int, _ slack: Int64) -> Bool {
    let time = domain.stamps[index].time
    let window = UInt64(self.window)
    let slack = UInt64(slack)
    var isCovered = false
    forEachCover(ofEnd: index, flowOf: index, at: slot) { range in
      if range.time <= time &+ slack, range.time &+ window >= time { isCovered = true }
    }
    return isCovered
  }

  private mutating func forEachCover(
    ofEnd index: Int, flowOf reference: Int, at slot: Int, _ body: (RangeIndex.Range) -> Void
  ) {
    let stamp = domain.stamps[index]
    let last = stamp.sequence &+ stamp.payloadLength &- 1
    let flow = flows.of[reference]
    let time = domain.stamps[reference].time
    guard let index = rangeIndex(at: slot) else { return }
    index.forEachCover(of: last, flow: flow, near: time, body)
    if let other = flows.translated[FlowTable.Translation(flow: flow, slot: slot)] {
      index.forEachCover(of: last, flow: other, near: time, body)
    }
  }

  private mutating func rangeIndex(at slot: Int) -> RangeIndex? {
    if let index = indexes[slot] { return index }
    guard let hook = domain.hooks[slot]?.point.hook else { return nil }
    let index = RangeIndex(domain, flows, hook: hook)
    indexes[slot] = index
    return index
  }

  /// Whether `other` covers the last payload byte of `stamp`.
  private func coversEnd(_ other: Stamp, of stamp: Stamp) -> Bool {
    let end = stamp.sequence &+ stamp.payloadLength
    let after = Int32(bitPattern: other.sequence &+ other.payloadLength &- end)
    let before = Int32(bitPattern: end &- 1 &- other.sequence)
    return isData(other) && after >= 0 && before >= 0
  }
}
