// SPDX-License-Identifier: GPL-2.0-or-later
import Recording

/// Packet interval times by hook point and path: the time between successive packets of one flow at the hook point.
///
/// All packets as recorded, ambiguous ones and copies too; TCP byte ranges are no packets. Intervals of different flows
/// of one path go into one histogram.
func packetIntervals(
  _ domain: ClockDomain, _ journeys: Journeys, _ flows: FlowTable, pathOfJourney: [UInt8], paths: [PathPlan],
  binWidth: Int64
) -> [[PITHistogram]] {
  let slotCount = domain.hooks.count
  let flowCount = flows.ids.count
  var last = [UInt32](repeating: 0, count: flowCount * slotCount)
  var isKnown = [Bool](repeating: false, count: flowCount * slotCount)
  let hasOneClock = domain.hooks.indices.map { domain.isOneClock($0, $0) }
  var tallies = [IntervalTally](repeating: IntervalTally(), count: paths.count * slotCount)
  for index in domain.stamps.indices where journeys.of[index] != Journeys.none {
    let path = Int(pathOfJourney[Int(journeys.of[index])])
    guard path != 255 else { continue }
    let stamp = domain.stamps[index]
    let slot = Int(domain.slots[Int(stamp.hook.rawValue)])
    let place = Int(flows.of[index]) * slotCount + slot
    if isKnown[place] {
      let interval = domain.delay(from: Int(last[place]), to: index, isOneClock: hasOneClock[slot])
      tallies[path * slotCount + slot].add(interval, binWidth)
    }
    last[place] = UInt32(index)
    isKnown[place] = true
  }
  return paths.indices.map { path in
    paths[path].hooks.compactMap { hook in
      let slot = Int(domain.slots[Int(hook.rawValue)])
      guard slot != 255, let state = domain.hooks[slot] else { return nil }
      return tallies[path * slotCount + slot].histogram(at: state.point, direction: paths[path].name, binWidth)
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
