// SPDX-License-Identifier: GPL-2.0-or-later
import Recording

/// What tells packets apart when their path is chosen; packets that are alike in it are counted, not kept.
struct Shape: Hashable {
  /// Number of the flow that the packet goes by: that of its first stamp at a device, else at a socket, else at a tap.
  var flow: UInt32
  var isOfTap = false
  /// Its key came more than once at some hook point.
  var isRepeated = false
  /// Devices' hook points in the order of its stamps there.
  var order = SlotOrder()
  /// At a tap's points: its flow, and the number of the device.
  var input: End?
  var output: End?
  /// It was at `wire-out` before `wire-in`.
  var isBack = false
  /// Where there is a tap, by slot: seen there; before `wire-in`; behind `wire-out`.
  var seen: UInt32 = 0
  var beforeInput: UInt32 = 0
  var behindOutput: UInt32 = 0

  struct End: Hashable {
    var flow: UInt32
    var device: UInt16
  }
}

/// Slots in order of time, each with how long after the one before it.
struct SlotOrder: Hashable {
  enum Gap: UInt64 {
    case none = 0
    case short = 1
    /// More than two processors' clocks may differ.
    case certain = 2
  }

  static let certain: UInt64 = 100
  private static let room = 9
  private var low: UInt64 = 0
  private var high: UInt64 = 0
  private(set) var count = 0

  /// Later ones than there is room for are left out.
  mutating func append(_ slot: Int, _ gap: Gap) {
    let code = UInt64(slot) << 2 | gap.rawValue
    if count < SlotOrder.room {
      low |= code << UInt64(7 * count)
    } else if count < 2 * SlotOrder.room {
      high |= code << UInt64(7 * (count - SlotOrder.room))
    } else {
      return
    }
    count += 1
  }

  subscript(place: Int) -> (slot: Int, gap: Gap) {
    let code =
      (place < SlotOrder.room ? low >> UInt64(7 * place) : high >> UInt64(7 * (place - SlotOrder.room))) & 0x7F
    return (Int(code >> 2), Gap(rawValue: code & 3) ?? .none)
  }
}

/// The first pass over a clock domain: what whole flows did, so that the second one can tell packet by packet what to
/// expect of each.
///
/// Packets of a flow beyond the first ``sampleAfter`` at a hook point are looked at one in 64, by key.
struct Survey {
  static let sampleAfter: UInt16 = 16_384

  private(set) var flows = FlowTable()
  /// In the order in which they came first.
  private(set) var shapes: [(shape: Shape, count: Int)] = []
  private var numbers: [Shape: Int] = [:]
  /// Stamps at hook points that take no part.
  private(set) var unused: [HookPoint: Int] = [:]
  /// By slot: stamps of UDP packets, and of TCP packets or bytes, that the hook point recorded at all.
  private(set) var udpSeen: [Bool]
  private(set) var tcpSeen: [Bool]
  /// Slots in the order in which they tell a journey's flow.
  let leading: [Int]
  /// Slots of devices whose order is the packet's way.
  private let devices: [Int]
  let wire: (input: Int?, output: Int?)
  /// Of processors' clocks, for a tap's place; nanoseconds.
  private let slack: UInt64
  private let domain: ClockDomain
  private var flight: Flight
  private var present: [(slot: Int, time: UInt64)] = []

