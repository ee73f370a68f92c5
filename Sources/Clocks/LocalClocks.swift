// SPDX-License-Identifier: GPL-2.0-or-later

/// The clocks of one machine against each other, from its readings.
struct LocalClocks {
  let side: AlignmentSide
  /// In order of time, the poor ones left out.
  let readings: [ClockReading]

  /// NTP may slew MONOTONIC by this much, the kernel's own limit (MAXFREQ).
  static let slew = 500e-6
  /// Two clocks of a machine differ by no more in rate: 500 ppm of NTP, 1000 ppm that `adjtime` or `tick` may add
  /// on top, and the crystal.
  private static let steepest = 2e-3

  init(_ all: [ClockReading], side: AlignmentSide) throws(AlignmentError) {
    self.side = side
    let sane = all.filter { $0.isSane }.sorted { $0.monotonic < $1.monotonic }
    readings = LocalClocks.spaced(LocalClocks.good(sane))
    guard readings.count >= 2 else { throw .noReadings(side) }
    // BOOTTIME goes on while MONOTONIC stands still in suspend.
    if Epoch.list(sane, \.boottime.nanoseconds).count > 1 { throw .suspended(side) }
  }

  /// Leaves out readings that took much longer than those around them: they were interrupted.
  ///
  /// About a quarter of any stretch is left at least, as that much is no longer than its lower quartile. The first and last
  /// reading stay if they are still better than a guess from the nearest good one.
  private static func good(_ readings: [ClockReading]) -> [ClockReading] {
    let neighbours = 4
    var good = readings.indices.filter { index in
      let near = readings[max(0, index - neighbours)...min(readings.count - 1, index + neighbours)]
      let windows = near.map(\.window).sorted()
      return readings[index].window <= 2 * windows[windows.count / 4] + 50
    }
    func isBetter(_ end: Int, than nearest: Int) -> Bool {
      let distance = abs(readings[end].monotonic.nanoseconds - readings[nearest].monotonic.nanoseconds)
      return Double(readings[end].window) / 2 < Double(distance) * slew
    }
    if let first = good.first, isBetter(0, than: first) { good.insert(0, at: 0) }
    if let last = good.last, isBetter(readings.count - 1, than: last) { good.append(readings.count - 1) }
    return good.map { readings[$0] }
  }

  /// Keeps readings 20 ms apart, so that their windows tell something of the rate between them; the first and last too.
  private static func spaced(_ readings: [ClockReading]) -> [ClockReading] {
    var kept: [ClockReading] = []
    for reading in readings {
      if let last = kept.last, reading.monotonic - last.monotonic < .milliseconds(20) { continue }
      kept.append(reading)
    }
    if let last = readings.last, let end = kept.last, last.monotonic > end.monotonic {
      if kept.count > 1 { kept.removeLast() }
      kept.append(last)
    }
    return kept
  }

  /// From MONOTONIC to MONOTONIC_RAW, nanoseconds.
  func raw() throws(AlignmentError) -> ClockCurve {
    try curve("MONOTONIC_RAW", rate: 1) { $0.monotonicRaw.nanoseconds }
  }

  /// From MONOTONIC to ticks of the time stamp counter since `base`.
  func counter(since base: UInt64) throws(AlignmentError) -> ClockCurve {
    guard readings.allSatisfy({ $0.counter != 0 }) else { throw .noCounter(side) }
    let ticks = { (reading: ClockReading) in Int64(bitPattern: reading.counter &- base) }
    let rates = zip(readings, readings.dropFirst()).map {
      Double(ticks($1).subtractingCapped(ticks($0)))
        / Double(max($1.monotonicRaw.nanoseconds - $0.monotonicRaw.nanoseconds, 1))
    }.sorted()
    let rate = rates[rates.count / 2]
    guard (0.001...20).contains(rate) else { throw .noCounter(side) }
    return try curve("time stamp counter", rate: rate, ticks)
  }

  /// Straight lines from reading to reading.
  ///
  /// A reading is right within half of its window. Between two of them MONOTONIC may have changed its rate, stepped, or
  /// been slewed for a moment: ``Edge/bend(_:_:allowed:)``.
  private func curve(
    _ name: String, rate: Double, _ clock: (ClockReading) -> Int64
  ) throws(AlignmentError) -> ClockCurve {
    var knots: [ClockCurve.Knot] = readings.map {
      ClockCurve.Knot(x: $0.monotonic.nanoseconds, y: clock($0), error: (Double($0.window) / 2 + 2) * rate)
    }
    var edges: [Edge] = []
    for (from, to) in zip(knots, knots.dropFirst()) {
      let length = Double(to.x - from.x)
      let edge = Edge(
        length: length, slope: Double(to.y.subtractingCapped(from.y)) / length, doubt: (from.error + to.error) / length)
      guard abs(edge.slope - rate) <= LocalClocks.steepest * rate + edge.doubt, edge.slope > 0 else {
        throw .jumped(side, clock: name, at: from.x)
      }
      edges.append(edge)
    }
    let allowed = rate * (1 - LocalClocks.slew)...rate * (1 + LocalClocks.slew)
    for index in edges.indices {
      knots[index].bend = Edge.bend(edges, index, allowed: allowed)
    }
    // Beyond the readings, the slope of the outermost edge may be as wrong as its bend says.
    let doubt = [0, edges.count - 1].map { knots[$0].bend / edges[$0].length }.max() ?? 0
    guard let curve = ClockCurve(knots: knots, growth: LocalClocks.slew * rate + doubt) else { throw .noReadings(side) }
    return curve
  }

