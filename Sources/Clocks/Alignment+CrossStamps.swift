// SPDX-License-Identifier: GPL-2.0-or-later

/// One reading of the guest's ptp_kvm device, which shows the host's CLOCK_REALTIME.
package struct CrossStamp: Sendable, Hashable {
  package var hostRealtime: Instant<Realtime>
  package var guestRealtime: Instant<Realtime>
  /// Nil where the way of reading does not tell it; `guestRealtime` takes its place then.
  package var guestRaw: Instant<MonotonicRaw>?
  /// Time that the reading took in the guest, around its times; 0 where host and guest took one counter value
  /// (PTP_SYS_OFFSET_PRECISE).
  package var window: Int64

  package init(
    hostRealtime: Instant<Realtime>, guestRealtime: Instant<Realtime>, guestRaw: Instant<MonotonicRaw>?, window: Int64
  ) {
    self.hostRealtime = hostRealtime
    self.guestRealtime = guestRealtime
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
  let hostWall = try WallClock(host)
  let guestWall = try WallClock(guest)
  let placed = settled(consistent(place(stamps, host: hostWall, guest: guestWall)))
  guard placed.count >= 2 else { throw .crossStampsOutside }
  let bounds = placed.map { stamp in
    let error = whole(stamp.error.rounded(.up))
    return RawBound(
      lowAt: stamp.guest, low: stamp.host - error, highAt: stamp.guest, high: stamp.host + error)
  }
  let looseness = try looseness(bounds)
  return try align(
    host, guest, by: { span throws(AlignmentError) in try rawCurve(bounds, over: span, looseness: looseness) },
    method: .ptpKVM, samples: placed.count)
}

/// How much less precise the stamps are than they should be, nanoseconds: as much as makes one line fit.
///
/// None where a few long pieces fit, since then a rate changed or a clock stepped. Pieces of two or three stamps fit anything.
private func looseness(_ bounds: [RawBound]) throws(AlignmentError) -> Double {
  let pieces = linePieces(bounds, looseness: 0)
  if pieces.count == 1 || pieces.allSatisfy({ $0.samples.count >= 4 }) { return 0 }
  let error = bounds.map { Double($0.high - $0.low) / 2 }.max() ?? 0
  var looseness = 100.0
  while looseness < 1e6 {
    // The line is within this of every stamp, a stamp within its own error of the truth; as much again for the time
    // between stamps and beyond them.
    if linePieces(bounds, looseness: looseness).count == 1 { return 2 * looseness + error }
    looseness *= 1.2
  }
  // A jump leaves few pieces, which do not meet.
  if pieces.count <= 3 { return 0 }
  throw .scattered
}

/// A machine's REALTIME against its MONOTONIC_RAW.
struct WallClock {
  let epochs: [Epoch]
  let raw: ClockCurve

  init(_ clocks: LocalClocks) throws(AlignmentError) {
    epochs = clocks.wallEpochs()
    // Each stamp is looked for in each of them.
    guard epochs.count <= 64 else { throw .stepped(at: epochs[64].start) }
    raw = try clocks.raw()
  }

  /// Every RAW time at which the clock may have shown `realtime`: more than one where it was set back.
  func places(of realtime: Int64) -> [(raw: Int64, error: Double)] {
    let second: Int64 = 1_000_000_000
    return epochs.indices.compactMap { index in
      let epoch = epochs[index]
      let monotonic = realtime - epoch.offset
      // A step happens somewhere between two readings, and a stamp may come a little before the first or after the last.
      let start = index > 0 ? epochs[index - 1].end : epoch.start - second
      let end = index + 1 < epochs.count ? epochs[index + 1].start : epoch.end + second
      guard monotonic >= start, monotonic <= end else { return nil }
      let (y, error) = raw.value(at: monotonic)
      return (y, error + epoch.error * raw.slope)
    }
  }
}
