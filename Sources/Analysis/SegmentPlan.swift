// SPDX-License-Identifier: GPL-2.0-or-later
import Recording

/// Where a segment begins and ends within a clock domain.
///
/// Apart from what is counted, so that asking for it copies no result.
struct SegmentEnds {
  /// Slots.
  var from: Int
  var to: Int
  /// Both hook points were stamped by the same clock.
  var isOneClock = true
  /// A tap's point on a path in the kernel, by which some of the path's flows do not come.
  var isFromWire = false
  var isToWire = false
  /// A hook point at its end saw nothing where packets passed.
  var isInvalid = false
  var errorBound: Int64 = 0
}

/// One segment within a clock domain, with the result that grows.
struct SegmentPlan {
  var ends: SegmentEnds
  var result: SegmentResult
  /// Delays below zero, kept but worth a warning.
  var negative = 0
  /// Packets of a protocol that the hook point at `to` was never seen to record.
  var notAsked = 0
  /// Packets that `to` did not see and a later hook point of the path did.
  var passedUnseen = 0
  /// The same as ``result`` of each group of flows, where there are several.
  var parts: [SegmentResult] = []
  /// By flow: delay of the packet that passed `from` last; `noDelay` where it has none.
  var previous: [Int64] = []
  static let noDelay = Int64.min

  /// Changes the result, and that of a group.
  mutating func tally(_ part: Int, _ change: (inout SegmentResult) -> Void) {
    change(&result)
    if parts.indices.contains(part) { change(&parts[part]) }
  }
}

/// A path within a clock domain: slots of its hook points, and its segments by where they begin and end.
struct PathPlanInDomain {
  /// Slots of the path's hook points that are attached in this domain, in order.
  var slots: [Int]
  /// The same with those that saw nothing of the path.
  var all: [Int]
  /// All of the path lies in this domain, so that its end-to-end delay can be given.
  var isWhole: Bool
  /// By place in `slots`: the hook point and the one before it were stamped by one clock.
  var isOneClock: [Bool]
  var segments: [SegmentPlan] = []
  /// Slots of devices' hook points between the wire's.
  var inside: [Int] = []
  /// Indices into `segments` by slot.
  var beginning: [[Int]]
  var ending: [[Int]]
}
