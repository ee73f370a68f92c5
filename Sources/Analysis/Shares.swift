// SPDX-License-Identifier: GPL-2.0-or-later
import Recording

/// What part of the end-to-end delay lies in each segment of a path, over journeys that carry every hook point once.
struct ShareSink {
  /// Hook points of the path.
  private let places: Int
  private let parts: Int
  let isAskedFor: Bool
  /// Of each journey the delays from hook point to hook point, one after the other.
  private var delays: [Int64] = []
  /// Group of each journey.
  private var groups: [Int32] = []

  init(_ plan: PathPlanInDomain, parts: Int) {
    places = plan.slots.count
    self.parts = parts
    isAskedFor = plan.isWhole && places > 1
  }

  /// - Parameters:
  ///   - part: number of the journey's group; any other number than a group's for none.
  ///   - delay: from the hook point before to the one at a place, from 1 on.
  mutating func add(part: Int, delay: (Int) -> Int64) {
    for place in 1..<places { delays.append(delay(place)) }
    groups.append(Int32(truncatingIfNeeded: part))
  }

  /// Gives each neighbour segment its share of the path's delay, and of the delay of the slowest packets: those above p99.
  func fill(_ plan: inout PathPlanInDomain) {
    guard isAskedFor else { return }
    let all = tally { _ in true }
    let groups = (0..<parts).map { part in tally { $0 == Int32(part) } }
    for index in plan.segments.indices where plan.segments[index].result.isNeighbour {
      guard let place = plan.slots.firstIndex(of: plan.segments[index].ends.to) else { continue }
      plan.segments[index].result.take(all, place)
      for part in plan.segments[index].parts.indices { plan.segments[index].parts[part].take(groups[part], place) }
    }
  }

  private func tally(_ isWanted: (Int32) -> Bool) -> ShareTally {
    var tally = ShareTally(places)
    let width = places - 1
    let wanted = groups.indices.filter { isWanted(groups[$0]) }
    let totals = wanted.map { delays[($0 * width)..<(($0 + 1) * width)].reduce(0, &+) }
    let threshold = quantile(0.99, ofSorted: totals.sorted()) ?? .max
    for (number, total) in zip(wanted, totals) {
      for place in 1..<places {
        let delay = Double(delays[number * width + place - 1])
        tally.sums[place] += delay
        if total > threshold { tally.slowSums[place] += delay }
      }
      if total > threshold { tally.slowCount += 1 }
    }
    return tally
  }
}

private struct ShareTally {
  /// By place in the path's slots.
  var sums: [Double]
  /// The same sums over the journeys above p99.
  var slowSums: [Double]
  var slowCount = 0

  init(_ places: Int) {
    sums = [Double](repeating: 0, count: places)
    slowSums = sums
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
