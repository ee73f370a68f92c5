// SPDX-License-Identifier: GPL-2.0-or-later
import Recording

/// What part of the end-to-end delay lies in each segment of a path, over journeys that carry every hook point once.
private struct ShareTally {
  /// By place in the path's slots.
  var sums: [Double]
  var journeys: [UInt32] = []
  /// End-to-end delay of each of ``journeys``.
  var totals: [Int64] = []
  /// The same sums over the journeys above ``threshold``.
  var slowSums: [Double]
  var slowCount = 0
  var threshold = Int64.max

  init(_ places: Int) {
    sums = [Double](repeating: 0, count: places)
    slowSums = sums
  }

  mutating func findThreshold() {
    threshold = quantile(0.99, ofSorted: totals.sorted()) ?? .max
  }

  /// Nil where nothing was measured, or less than nothing.
  static func share(_ place: Int, of sums: [Double]) -> Double? {
    let total = sums.reduce(0, +)
    return total > 0 ? sums[place] / total : nil
  }
}

extension Joiner {
  /// Gives each neighbour segment its share of the path's delay, and of the delay of the slowest packets: those above p99.
  mutating func share(_ plan: inout PathPlanInDomain, path: Int, parts: Int) {
    guard plan.isWhole, plan.slots.count > 1 else { return }
    let places = plan.slots.count
    var whole = ShareTally(places)
    var groups = [ShareTally](repeating: ShareTally(places), count: parts)
    var stamps = [Int](repeating: 0, count: places)
    for journey in 0..<journeys.count where Int(pathOfJourney[journey]) == path {
      guard completeStamps(of: journey, plan, &stamps) else { continue }
      let part = Int(part(journey))
      var total: Int64 = 0
      for place in 1..<places {
        let delay = delay(stamps, place, plan)
        total &+= delay
        whole.sums[place] += Double(delay)
        if part < parts { groups[part].sums[place] += Double(delay) }
      }
      whole.journeys.append(UInt32(journey))
      whole.totals.append(total)
      if part < parts { groups[part].totals.append(total) }
    }
    whole.findThreshold()
    for part in groups.indices { groups[part].findThreshold() }
    for (journey, total) in zip(whole.journeys, whole.totals) {
      let part = Int(part(Int(journey)))
      let isSlow = total > whole.threshold
      let isSlowInGroup = part < parts && total > groups[part].threshold
      guard isSlow || isSlowInGroup, completeStamps(of: Int(journey), plan, &stamps) else { continue }
      for place in 1..<places {
        let delay = Double(delay(stamps, place, plan))
        if isSlow { whole.slowSums[place] += delay }
        if isSlowInGroup { groups[part].slowSums[place] += delay }
      }
      if isSlow { whole.slowCount += 1 }
      if isSlowInGroup { groups[part].slowCount += 1 }
    }
    for index in plan.segments.indices where plan.segments[index].result.isNeighbour {
      guard let place = plan.slots.firstIndex(of: plan.segments[index].to) else { continue }
      plan.segments[index].result.take(whole, place)
      for part in plan.segments[index].parts.indices { plan.segments[index].parts[part].take(groups[part], place) }
    }
  }
}

extension SegmentResult {
  fileprivate mutating func take(_ tally: ShareTally, _ place: Int) {
    share = ShareTally.share(place, of: tally.sums)
    slowShare = ShareTally.share(place, of: tally.slowSums)
    slowCount = tally.slowCount
  }
}
