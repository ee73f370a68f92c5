// SPDX-License-Identifier: GPL-2.0-or-later

/// One reading of the guest's ptp_kvm device, which shows the host's CLOCK_REALTIME.
package struct CrossStamp: Sendable, Hashable {
  package var hostRealtime: Instant<Realtime>
  package var guestRaw: Instant<MonotonicRaw>
  /// Time that the reading took in the guest, around `guestRaw`; 0 where host and guest took one counter value
  /// (PTP_SYS_OFFSET_PRECISE).
  package var window: Int64

  package init(hostRealtime: Instant<Realtime>, guestRaw: Instant<MonotonicRaw>, window: Int64) {
    self.hostRealtime = hostRealtime
    self.guestRaw = guestRaw
    self.window = window
  }

  /// The host extrapolates its REALTIME to the counter value, the guest its own: each to some tens of nanoseconds.
  static let precision = 50.0
}

/// Alignment by cross time stamps of ptp_kvm.
///
/// They tell the host's REALTIME, which is MONOTONIC but for its steps and thus slewed. So they are taken back to the host's MONOTONIC
/// and from there to its RAW, which runs straight against the guest's.
func byCrossStamps(
  _ host: LocalClocks, _ guest: LocalClocks, _ stamps: [CrossStamp]
) throws(AlignmentError) -> ClockMap {
  guard !stamps.isEmpty else { throw .noCrossStamps }
  let hostRaw = try host.raw()
  let placed = consistent(place(stamps, host.wallEpochs(), hostRaw))
  guard placed.count >= 2 else { throw .crossStampsOutside }
  let bounds = placed.map { stamp in
    let error = whole(stamp.error.rounded(.up))
    return RawBound(
      lowAt: stamp.guest, low: stamp.host - error, highAt: stamp.guest, high: stamp.host + error)
  }
  // Where no line fits, the stamps are less precise than they should be: as much as makes it fit is added to the error.
  let loosenesses = [0, 100, 300, 1_000, 3_000, 10_000].map { Double($0) }
  let looseness = loosenesses.first { linePieces(bounds, looseness: $0).count == 1 } ?? 0
  return try align(
    host, guest, by: { span throws(AlignmentError) in try rawCurve(bounds, over: span, looseness: looseness) },
    method: .ptpKVM, samples: placed.count)
}

/// A pair of times of the two MONOTONIC_RAW clocks; nanoseconds.
private struct RawPair {
  /// Which stamp it is of.
  var stamp: Int
  var guest: Int64
  var host: Int64
  var error: Double

  var ahead: Int64 { host - guest }
}

/// Every place where a stamp may lie on the host's clock: more than one where REALTIME was set back.
private func place(_ stamps: [CrossStamp], _ epochs: [Epoch], _ hostRaw: ClockCurve) -> [RawPair] {
  let second: Int64 = 1_000_000_000
  var pairs: [RawPair] = []
  for (number, stamp) in stamps.enumerated() {
    let (device, raw) = (stamp.hostRealtime.nanoseconds, stamp.guestRaw.nanoseconds)
    guard (0..<1 << 62).contains(device), (0..<1 << 62).contains(raw), (0..<second).contains(stamp.window) else {
      continue
    }
    for (index, epoch) in epochs.enumerated() {
      let monotonic = device - epoch.offset
      // A step happens somewhere between two readings; the host may also have been read a little too late.
      let start = index > 0 ? epochs[index - 1].end : epoch.start - second
      let end = index + 1 < epochs.count ? epochs[index + 1].start : epoch.end + second
      guard monotonic >= start, monotonic <= end else { continue }
      let (y, error) = hostRaw.value(at: monotonic)
      pairs.append(
        RawPair(
          stamp: number, guest: raw, host: y,
          error: error + epoch.error * hostRaw.slope + Double(stamp.window) / 2 + CrossStamp.precision))
    }
  }
  return pairs
}

/// The pairs that most others agree with, one a stamp: the two clocks differ in rate by less than 1000 ppm.
private func consistent(_ pairs: [RawPair]) -> [RawPair] {
  func agreeing(_ leader: RawPair) -> [RawPair] {
    pairs.filter { pair in
      let limit = LineBounds.steepest * Double(abs(pair.guest - leader.guest)) + pair.error + leader.error
      return Double(abs(pair.ahead - leader.ahead)) <= limit
    }
  }
  // A stamp near a step has two places: every stamp of some spread over the run may lead, the largest following wins.
  let step = max(pairs.count / 32, 1)
  let leaders = stride(from: 0, to: pairs.count, by: step).map { pairs[$0] }
  let best = leaders.map(agreeing).max { $0.count < $1.count } ?? []
  var seen: Set<Int> = []
  return best.filter { seen.insert($0.stamp).inserted }.sorted { $0.guest < $1.guest }
}
