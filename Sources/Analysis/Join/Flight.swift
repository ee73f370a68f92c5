// SPDX-License-Identifier: GPL-2.0-or-later
import Recording

/// One stamp on its way through the join.
struct InFlight {
  static let none = InFlight(
    stamp: Stamp(time: 0, key: 0, flow: 0, length: 0, hook: .txg0, kind: .other), own: 0, flow: 0, slot: 0)

  /// Its time is that of the domain's clock.
  var stamp: Stamp
  /// The same on its machine's own clock.
  var own: UInt64
  /// Number of its flow in the ``FlowTable``.
  var flow: UInt32
  var slot: UInt8
  /// How many stamps further the next one of the same journey and slot is; 0 for none.
  var next: UInt32 = 0
  /// Number of its journey in the ``Flight``; ``Flight/none`` for byte ranges.
  var journey = Flight.none
}

/// What is known of a packet besides its stamps.
struct Journey {
  static let unknown = -2

  var key: UInt64 = 0
  /// In order of first stamps, from 0.
  var number = 0
  var firstTime: UInt64 = 0
  var lastTime: UInt64 = 0
  /// Its first stamp.
  var firstStamp = 0
  /// One bit a slot: where it was seen, where more than once, and where before it was set aside.
  var seen: UInt32 = 0
  var repeated: UInt32 = 0
  var before: UInt32 = 0
  var lastSlot = -1
  /// Stamps that were not looked at yet.
  var waiting = 0
  /// Index of its path, ``Flight/none`` for none; ``unknown`` until its first stamp is looked at.
  var path = Journey.unknown
  /// Place of its group among those of the path; ``Flight/none`` for none.
  var part = Flight.none
  /// Something that was counted of it depends on stamps that may yet come.
  var isOpen = false
  /// Sockets have bytes of its kind, not packets.
  var isTCP = false
}

/// The stamps of a clock domain that are at hand, joined by key into journeys; oldest first, and forgotten in this order.
///
/// A journey is a run of stamps of one key in time order. A stamp begins a new journey where the last one of its hook
/// point is more than the match window ago, or where it is of a hook point that lies before one already passed and the
/// last stamp is more than the window ago, or in any case after the lateness that is allowed. So a packet's later stamps
/// may come late, a key that comes back is another packet, and packets with one key that cannot be told apart by time
/// share a journey with repeated stamps, which lasts no longer than the lateness.
struct Flight {
  static let none = -1

  let slotCount: Int
  let window: UInt64
  let lateness: UInt64

  private(set) var stamps = Window(filler: InFlight.none)
  private(set) var journeys = Window(filler: Journey())
  /// First stamp of journey j at slot s: `cells[j * slotCount + s]`, or ``none``.
  private var cells = Window(filler: Flight.none)
  /// Its last stamp there, and when that was.
  private var lasts = Window(filler: Flight.none)
  private var lastTimes = Window(filler: UInt64(0))
  private var current = KeyTable()
  /// Those that were not seen to the end of their paths: the rest may come later than the match window.
  private var stragglers: [UInt64: Journey] = [:]
  private var expiring = Window(filler: (key: UInt64(0), number: 0, expires: UInt64(0)))
  private(set) var journeyCount = 0

  init(slotCount: Int, window: UInt64, lateness: UInt64) {
    self.slotCount = slotCount
    self.window = window
    self.lateness = lateness
  }

  /// Adds a stamp, the latest one so far, and returns its number.
  @discardableResult
  mutating func add(_ stamp: Stamp, own: UInt64, flow: UInt32, slot: Int) -> Int {
    let number = stamps.end
    var entry = InFlight(stamp: stamp, own: own, flow: flow, slot: UInt8(slot))
    if stamp.kind != .tcpRange {
      let journey = journey(of: stamp, slot: slot)
      entry.journey = journey
      let bit = UInt32(1) << UInt32(slot)
      let place = journey * slotCount + slot
      if cells[place] == Flight.none {
        cells[place] = number
      } else {
        journeys[journey].repeated |= bit
        if lasts[place] >= stamps.start { stamps[lasts[place]].next = UInt32(clamping: number - lasts[place]) }
      }
      if journeys[journey].seen == journeys[journey].before { journeys[journey].firstStamp = number }
      lasts[place] = number
      lastTimes[place] = stamp.time
      journeys[journey].seen |= bit
      journeys[journey].lastSlot = max(journeys[journey].lastSlot, slot)
      journeys[journey].lastTime = stamp.time
      journeys[journey].waiting += 1
    }
    stamps.append(entry)
    return number
  }

