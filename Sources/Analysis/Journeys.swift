// SPDX-License-Identifier: GPL-2.0-or-later
import Recording

/// The stamps of a clock domain, joined by key into journeys.
///
/// A journey is a run of stamps of one key in time order. A stamp begins a new journey where the last one of its hook
/// point is more than the match window ago, or where it is of a hook point that lies before one already passed and the
/// last stamp is more than the window ago, or in any case after the lateness that is allowed. So a packet's later stamps
/// may come late, a key that comes back is another packet, and packets with one key that cannot be told apart by time share a journey with repeated stamps.
///
/// Trade: tables instead of objects, 8 bytes a stamp and 4 bytes a journey and hook point.
struct Journeys {
  static let none = UInt32.max

  private(set) var count = 0
  /// Journey of each stamp, numbered in order of their first stamps; `none` for byte ranges and unused hook points.
  private(set) var of: [UInt32]
  /// First stamp of journey j at slot s: `cells[j * slotCount + s]`, or `none`.
  private(set) var cells: [UInt32] = []
  /// The next stamp of the same journey and slot, by stamp, or `none`.
  private(set) var nextCopy: [UInt32] = []
  /// One bit a slot: the journey has more than one stamp there.
  private(set) var repeated: [UInt32] = []
  let slotCount: Int

  /// - Complexity: O(n log n) in the number of stamps with one key, else linear.
  init(_ domain: ClockDomain, window: UInt64, lateness: UInt64) {
    slotCount = domain.hooks.count
    of = [UInt32](repeating: Journeys.none, count: domain.stamps.count)
    let provisional = assign(domain, window: window, lateness: lateness)
    number(domain, provisional: provisional)
  }

  func cell(_ journey: Int, _ slot: Int) -> Int? {
    let stamp = cells[journey * slotCount + slot]
    return stamp == Journeys.none ? nil : Int(stamp)
  }

  /// The journey's first stamp at the slot that is not before `time`.
  func cell(_ journey: Int, _ slot: Int, notBefore time: UInt64, in stamps: [Stamp]) -> Int? {
    var stamp = cells[journey * slotCount + slot]
    while stamp != Journeys.none, stamps[Int(stamp)].time < time { stamp = nextCopy[Int(stamp)] }
    return stamp == Journeys.none ? nil : Int(stamp)
  }

  func isRepeated(_ journey: Int, _ slot: Int) -> Bool { repeated[journey] & (1 << UInt32(slot)) != 0 }

  private struct Entry {
    var key: UInt64
    var time: UInt64
    var stamp: UInt32
    var slot: UInt8
  }

  /// Gives each stamp a journey number in order of keys; returns how many there are.
  private mutating func assign(_ domain: ClockDomain, window: UInt64, lateness: UInt64) -> Int {
    let stamps = domain.stamps
    // Keys are spread over buckets of about a thousand stamps, which sort in the processor's cache.
    var bits = 1
    while bits < 14, stamps.count >> bits > 1_024 { bits += 1 }
    func bucket(_ stamp: Stamp) -> Int { Int((stamp.key &* 0x9E37_79B9_7F4A_7C15) >> UInt64(64 - bits)) }
    func takesPart(_ stamp: Stamp) -> Bool {
      stamp.kind != .tcpRange && domain.slots[Int(stamp.hook.rawValue)] != 255
    }
    var starts = [Int](repeating: 0, count: (1 << bits) + 1)
    for stamp in stamps where takesPart(stamp) { starts[bucket(stamp) + 1] += 1 }
    for index in 1..<starts.count { starts[index] += starts[index - 1] }
    var order = [UInt32](repeating: 0, count: starts[1 << bits])
    var next = starts
    for index in stamps.indices where takesPart(stamps[index]) {
      let bucket = bucket(stamps[index])
      order[next[bucket]] = UInt32(index)
      next[bucket] += 1
    }
    var entries: [Entry] = []
    var cluster = Cluster()
    for bucket in 0..<(1 << bits) {
      entries.removeAll(keepingCapacity: true)
      for place in starts[bucket]..<starts[bucket + 1] {
        let stamp = stamps[Int(order[place])]
        entries.append(
          Entry(key: stamp.key, time: stamp.time, stamp: order[place], slot: domain.slots[Int(stamp.hook.rawValue)]))
      }
      // Numbers of stamps run with time.
      entries.sort { $0.key == $1.key ? $0.stamp < $1.stamp : $0.key < $1.key }
      var key: UInt64?
      for entry in entries {
        if entry.key != key
          || !cluster.takes(slot: Int(entry.slot), time: entry.time, window: window, lateness: lateness)
        {
          cluster.begin()
          key = entry.key
        }
        cluster.add(slot: Int(entry.slot), time: entry.time)
        of[Int(entry.stamp)] = UInt32(cluster.number)
      }
    }
    return cluster.number + 1
  }

  /// The journey that grows at the moment.
  private struct Cluster {
    var number = -1
    var seen: UInt32 = 0
    var lastSlot = -1
    var lastTime: UInt64 = 0
    var lastAt = [UInt64](repeating: 0, count: 32)

    mutating func begin() {
      number += 1
      seen = 0
      lastSlot = -1
    }

    func takes(slot: Int, time: UInt64, window: UInt64, lateness: UInt64) -> Bool {
      if seen & (1 << UInt32(slot)) != 0 { return time - lastAt[slot] <= window }
      return time - lastTime <= (slot > lastSlot ? lateness : window)
    }

    mutating func add(slot: Int, time: UInt64) {
      seen |= 1 << UInt32(slot)
      lastSlot = max(lastSlot, slot)
      lastTime = time
      lastAt[slot] = time
    }
  }

  /// Renumbers the journeys by their first stamps and fills the tables.
  private mutating func number(_ domain: ClockDomain, provisional: Int) {
    var final = [UInt32](repeating: Journeys.none, count: provisional)
    cells = [UInt32](repeating: Journeys.none, count: provisional * slotCount)
    repeated = [UInt32](repeating: 0, count: provisional)
    for index in of.indices where of[index] != Journeys.none {
      let old = Int(of[index])
      if final[old] == Journeys.none {
        final[old] = UInt32(count)
        count += 1
      }
      of[index] = final[old]
    }
    // Backwards, so that each cell ends with the first stamp and the copies hang on it in time order.
    nextCopy = [UInt32](repeating: Journeys.none, count: of.count)
    for index in of.indices.reversed() where of[index] != Journeys.none {
      let journey = Int(of[index])
      let slot = Int(domain.slots[Int(domain.stamps[index].hook.rawValue)])
      let place = journey * slotCount + slot
      if cells[place] != Journeys.none {
        nextCopy[index] = cells[place]
        repeated[journey] |= 1 << UInt32(slot)
      }
      cells[place] = UInt32(index)
    }
  }
}
