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
  mutating func tally(_ part: UInt8, _ change: (inout SegmentResult) -> Void) {
    change(&result)
    if Int(part) < parts.count { change(&parts[Int(part)]) }
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

/// Follows packets from hook point to hook point within one clock domain.
struct Joiner {
  let domain: ClockDomain
  let journeys: Journeys
  let flows: FlowTable
  /// Path of each journey, 255 for none.
  let pathOfJourney: [UInt8]
  /// Place of each journey's group among those of its path; empty without groups.
  let partOfJourney: [UInt8]
  let window: Int64
  let slack: Int64
  /// The same between a tap's point and a hook point.
  let wireSlack: Int64
  let byQueue: Bool
  /// Added to a journey's number to make it unique in the session.
  let firstPacket: UInt32

  var indexes: [RangeIndex?]
  let isSocket: [Bool]
  /// By slot: stamps of UDP packets, and of TCP packets or bytes, that the hook point recorded at all.
  private let udpSeen: [Bool]
  private let tcpSeen: [Bool]

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

  /// The last look for a byte was given up.
  var isCrowded = false

  init(
    _ domain: ClockDomain, _ journeys: Journeys, _ flows: FlowTable, pathOfJourney: [UInt8],
    partOfJourney: [UInt8], options: AnalysisOptions, firstPacket: UInt32
  ) {
    self.domain = domain
    self.journeys = journeys
    self.flows = flows
    self.pathOfJourney = pathOfJourney
    self.partOfJourney = partOfJourney
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
        let isAmbiguous = isAmbiguous(journey, at: plans[path].segments[segment].from, plans[path].all)
        arrive(index, journey, isFirst: isFirst, isAmbiguous: isAmbiguous, &plans[path].segments[segment])
      }
      for segment in plans[path].beginning[slot] {
        if isAmbiguous(journey, at: slot, plans[path].all) {
          plans[path].segments[segment].tally(part(journey)) { $0.ambiguous += 1 }
          follow(index, SegmentPlan.noDelay, part(journey), &plans[path].segments[segment])
          continue
        }
        let slack = slack(of: plans[path].segments[segment])
        let to = plans[path].segments[segment].to
        if journeys.cell(journey, to, notBefore: earliest(after: index, slack), in: domain.stamps) != nil {
          plans[path].segments[segment].tally(part(journey)) { $0.duplicate -= 1 }
        }
        var arrival = arrival(of: index, journey, from: slot, to: to, slack, plans[path].all)
        if arrival == .absent {
          if wasSeen(index, journey, from: slot, behind: to, slack, plans[path].all) {
            arrival = .unseen
          } else if plans[path].segments[segment].result.invalid != nil || isBlind(index, at: to, plans[path].all) {
            arrival = .unknown
          }
        }
        count(arrival, of: index, journey, &plans[path].segments[segment], plans[path].slots)
      }
    }
    for path in plans.indices {
      for segment in plans[path].segments.indices { plans[path].segments[segment].previous = [] }
    }
  }

  /// From the hook point before to the one at `place`.
  func delay(_ stamps: [Int], _ place: Int, _ plan: PathPlanInDomain) -> Int64 {
    domain.delay(from: stamps[place - 1], to: stamps[place], isOneClock: plan.isOneClock[place])
  }

  /// The stamps of a journey that carries every hook point of the path once.
  mutating func completeStamps(of journey: Int, _ plan: PathPlanInDomain, _ stamps: inout [Int]) -> Bool {
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
          case .at(let found) = arrival(of: first, journey, from: slots[0], to: slot, slack, plan.all)
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
        segment.tally(part(journey)) { $0.duplicate += 1 }
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
    if segment.isFromWire, !isSeen(index, at: from) { return }
    if isData(stamp), wasCovered(index, at: from, slack(of: segment)) { return }
    segment.tally(part(journey)) { $0.unmatched += 1 }
  }

  private mutating func count(
    _ arrival: Arrival, of index: Int, _ journey: Int, _ segment: inout SegmentPlan, _ path: [Int]
  ) {
    let stamp = domain.stamps[index]
    var found = SegmentPlan.noDelay
    let part = part(journey)
    defer { follow(index, found, part, &segment) }
    switch arrival {
    case .at(let there):
      let delay = domain.delay(from: index, to: there, isOneClock: segment.isOneClock)
      if delay > window {
        segment.tally(part) { $0.late += 1 }
      } else {
        found = delay
        let packet = firstPacket + UInt32(journey)
        let isNearEnd = domain.hooks[segment.to]?.isCutOff(stamp.time, window) == true
        segment.tally(part) { result in
          result.delays.append(delay)
          result.starts.append(stamp.time)
          result.packets.append(packet)
          if byQueue { result.queues.append(stamp.queue) }
          if isNearEnd { result.countNearEnd += 1 }
        }
        if delay < (segment.isOneClock ? 0 : -segment.result.errorBound) { segment.negative += 1 }
      }
    case .already:
      segment.tally(part) { $0.duplicate += 1 }
    case .unclear:
      segment.tally(part) { $0.ambiguous += 1 }
    case .unseen:
      segment.passedUnseen += 1
      segment.tally(part) { $0.unmatched += 1 }
    case .unknown:
      segment.tally(part) { $0.unmatched += 1 }
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
        segment.tally(part) { $0.cutOff += 1 }
      } else if let cause = domain.drops.cause(
        of: stamp, from: earliest(after: index, slack(of: segment)), to: stamp.time &+ UInt64(window))
      {
        segment.tally(part) {
          $0.lost += 1
          $0.dropped[cause, default: 0] += 1
        }
      } else if isSocket[segment.to], !isRead(index, at: segment.to),
        hasArrived(index, journey, before: segment.to, path)
      {
        segment.tally(part) { $0.notAsked += 1 }
      } else if tellsDrops(segment) {
        // What the kernel did not throw away went another way.
        segment.tally(part) { $0.unmatched += 1 }
      } else if state.isClean, stamp.kind != .udp || !flows.hasSuperPackets(index, at: segment.to) {
        segment.tally(part) { $0.lost += 1 }
      } else {
        segment.tally(part) { $0.unmatched += 1 }
      }
    }
  }

  /// Whether an application read anything of the stamp's flow at a socket's hook point.
  private func isRead(_ index: Int, at slot: Int) -> Bool {
    if isSeen(index, at: slot) { return true }
    guard let hook = domain.hooks[slot]?.point.hook else { return false }
    return domain.hooks.indices.contains { other in
      let translated = flows.translated[FlowTable.Translation(flow: flows.of[index], slot: other)]
      return translated.map { flows.seen[Int($0)] & hook.bit != 0 } ?? false
    }
  }

  /// Whether a packet was seen where a path has its last hook point before a socket's.
  private mutating func hasArrived(_ index: Int, _ journey: Int, before socket: Int, _ path: [Int]) -> Bool {
    let own = Int(domain.slots[Int(domain.stamps[index].hook.rawValue)])
    guard let end = path.firstIndex(of: socket), let last = path[..<end].last(where: { !isSocket[$0] }) else {
      return false
    }
    if last == own || journeys.cell(journey, last) != nil { return true }
    return isData(domain.stamps[index]) && cover(ofEnd: index, journey, from: own, at: last, slack) != nil
  }

  /// Whether a packet that did not come from one end of a segment to the other would have been told if it was thrown away:
  /// both lie in one kernel.
  private func tellsDrops(_ segment: SegmentPlan) -> Bool {
    segment.isOneClock
      && [segment.from, segment.to].allSatisfy { slot in
        domain.hooks[slot].map { $0.tellsDrops && !$0.point.hook.isWire } ?? false
      }
  }

  /// The difference to the delay of the packet of its flow that was at `from` before it, where both have one.
  private func follow(_ index: Int, _ delay: Int64, _ part: UInt8, _ segment: inout SegmentPlan) {
    if segment.previous.isEmpty {
      segment.previous = [Int64](repeating: SegmentPlan.noDelay, count: flows.ids.count)
    }
    let flow = Int(flows.of[index])
    let before = segment.previous[flow]
    segment.previous[flow] = delay
    guard before != SegmentPlan.noDelay, delay != SegmentPlan.noDelay else { return }
    segment.tally(part) { $0.successive.append(delay - before) }
  }

  func part(_ journey: Int) -> UInt8 { partOfJourney.isEmpty ? .max : partOfJourney[journey] }

  /// Whether a packet that `to` did not see was seen at a hook point of the path behind it.
  private mutating func wasSeen(
    _ index: Int, _ journey: Int, from: Int, behind to: Int, _ slack: Int64, _ path: [Int]
  ) -> Bool {
    guard let place = path.firstIndex(of: to), domain.hooks[to]?.point.hook.isOccasional == false else { return false }
    for slot in path[(place + 1)...] {
      if case .at = arrival(of: index, journey, from: from, to: slot, slack, path) { return true }
    }
    return false
  }

  /// Whether several packets may share the key where a segment begins. txg0 has a stamp for some packets only, so there
  /// the device behind it tells.
  private func isAmbiguous(_ journey: Int, at slot: Int, _ path: [Int]) -> Bool {
    if journeys.isRepeated(journey, slot) { return true }
    guard isSocket[slot], let place = path.firstIndex(of: slot),
      let device = path[place...].first(where: { !isSocket[$0] })
    else { return false }
    return journeys.isRepeated(journey, device)
  }

  /// The earliest time at which the packet of a stamp can be at a later hook point.
  func earliest(after index: Int, _ slack: Int64) -> UInt64 {
    let time = domain.stamps[index].time
    return time > UInt64(slack) ? time - UInt64(slack) : 0
  }

  private func slack(of segment: SegmentPlan) -> Int64 {
    segment.isFromWire == segment.isToWire ? slack : wireSlack
  }

  /// Whether any packet of the stamp's flow was seen at a slot.
  func isSeen(_ index: Int, at slot: Int) -> Bool {
    guard let hook = domain.hooks[slot]?.point.hook else { return false }
    return flows.seen[Int(flows.of[index])] & hook.bit != 0
  }

  /// Whether a device's hook point saw nothing of the stamp's flow, which was seen behind it on the path.
  func isBlind(_ index: Int, at slot: Int, _ path: [Int]) -> Bool {
    guard !isSocket[slot], domain.hooks[slot]?.point.hook.isWire == false, !isSeen(index, at: slot),
      let place = path.firstIndex(of: slot)
    else { return false }
    return path[(place + 1)...].contains { isSeen(index, at: $0) }
  }

  func isData(_ stamp: Stamp) -> Bool { stamp.kind == .tcp && stamp.payloadLength > 0 }
}
