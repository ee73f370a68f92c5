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

extension Joiner {
  /// Tells how much of the wire delay the segments in between explain, over the journeys that carry all four stamps once
  /// (TCP data: of the same bytes).
  ///
  /// Both parts are differences of two delays, each of its own clock where that is one, so that how the taps' clock runs to
  /// the kernel's does not matter.
  func explain(_ plan: inout PathPlanInDomain, path: Int) {
    guard let first = plan.inside.first, let last = plan.inside.last,
      let index = plan.segments.firstIndex(where: { $0.result.from.hook == .wireIn && $0.result.to.hook == .wireOut }),
      let before = domain.hooks[first]?.point.hook, let behind = domain.hooks[last]?.point.hook
    else { return }
    let segment = plan.segments[index]
    let isOneClock = domain.isOneClock(first, last)
    var explained: [Int64] = []
    var unexplained: [Int64] = []
    for journey in 0..<journeys.count where Int(pathOfJourney[journey]) == path {
      let slots = [segment.from, first, last, segment.to]
      let stamps = slots.compactMap { journeys.isRepeated(journey, $0) ? nil : journeys.cell(journey, $0) }
      guard stamps.count == 4, isOnePacket(stamps) else { continue }
      let wire = domain.delay(from: stamps[0], to: stamps[3], isOneClock: segment.isOneClock)
      let software = domain.delay(from: stamps[1], to: stamps[2], isOneClock: isOneClock)
      guard wire >= -wireSlack, wire <= window, software >= -slack else { continue }
      explained.append(software)
      unexplained.append(wire - software)
    }
    let error = domain.errorBound(first, last)
    guard let explained = Summary(delays: explained, errorBound: error),
      let unexplained = Summary(delays: unexplained, errorBound: error + segment.result.errorBound)
    else { return }
    plan.segments[index].result.wire = WireDelay(
      software: before == behind ? before.name : "\(before.name)-\(behind.name)", explained: explained,
      unexplained: unexplained)
  }

  /// A TCP packet that was split or merged on the way is not one packet all the way.
  private func isOnePacket(_ stamps: [Int]) -> Bool {
    let origin = domain.stamps[stamps[0]]
    return stamps.allSatisfy {
      domain.stamps[$0].sequence == origin.sequence && domain.stamps[$0].payloadLength == origin.payloadLength
    }
  }
}
