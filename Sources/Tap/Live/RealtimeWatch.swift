// SPDX-License-Identifier: GPL-2.0-or-later
internal import Clocks

/// Whether CLOCK_REALTIME was set: what it has ahead of CLOCK_MONOTONIC is a constant as long as nobody sets it, since both
/// are slewed alike.
struct RealtimeWatch {
  /// Between all readings of an epoch.
  private var offsets: ClosedRange<Int64>?
  private(set) var steps = 0

  /// Nanoseconds that the two may seem to differ beside a reading's window.
  private static let precision: Int64 = 100

  mutating func look(_ reading: ClockReading) {
    let offset = reading.realtime.nanoseconds - reading.monotonic.nanoseconds
    let doubt = Int64(reading.window) + RealtimeWatch.precision
    let found = offset - doubt...offset + doubt
    guard let known = offsets else { return offsets = found }
    if known.overlaps(found) {
      offsets = known.clamped(to: found)
    } else {
      steps += 1
      offsets = found
    }
  }
}
