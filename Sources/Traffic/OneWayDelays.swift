// SPDX-License-Identifier: GPL-2.0-or-later
internal import TestPackets

/// The four times of one round trip, nanoseconds since 1970: T1 and T4 by the sender's CLOCK_REALTIME, T2 and T3 by the
/// reflector's clock (RFC 8762, section 4).
struct FourTimes: Sendable, Hashable {
  /// T1: the packet left.
  var sent: Int64
  /// T2: the reflector got it.
  var received: Int64
  /// T3: its answer left.
  var answered: Int64
  /// T4: the answer came.
  var came: Int64

  /// T2 − T1. Times of a peer may be anything: what 64 bits do not hold wraps.
  var forward: Int64 { received &- sent }
  /// T4 − T3.
  var backward: Int64 { came &- answered }
}

/// Whether the delays of each way can be told, how well, and what speaks against it.
///
/// They can where both error estimates say S = 1 in every packet (RFC 4656, section 4.1.2), or where somebody knows that
/// there is but one clock.
struct OneWayDelays: Sendable {
  /// By how much two clocks may move against each other: each is disciplined by 500 ppm at most.
  private static let driftPPM: Int64 = 1000

  /// The reflector has the sender's clock.
  let isSameClock: Bool
  private(set) var count = 0
  /// Delays below zero by more than the error estimates of their packet and its answer.
  private(set) var negative = (forward: 0, backward: 0)
  /// How often the clocks moved against each other by more than they drift, as the packets prove.
  private(set) var jumps = 0
  private var isUnsynchronized = (sender: false, reflector: false)
  private var isCut = false
  /// An error estimate says S = 1 and not how well (RFC 4656: such a packet is broken).
  private var isWithoutError = false
  /// Why the reflector's times are no good; nil if nothing speaks against them.
  var distrust: String?
  /// The largest so far, nanoseconds.
  private var errors = (sender: Int64(0), reflector: Int64(0))
  /// What the reflector's clock may be ahead, and when that was known (T4).
  private var ahead: (range: ClosedRange<Int64>, at: Int64)?

  init(isSameClock: Bool) { self.isSameClock = isSameClock }

  /// Bound of the error of each delay: both estimates at their largest, nanoseconds; 0 on one clock.
  var error: Int64 { isSameClock ? 0 : errors.sender + errors.reflector }

  /// Whether all answers so far allow one-way delays, and there are any.
  var isTold: Bool { count > 0 && refusal == nil }

  /// Why there are none; nil if there are, or if nothing was answered.
  var refusal: String? {
    if isCut { return "the packets are too short for answers with the reflector's receive time" }
    if let distrust { return distrust }
    if isWithoutError, !isUnsynchronized.sender {
      return "the reflector says that its clock is synchronised, and not how well (a multiplier of 0)"
    }
    return switch isUnsynchronized {
    case (false, false): nil
    case (true, false): "this machine's clock is not synchronised (S = 0)"
    case (false, true): "the reflector's clock is not synchronised (S = 0)"
    case (true, true): "neither this machine's clock nor the reflector's is synchronised (S = 0)"
    }
  }

  /// An answer without T2.
  mutating func takeCut() { isCut = true }

  /// - Returns: whether its delays can be told.
  mutating func take(_ times: FourTimes, sender: ErrorEstimate, reflector: ErrorEstimate) -> Bool {
    if !isSameClock {
      if !sender.isUsable { isUnsynchronized.sender = true }
      if !reflector.isUsable {
        if reflector.isSynchronized { isWithoutError = true } else { isUnsynchronized.reflector = true }
      }
      guard refusal == nil else { return false }
      errors.sender = max(errors.sender, sender.nanoseconds)
      errors.reflector = max(errors.reflector, reflector.nanoseconds)
    }
    count += 1
    let error = isSameClock ? 0 : sender.nanoseconds + reflector.nanoseconds
    if times.forward < -error { negative.forward += 1 }
    if times.backward < -error { negative.backward += 1 }
    follow(times)
    return true
  }

  /// Nothing arrives before it left: the reflector's clock is ahead by T3 − T4 at least and T2 − T1 at most.
  private mutating func follow(_ times: FourTimes) {
    let (least, greatest) = (0 &- times.backward, times.forward)
    guard least <= greatest else { return jumps += 1 }
    var range = least...greatest
    if let ahead {
      let drift = Int64(clamping: (times.came &- ahead.at).magnitude) / 1_000_000 * OneWayDelays.driftPPM + 1000
      let low = max(ahead.range.lowerBound.subtractingReportingOverflow(drift).partialValue, least)
      let high = min(ahead.range.upperBound.addingReportingOverflow(drift).partialValue, greatest)
      if low <= high { range = low...high } else { jumps += 1 }
    }
    ahead = (range, times.came)
  }
}

extension ErrorEstimate {
  /// The clock is synchronised, and by how much it may be off is told: a multiplier of 0 tells nothing.
  var isUsable: Bool { isSynchronized && bits & 255 != 0 }

  /// Rounded up; at most 10^18.
  var nanoseconds: Int64 { Int64(min((seconds * 1e9).rounded(.up), 1e18)) }
}