  private mutating func journey(of stamp: Stamp, slot: Int) -> Int {
    let known = current[stamp.key]
    if known != Flight.none, takes(stamp, slot: slot, known) { return known }
    let number = journeys.end
    var journey = Journey(key: stamp.key, number: journeyCount, firstTime: stamp.time)
    if known == Flight.none, let old = stragglers.removeValue(forKey: stamp.key) {
      if old.seen >> UInt32(slot) & 1 == 0, slot > old.lastSlot, stamp.time - old.lastTime <= lateness {
        journey = old
        journey.before = old.seen
        journey.firstTime = stamp.time
      }
    }
    if journey.before == 0 { journeyCount += 1 }
    journeys.append(journey)
    for _ in 0..<slotCount {
      cells.append(Flight.none)
      lasts.append(Flight.none)
      lastTimes.append(0)
    }
    current[stamp.key] = number
    return number
  }

  private func takes(_ stamp: Stamp, slot: Int, _ number: Int) -> Bool {
    let journey = journeys[number]
    if journey.seen >> UInt32(slot) & 1 != 0 {
      let last = lastTimes[number * slotCount + slot]
      return journey.before >> UInt32(slot) & 1 == 0 && stamp.time - last <= window
        && stamp.time - journey.firstTime <= lateness
    }
    return stamp.time - journey.lastTime <= (slot > journey.lastSlot ? lateness : window)
  }

  // MARK: Asking

  /// The journey's first stamp at the slot, which may be forgotten.
  @inline(__always)
  func cell(_ journey: Int, _ slot: Int) -> Int? {
    let number = cells[journey * slotCount + slot]
    return number == Flight.none ? nil : number
  }

  /// The same where it is at hand.
  @inline(__always)
  func known(_ journey: Int, _ slot: Int) -> Int? {
    let number = cells[journey * slotCount + slot]
    return number < stamps.start ? nil : number
  }

  /// The journey's first stamp at the slot that is not before `time`.
  func known(_ journey: Int, _ slot: Int, notBefore time: UInt64) -> Int? {
    guard var number = known(journey, slot) else { return nil }
    while stamps[number].stamp.time < time {
      if stamps[number].next == 0 { return nil }
      number += Int(stamps[number].next)
    }
    return number
  }

  /// When it was seen at the slot, of one that was seen there once.
  func time(_ journey: Int, _ slot: Int) -> UInt64? {
    cells[journey * slotCount + slot] == Flight.none ? nil : lastTimes[journey * slotCount + slot]
  }

  @inline(__always)
  func isRepeated(_ journey: Int, _ slot: Int) -> Bool { journeys[journey].repeated >> UInt32(slot) & 1 != 0 }

  /// The time from one stamp to another, nanoseconds: by their own clock where it is one, unspoilt by the alignment.
  @inline(__always)
  func delay(from first: Int, to second: Int, isOneClock: Bool) -> Int64 {
    isOneClock
      ? Int64(bitPattern: stamps[second].own &- stamps[first].own)
      : Int64(bitPattern: stamps[second].stamp.time &- stamps[first].stamp.time)
  }

  // MARK: Forgetting

  mutating func change(_ journey: Int, _ body: (inout Journey) -> Void) { body(&journeys[journey]) }

  /// The oldest journey, if all of its stamps were looked at and none can come within the window.
  func settled(at time: UInt64) -> Int? {
    guard !journeys.isEmpty, case let oldest = journeys[journeys.start], oldest.waiting == 0,
      time - oldest.lastTime > window
    else { return nil }
    return journeys.start
  }

  /// Forgets the oldest journey.
  ///
  /// - Parameter isWhole: nothing of it is to come; else later stamps are still taken for its.
  mutating func retire(isWhole: Bool) {
    let journey = journeys[journeys.start]
    if current[journey.key] == journeys.start {
      current[journey.key] = Flight.none
      if !isWhole {
        stragglers[journey.key] = journey
        expiring.append((journey.key, journey.number, journey.lastTime &+ lateness))
      }
    }
    journeys.drop(to: journeys.start + 1)
    let place = journeys.start * slotCount
    cells.drop(to: place)
    lasts.drop(to: place)
    lastTimes.drop(to: place)
  }

  /// Forgets a straggler for which it is too late, and returns its number; nil where there is none.
  mutating func expired(at time: UInt64) -> Int? {
    guard !expiring.isEmpty, expiring[expiring.start].expires < time else { return nil }
    let (key, number, _) = expiring[expiring.start]
    expiring.drop(to: expiring.start + 1)
    if stragglers[key]?.number == number { stragglers[key] = nil }
    return number
  }

  mutating func dropStamps(to number: Int) { stamps.drop(to: number) }
}
