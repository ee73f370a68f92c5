// SPDX-License-Identifier: GPL-2.0-or-later

/// How a guest's clock was compared with its host's.
package enum AlignmentMethod: String, Sendable, CaseIterable {
  /// Offset and scaling of the time stamp counter, from KVM.
  case tsc
  /// Cross time stamps of the guest's ptp_kvm device.
  case ptpKVM = "ptp_kvm"
  /// Messages between host and guest, both ways.
  case exchange
}

/// From a guest's CLOCK_MONOTONIC to its host's, with the bound ε of the error at every time; nanoseconds.
package struct ClockMap: Sendable {
  package let method: AlignmentMethod
  /// How much faster the host's clock ran than the guest's, over the run.
  package let driftPPM: Double
  /// Counter readings, cross stamps or exchanges that it rests on.
  package let samples: Int
  let curve: ClockCurve

  init(_ curve: ClockCurve, method: AlignmentMethod, samples: Int) throws(AlignmentError) {
    driftPPM = (curve.slope - 1) * 1e6
    // Two slewed clocks and their crystals.
    guard abs(driftPPM) < 5_000 else { throw .implausibleRate(ppm: driftPPM) }
    self.method = method
    self.samples = samples
    self.curve = curve
  }

  /// Guest times from first to last clock reading that both machines cover.
  package var covered: ClosedRange<Int64> { curve.start...curve.end }

  /// Reads the map at ascending or any other times.
  ///
  /// - Complexity: O(log n) a time, O(1) for ascending ones that are close together.
  package struct Cursor {
    fileprivate let curve: ClockCurve
    fileprivate var edge = 0

    /// The host's time when the guest's clock shows `guest`; nil more than 10 s outside of all samples.
    package mutating func host(_ guest: Int64) -> Int64? {
      edge = curve.edge(of: guest, hint: edge)
      guard curve.reaches(guest) else { return nil }
      return curve.value(at: guest, edge: edge).y
    }
  }

  package func cursor() -> Cursor { Cursor(curve: curve) }

  package func host(_ guest: Int64) -> Int64? {
    var cursor = cursor()
    return cursor.host(guest)
  }

  /// ε at a guest time, rounded up; nil where there is no ``host(_:)``.
  package func error(at guest: Int64) -> Int64? {
    curve.reaches(guest) ? roundedUp(curve.value(at: guest).error) : nil
  }

  /// The largest ε between two guest times, rounded up.
  package func maximumError(over span: ClosedRange<Int64>) -> Int64 {
    roundedUp(curve.maximumError(from: span.lowerBound, to: span.upperBound))
  }

  /// How far two maps of one guest are apart, at the guest time where it is the most beyond what their errors allow.
  package struct Disagreement: Sendable, Equatable {
    package var at: Int64
    /// The absolute difference of the two host times.
    package var difference: Int64
    /// ε of the one and ε of the other.
    package var allowance: Int64

    package var isAllowed: Bool { difference <= allowance }
  }

  /// Both maps are straight between their knots, so their worst disagreement lies at a knot, but for the steps in ε.
  package func disagreement(with other: ClockMap, over span: ClosedRange<Int64>) -> Disagreement {
    let places =
      [span.lowerBound, span.upperBound]
      + (curve.knots + other.curve.knots).map(\.x).filter { span.contains($0) }
    var worst: Disagreement?
    for at in places.sorted() {
      let (mine, theirs) = (curve.value(at: at), other.curve.value(at: at))
      let gap = mine.y.subtractingCapped(theirs.y)
      let found = Disagreement(
        at: at, difference: gap == .min ? .max : abs(gap), allowance: roundedUp(mine.error + theirs.error))
      if let known = worst,
        known.difference.subtractingCapped(known.allowance)
          >= found.difference.subtractingCapped(found.allowance)
      {
        continue
      }
      worst = found
    }
    return worst ?? Disagreement(at: span.lowerBound, difference: 0, allowance: 0)
  }
}

extension ClockCurve {
  func reaches(_ x: Int64) -> Bool {
    x >= start.subtractingCapped(ClockCurve.reach) && x <= end.addingCapped(ClockCurve.reach)
  }
}

private func roundedUp(_ error: Double) -> Int64 { whole(error.rounded(.up)) }