  init(_ domain: ClockDomain, window: UInt64) throws(RecordingError) {
    self.domain = domain
    let hooks = domain.hooks
    func slots(_ isWanted: (HookPoint) -> Bool) -> [Int] {
      hooks.indices.filter { hooks[$0].map { isWanted($0.point.hook) } ?? false }
    }
    leading = slots { !$0.isSocket && !$0.isWire } + slots(\.isSocket) + slots(\.isWire)
    // When a driver lets go of a buffer says nothing of the packet's way.
    devices = slots { !$0.isSocket && !$0.isWire && !$0.isOccasional && $0 != .txh2 }
    wire = (domain.slot(of: .wireIn), domain.slot(of: .wireOut))
    // Processors' clocks err by less than this; in a path's middle a packet is no later.
    slack = UInt64(max(1_000, 2 * domain.error))
    udpSeen = [Bool](repeating: false, count: hooks.count)
    tcpSeen = udpSeen
    flight = Flight(slotCount: hooks.count, window: window, lateness: window)
    let feed = try FeedAhead(domain.recordings)
    var counts: [UInt16] = []
    while let block = try feed.next() {
      for timed in block {
        let stamp = timed.stamp
        let flow = flows.number(of: stamp.flow)
        if stamp.isSuperPacket { flows.seeSuperPacket(flow) }
        guard let slot = domain.slot(of: stamp.hook) else {
          unused[stamp.hook, default: 0] += 1
          continue
        }
        flows.see(flow, at: stamp.hook)
        switch stamp.kind {
        case .udp: udpSeen[slot] = true
        case .tcp: tcpSeen[slot] = true
        case .tcpRange:
          tcpSeen[slot] = true
          continue
        default: break
        }
        let place = Int(flow) * hooks.count + slot
        while counts.count <= place { counts.append(0) }
        if counts[place] < Survey.sampleAfter {
          counts[place] += 1
        } else if (stamp.key &* 0x9E37_79B9_7F4A_7C15) >> 58 != 0 {
          continue
        }
        settle(at: stamp.time)
        let number = flight.add(stamp, own: timed.own, flow: flow, slot: slot)
        flight.change(flight.stamps[number].journey) { $0.waiting -= 1 }
      }
    }
    settle(at: .max)
    numbers = [:]
    flight = Flight(slotCount: 0, window: 0, lateness: 0)
  }

  private mutating func settle(at time: UInt64) {
    while let journey = flight.settled(at: time) {
      note(journey)
      flight.dropStamps(to: flight.journeys[journey].firstStamp)
      flight.retire(isWhole: true)
    }
  }

  private mutating func note(_ journey: Int) {
    guard let shape = shape(of: journey) else { return }
    if domain.isNATProof, !shape.isRepeated {
      flows.follow(
        (0..<flight.slotCount).compactMap { slot in
          flight.known(journey, slot).map { (slot, flight.stamps[$0].flow, flight.stamps[$0].stamp.hook) }
        })
    }
    if let number = numbers[shape] {
      shapes[number].count += 1
    } else {
      numbers[shape] = shapes.count
      shapes.append((shape, 1))
    }
  }

  private mutating func shape(of journey: Int) -> Shape? {
    guard let slot = leading.first(where: { flight.known(journey, $0) != nil }), let lead = flight.known(journey, slot)
    else { return nil }
    var shape = Shape(flow: flight.stamps[lead].flow)
    shape.isOfTap = flight.stamps[lead].stamp.hook.isWire
    shape.isRepeated = flight.journeys[journey].repeated != 0
    present.removeAll(keepingCapacity: true)
    for slot in devices where !flight.isRepeated(journey, slot) {
      if let stamp = flight.known(journey, slot) { present.append((slot, flight.stamps[stamp].stamp.time)) }
    }
    present.sort { $0.time < $1.time }
    for (index, here) in present.enumerated() {
      let gap = index == 0 ? 0 : here.time - present[index - 1].time
      shape.order.append(here.slot, gap == 0 ? .none : gap > SlotOrder.certain ? .certain : .short)
    }
    addWire(&shape, journey)
    return shape
  }

  private func addWire(_ shape: inout Shape, _ journey: Int) {
    func end(_ slot: Int?) -> (stamp: InFlight, end: Shape.End)? {
      slot.flatMap { flight.known(journey, $0) }.map { number in
        let stamp = flight.stamps[number]
        return (stamp, Shape.End(flow: stamp.flow, device: stamp.stamp.cpu))
      }
    }
    let (input, output) = (end(wire.input), end(wire.output))
    guard input != nil || output != nil else { return }
    (shape.input, shape.output) = (input?.end, output?.end)
    if let input, let output { shape.isBack = output.stamp.stamp.time < input.stamp.stamp.time }
    for slot in 0..<flight.slotCount {
      guard let number = flight.known(journey, slot) else { continue }
      let time = flight.stamps[number].stamp.time
      shape.seen |= 1 << UInt32(slot)
      if let input, time &+ slack < input.stamp.stamp.time { shape.beforeInput |= 1 << UInt32(slot) }
      if let output, time > output.stamp.stamp.time &+ slack { shape.behindOutput |= 1 << UInt32(slot) }
    }
  }
}
