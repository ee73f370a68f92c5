// SPDX-License-Identifier: GPL-2.0-or-later
import Recording

/// Flows of a clock domain under small numbers, and where each of them was seen.
struct FlowTable {
  /// Number of each stamp's flow.
  private(set) var of: [UInt32] = []
  /// Flow id of each number.
  private(set) var ids: [UInt32] = []
  /// Hook points (bits) at which packets of the flow, or its bytes, were seen, by number.
  private(set) var seen: [UInt32] = []
  /// By number: some hook point saw several UDP datagrams of the flow in one packet.
  private var hasSuperPackets: [Bool] = []
  /// NAT-proof identity only: the number that a flow has at a slot on the other side of the translation.
  private(set) var translated: [Translation: UInt32] = [:]

  struct Translation: Hashable {
    var flow: UInt32
    var slot: Int
  }

  init(_ domain: ClockDomain, _ journeys: Journeys) {
    var numbers: [UInt32: UInt32] = [:]
    var last: (id: UInt32, number: UInt32)?
    of.reserveCapacity(domain.stamps.count)
    for stamp in domain.stamps {
      var number: UInt32
      if let last, last.id == stamp.flow {
        number = last.number
      } else if let known = numbers[stamp.flow] {
        number = known
      } else {
        number = UInt32(ids.count)
        numbers[stamp.flow] = number
        ids.append(stamp.flow)
        seen.append(0)
        hasSuperPackets.append(false)
      }
      last = (stamp.flow, number)
      of.append(number)
      if stamp.isSuperPacket { hasSuperPackets[Int(number)] = true }
      if domain.slots[Int(stamp.hook.rawValue)] != 255 { seen[Int(number)] |= stamp.hook.bit }
    }
    if domain.isNATProof { followTranslation(domain, journeys) }
  }

  /// Whether the datagrams of a UDP stamp's flow are split or merged on the way: then one that is absent at `slot` may be
  /// there in parts, or within another packet.
  func hasSuperPackets(_ stamp: Int, at slot: Int) -> Bool {
    let flow = of[stamp]
    let there = translated[Translation(flow: flow, slot: slot)] ?? flow
    return hasSuperPackets[Int(flow)] || hasSuperPackets[Int(there)]
  }

  /// A packet under address translation has several flow ids: each of them was seen wherever the packet was.
  /// Journeys with repeated keys may mix packets and show nothing.
  private mutating func followTranslation(_ domain: ClockDomain, _ journeys: Journeys) {
    for journey in 0..<journeys.count where journeys.repeated[journey] == 0 {
      var bits: UInt32 = 0
      var first: UInt32?
      var isTranslated = false
      for slot in 0..<journeys.slotCount {
        guard let stamp = journeys.cell(journey, slot) else { continue }
        bits |= domain.stamps[stamp].hook.bit
        if let first, first != of[stamp] { isTranslated = true }
        first = first ?? of[stamp]
      }
      guard isTranslated else { continue }
      for slot in 0..<journeys.slotCount {
        guard let stamp = journeys.cell(journey, slot) else { continue }
        seen[Int(of[stamp])] |= bits
        for other in 0..<journeys.slotCount {
          guard let there = journeys.cell(journey, other), of[there] != of[stamp] else { continue }
          translated[Translation(flow: of[stamp], slot: other)] = of[there]
        }
      }
    }
  }
}
