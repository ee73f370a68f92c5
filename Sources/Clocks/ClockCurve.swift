// SPDX-License-Identifier: GPL-2.0-or-later

/// What one clock shows when another shows x: a rising polyline through knots, with a bound of its error everywhere.
///
/// x and y are nanoseconds or counter ticks; errors are in units of y. Whole numbers keep 64-bit times exact, only
/// distances to a knot go through Double.
struct ClockCurve {
  struct Knot {
    var x: Int64
    var y: Int64
    /// The true y at x lies within ± this.
    var error: Double
    /// How far the truth may leave the straight line to the next knot, beside the errors of the two ends.
    var bend: Double = 0
  }

  /// At least two, x and y strictly ascending.
  private(set) var knots: [Knot]
  /// Growth of the error outside of the knots, units of y per unit of x.
  private(set) var growth: Double

  /// How far outside of its knots a curve is continued: 10 s, if x is nanoseconds.
  static let reach: Int64 = 10_000_000_000

  /// Nil with fewer than two knots left: those that do not rise are left out.
  init?(knots candidates: [Knot], growth: Double) {
    var knots: [Knot] = []
    knots.reserveCapacity(candidates.count)
    for knot in candidates {
      if let last = knots.last, knot.x <= last.x || knot.y <= last.y { continue }
      knots.append(knot)
    }
    guard knots.count >= 2 else { return nil }
    self.knots = knots
    self.growth = growth
  }

  var start: Int64 { knots[0].x }
  var end: Int64 { knots[knots.count - 1].x }

  /// Mean slope, units of y per unit of x.
  var slope: Double {
    let last = knots[knots.count - 1]
    return Double(last.y - knots[0].y) / Double(last.x - knots[0].x)
  }

  /// The edge that holds x, the first or last one for an x outside.
  /// - Complexity: O(log n); O(1) if `hint` or the edge after it holds x.
  func edge(of x: Int64, hint: Int = 0) -> Int {
    let last = knots.count - 2
    for guess in hint...(hint + 1) where guess <= last && guess >= 0 {
      if (guess == 0 || knots[guess].x <= x) && (guess == last || x < knots[guess + 1].x) { return guess }
    }
    var low = 0
    var high = last
    while low < high {
      let middle = (low + high + 1) / 2
      if knots[middle].x <= x { low = middle } else { high = middle - 1 }
    }
    return low
  }

  func slope(ofEdge edge: Int) -> Double {
    Double(knots[edge + 1].y - knots[edge].y) / Double(knots[edge + 1].x - knots[edge].x)
  }

  /// y at x and the bound of its error, or the part of it that comes from the knots; `edge` as ``edge(of:hint:)`` gives it.
  func value(at x: Int64, edge: Int, withBend: Bool = true) -> (y: Int64, error: Double) {
    let (from, to) = (knots[edge], knots[edge + 1])
    let slope = slope(ofEdge: edge)
    let bend = withBend ? from.bend : 0
    if x < from.x {
      let distance = Double(from.x.subtractingCapped(x))
      return (from.y.subtractingCapped(whole(distance * slope)), from.error + bend + distance * growth)
    }
    let distance = Double(x.subtractingCapped(from.x))
    let y = from.y.addingCapped(whole(distance * slope))
    if x > to.x {
      return (y, to.error + bend + Double(x.subtractingCapped(to.x)) * growth)
    }
    let part = distance / Double(to.x - from.x)
    // Rounding must not make a later knot come first.
    return (min(y, to.y), from.error + (to.error - from.error) * part + bend)
  }

  func value(at x: Int64) -> (y: Int64, error: Double) { value(at: x, edge: edge(of: x)) }

  /// The curve from y to x.
  func inverted() -> ClockCurve? {
    var flipped: [Knot] = []
    for (index, knot) in knots.enumerated() {
      let before = slope(ofEdge: max(index - 1, 0))
      let after = slope(ofEdge: min(index, knots.count - 2))
      flipped.append(
        Knot(x: knot.y, y: knot.x, error: knot.error / min(before, after), bend: knot.bend / after))
    }
    return ClockCurve(knots: flipped, growth: growth / slope / slope)
  }

  /// `outer` of this curve, over the time that both cover.
  ///
  /// A polyline again, with a knot wherever one of the two has one; the errors add up, this curve's times the slope
  /// of `outer`. One unit is added for the rounding of knots to whole numbers.
  func followed(by outer: ClockCurve) -> ClockCurve? {
    guard let back = inverted() else { return nil }
    var places = knots.map(\.x)
    var hint = 0
    for knot in outer.knots {
      hint = back.edge(of: knot.x, hint: hint)
      places.append(back.value(at: knot.x, edge: hint).y)
    }
    let first = max(start, back.value(at: outer.start).y)
    let last = min(end, back.value(at: outer.end).y)
    guard first < last else { return nil }
    places = places.filter { $0 >= first && $0 <= last }.sorted()
    var joined: [Knot] = []
    var (inside, outside) = (0, 0)
    for x in places where joined.last.map({ $0.x < x }) ?? true {
      if let last = joined.last {
        // The edges are those in the middle: a knot's rounded place may still lie on the edge before it.
        let bend = bend(followedBy: outer, at: last.x + (x - last.x) / 2, &inside, &outside)
        joined[joined.count - 1].bend = bend
      }
      inside = edge(of: x, hint: inside)
      let (y, error) = value(at: x, edge: inside, withBend: false)
      outside = outer.edge(of: y, hint: outside)
      let (z, outerError) = outer.value(at: y, edge: outside, withBend: false)
      joined.append(Knot(x: x, y: z, error: outerError + outer.slope(ofEdge: outside) * error + 1))
    }
    return ClockCurve(knots: joined, growth: outer.growth * slope + outer.slope * growth)
  }

  private func bend(followedBy outer: ClockCurve, at x: Int64, _ inside: inout Int, _ outside: inout Int) -> Double {
    inside = edge(of: x, hint: inside)
    outside = outer.edge(of: value(at: x, edge: inside).y, hint: outside)
    return outer.knots[outside].bend + outer.slope(ofEdge: outside) * knots[inside].bend
  }

  /// The largest error between two x.
  func maximumError(from first: Int64, to last: Int64) -> Double {
    var largest = max(value(at: first).error, value(at: last).error)
    for (index, knot) in knots.enumerated() where knot.x >= first && knot.x <= last {
      largest = max(largest, knot.error + max(knot.bend, index > 0 ? knots[index - 1].bend : 0))
    }
    return largest
  }
}

/// The nearest whole number, the largest or smallest one where there is none.
func whole(_ value: Double) -> Int64 {
  Int64(exactly: value.rounded()) ?? (value > 0 ? .max : .min)
}

extension Int64 {
  func addingCapped(_ other: Int64) -> Int64 {
    let (sum, overflow) = addingReportingOverflow(other)
    return overflow ? (other > 0 ? .max : .min) : sum
  }

  func subtractingCapped(_ other: Int64) -> Int64 {
    let (difference, overflow) = subtractingReportingOverflow(other)
    return overflow ? (other < 0 ? .max : .min) : difference
  }
}
