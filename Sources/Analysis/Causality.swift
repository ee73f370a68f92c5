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
      plan.segments.filter {
        $0.result.isNeighbour && !$0.ends.isOneClock && domain.isCausal($0.ends.from, $0.ends.to)
      }.map {
        Crossing(
          from: $0.ends.from, to: $0.ends.to, name: "\($0.result.direction) \($0.result.name)",
          error: $0.result.errorBound)
      }
    }
  }

  /// Looks at a packet seen once at both ends, however early: the join would not take a much too early one for it.
  mutating func note(_ journey: Int, _ flight: borrowing Flight, path: Int) {
    for index in crossings[path].indices {
      let (from, to) = (crossings[path][index].from, crossings[path][index].to)
      let (first, last) = (flight.time(journey, from), flight.time(journey, to))
      guard let start = first, let end = last else {
        if first != nil || last != nil { crossings[path][index].half += 1 }
        continue
      }
      crossings[path][index].whole += 1
      guard !flight.isRepeated(journey, from), !flight.isRepeated(journey, to) else { continue }
      crossings[path][index].add(Int64(bitPattern: end &- start))
    }
  }

  /// Where more journeys have one end of a segment than both, compares packets however far apart in time.
  mutating func finish(_ domain: ClockDomain, _ survey: Survey, _ choice: PathChoice) throws(RecordingError) {
    for path in crossings.indices {
      for index in crossings[path].indices where crossings[path][index].half > crossings[path][index].whole {
        let crossing = crossings[path][index]
        let delays = try delaysByKey(crossing, domain, survey, choice, path: path)
        let early = delays.filter { $0 < -max(window, crossing.error) }
        // Lost packets have no second stamp, and of keys that came back by chance as many seem late as early.
        guard early.count >= 10, early.count > delays.count * 9 / 10 else { continue }
        for delay in early { crossings[path][index].add(delay) }
      }
    }
  }

  /// Keys that are held of a segment; of more, those that a narrower hash takes.
  private static let mostKeys = 1 << 18

  /// Delays of packets whose key came once at either end in the whole recording, however far apart in time: beyond the match
  /// window two stamps of a packet are in two journeys. A pass of its own over the stamps, of up to ``mostKeys`` keys.
  private func delaysByKey(
    _ crossing: Crossing, _ domain: ClockDomain, _ survey: Survey, _ choice: PathChoice, path: Int
  ) throws(RecordingError) -> [Int64] {
    /// When the key came at both ends; nil for never, ``Moment/often`` for more than once.
    struct Moment {
      static let often = UInt64.max
      var start: UInt64?
      var end: UInt64?
    }
    var moments: [UInt64: Moment] = [:]
    var mask: UInt64 = 0
    let feed = try FeedAhead(domain.recordings)
    var flows = survey.flows
    while let block = try feed.next() {
      for timed in block where timed.stamp.kind != .tcpRange {
        let slot = domain.slot(of: timed.stamp.hook)
        let hash = (timed.stamp.key &* 0x9E37_79B9_7F4A_7C15) >> 32
        guard slot == crossing.from || slot == crossing.to, hash & mask == 0,
          choice.path(of: Shape(flow: flows.number(of: timed.stamp.flow))) == path
        else { continue }
        var moment = moments[timed.stamp.key] ?? Moment()
        if slot == crossing.from {
          moment.start = moment.start == nil ? timed.stamp.time : Moment.often
        } else {
          moment.end = moment.end == nil ? timed.stamp.time : Moment.often
        }
        moments[timed.stamp.key] = moment
        if moments.count > CausalCheck.mostKeys {
          mask = mask << 1 | 1
          moments = moments.filter { (($0.key &* 0x9E37_79B9_7F4A_7C15) >> 32) & mask == 0 }
        }
      }
    }
    return moments.values.compactMap { moment in
      guard let start = moment.start, let end = moment.end, start != Moment.often, end != Moment.often else {
        return nil
      }
      return Int64(bitPattern: end &- start)
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
