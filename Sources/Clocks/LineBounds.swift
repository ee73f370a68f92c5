// SPDX-License-Identifier: GPL-2.0-or-later

/// All straight lines of a slope near 1 that keep to bounds: "at x, y is at least this", "at x, y is at most that".
///
/// In the plane of slope and height every bound is a half plane, so the lines that are left are a convex polygon, cut
/// smaller by each bound. It holds what the convex hulls of Moon, Skelly and Towsley (INFOCOM 1999) hold, the
/// fastest messages of both directions, without a choice of samples: a slow message cuts nothing off.
struct LineBounds {
  /// The place that lines are measured from, nanoseconds.
  private let x0: Int64
  private let y0: Int64
  /// Corners in order: slope − 1 in ns/s, height above y0 at x0 in ns.
  private var corners: [(slope: Double, height: Double)]

  /// Clocks that are not slewed differ by less than 1000 ppm in rate.
  static let steepest = 1e-3
  /// Times are cut off to whole nanoseconds at both ends.
  private static let rounding = 1.0

  init(x: Int64, y: Int64) {
    x0 = x
    y0 = y
    let (slope, height) = (LineBounds.steepest * 1e9, 1e12)
    corners = [(-slope, -height), (slope, -height), (slope, height), (-slope, height)]
  }

  var isEmpty: Bool { corners.isEmpty }

  /// Keeps the lines with y − `looseness` ≤ line(x).
  mutating func cut(x: Int64, atLeast y: Int64, looseness: Double = 0) {
    cut(seconds(x), above(y, x) - looseness - LineBounds.rounding, sign: 1)
  }

  /// Keeps the lines with line(x) ≤ y + `looseness`.
  mutating func cut(x: Int64, atMost y: Int64, looseness: Double = 0) {
    cut(seconds(x), above(y, x) + looseness + LineBounds.rounding, sign: -1)
  }

  /// Least and greatest y of any line at x; nil if none is left.
  func range(at x: Int64) -> (middle: Int64, half: Double)? {
    let place = seconds(x)
    var low = Double.infinity
    var high = -Double.infinity
    for corner in corners {
      let height = corner.slope * place + corner.height
      low = min(low, height)
      high = max(high, height)
    }
    guard low <= high else { return nil }
    let middle = whole((low + high) / 2)
    // A nanosecond for the rounding of the middle.
    return (y0.addingCapped(x.subtractingCapped(x0)).addingCapped(middle), (high - low) / 2 + 1)
  }

  /// Least and greatest slope − 1 of any line.
  var slopes: ClosedRange<Double> {
    let slopes = corners.map { $0.slope * 1e-9 }
    return (slopes.min() ?? 0)...(slopes.max() ?? 0)
  }

  private func seconds(_ x: Int64) -> Double { Double(x.subtractingCapped(x0)) * 1e-9 }

  /// y above the line of slope 1 through the origin.
  private func above(_ y: Int64, _ x: Int64) -> Double {
    Double(y.subtractingCapped(y0).subtractingCapped(x.subtractingCapped(x0)))
  }

  /// Cuts off a polygon at a line (Sutherland and Hodgman, 1974).
  private mutating func cut(_ x: Double, _ bound: Double, sign: Double) {
    func excess(_ corner: (slope: Double, height: Double)) -> Double {
      (corner.slope * x + corner.height - bound) * sign
    }
    guard corners.contains(where: { excess($0) < 0 }) else { return }
    var kept: [(slope: Double, height: Double)] = []
    for (index, corner) in corners.enumerated() {
      let next = corners[(index + 1) % corners.count]
      let (here, there) = (excess(corner), excess(next))
      if here >= 0 { kept.append(corner) }
      if (here < 0) != (there < 0) {
        let part = here / (here - there)
        kept.append(
          (corner.slope + (next.slope - corner.slope) * part, corner.height + (next.height - corner.height) * part))
      }
    }
    // Without this bound there are only more lines, and the error is larger; samples that are not made up leave some tens.
    guard kept.count <= LineBounds.cornerLimit else { return }
    corners = kept
  }

  private static let cornerLimit = 1_024
}