  /// REALTIME − MONOTONIC over the run, a new epoch with each step of REALTIME.
  func wallEpochs() -> [Epoch] { Epoch.list(readings, \.realtime.nanoseconds) }
}

/// From one reading to the next.
private struct Edge {
  var length: Double
  var slope: Double
  /// How far off the slope may be, from the errors of both ends.
  var doubt: Double

  /// How far the truth may leave edge `index`, in units of y; `allowed` are the slopes that slewing can make.
  ///
  /// Where all edges around agree, the rate stayed between the slopes of the edge and its neighbours within their doubts, and
  /// a step too small to be told from the doubts shows in the difference from the neighbours. Where they do not, nothing tells
  /// one change of rate from several: it may have left the range of all slopes around on either side by the width of that
  /// range, as far as is allowed, or there was a step anywhere in the edge, or a slew that a neighbour shares: the whole
  /// difference and all doubts.
  static func bend(_ edges: [Edge], _ index: Int, allowed: ClosedRange<Double>) -> Double {
    let edge = edges[index]
    guard edges.count > 1 else { return edge.sag(allowed) }
    let isInner = index > 0 && index + 1 < edges.count
    // At the ends nobody knows the rate on the other side, and the neighbour may hold a part of the same slew.
    let near = around(edges, index, reach: isInner ? 1 : 2)
    let stepped = edge.length * (near.map { abs(edge.slope - $0.slope) + edge.doubt + $0.doubt }.max() ?? 0)
    let wide = around(edges, index, reach: 5)
    guard agree(wide) else {
      let seen = slopes(wide)
      let width = seen.upperBound - seen.lowerBound
      let low = min(seen.lowerBound, max(seen.lowerBound - width, allowed.lowerBound))
      let high = max(seen.upperBound, min(seen.upperBound + width, allowed.upperBound))
      return max(stepped, edge.sag(low...high))
    }
    guard isInner, wide.count > 3 else { return stepped }
    let hidden = near.map { abs($0.slope - edge.slope) }.max() ?? 0
    return max(edge.length * hidden, edge.sag(slopes(near)))
  }

  /// How far a path of slopes from l to u may leave its chord of slope s over h: at most h (u − s)(s − l) / (u − l).
  private func sag(_ range: ClosedRange<Double>) -> Double {
    let (low, high) = (range.lowerBound, range.upperBound)
    guard high > low else { return 0 }
    // The slope itself is in doubt: the worst that it may be lies nearest to the middle.
    let slope = min(max((low + high) / 2, slope - doubt), slope + doubt)
    return length * max(0, (high - slope) * (slope - low) / (high - low))
  }

  private static func around(_ edges: [Edge], _ index: Int, reach: Int) -> ArraySlice<Edge> {
    edges[max(0, index - reach)...min(edges.count - 1, index + reach)]
  }

  /// Whether one slope may be that of all edges.
  private static func agree(_ edges: ArraySlice<Edge>) -> Bool {
    edges.allSatisfy { edge in edges.allSatisfy { abs($0.slope - edge.slope) <= $0.doubt + edge.doubt } }
  }

  /// From the least slope that one of the edges may have to the greatest.
  private static func slopes(_ edges: ArraySlice<Edge>) -> ClosedRange<Double> {
    let lows = edges.map { $0.slope - $0.doubt }
    let highs = edges.map { $0.slope + $0.doubt }
    return (lows.min() ?? 0)...(highs.max() ?? 0)
  }
}

/// A time in which a clock was ahead of MONOTONIC by a constant: from one step of it to the next.
struct Epoch {
  /// MONOTONIC of its first and last reading.
  var start: Int64
  var end: Int64
  /// The clock − MONOTONIC lies between these.
  var least: Int64
  var greatest: Int64

  var offset: Int64 { least + (greatest - least) / 2 }
  var error: Double { Double(greatest - least) / 2 + 1 }

  /// A reading whose bounds leave nothing of those before it shows a step. Steps smaller than a window are not seen.
  static func list(_ readings: [ClockReading], _ clock: (ClockReading) -> Int64) -> [Epoch] {
    var epochs: [Epoch] = []
    for reading in readings {
      let at = reading.monotonic.nanoseconds
      let offset = clock(reading) - at
      let (low, high) = (offset - reading.window / 2 - 2, offset + reading.window / 2 + 2)
      if let last = epochs.last, low <= last.greatest, high >= last.least {
        epochs[epochs.count - 1] = Epoch(
          start: last.start, end: at, least: max(low, last.least), greatest: min(high, last.greatest))
      } else {
        epochs.append(Epoch(start: at, end: at, least: low, greatest: high))
      }
    }
    return epochs
  }
}

extension ClockReading {
  /// Files may hold anything: times beyond 146 years are not believed, so that sums and differences have room.
  fileprivate var isSane: Bool {
    let limit: Int64 = 1 << 62
    return window >= 0 && window < 1 << 40
      && [monotonic.nanoseconds, monotonicRaw.nanoseconds, realtime.nanoseconds, boottime.nanoseconds]
        .allSatisfy { $0 >= 0 && $0 < limit }
  }
}
