// SPDX-License-Identifier: GPL-2.0-or-later
import Recording

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
  }

  private var crossings: [[Crossing]]

  /// - Parameter plans: the paths of the domain with their segments.
  init(_ plans: [PathPlanInDomain]) {
    crossings = plans.map { plan in
      plan.segments.filter { $0.result.isNeighbour && !$0.isOneClock }.map {
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
        guard let start = journeys.cell(journey, from), let end = journeys.cell(journey, to),
          !journeys.isRepeated(journey, from), !journeys.isRepeated(journey, to)
        else { continue }
        let delay = domain.delay(from: start, to: end, isOneClock: false)
        crossings[path][index].least = min(crossings[path][index].least ?? delay, delay)
        if delay < -crossings[path][index].error { crossings[path][index].violations += 1 }
      }
    }
  }

  /// One line for each segment on which packets arrived before they left.
  var faults: [String] {
    crossings.flatMap { $0 }.filter { $0.violations > 0 }.map { crossing in
      "\(crossing.name): \(crossing.violations) packets arrived before they left, by up to \(-(crossing.least ?? 0)) ns, "
        + "with a clock error of \(crossing.error) ns: the clocks are not aligned as claimed"
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
