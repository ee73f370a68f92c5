// SPDX-License-Identifier: GPL-2.0-or-later
package import Clocks
internal import Glibc

/// How fast packets are sent.
package struct Pace: Sendable, Hashable {
  package enum Interval: String, Sendable, CaseIterable {
    case constant
    /// From 0 to twice the mean, each as likely.
    case uniform
    /// As of a Poisson process.
    case exponential
  }

  /// Packets a second, in the mean.
  package var rate: Double
  package var interval: Interval
  /// Packets that are due together.
  package var burst: UInt64
  /// Of random intervals: the same seed gives the same ones.
  package var seed: UInt64

  package init(rate: Double, interval: Interval = .constant, burst: UInt64 = 1, seed: UInt64 = 0) {
    (self.rate, self.interval, self.burst, self.seed) = (rate, interval, burst, seed)
  }

  /// For people.
  package var text: String {
    "\(interval.rawValue) intervals" + (interval == .constant ? "" : " of seed \(seed)")
      + (burst == 1 ? "" : ", bursts of \(burst)")
  }
}

/// When packets are due, one after the other. A packet that left late does not delay those behind it.
package struct Schedule: Sendable {
  private let start: Instant<Monotonic>
  private let pace: Pace
  private var number: UInt64 = 0
  private var offset = 0.0
  private var state: UInt64

  package init(start: Instant<Monotonic>, pace: Pace) {
    (self.start, self.pace, state) = (start, pace, pace.seed)
  }

  /// When the next packet is due; the first one at the start.
  package mutating func next() -> Instant<Monotonic> {
    defer { number += 1 }
    let (bursts, place) = number.quotientAndRemainder(dividingBy: pace.burst)
    let mean = 1e9 * Double(pace.burst) / pace.rate
    switch pace.interval {
    // From the start each time, so that nothing adds up.
    case .constant: offset = Double(bursts) * mean
    case .uniform where place == 0 && number > 0: offset += 2 * mean * random()
    case .exponential where place == 0 && number > 0: offset += -mean * log1p(-random())
    default: break
    }
    return Instant(nanoseconds: start.nanoseconds + Int64(offset.rounded()))
  }

  /// SplitMix64; at least 0, less than 1.
  private mutating func random() -> Double {
    state &+= 0x9e37_79b9_7f4a_7c15
    var mixed = state
    mixed = (mixed ^ mixed >> 30) &* 0xbf58_476d_1ce4_e5b9
    mixed = (mixed ^ mixed >> 27) &* 0x94d0_49bb_1331_11eb
    return Double((mixed ^ mixed >> 31) >> 11) / 9_007_199_254_740_992
  }
}
