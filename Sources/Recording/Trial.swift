// SPDX-License-Identifier: GPL-2.0-or-later

/// Packets of one size at one rate, or one burst of them, and what became of them: a trial of RFC 2544.
package struct Trial: Sendable, Hashable {
  package enum Purpose: String, Sendable, CaseIterable {
    case search
    case confirmation
    case lossCurve = "loss-curve"
    case burstSearch = "burst-search"
    case burstConfirmation = "burst-confirmation"

    package var isBurst: Bool { self == .burstSearch || self == .burstConfirmation }
  }

  package enum Verdict: String, Sendable {
    case clean
    case lossy
    /// This machine did not send what was due, or dropped answers itself: nothing is known of the path.
    case notOffered = "not-offered"
    /// Loss, but this machine stalled, sent in a burst what was due meanwhile, and lost nothing but then: whose loss it is,
    /// is not known.
    case uneven
  }

  package var purpose: Purpose
  /// Bytes with the check sequence.
  package var frame: Int
  /// Packets a second that were due.
  package var rate: Double
  /// Seconds; of a burst the time that it takes at the rate.
  package var duration: Double
  /// Packets that were due, that left, and that were answered once at least.
  package var due = 0
  package var sent = 0
  package var answered = 0
  /// Of those that did not leave: refused by the stack; and why, the last time (errno).
  package var refused = 0
  package var refusal: Int32 = 0
  /// Answers that came again, and those behind answers to later packets.
  package var repeated = 0
  package var disordered = 0
  /// Answers for which this machine had no room.
  package var ownDrops = 0
  /// Packets a second that left.
  package var sentRate = 0.0
  /// Nanoseconds from a packet's send call to its answer; nil without answers, or where the clock of both was set.
  package var latency: Quantiles?
  /// Nanoseconds from when a packet was due to its send call.
  package var lateness: Quantiles?
  /// Packets that left in the wake of a stall.
  package var hurried = 0
  /// Lost packets that neither left so, nor so soon after one that a queue may still have been full of the burst.
  package var unexplained = 0
  /// The other ones, where the stall was a long one: their loss says nothing of the rate.
  package private(set) var lostInWake = 0
  /// How often CLOCK_REALTIME was set meanwhile.
  package var clockSteps = 0
  package var verdict = Verdict.notOffered

  /// Nanoseconds.
  package struct Quantiles: Sendable, Hashable {
    package var min: Int64
    package var mean: Int64
    package var p50: Int64
    package var p99: Int64
    package var p999: Int64
    package var max: Int64

    package init(min: Int64, mean: Int64, p50: Int64, p99: Int64, p999: Int64, max: Int64) {
      (self.min, self.mean, self.p50, self.p99, self.p999, self.max) = (min, mean, p50, p99, p999, max)
    }
  }

  package init(purpose: Purpose, frame: Int, rate: Double, duration: Double) {
    (self.purpose, self.frame, self.rate, self.duration) = (purpose, frame, rate, duration)
  }

  package var lost: Int { max(0, sent - answered) }
  /// Packets that were due and did not leave: this machine's shortfall, no loss.
  package var unsent: Int { max(0, due - sent) }
  package var lossShare: Double { sent > 0 ? Double(lost) / Double(sent) : 0 }

  /// Share of the packets due that must have left.
  package static let offeredShare = 0.995

  /// Sets the verdict from the counts.
  ///
  /// - Parameters:
  ///   - acceptedLoss: share of the packets sent.
  ///   - longestStall: nanoseconds by which a packet may be late.
  package mutating func judge(acceptedLoss: Double, longestStall: Int64 = .max) {
    if sent == 0 || Double(sent) < Double(due) * Trial.offeredShare || ownDrops > 0 {
      verdict = .notOffered
    } else {
      verdict = Double(lost) <= acceptedLoss * Double(sent) ? .clean : .lossy
    }
    let isLate = !purpose.isBurst && lateness?.max ?? 0 > longestStall
    lostInWake = isLate ? max(0, lost - unexplained) : 0
    if verdict == .lossy, isLate, lost <= hurried, Double(unexplained) <= acceptedLoss * Double(sent) {
      verdict = .uneven
    }
  }

  /// Whether another try may do: this machine was at fault, and not by much. Where most packets were lost in the wake of a
  /// stall, those lost later may have met the queue that it had filled.
  package var isWorthRepeating: Bool {
    switch verdict {
    case .clean: false
    case .uneven: true
    case .lossy: 2 * lostInWake >= lost
    case .notOffered: refused == 0 && Double(sent) >= Double(due) * 0.9
    }
  }
}

/// What the trials of one frame size have shown.
package struct FrameResult: Sendable, Hashable {
  /// Bytes with the check sequence.
  package var frame: Int
  /// Packets a second that fit on the line.
  package var lineRate: Double
  /// The highest rate that was tried.
  package var highest: Double
  /// Packets a second that left in every confirmation without loss, the fewest of them; nil: no rate was confirmed.
  package var throughput: Double?
  /// Of all the packets that confirmed it; more than 0 only where loss was accepted.
  package var lost = 0
  /// The lowest rate that failed, and how; nil: none did.
  package var failingRate: Double?
  package var failingVerdict = Trial.Verdict.lossy
  /// At the throughput: means over the confirmations, the least minimum and the largest maximum.
  package var latency: Trial.Quantiles?
  package var lossCurve: [Trial] = []
  /// Packets of the longest burst that was confirmed.
  package var burst: Int?
  /// Packets a second in it.
  package var burstRate = 0.0
  /// No longer burst was tried.
  package var isBurstLimit = false
  /// The shortest burst that failed, and how; nil: none did.
  package var failingBurst: Int?
  package var failingBurstVerdict = Trial.Verdict.lossy
  /// The measurement that was not brought to its end.
  package var unfinished: String?

  /// Whether more than the highest rate tried fits on the line, and that was without loss.
  package var isCapped: Bool { throughput != nil && failingRate == nil && highest < lineRate }
  /// Whether the throughput is this machine's or this program's, a lower bound of the path's.
  package var isSendersLimit: Bool { failingRate != nil && failingVerdict != .lossy || isCapped }
  /// The same of the longest burst.
  package var isSendersBurst: Bool { failingBurst != nil && failingBurstVerdict != .lossy }

  package init(frame: Int, lineRate: Double, highest: Double) {
    (self.frame, self.lineRate, self.highest) = (frame, lineRate, highest)
  }
}
