// SPDX-License-Identifier: GPL-2.0-or-later
import Analysis
import Glibc

/// Shapes of a distribution for files and pictures; input is ascending, nanoseconds.
enum Distribution {
  /// A corner of a CCDF as drawn.
  struct Corner: Equatable {
    var value: Int64
    /// Fraction of the samples > value.
    var fraction: Double
  }

  /// The CCDF for a picture with logarithmic axes, thinned.
  ///
  /// Begins at the smallest value > 0, and carries the last fraction above 0 on to the maximum, as a logarithmic axis
  /// has no place for 0. Values ≤ 0 have no place either and are left out.
  static func drawnCCDF(_ sorted: Column<Int64>) -> [Corner] {
    let exact = thinnedCCDF(sorted)
    let notDrawn = sorted.partitioningIndex { $0 > 0 }
    guard notDrawn < sorted.count, case let least = sorted[notDrawn], let greatest = sorted.last else { return [] }
    var corners = [Corner(value: least, fraction: Double(sorted.count - notDrawn) / Double(sorted.count))]
    for point in exact where point.value > 0 && point.exceeding > 0 {
      corners.append(Corner(value: point.value, fraction: point.fraction))
    }
    corners.append(Corner(value: greatest, fraction: corners[corners.count - 1].fraction))
    return corners
  }

  struct Bin: Equatable {
    /// The bin holds [low, high).
    var low: Int64
    var high: Int64
    var count: Int
  }

  /// Counts in bins of equal width on a logarithmic axis, 20 a decade, with edges on whole nanoseconds so that
  /// no bin is empty only because it holds no integer. Values ≤ 0 are left out; bins without samples too.
  static func logarithmicBins(_ sorted: Column<Int64>) -> [Bin] {
    var bins: [Bin] = []
    var edge = 0
    var low: Int64 = 1
    var high: Int64 = 1
    for value in sorted where value > 0 {
      if value >= high || bins.isEmpty {
        while value >= high, high < Int64.max {
          edge += 1
          low = high
          high = max(low, edgeValue(edge))
        }
        bins.append(Bin(low: low, high: high, count: 0))
      }
      bins[bins.count - 1].count += 1
    }
    return bins
  }

  /// round(10^(k/20)) up to what fits.
  private static func edgeValue(_ edge: Int) -> Int64 {
    let value = pow(10, Double(edge) / 20)
    return value < 9e18 ? Int64(value.rounded()) : Int64.max
  }
}
