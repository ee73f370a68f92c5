// SPDX-License-Identifier: GPL-2.0-or-later
import Recording

/// When, and as what, a packet came to a later hook point.
extension Joiner {
  /// When the packet with stamp `index` at `from` was at `to`: all of it, for TCP data.
  mutating func arrival(of index: Int, _ journey: Int, from: Int, to: Int, _ slack: Int64, _ path: [Int]) -> Arrival {
    let stamp = flight.stamps[index].stamp
    // Of several the first that came after it; one a little earlier may be another place's that the packet passed before.
    let later = flight.isRepeated(journey, to) ? flight.known(journey, to, notBefore: stamp.time) : nil
    if let there = later ?? flight.known(journey, to, notBefore: earliest(after: index, slack)) {
      if !stamp.isData || flight.stamps[there].stamp.coversEnd(of: stamp) { return .at(there) }
    }
    guard stamp.isData else { return .absent }
    guard isSocket[to] else {
      let found = cover(ofEnd: index, journey, from: from, at: to, slack)
      return found.isCrowded ? .unclear : found.stamp.map { .at($0) } ?? .absent
    }
    // At the socket there are only bytes: look for them where and when the packet was seen last before it.
    var reference = index
    var isCrowded = false
    guard let start = path.firstIndex(of: from), let end = path.firstIndex(of: to), start < end else { return .absent }
    for slot in path[(start + 1)..<end].reversed() where !isSocket[slot] {
      if let own = flight.known(journey, slot), flight.stamps[own].stamp.coversEnd(of: stamp) {
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
  private mutating func read(endOf index: Int, from reference: Int, at to: Int) -> Arrival {
    let earliest = earliest(after: reference, slack)
    var first: ByteRanges.Range?
    var isBefore = false
    let isWhole = lastByte(of: index, flowOf: reference, at: to).forEachCover(in: ranges[to]) { range in
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
  mutating func cover(
    ofEnd index: Int, _ journey: Int, from: Int, at to: Int, _ slack: Int64
  ) -> (stamp: Int?, isCrowded: Bool) {
    let earliest = earliest(after: index, slack)
    var first: ByteRanges.Range?
    let isWhole = lastByte(of: index, flowOf: index, at: to).forEachCover(in: ranges[to]) { range in
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
  mutating func wasCovered(_ index: Int, at slot: Int, _ slack: Int64) -> Bool {
    let time = flight.stamps[index].stamp.time
    let window = UInt64(self.window)
    let slack = UInt64(slack)
    var isCovered = false
    let isWhole = lastByte(of: index, flowOf: index, at: slot).forEachCover(in: ranges[slot]) { range in
      if range.time <= time &+ slack, range.time &+ window >= time { isCovered = true }
    }
    return isCovered || !isWhole
  }

  private mutating func wasReadLongAgo(_ index: Int, _ reference: Int, at slot: Int) -> Bool {
    let stamp = flight.stamps[index].stamp
    let (flow, time) = (flight.stamps[reference].flow, flight.stamps[reference].stamp.time)
    let there = survey.flows.number(of: flow, translatedAt: slot) ?? flow
    return ranges[slot].wasForgotten(stamp.sequence &+ stamp.payloadLength &- 1, flow: there, near: time)
  }

  /// Where the last byte of a stamp is looked for at a slot, by a stamp that names the flow and the time.
  private mutating func lastByte(of index: Int, flowOf reference: Int, at slot: Int) -> SoughtByte {
    let stamp = flight.stamps[index].stamp
    let flow = flight.stamps[reference].flow
    return SoughtByte(
      number: stamp.sequence &+ stamp.payloadLength &- 1, flow: flow,
      translated: survey.flows.number(of: flow, translatedAt: slot), time: flight.stamps[reference].stamp.time)
  }
}

/// A byte of a TCP stream that is looked for at a hook point.
private struct SoughtByte {
  var number: UInt32
  var flow: UInt32
  /// The flow behind an address translation.
  var translated: UInt32?
  /// When it was seen elsewhere.
  var time: UInt64

  /// False where more stamps cover the byte than are looked at.
  func forEachCover(in ranges: ByteRanges, _ body: (ByteRanges.Range) -> Void) -> Bool {
    var isWhole = ranges.forEachCover(of: number, flow: flow, near: time, body)
    if let translated { isWhole = ranges.forEachCover(of: number, flow: translated, near: time, body) && isWhole }
    return isWhole
  }
}

extension Stamp {
  var isData: Bool { kind == .tcp && payloadLength > 0 }

  /// Whether it covers the last payload byte of another one.
  func coversEnd(of other: Stamp) -> Bool {
    let end = other.sequence &+ other.payloadLength
    let after = Int32(bitPattern: sequence &+ payloadLength &- end)
    let before = Int32(bitPattern: end &- 1 &- sequence)
    return isData && after >= 0 && before >= 0
  }
}
