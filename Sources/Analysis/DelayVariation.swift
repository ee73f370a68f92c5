// SPDX-License-Identifier: GPL-2.0-or-later
import Recording

/// Delay variation of packets sent in succession: IPDV(i) = D(i) − D(i−1) (RFC 5481, section 4.1); nanoseconds, signed.
///
/// i − 1 is the packet sent before i, whatever the order in which they came; there is none where one of the two was lost.
package struct SuccessiveVariation: Sendable, Equatable {
  /// Packets for which it is defined.
  package var count: Int
  package var min: Int64
  /// Type-1 quantiles of the signed values.
  package var median: Int64
  package var p99: Int64
  package var max: Int64
  /// The same of |IPDV|, the absolute values of RFC 3393, section 4.5.
  package var absoluteP99: Int64

  /// Nil without values.
  /// - Complexity: O(n log n).
  package init?(_ values: Column<Int64>) {
    let sorted = values.ascending()
    guard let min = sorted.first, let max = sorted.last, let median = quantile(0.5, ofSorted: sorted),
      let p99 = quantile(0.99, ofSorted: sorted)
    else { return nil }
    (count, self.min, self.median, self.p99, self.max) = (sorted.count, min, median, p99, max)
    absoluteP99 = distance(quantileRank(0.99, count: count), from: 0, ofSorted: sorted)
  }
}

/// |x|, within what 64 bits hold.
package func magnitude(_ value: Int64) -> Int64 { Int64(clamping: value.magnitude) }

extension SegmentResult {
  /// Bound of the clock error in a difference of two delays, nanoseconds: each is within ± ``errorBound``.
  package var variationError: Int64 { errorBound.multipliedReportingOverflow(by: 2).overflow ? .max : errorBound * 2 }

  /// PDV(i) = D(i) − D(min) over the run (RFC 5481, section 4.2); nanoseconds. Nil without samples.
  ///
  /// That shifts the distribution of the delays: their spread and their dependence are the same. Without ``Summary/sorted``.
  package var packetVariation: Summary? {
    guard var shifted = summary else { return nil }
    let least = shifted.min
    func above(_ value: Int64) -> Int64 { value.subtractingReportingOverflow(least).partialValue }
    shifted.sorted = []
    shifted.min = 0
    shifted.max = above(shifted.max)
    shifted.mean -= Double(least)
    for index in shifted.quantiles.indices {
      let quantile = shifted.quantiles[index]
      shifted.quantiles[index].value = above(quantile.value)
      shifted.quantiles[index].interval = quantile.interval.map { above($0.lowerBound)...above($0.upperBound) }
      shifted.quantiles[index].isResolved = quantile.interval != nil && above(quantile.value) >= variationError
    }
    return shifted
  }
}

/// Differences of delays of packets in the order in which they were sent.
///
/// - Parameters:
///   - delays: any order; at most 2^31 packets are sent between one and the next.
///   - numbers: those of the sender, modulo 2^32, in the same order.
func successiveDifferences(_ delays: [Int64], numbers: [UInt32]) -> [Int64] {
  var last: Int64 = 0
  let sent = zip(numbers, delays).map { number, delay in
    last += Int64(Int32(truncatingIfNeeded: Int64(number) - last))
    return (number: last, delay: delay)
  }.sorted { $0.number < $1.number }
  return zip(sent, sent.dropFirst()).compactMap { before, after in
    after.number == before.number + 1 ? after.delay.subtractingReportingOverflow(before.delay).partialValue : nil
  }
}
