// SPDX-License-Identifier: GPL-2.0-or-later
import Recording
import Wording

/// What packets say about the alignment of two clocks: none is at a hook point before it has left the one before.
struct CausalCheck {
  /// A neighbour segment from one machine to another.
  private struct Crossing {
    var from: Int
    var to: Int
    var name: String
    var error: Int64
    /// Packets that arrived before they left, by more than the error.
    var violations = 0
    var least: Int64?
    /// Journeys with a stamp at both ends, and at one of them.
    var whole = 0
    var half = 0

    mutating func add(_ delay: Int64) {
      least = min(least ?? delay, delay)
      if delay < -error { violations += 1 }
    }
  }

  private var crossings: [[Crossing]]
  private let window: Int64

  /// - Parameters:
  ///   - plans: the paths of the domain with their segments.
  ///   - domain: says which of them a packet can only pass in one order.
  ///   - window: the match window, nanoseconds.
  init(_ plans: [PathPlanInDomain], _ domain: ClockDomain, window: Int64) {
    self.window = window
    crossings = plans.map { plan in
      plan.segments.filter { $0.result.isNeighbour && !$0.isOneClock && domain.isCausal($0.from, $0.to) }.map {
        Crossing(
          from: $0.from, to: $0.to, name: "\($0.result.direction) \($0.result.name)", error: $0.result.errorBound)
      }
    }
  }

  /// Looks at every packet seen once at both ends, however early: the join would not take a much too early one for it.
  mutating func check(_ journeys: Journeys, _ domain: ClockDomain, pathOfJourney: [UInt8]) {
    guard crossings.contains(where: { !$0.isEmpty }) else { return }
    for journey in 0..<journeys.count where pathOfJourney[journey] != 255 {
      let path = Int(pathOfJourney[journey])
      for index in crossings[path].indices {
        let (from, to) = (crossings[path][index].from, crossings[path][index].to)
        let (first, last) = (journeys.cell(journey, from), journeys.cell(journey, to))
        guard let start = first, let end = last else {
          if first != nil || last != nil { crossings[path][index].half += 1 }
          continue
        }
        crossings[path][index].whole += 1
        guard !journeys.isRepeated(journey, from), !journeys.isRepeated(journey, to) else { continue }
        crossings[path][index].add(domain.delay(from: start, to: end, isOneClock: false))
      }
    }
    for path in crossings.indices {
      for index in crossings[path].indices where crossings[path][index].half > crossings[path][index].whole {
        let crossing = crossings[path][index]
        let delays = delaysByKey(crossing, journeys, domain) { Int(pathOfJourney[$0]) == path }
        let early = delays.filter { $0 < -max(window, crossing.error) }
        // Lost packets have no second stamp, and of keys that came back by chance as many seem late as early.
        guard early.count >= 10, early.count > delays.count * 9 / 10 else { continue }
        for delay in early { crossings[path][index].add(delay) }
      }
    }
  }

  /// Delays of packets whose key came once at either end in the whole recording, however far apart in time: beyond the match
  /// window two stamps of a packet are in two journeys.
  private func delaysByKey(
    _ crossing: Crossing, _ journeys: Journeys, _ domain: ClockDomain, isOnPath: (Int) -> Bool
  ) -> [Int64] {
    // By key, `none` where it came more than once.
    var starts: [UInt64: UInt32] = [:]
    var ends: [UInt64: UInt32] = [:]
    func note(_ journey: Int, _ slot: Int, _ known: inout [UInt64: UInt32]) {
      guard let stamp = journeys.cell(journey, slot) else { return }
      let key = domain.stamps[stamp].key
      let isOnce = known[key] == nil && !journeys.isRepeated(journey, slot)
      known[key] = isOnce ? UInt32(stamp) : Journeys.none
    }
    for journey in 0..<journeys.count where isOnPath(journey) {
      note(journey, crossing.from, &starts)
      note(journey, crossing.to, &ends)
    }
    return starts.compactMap { key, start in
      guard start != Journeys.none, let end = ends[key], end != Journeys.none else { return nil }
      return domain.delay(from: Int(start), to: Int(end), isOneClock: false)
    }
  }

  /// One line for each segment on which packets arrived before they left.
  var faults: [String] {
    crossings.flatMap { $0 }.filter { $0.violations > 0 }.map { crossing in
      "\(crossing.name): \(crossing.violations) packets arrived before they left, by up to \(Words.duration(-(crossing.least ?? 0))), "
        + "with a clock error of \(Words.duration(crossing.error)): the clocks are not aligned as claimed"
    }
  }

  /// The least delay of any packet from the hook points of one machine to those of another.
  func leastDelay(_ domain: ClockDomain, from: Int, to: Int) -> Int64? {
    crossings.flatMap { $0 }.filter {
      domain.hooks[$0.from]?.errors.keys.contains(from) == true && domain.hooks[$0.from]?.errors.count == 1
        && domain.hooks[$0.to]?.errors.keys.contains(to) == true && domain.hooks[$0.to]?.errors.count == 1
    }.compactMap(\.least).min()
  }
}

extension SessionResult {
  /// What packets say against the alignment, and how far it could be shifted before they would.
  mutating func add(_ causality: CausalCheck, _ domain: ClockDomain) {
    warnings += causality.faults
    clockFaults += causality.faults
    for index in clocks.indices where clocks[index].method != nil {
      let (guest, host) = clocks[index].clocks
      clocks[index].packetsAllow = (
        causality.leastDelay(domain, from: host, to: guest).map { -$0 },
        causality.leastDelay(domain, from: guest, to: host)
      )
    }
  }
}
