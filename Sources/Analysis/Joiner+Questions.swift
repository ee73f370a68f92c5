// SPDX-License-Identifier: GPL-2.0-or-later
import Recording

/// What is known of a packet and its flow at a hook point.
extension Joiner {
  /// Whether an application read anything of the stamp's flow at a socket's hook point.
  mutating func isRead(_ index: Int, at slot: Int) -> Bool {
    if isSeen(index, at: slot) { return true }
    guard let hook = domain.hooks[slot]?.point.hook else { return false }
    let flows = survey.flows
    return domain.hooks.indices.contains { other in
      let translated = flows.number(of: flight.stamps[index].flow, translatedAt: other)
      return translated.map { flows.seen[Int($0)] & hook.bit != 0 } ?? false
    }
  }

  /// Whether a packet was seen where a path has its last hook point before a socket's.
  mutating func hasArrived(_ index: Int, _ journey: Int, before socket: Int, _ path: [Int]) -> Bool {
    let own = Int(flight.stamps[index].slot)
    guard let end = path.firstIndex(of: socket), let last = path[..<end].last(where: { !isSocket[$0] }) else {
      return false
    }
    if last == own || flight.cell(journey, last) != nil { return true }
    return flight.stamps[index].stamp.isData && cover(ofEnd: index, journey, from: own, at: last, slack).stamp != nil
  }

  /// Whether a packet that did not come from one end of a segment to the other would have been told if it was thrown away:
  /// both lie in one kernel.
  mutating func tellsDrops(_ segment: SegmentEnds) -> Bool {
    segment.isOneClock
      && [segment.from, segment.to].allSatisfy { slot in
        domain.hooks[slot].map { $0.tellsDrops && !$0.point.hook.isWire } ?? false
      }
  }

  /// Whether a packet that `to` did not see was seen at a hook point of the path behind it.
  mutating func wasSeen(_ index: Int, _ journey: Int, from: Int, behind to: Int, _ slack: Int64, _ path: [Int]) -> Bool
  {
    guard let place = path.firstIndex(of: to), domain.hooks[to]?.point.hook.isOccasional == false else { return false }
    for slot in path[(place + 1)...] {
      if case .at = arrival(of: index, journey, from: from, to: slot, slack, path) { return true }
    }
    return false
  }

  /// Whether several packets may share the key where a segment begins. txg0 has a stamp for some packets only, so there
  /// the device behind it tells.
  mutating func isAmbiguous(_ journey: Int, at slot: Int, _ path: Int) -> Bool {
    if flight.journeys[journey].repeated == 0 { return false }
    if flight.isRepeated(journey, slot) { return true }
    return deviceBehind(slot, plans[path].all).map { flight.isRepeated(journey, $0) } ?? false
  }

  /// The device behind a socket on a path; nil of a slot that is none's.
  mutating func deviceBehind(_ slot: Int, _ path: [Int]) -> Int? {
    guard isSocket[slot], let place = path.firstIndex(of: slot) else { return nil }
    return path[place...].first { !isSocket[$0] }
  }

  /// The earliest time at which the packet of a stamp can be at a later hook point.
  mutating func earliest(after index: Int, _ slack: Int64) -> UInt64 {
    let time = flight.stamps[index].stamp.time
    return time > UInt64(slack) ? time - UInt64(slack) : 0
  }

  mutating func slack(of segment: SegmentEnds) -> Int64 {
    segment.isFromWire == segment.isToWire ? slack : wireSlack
  }

  /// Whether any packet of the stamp's flow was seen at a slot.
  mutating func isSeen(_ index: Int, at slot: Int) -> Bool {
    guard let hook = domain.hooks[slot]?.point.hook else { return false }
    return survey.flows.seen[Int(flight.stamps[index].flow)] & hook.bit != 0
  }

  /// Whether a device's hook point saw nothing of the stamp's flow, which was seen behind it on the path.
  mutating func isBlind(_ index: Int, at slot: Int, _ path: [Int]) -> Bool {
    guard !isSocket[slot], domain.hooks[slot]?.point.hook.isWire == false, !isSeen(index, at: slot),
      let place = path.firstIndex(of: slot)
    else { return false }
    return path[(place + 1)...].contains { isSeen(index, at: $0) }
  }
}
