// SPDX-License-Identifier: GPL-2.0-or-later

/// A clock device of a machine, read against its CLOCK_REALTIME; nanoseconds.
package struct DeviceReading: Sendable, Hashable {
  package var device: Int64
  package var realtime: Instant<Realtime>
  /// The device was read within ± half of this.
  package var window: Int64

  package init(device: Int64, realtime: Instant<Realtime>, window: Int64) {
    self.device = device
    self.realtime = realtime
    self.window = window
  }
}

/// From another clock of a machine to its CLOCK_MONOTONIC, with the bound ε of the error at every time; nanoseconds.
package struct LocalMap: Sendable {
  let curve: ClockCurve

  /// From CLOCK_REALTIME, which is MONOTONIC plus a constant as long as nobody sets it.
  package static func realtime(_ readings: [ClockReading]) throws(AlignmentError) -> LocalMap {
    let epoch = try epoch(try LocalClocks(readings, side: .host))
    let knots = [epoch.start, epoch.end].map {
      ClockCurve.Knot(x: $0.addingCapped(epoch.offset), y: $0, error: epoch.error)
    }
    guard let curve = ClockCurve(knots: knots, growth: 0) else { throw .noReadings(.host) }
    return LocalMap(curve: curve)
  }

  /// From a clock device, straight from reading to reading.
  ///
  /// Between two readings a device may be slewed by as much as MONOTONIC (``LocalClocks/slew``): over h it leaves the
  /// chord by h · slew / 4 at most.
  package static func device(
    _ readings: [ClockReading], _ crosses: [DeviceReading]
  ) throws(AlignmentError) -> LocalMap {
    let epoch = try epoch(try LocalClocks(readings, side: .host))
    let sane = 0..<(Int64(1) << 62)
    var knots = crosses.filter {
      sane.contains($0.device) && sane.contains($0.realtime.nanoseconds) && (0..<1_000_000_000).contains($0.window)
    }.sorted { $0.device < $1.device }.map {
      ClockCurve.Knot(
        x: $0.device, y: $0.realtime.nanoseconds - epoch.offset,
        error: Double($0.window) / 2 + epoch.error + CrossStamp.precision)
    }
    for index in knots.indices.dropLast() {
      let length = Double(knots[index + 1].x - knots[index].x)
      let rise = Double(knots[index + 1].y - knots[index].y)
      // Somebody has set the device's clock.
      guard abs(rise - length) <= 2e-3 * length + knots[index].error + knots[index + 1].error else {
        throw .contradiction(at: knots[index].y)
      }
      knots[index].bend = length * LocalClocks.slew / 4
    }
    guard let curve = ClockCurve(knots: knots, growth: LocalClocks.slew) else { throw .crossStampsOutside }
    return LocalMap(curve: curve)
  }

  private static func epoch(_ clocks: LocalClocks) throws(AlignmentError) -> Epoch {
    let epochs = clocks.wallEpochs()
    guard let epoch = epochs.first else { throw .noReadings(.host) }
    guard epochs.count == 1 else { throw .stepped(at: epoch.end) }
    return epoch
  }

  /// CLOCK_MONOTONIC when the other clock shows `time`; nil more than 10 s outside of all readings.
  package func monotonic(_ time: Int64) -> Int64? { curve.reaches(time) ? curve.value(at: time).y : nil }

  /// The largest ε between two times of the other clock, rounded up.
  package func maximumError(over span: ClosedRange<Int64>) -> Int64 {
    whole(curve.maximumError(from: span.lowerBound, to: span.upperBound).rounded(.up))
  }
}
