// SPDX-License-Identifier: GPL-2.0-or-later
import Recording

/// When, and as what, a packet came to a later hook point.
extension Joiner {
  /// When the packet with stamp `index` at `from` was at `to`: all of it, for TCP data.
  mutating func arrival(
    of index: Int, _ journey: Int, from: Int, to: Int, _ slack: Int64, _ path: [Int]
  ) -> Arrival {
    isCrowded = false
    let found = find(index, journey, from: from, to: to, slack, path)
    return isCrowded ? .unclear : found
  }

  private mutating func find(
    _ index: Int, _ journey: Int, from: Int, to: Int, _ slack: Int64, _ path: [Int]
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
    guard let start = path.firstIndex(of: from), let end = path.firstIndex(of: to), start < end else { return .absent }
    for slot in path[(start + 1)..<end].reversed() where !isSocket[slot] {
      if let own = journeys.cell(journey, slot), coversEnd(domain.stamps[own], of: stamp) {
        reference = own
        break
      }
      if let found = cover(ofEnd: index, journey, from: from, at: slot, slack) {
        reference = found
        break
      }
      // One that never saw the flow says nothing of this packet.
      if domain.hooks[slot]?.isClean == true, isSeen(index, at: slot) { return .absent }
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
  mutating func cover(ofEnd index: Int, _ journey: Int, from: Int, at to: Int, _ slack: Int64) -> Int? {
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
  mutating func wasCovered(_ index: Int, at slot: Int, _ slack: Int64) -> Bool {
    let time = domain.stamps[index].time
    let window = UInt64(self.window)
    let slack = UInt64(slack)
    var isCovered = false
    isCrowded = false
    forEachCover(ofEnd: index, flowOf: index, at: slot) { range in
      if range.time <= time &+ slack, range.time &+ window >= time { isCovered = true }
    }
    return isCovered || isCrowded
  }

  private mutating func forEachCover(
    ofEnd index: Int, flowOf reference: Int, at slot: Int, _ body: (RangeIndex.Range) -> Void
  ) {
    let stamp = domain.stamps[index]
    let last = stamp.sequence &+ stamp.payloadLength &- 1
    let flow = flows.of[reference]
    let time = domain.stamps[reference].time
    guard let index = rangeIndex(at: slot) else { return }
    if !index.forEachCover(of: last, flow: flow, near: time, body) { isCrowded = true }
    if let other = flows.translated[FlowTable.Translation(flow: flow, slot: slot)] {
      if !index.forEachCover(of: last, flow: other, near: time, body) { isCrowded = true }
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
  func coversEnd(_ other: Stamp, of stamp: Stamp) -> Bool {
    let end = stamp.sequence &+ stamp.payloadLength
    let after = Int32(bitPattern: other.sequence &+ other.payloadLength &- end)
    let before = Int32(bitPattern: end &- 1 &- other.sequence)
    return isData(other) && after >= 0 && before >= 0
  }
}
