// SPDX-License-Identifier: GPL-2.0-or-later

/// What one sample says about the host's MONOTONIC_RAW: at least `low` when the guest's shows `lowAt`, at most `high`
/// when it shows `highAt`; nanoseconds.
struct RawBound {
  var lowAt: Int64
  var low: Int64
  var highAt: Int64
  var high: Int64
}

/// Joins guest MONOTONIC → guest RAW → host RAW → host MONOTONIC.
func align(
  _ host: LocalClocks, _ guest: LocalClocks, by rawToRaw: (ClosedRange<Int64>) throws(AlignmentError) -> ClockCurve,
  method: AlignmentMethod, samples: Int
) throws(AlignmentError) -> ClockMap {
  let guestRaw = try guest.raw()
  guard let first = guestRaw.knots.first, let last = guestRaw.knots.last else { throw .noOverlap }
  let between = try rawToRaw(first.y...last.y)
  guard let back = try host.raw().inverted(), let toHost = guestRaw.followed(by: between),
    let curve = toHost.followed(by: back)
  else { throw .noOverlap }
  return try ClockMap(curve, method: method, samples: samples)
}

/// From the guest's MONOTONIC_RAW to the host's within all bounds: one straight line if there is one, else pieces.
///
/// Clocks that are not slewed run straight against each other, exactly so if both count the same counter, as on one
/// host. The map is the middle of all lines that keep the bounds, its error half of their range.
/// - Parameters:
///   - bounds: in order of time.
///   - span: guest times to cover at least.
///   - looseness: how far a bound may be wrong, nanoseconds.
func rawCurve(
  _ bounds: [RawBound], over span: ClosedRange<Int64>, looseness: Double = 0
) throws(AlignmentError) -> ClockCurve {
  let pieces = linePieces(bounds, looseness: looseness)
  var knots: [ClockCurve.Knot] = []
  for (index, piece) in pieces.enumerated() {
    let first = index == 0 ? min(piece.first, span.lowerBound) : piece.first
    let last = index == pieces.count - 1 ? max(piece.last, span.upperBound) : piece.last
    let before = knots.count
    knots += piece.knots(from: first, to: last, looseness: looseness)
    guard index > 0, before > 0, before < knots.count else { continue }
    let (end, begin) = (knots[before - 1], knots[before])
    let (length, rise) = (Double(begin.x - end.x), Double(begin.y - end.y))
    guard length > 0, abs(rise - length) <= LineBounds.steepest * length + end.error + begin.error else {
      throw .contradiction(at: end.x)
    }
    // Somewhere between the two the clocks changed their rate, or one of them stepped by what a line does not explain.
    // A single sample tells no slope.
    let slopes = [pieces[index - 1], piece].filter { $0.samples.count > 1 }.map(\.lines.slopes)
    let extremes = slopes.isEmpty ? [piece.lines.slopes] : slopes
    let step = extremes.flatMap { [$0.lowerBound, $0.upperBound] }.map { abs(rise - length - $0 * length) }.max() ?? 0
    knots[before - 1].bend = step + end.error + begin.error
  }
  // The lines have been drawn to both ends of the span; beyond, they part by no more than their slopes do.
  let spread = pieces.map { $0.lines.slopes.upperBound - $0.lines.slopes.lowerBound }.max() ?? 0
  guard let curve = ClockCurve(knots: knots, growth: spread) else { throw .noOverlap }
  return curve
}

/// Lines that hold from one guest time to another.
struct LinePiece {
  /// Places of the bounds that they keep.
  var samples: Range<Int>
  var first: Int64
  var last: Int64
  var lines: LineBounds

  /// The range of the lines is convex, so its half taken at some places and joined by chords is never too small.
  fileprivate func knots(from first: Int64, to last: Int64, looseness: Double) -> [ClockCurve.Knot] {
    let count: Int64 = 32
    let step = max((last - first) / count, 1_000_000)
    var places = Array(stride(from: first, to: last, by: Int64.Stride(step)))
    places.append(last)
    return places.compactMap { x in
      lines.range(at: x).map { ClockCurve.Knot(x: x, y: $0.middle, error: $0.half + looseness) }
    }
  }
}

/// As few straight pieces as keep the bounds, without the samples between them that may belong to either.
///
/// Cut from the front, each piece goes on as far as one line can, and so beyond the place where the truth left it; cut from the
/// back, it begins too early. What is in the same piece both ways is left of it, one sample at least.
func linePieces(_ all: [RawBound], looseness: Double) -> [LinePiece] {
  // A bound that no line keeps says nothing.
  let bounds = all.filter { !LineBounds([$0], looseness).isEmpty }
  let starts = pieceStarts(bounds, looseness)
  var ends = pieceStarts(bounds.reversed(), looseness).reversed().map { bounds.count - $0 }
  if ends.count != starts.count { ends = starts.dropFirst() + [bounds.count] }
  return zip(starts, ends).map { start, end in
    let middle = (start + end - 1) / 2
    let samples = start < end ? start..<end : middle..<(middle + 1)
    return LinePiece(
      samples: samples, first: bounds[samples.lowerBound].lowAt,
      last: bounds[samples].map(\.highAt).max() ?? bounds[samples.lowerBound].highAt,
      lines: LineBounds(bounds[samples], looseness))
  }
}

/// Where a new line has to begin, if each is kept as long as it can.
private func pieceStarts(_ bounds: [RawBound], _ looseness: Double) -> [Int] {
  var starts: [Int] = []
  var lines: LineBounds?
  for (index, bound) in bounds.enumerated() {
    lines?.cut(bound, looseness)
    if let lines, !lines.isEmpty { continue }
    starts.append(index)
    lines = LineBounds([bound], looseness)
  }
  return starts
}

extension LineBounds {
  /// All lines that keep the bounds, of which there is one at least.
  fileprivate init(_ bounds: some Sequence<RawBound>, _ looseness: Double) {
    var lines: LineBounds?
    for bound in bounds {
      if lines == nil { lines = LineBounds(x: bound.lowAt, y: bound.low) }
      lines?.cut(bound, looseness)
    }
    self = lines ?? LineBounds(x: 0, y: 0)
  }

  fileprivate mutating func cut(_ bound: RawBound, _ looseness: Double) {
    cut(x: bound.lowAt, atLeast: bound.low, looseness: looseness)
    cut(x: bound.highAt, atMost: bound.high, looseness: looseness)
  }
}
