// SPDX-License-Identifier: GPL-2.0-or-later
import Recording

/// Flows of a clock domain under small numbers, and where each of them was seen.
struct FlowTable {
  /// Flow id of each number.
  private(set) var ids: [UInt32] = []
  /// Hook points (bits) at which packets of the flow, or its bytes, were seen, by number.
  private(set) var seen: [UInt32] = []
  /// By number: some hook point saw several UDP datagrams of the flow in one packet.
  private var superPackets: [Bool] = []
  /// NAT-proof identity only: the number that a flow has at a slot on the other side of the translation.
  private(set) var translated: [Translation: UInt32] = [:]
  private var numbers = KeyTable()
  private var last: (id: UInt32, number: UInt32)?

  struct Translation: Hashable {
    var flow: UInt32
    var slot: Int
  }

  var count: Int { ids.count }

  /// The number of a flow, a new one where it is not known.
  mutating func number(of id: UInt32) -> UInt32 {
    if let last, last.id == id { return last.number }
    var number = numbers[UInt64(id)]
    if number == KeyTable.none {
      number = ids.count
      numbers[UInt64(id)] = number
      ids.append(id)
      seen.append(0)
      superPackets.append(false)
    }
    last = (id, UInt32(number))
    return UInt32(number)
  }

  /// The number that a flow has at a slot on the other side of an address translation; nil without one.
  func number(of flow: UInt32, translatedAt slot: Int) -> UInt32? {
    translated.isEmpty ? nil : translated[Translation(flow: flow, slot: slot)]
  }

  mutating func see(_ flow: UInt32, at hook: HookPoint) { seen[Int(flow)] |= hook.bit }

  mutating func seeSuperPacket(_ flow: UInt32) { superPackets[Int(flow)] = true }

  /// Whether the datagrams of a UDP flow are split or merged on the way: then one that is absent at `slot` may be there in
  /// parts, or within another packet.
  func hasSuperPackets(_ flow: UInt32, at slot: Int) -> Bool {
    let there = number(of: flow, translatedAt: slot) ?? flow
    return superPackets[Int(flow)] || superPackets[Int(there)]
  }

  /// A packet under address translation has several flow ids: each of them was seen wherever the packet was.
  ///
  /// - Parameter places: the packet's flow and hook point by slot; of one whose key came once at each.
  mutating func follow(_ places: [(slot: Int, flow: UInt32, hook: HookPoint)]) {
    guard let first = places.first, places.contains(where: { $0.flow != first.flow }) else { return }
    let bits = places.reduce(0) { $0 | $1.hook.bit }
    for here in places {
      seen[Int(here.flow)] |= bits
      for there in places where there.flow != here.flow {
        translated[Translation(flow: here.flow, slot: there.slot)] = there.flow
      }
    }
  }
}
