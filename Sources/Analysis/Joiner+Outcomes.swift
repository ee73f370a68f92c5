// SPDX-License-Identifier: GPL-2.0-or-later
import Recording

/// What was said of a packet that did not come within the match window, and is taken back if it comes later.
struct OpenOutcome {
  enum Kind: Equatable {
    case lost(String?)
    case unmatched
    /// A copy that was not for the machine which threw it away.
    case discarded(String)
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

/// What is said of packets that are not there, and what of it is taken back.
extension Joiner {
  /// What to say of a packet that is not there.
  mutating func outcome(of index: Int, _ journey: Int, _ path: Int, _ segment: Int) -> OpenOutcome.Kind {
    let ends = plans[path].segments[segment].ends
    let (stamp, flow) = (flight.stamps[index].stamp, flight.stamps[index].flow)
    guard let state = domain.hooks[ends.to], !state.point.hook.isOccasional else { return .nothing }
    if ends.isToWire, !isSeen(index, at: ends.to) { return .nothing }
    if isSocket[ends.to] {
      guard stamp.kind == .udp || stamp.isData else { return .nothing }
      let isSeen = stamp.kind == .udp ? survey.udpSeen[ends.to] : survey.tcpSeen[ends.to]
      if state.isPartial, !isSeen { return .notAskedProtocol }
    }
    if state.isCutOff(stamp.time, window) { return .cutOff }
    if let cause = domain.drops.cause(
      of: stamp, from: earliest(after: index, slack(of: ends)), to: stamp.time &+ UInt64(window))
    {
      // Who wants no copy of what is for many throws it away as it would something lost.
      let isCopy = cause.isForAnother || (isSocket[ends.to] && isToMany[Int(flow)])
      return isCopy ? .discarded(cause.name) : .lost(cause.name)
    }
    if isSocket[ends.to], !isRead(index, at: ends.to), hasArrived(index, journey, before: ends.to, plans[path].slots) {
      return .notAsked
    }
    // What is for this machine itself, or leaves by a device without a tap, has its end elsewhere.
    if state.point.hook.isWire, domain.hooks[ends.from]?.point.hook.isWire == true, isStranger[Int(flow)] {
      return .unmatched
    }
    // What the kernel did not throw away went another way.
    if tellsDrops(ends) { return .unmatched }
    let isCertain = state.isClean && (stamp.kind != .udp || !survey.flows.hasSuperPackets(flow, at: ends.to))
    return isCertain ? .lost(nil) : .unmatched
  }

  /// Counts what became of a packet that did not come, and notes it for the case that it comes later.
  mutating func say(
    _ kind: OpenOutcome.Kind, of index: Int, _ journey: Int, _ path: Int, _ segment: Int
  ) {
    change(kind, by: 1, flight.journeys[journey].part, path, segment)
    let ends = plans[path].segments[segment].ends
    let outcome = OpenOutcome(
      segment: segment, kind: kind, stamp: flight.stamps[index].stamp,
      deviceBehind: deviceBehind(ends.from, plans[path].all) ?? Flight.none)
    if isSocket[ends.to], outcome.stamp.isData {
      // Bytes at a socket have no key: whoever reads them later is found by them.
      let part = flight.journeys[journey].part
      let flow = flight.stamps[index].flow
      let there = survey.flows.number(of: flow, translatedAt: ends.to) ?? flow
      let last = outcome.stamp.sequence &+ outcome.stamp.payloadLength &- 1
      unread[Socket(slot: ends.to, flow: there), default: UnreadData()]
        .add(Unread(path: path, part: part, outcome: outcome), lastByte: last)
      return
    }
    open[flight.journeys[journey].number, default: []].append(outcome)
    flight.change(journey) { $0.isOpen = true }
  }

  private mutating func change(_ kind: OpenOutcome.Kind, by number: Int, _ part: Int, _ path: Int, _ segment: Int) {
    switch kind {
    case .lost(let cause):
      tally(path, segment, part: part) {
        $0.lost += number
        guard let cause else { return }
        $0.dropped[cause, default: 0] += number
        if $0.dropped[cause] == 0 { $0.dropped[cause] = nil }
      }
    case .unmatched: tally(path, segment, part: part) { $0.unmatched += number }
    case .discarded(let cause):
      tally(path, segment, part: part) {
        $0.unmatched += number
        $0.discarded[cause, default: 0] += number
        if $0.discarded[cause] == 0 { $0.discarded[cause] = nil }
      }
    case .passedUnseen:
      plans[path].segments[segment].passedUnseen += number
      tally(path, segment, part: part) { $0.unmatched += number }
    case .cutOff: tally(path, segment, part: part) { $0.cutOff += number }
    case .notAsked: tally(path, segment, part: part) { $0.notAsked += number }
    case .notAskedProtocol: plans[path].segments[segment].notAsked += number
    case .late: tally(path, segment, part: part) { $0.late += number }
    case .nothing: break
    }
  }

  /// Takes back what was said of a packet before this stamp of it came.
  mutating func reconsider(_ index: Int, _ journey: Int, _ path: Int) {
    let (number, part) = (flight.journeys[journey].number, flight.journeys[journey].part)
    guard var outcomes = open.removeValue(forKey: number) else { return }
    let stamp = flight.stamps[index].stamp
    let slot = Int(flight.stamps[index].slot)
    outcomes.removeAll { outcome in
      let ends = plans[path].segments[outcome.segment].ends
      let isThere = ends.to == slot && (!outcome.stamp.isData || stamp.coversEnd(of: outcome.stamp))
      if outcome.deviceBehind == slot, flight.isRepeated(journey, slot) {
        change(outcome.kind, by: -1, part, path, outcome.segment)
        tally(path, outcome.segment, journey) { $0.ambiguous += 1 }
        return true
      }
      return isThere && outcome.kind == .late
    }
    for place in outcomes.indices {
      let (segment, old) = (outcomes[place].segment, outcomes[place].kind)
      let ends = plans[path].segments[segment].ends
      guard old != .late, stamp.time >= outcomes[place].stamp.time else { continue }
      let isThere = !outcomes[place].stamp.isData || stamp.coversEnd(of: outcomes[place].stamp)
      if ends.to == slot, isThere {
        outcomes[place].kind = .late
        tally(path, segment, journey) { $0.duplicate -= 1 }
      } else if isBehind(slot, ends.to, path), isThere, old != .passedUnseen {
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
  mutating func reconsiderUnread(_ flow: UInt32, _ slot: Int, _ range: Stamp) {
    guard !unread.isEmpty, case let socket = Socket(slot: slot, flow: flow),
      let read = unread[socket]?.read(from: range.sequence, length: range.length), !read.isEmpty
    else { return }
    for data in read {
      change(data.outcome.kind, by: -1, data.part, data.path, data.outcome.segment)
      change(.late, by: 1, data.part, data.path, data.outcome.segment)
    }
    if unread[socket]?.isEmpty == true { unread[socket] = nil }
  }

  private mutating func isBehind(_ slot: Int, _ other: Int, _ path: Int) -> Bool {
    let all = plans[path].all
    guard let place = all.firstIndex(of: other), domain.hooks[other]?.point.hook.isOccasional == false else {
      return false
    }
    return all[(place + 1)...].contains(slot)
  }
}
