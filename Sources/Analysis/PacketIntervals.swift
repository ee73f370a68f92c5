// SPDX-License-Identifier: GPL-2.0-or-later
import Recording

/// Packet interval times by hook point and path: the time between successive packets of one flow at the hook point.
///
/// All packets as recorded, ambiguous ones and copies too; TCP byte ranges are no packets. Intervals of different flows
/// of one path go into one histogram.
struct IntervalSink {
  private let slotCount: Int
  private let hooks: [HookState?]
  private let slotOf: [HookPoint: Int]
  private let hasOneClock: [Bool]
  private let binWidth: Int64
  /// By flow and slot: when the last packet was there; 0 for never.
  private var last: [UInt64]
  /// By path and slot.
  private var tallies: [IntervalTally]

  init(_ domain: ClockDomain, flows: Int, paths: Int, binWidth: Int64) {
    hooks = domain.hooks
    slotCount = hooks.count
    slotOf = Dictionary(
      hooks.enumerated().compactMap { slot, state in state.map { ($0.point.hook, slot) } },
      uniquingKeysWith: { a, _ in a })
    hasOneClock = hooks.indices.map { domain.isOneClock($0, $0) }
    self.binWidth = binWidth
    last = [UInt64](repeating: .max, count: flows * slotCount)
    tallies = [IntervalTally](repeating: IntervalTally(), count: paths * slotCount)
  }

  mutating func take(_ stamp: InFlight, path: Int) {
    let slot = Int(stamp.slot)
    let place = Int(stamp.flow) * slotCount + slot
    let time = hasOneClock[slot] ? stamp.own : stamp.stamp.time
    if last[place] != .max {
      tallies[path * slotCount + slot].add(Int64(bitPattern: time &- last[place]), binWidth)
    }
    last[place] = time
  }

  func histograms(_ paths: [PathPlan]) -> [[PITHistogram]] {
    paths.indices.map { path in
      paths[path].hooks.compactMap { hook in
        guard let slot = slotOf[hook], let state = hooks[slot] else { return nil }
        return tallies[path * slotCount + slot].histogram(at: state.point, direction: paths[path].name, binWidth)
      }
    }
  }
}

/// Counts by bin: an array for the short intervals that nearly all are, a dictionary beyond it.
private struct IntervalTally {
  private static let directBins = 16_384

  private var direct: [Int] = []
  private var sparse: [Int64: Int] = [:]
  private var count = 0
  private var sum = 0.0

  mutating func add(_ interval: Int64, _ binWidth: Int64) {
    let bin = interval / binWidth
    if 0..<Int64(IntervalTally.directBins) ~= bin {
      if direct.isEmpty { direct = [Int](repeating: 0, count: IntervalTally.directBins) }
      direct[Int(bin)] += 1
    } else {
      sparse[bin, default: 0] += 1
    }
    count += 1
    sum += Double(interval)
  }

  func histogram(at point: Point, direction: String, _ binWidth: Int64) -> PITHistogram? {
    guard count > 0 else { return nil }
    // Below 0 are those of a clock that went back.
    let rest = sparse.sorted { $0.key < $1.key }.map { (index: $0.key, count: $0.value) }
    var bins = Array(rest.prefix { $0.index < 0 })
    for (index, count) in direct.enumerated() where count > 0 { bins.append((Int64(index), count)) }
    bins += rest.drop { $0.index < 0 }
    return PITHistogram(
      point: point, direction: direction, binWidth: binWidth, bins: bins, count: count, mean: sum / Double(count))
  }
}
