// SPDX-License-Identifier: GPL-2.0-or-later

/// A pair of times of the two MONOTONIC_RAW clocks; nanoseconds.
struct RawPair {
  /// Which stamp it is of.
  var stamp: Int
  var guest: Int64
  var host: Int64
  var error: Double

  var ahead: Int64 { host - guest }
}

/// Every place that a stamp may have: more than one where it was taken near a step of a wall clock.
func place(_ stamps: [CrossStamp], host: WallClock, guest: WallClock) -> [RawPair] {
  let sane = 0..<(Int64(1) << 62)
  var pairs: [RawPair] = []
  for (number, stamp) in stamps.enumerated() {
    guard sane.contains(stamp.hostRealtime.nanoseconds), sane.contains(stamp.guestRealtime.nanoseconds),
      (0..<1_000_000_000).contains(stamp.window)
    else { continue }
    var guestPlaces = guest.places(of: stamp.guestRealtime.nanoseconds)
    if let raw = stamp.guestRaw { guestPlaces = sane.contains(raw.nanoseconds) ? [(raw.nanoseconds, 0)] : [] }
    for guestPlace in guestPlaces {
      for hostPlace in host.places(of: stamp.hostRealtime.nanoseconds) {
        pairs.append(
          RawPair(
            stamp: number, guest: guestPlace.raw, host: hostPlace.raw,
            error: guestPlace.error + hostPlace.error + Double(stamp.window) / 2 + CrossStamp.precision))
      }
    }
  }
  return pairs
}

/// The places that go with most stamps: the two clocks differ in rate by less than 1000 ppm.
func consistent(_ pairs: [RawPair]) -> [RawPair] {
  func agreeing(_ leader: RawPair) -> [RawPair] {
    pairs.filter { pair in
      let limit = LineBounds.steepest * Double(abs(pair.guest - leader.guest)) + pair.error + leader.error
      return Double(abs(pair.ahead - leader.ahead)) <= limit
    }
  }
  // The leader may be in the wrong place itself: every stamp of some spread over the run may lead, the largest
  // following wins.
  let step = max(pairs.count / 32, 1)
  let leaders = stride(from: 0, to: pairs.count, by: step).map { agreeing(pairs[$0]) }
  return leaders.max { Set($0.map(\.stamp)).count < Set($1.map(\.stamp)).count } ?? []
}

/// The place of each stamp: its only one, or the only one on the line through the nearest stamps with one place.
///
/// A stamp is left out if several of its places are on the line, too close to be told apart, or none is, as where a clock
/// was set twice between two readings.
func settled(_ pairs: [RawPair]) -> [RawPair] {
  let groups = Dictionary(grouping: pairs, by: \.stamp).values
  let certain = groups.filter { $0.count == 1 }.map { $0[0] }.sorted { $0.guest < $1.guest }
  let chosen = groups.compactMap { places in
    let near = places.count == 1 ? places : places.filter { isOnLine($0, certain) }
    return near.count == 1 ? near[0] : nil
  }
  return chosen.sorted { $0.guest < $1.guest }
}

private func isOnLine(_ pair: RawPair, _ certain: [RawPair]) -> Bool {
  guard certain.count >= 2 else { return false }
  var (next, high) = (0, certain.count)
  while next < high {
    let middle = (next + high) / 2
    if certain[middle].guest >= pair.guest { high = middle } else { next = middle + 1 }
  }
  let index = min(max(next - 1, 0), certain.count - 2)
  let (from, to) = (certain[index], certain[index + 1])
  guard to.guest > from.guest else { return false }
  let part = Double(pair.guest - from.guest) / Double(to.guest - from.guest)
  let line = Double(to.ahead - from.ahead) * part
  let doubt = abs(1 - part) * from.error + abs(part) * to.error
  return abs(Double(pair.ahead - from.ahead) - line) <= doubt + pair.error
}
