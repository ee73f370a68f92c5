// SPDX-License-Identifier: GPL-2.0-or-later
import Recording

/// What part of the end-to-end delay lies in each segment of a path, over journeys that carry every hook point once.
struct ShareSink {
  /// Hook points of the path.
  private let places: Int
  let isAskedFor: Bool
  /// Of each journey the delays from hook point to hook point, one after the other.
  private var delays: Column<Int64>
  /// Group of each journey.
  private var groups: Column<Int32>
  /// All journeys, and each group's.
  private var all: ShareTally
  private var parts: [ShareTally]

  init(_ plan: PathPlanInDomain, parts: Int, on scratch: Scratch) {
    places = plan.slots.count
    isAskedFor = plan.isWhole && places > 1
    delays = Column(on: scratch)
    groups = Column(on: scratch)
    all = ShareTally(places, on: scratch)
    self.parts = [ShareTally](repeating: all, count: parts)
  }

  /// - Parameters:
  ///   - part: number of the journey's group; any other number than a group's for none.
  ///   - delay: from the hook point before to the one at a place, from 1 on.
  mutating func add(part: Int, delay: (Int) -> Int64) {
    var total: Int64 = 0
    for place in 1..<places {
      let delay = delay(place)
      delays.append(delay)
      total &+= delay
      all.sums[place] += Double(delay)
      if parts.indices.contains(part) { parts[part].sums[place] += Double(delay) }
    }
    groups.append(Int32(truncatingIfNeeded: part))
    all.totals.append(total)
    if parts.indices.contains(part) { parts[part].totals.append(total) }
  }

  /// Gives each neighbour segment its share of the path's delay, and of the delay of the slowest packets: those above p99.
  mutating func fill(_ plan: inout PathPlanInDomain) {
    guard isAskedFor else { return }
    addSlow()
    for index in plan.segments.indices where plan.segments[index].result.isNeighbour {
      guard let place = plan.slots.firstIndex(of: plan.segments[index].ends.to) else { continue }
      plan.segments[index].result.take(all, place)
      for part in plan.segments[index].parts.indices { plan.segments[index].parts[part].take(parts[part], place) }
    }
  }

  private mutating func addSlow() {
    all.findThreshold()
    for part in parts.indices { parts[part].findThreshold() }
    var delays = delays.makeIterator()
    var journey = [Int64](repeating: 0, count: places)
    for group in groups {
      for place in 1..<places { journey[place] = delays.next() ?? 0 }
      all.addSlow(journey)
      if parts.indices.contains(Int(group)) { parts[Int(group)].addSlow(journey) }
    }
  }
}

private struct ShareTally {
  /// By place in the path's slots.
  var sums: [Double]
  /// End-to-end delays.
  var totals: Column<Int64>
  /// Their p99.
  private var threshold = Int64.max
  /// The same sums over the journeys above p99.
  var slowSums: [Double]
  var slowCount = 0

  init(_ places: Int, on scratch: Scratch) {
    sums = [Double](repeating: 0, count: places)
    slowSums = sums
    totals = Column(on: scratch)
  }

  mutating func findThreshold() { threshold = quantile(0.99, ofSorted: totals.ascending()) ?? .max }

  /// - Parameter delays: of a journey, by place from 1 on.
  mutating func addSlow(_ delays: [Int64]) {
    guard delays.reduce(0, &+) > threshold else { return }
    slowCount += 1
    for place in 1..<delays.count { slowSums[place] += Double(delays[place]) }
  }

  /// Nil where nothing was measured, or less than nothing.
  static func share(_ place: Int, of sums: [Double]) -> Double? {
    let total = sums.reduce(0, +)
    return total > 0 ? sums[place] / total : nil
  }
}

extension SegmentResult {
  fileprivate mutating func take(_ tally: ShareTally, _ place: Int) {
    share = ShareTally.share(place, of: tally.sums)
    slowShare = ShareTally.share(place, of: tally.slowSums)
    slowCount = tally.slowCount
  }
}
