// SPDX-License-Identifier: GPL-2.0-or-later
import Recording

/// When, and as what, a packet came to a later hook point.
extension Joiner {
  /// When the packet with stamp `index` at `from` was at `to`: all of it, for TCP data.
  func arrival(of index: Int, _ journey: Int, from: Int, to: Int, _ slack: Int64, _ path: [Int]) -> Arrival {
    let stamp = flight.stamps[index].stamp
    // Of several the first that came after it; one a little earlier may be another place's that the packet passed before.
    let later = flight.isRepeated(journey, to) ? flight.known(journey, to, notBefore: stamp.time) : nil
    if let there = later ?? flight.known(journey, to, notBefore: earliest(after: index, slack)) {
      if !isData(stamp) || coversEnd(flight.stamps[there].stamp, of: stamp) { return .at(there) }
    }
    guard isData(stamp) else { return .absent }
    guard isSocket[to] else {
      let found = cover(ofEnd: index, journey, from: from, at: to, slack)
      return found.isCrowded ? .unclear : found.stamp.map { .at($0) } ?? .absent
    }
    // At the socket there are only bytes: look for them where and when the packet was seen last before it.
    var reference = index
    var isCrowded = false
    guard let start = path.firstIndex(of: from), let end = path.firstIndex(of: to), start < end else { return .absent }
    for slot in path[(start + 1)..<end].reversed() where !isSocket[slot] {
      if let own = flight.known(journey, slot), coversEnd(flight.stamps[own].stamp, of: stamp) {
        reference = own
        break
      }
      let found = cover(ofEnd: index, journey, from: from, at: slot, slack)
      isCrowded = isCrowded || found.isCrowded
      if let stamp = found.stamp {
        reference = stamp
        break
      }
      // One that never saw the flow says nothing of this packet.
      if domain.hooks[slot]?.isClean == true, isSeen(index, at: slot) { return isCrowded ? .unclear : .absent }
    }
    return isCrowded ? .unclear : read(endOf: index, from: reference, at: to)
  }

  /// The first byte range at socket `to` with the packet's last byte, not before the packet was at `reference`.
  private func read(endOf index: Int, from reference: Int, at to: Int) -> Arrival {
    let earliest = earliest(after: reference, slack)
    var first: ByteRanges.Range?
    var isBefore = false
    let isWhole = forEachCover(ofEnd: index, flowOf: reference, at: to) { range in
      if range.time < earliest {
        isBefore = true
      } else if range.time < first?.time ?? UInt64.max {
        first = range
      }
    }
    guard isWhole else { return .unclear }
    if let first { return .at(first.stamp) }
    return isBefore || wasReadLongAgo(index, reference, at: to) ? .already : .absent
  }

  /// The first stamp at `to` with the packet's last byte, not before the packet; and whether so many have it that not all
  /// were looked at.
  ///
  /// Left out is a stamp that belongs to another packet of just these bytes: a copy sent again stands for itself.
  func cover(
    ofEnd index: Int, _ journey: Int, from: Int, at to: Int, _ slack: Int64
  ) -> (stamp: Int?, isCrowded: Bool) {
    let earliest = earliest(after: index, slack)
    var first: ByteRanges.Range?
    let isWhole = forEachCover(ofEnd: index, flowOf: index, at: to) { range in
      guard range.time >= earliest, range.time < first?.time ?? UInt64.max, range.stamp >= flight.stamps.start else {
        return
      }
      let here = flight.stamps[range.stamp]
      if here.journey != journey, here.journey >= flight.journeys.start, let origin = flight.known(here.journey, from) {
        let sent = flight.stamps[origin].stamp
        if sent.sequence == here.stamp.sequence, sent.payloadLength == here.stamp.payloadLength { return }
      }
      first = range
    }
    return (first?.stamp, !isWhole)
  }

  /// Whether the last byte of the stamp passed `slot` within the match window before it, in whatever packet.
  func wasCovered(_ index: Int, at slot: Int, _ slack: Int64) -> Bool {
    let time = flight.stamps[index].stamp.time
    let window = UInt64(self.window)
    let slack = UInt64(slack)
    var isCovered = false
    let isWhole = forEachCover(ofEnd: index, flowOf: index, at: slot) { range in
      if range.time <= time &+ slack, range.time &+ window >= time { isCovered = true }
    }
    return isCovered || !isWhole
  }

  private func wasReadLongAgo(_ index: Int, _ reference: Int, at slot: Int) -> Bool {
    let stamp = flight.stamps[index].stamp
    let (flow, time) = (flight.stamps[reference].flow, flight.stamps[reference].stamp.time)
    let there = survey.flows.translated[FlowTable.Translation(flow: flow, slot: slot)] ?? flow
    return ranges[slot].wasForgotten(stamp.sequence &+ stamp.payloadLength &- 1, flow: there, near: time)
  }

  /// False where more stamps cover the byte than are looked at.
  private func forEachCover(
    ofEnd index: Int, flowOf reference: Int, at slot: Int, _ body: (ByteRanges.Range) -> Void
  ) -> Bool {
    let stamp = flight.stamps[index].stamp
    let last = stamp.sequence &+ stamp.payloadLength &- 1
    let flow = flight.stamps[reference].flow
    let time = flight.stamps[reference].stamp.time
    var isWhole = ranges[slot].forEachCover(of: last, flow: flow, near: time, body)
    if let other = survey.flows.translated[FlowTable.Translation(flow: flow, slot: slot)] {
      isWhole = ranges[slot].forEachCover(of: last, flow: other, near: time, body) && isWhole
    }
    return isWhole
  }

  /// Whether `other` covers the last payload byte of `stamp`.
  func coversEnd(_ other: Stamp, of stamp: Stamp) -> Bool {
    let end = stamp.sequence &+ stamp.payloadLength
    let after = Int32(bitPattern: other.sequence &+ other.payloadLength &- end)
    let before = Int32(bitPattern: end &- 1 &- other.sequence)
    return isData(other) && after >= 0 && before >= 0
  }
}
