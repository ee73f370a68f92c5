// SPDX-License-Identifier: GPL-2.0-or-later
import Recording

/// The bytes of TCP streams that passed one hook point: which stamps cover a byte, at which times.
///
/// Sequence numbers are unwrapped to 64 bits flow by flow in time order (RFC 1982 differences), so that a byte is found
/// again only in its own lap of 2³². A class only so that handing it on costs one reference.
final class RangeIndex {
  struct Range {
    var start: Int64
    var end: Int64
    var time: UInt64
    var stamp: UInt32
  }

  /// By flow number, then start.
  private var ranges: [Range] = []
  /// The greatest end among the flow's ranges up to this one.
  private var reach: [Int64] = []
  /// By flow number, then time.
  private var times: [UInt64] = []
  private var positions: [Int64] = []
  /// Where each flow begins in the arrays above.
  private var offsets: [Int]

  /// TCP stamps with payload and byte ranges at `hook`.
  /// - Complexity: linear for streams in order, else O(n log n).
  init(_ domain: ClockDomain, _ flows: FlowTable, hook: HookPoint) {
    let stamps = domain.stamps
    offsets = [Int](repeating: 0, count: flows.ids.count + 1)
    func length(_ stamp: Stamp) -> UInt32 {
      guard stamp.hook == hook else { return 0 }
      return switch stamp.kind {
      case .tcp: stamp.payloadLength
      case .tcpRange: stamp.length
      default: 0
      }
    }
    for index in stamps.indices where length(stamps[index]) > 0 { offsets[Int(flows.of[index]) + 1] += 1 }
    for index in 1..<offsets.count { offsets[index] += offsets[index - 1] }
    let count = offsets[offsets.count - 1]
    ranges = [Range](repeating: Range(start: 0, end: 0, time: 0, stamp: 0), count: count)
    times = [UInt64](repeating: 0, count: count)
    positions = [Int64](repeating: 0, count: count)
    reach = [Int64](repeating: 0, count: count)
    var next = offsets
    var last = [Int64?](repeating: nil, count: flows.ids.count)
    for index in stamps.indices {
      let stamp = stamps[index]
      let length = length(stamp)
      guard length > 0 else { continue }
      let flow = Int(flows.of[index])
      let start = last[flow].map { unwrap(stamp.sequence, near: $0) } ?? Int64(stamp.sequence)
      last[flow] = start
      let place = next[flow]
      ranges[place] = Range(start: start, end: start + Int64(length), time: stamp.time, stamp: UInt32(index))
      times[place] = stamp.time
      positions[place] = start
      next[flow] += 1
    }
    for flow in flows.ids.indices {
      let span = offsets[flow]..<offsets[flow + 1]
      if zip(positions[span], positions[span].dropFirst()).contains(where: { $0 > $1 }) {
        ranges[span].sort { $0.start < $1.start }
      }
      var furthest = Int64.min
      for place in span {
        furthest = max(furthest, ranges[place].end)
        reach[place] = furthest
      }
    }
  }

  /// Ranges that are looked at for one byte. A packet of half a MiB that was sent again piece by piece has some 350.
  static let steps = 1_024

  /// Calls `body` with each stamp that covers `byte` of the flow, in no order; `time` tells which lap is meant.
  ///
  /// - Returns: false where more than ``steps`` ranges overlap there, so that not all were looked at.
  /// - Complexity: O(log n) and as many steps as ranges lie between the byte and the end of the furthest one before it.
  func forEachCover(of byte: UInt32, flow: UInt32, near time: UInt64, _ body: (Range) -> Void) -> Bool {
    let low = offsets[Int(flow)]
    let high = offsets[Int(flow) + 1]
    guard low < high else { return true }
    let nearest = min(high - 1, bound(low, high) { times[$0] >= time })
    let position = unwrap(byte, near: positions[nearest])
    var place = bound(low, high) { ranges[$0].start > position } - 1
    let last = place - RangeIndex.steps
    while place >= low, reach[place] > position {
      if place == last { return false }
      if ranges[place].end > position { body(ranges[place]) }
      place -= 1
    }
    return true
  }

  private func bound(_ low: Int, _ high: Int, _ isReached: (Int) -> Bool) -> Int {
    var low = low
    var high = high
    while low < high {
      let middle = low + (high - low) / 2
      if isReached(middle) { high = middle } else { low = middle + 1 }
    }
    return low
  }
}

/// The number nearest to `reference` whose low 32 bits are `sequence`.
func unwrap(_ sequence: UInt32, near reference: Int64) -> Int64 {
  reference + Int64(Int32(truncatingIfNeeded: Int64(sequence) - reference))
}
