// SPDX-License-Identifier: GPL-2.0-or-later
import Recording

/// The delay from `wire-in` to `wire-out` of packets that hook points in between saw, in two parts; nanoseconds.
package struct WireDelay: Sendable {
  /// The outermost hook points in between, `a-b`; one name where there is only one.
  package var software: String
  /// From a to b: what the segments in between add up to.
  package var explained: Summary
  /// The rest of the wire delay: before a and behind b.
  package var unexplained: Summary

  package init(software: String, explained: Summary, unexplained: Summary) {
    self.software = software
    self.explained = explained
    self.unexplained = unexplained
  }
}

/// How much of the wire delay of a path the segments in between explain.
struct WireSink {
  fileprivate let segment: Int
  fileprivate let first: Int
  fileprivate let last: Int
  fileprivate let isOneClock: Bool
  private let software: String
  private let error: Int64
  private var explained: Column<Int64>
  private var unexplained: Column<Int64>

  /// Nil for a path on which nothing lies between a tap's points.
  init?(_ plan: PathPlanInDomain, _ domain: ClockDomain, on scratch: Scratch) {
    guard let first = plan.inside.first, let last = plan.inside.last,
      let index = plan.segments.firstIndex(where: { $0.result.from.hook == .wireIn && $0.result.to.hook == .wireOut }),
      let before = domain.hooks[first]?.point.hook, let behind = domain.hooks[last]?.point.hook
    else { return nil }
    segment = index
    explained = Column(on: scratch)
    unexplained = Column(on: scratch)
    (self.first, self.last) = (first, last)
    isOneClock = domain.isOneClock(first, last)
    software = before == behind ? before.name : "\(before.name)-\(behind.name)"
    error = domain.errorBound(first, last)
  }

  mutating func add(_ parts: (explained: Int64, unexplained: Int64)) {
    explained.append(parts.explained)
    unexplained.append(parts.unexplained)
  }

  func fill(_ plan: inout PathPlanInDomain) {
    guard let explained = Summary(delays: explained, errorBound: error),
      let unexplained = Summary(delays: unexplained, errorBound: error + plan.segments[segment].result.errorBound)
    else { return }
    plan.segments[segment].result.wire = WireDelay(software: software, explained: explained, unexplained: unexplained)
  }
}

extension Joiner {
  /// What of a journey's wire delay the segments in between explain, if it carries all four stamps once (TCP data: of the
  /// same bytes).
  ///
  /// Both parts are differences of two delays, each of its own clock where that is one, so that how the taps' clock runs to
  /// the kernel's does not matter.
  mutating func wireParts(of journey: Int, _ path: Int) -> (explained: Int64, unexplained: Int64)? {
    guard let sink = wires[path], case let segment = plans[path].segments[sink.segment].ends else { return nil }
    let slots = [segment.from, sink.first, sink.last, segment.to]
    let stamps = slots.compactMap { flight.isRepeated(journey, $0) ? nil : flight.known(journey, $0) }
    guard stamps.count == 4, isOnePacket(stamps) else { return nil }
    let wire = flight.delay(from: stamps[0], to: stamps[3], isOneClock: segment.isOneClock)
    let software = flight.delay(from: stamps[1], to: stamps[2], isOneClock: sink.isOneClock)
    guard wire >= -wireSlack, wire <= window, software >= -slack else { return nil }
    return (software, wire - software)
  }

  /// A TCP packet that was split or merged on the way is not one packet all the way.
  private mutating func isOnePacket(_ stamps: [Int]) -> Bool {
    let origin = flight.stamps[stamps[0]].stamp
    return stamps.allSatisfy {
      let here = flight.stamps[$0].stamp
      return here.sequence == origin.sequence && here.payloadLength == origin.payloadLength
    }
  }
}
