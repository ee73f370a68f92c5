// SPDX-License-Identifier: GPL-2.0-or-later
package import Recording

/// The highest value at which nothing is lost: of rates, or of packets in a burst. Pure: whoever calls does the trials.
///
/// A trial that loses says what survived, so that the next one is there instead of halfway down; a trial without loss at such
/// a place is followed by one a little above, and bisection does the rest. Steps double as long as they lead nowhere,
/// so that loss which does not depend on the value is found to be that in few trials. What was found in short trials is then
/// confirmed by long ones, and lowered until all of these are without loss. Before that, a limit that was the sender's fault
/// is tried once more: it may have stalled but then. Lowered by more than the resolution, bisection by long trials follows
/// between what is confirmed and what failed: a trial that something disturbed loses more than the value explains.
package struct RateSearch: Sendable {
  package struct Step: Sendable, Hashable {
    package var value: Double
    package var isConfirmation: Bool
  }

  private let highest: Double
  private let resolution: Double
  private let floor: Double
  private let confirmations: Int
  private let isWhole: Bool

  private var candidate: Double
  private var isConfirming = false
  private var isDone = false
  /// The highest value that short trials passed, and later that was confirmed; 0: none yet.
  private var clean = 0.0
  private var confirmed = 0
  private var failures = 0
  private var gains = 0
  /// The least that survived a trial with loss.
  private var survivors: Double?
  /// Values that failed and none of them passed since, and how; each is lower than the one before.
  private var limits: [(value: Double, verdict: Trial.Verdict)] = []
  /// A limit that was tried once more.
  private var asked: Double?
  /// The highest value that was confirmed; nil: none yet.
  package private(set) var result: Double?

  /// The lowest value that failed, and how.
  package var failing: (value: Double, verdict: Trial.Verdict)? { limits.last }

  /// - Parameters:
  ///   - resolution: share of a value by which what is found may be too low.
  ///   - floor: below this nothing is tried.
  ///   - isWhole: values are whole numbers.
  package init(highest: Double, resolution: Double, floor: Double, confirmations: Int, isWhole: Bool = false) {
    (self.highest, self.resolution, self.floor) = (highest, resolution, floor)
    (self.confirmations, self.isWhole) = (confirmations, isWhole)
    candidate = highest
  }

  /// What to try; nil at the end.
  package var next: Step? { isDone ? nil : Step(value: candidate, isConfirmation: isConfirming) }

  /// - Parameter survived: what came through, in the value's own unit.
  package mutating func took(_ verdict: Trial.Verdict, survived: Double) {
    guard !isDone else { return }
    if verdict == .clean { passed() } else { failed(verdict, survived) }
  }

  private mutating func passed() {
    failures = 0
    if isConfirming {
      confirmed += 1
      guard confirmed >= confirmations else { return }
      (result, clean) = (candidate, candidate)
      return climb()
    }
    clean = candidate
    if asked == clean { gains = 0 }
    limits.removeAll { $0.value <= clean }
    guard let failing, !isNarrow(failing.value) else { return settle() }
    candidate = between(failing.value)
    if let survivors, clean >= survivors * (1 - resolution) {
      candidate = min(candidate, max(rounded(clean * (1 + resolution * Double(1 << min(gains, 20)))), clean + unit))
      gains += 1
    }
  }

  /// Nothing is left to search.
  private mutating func settle() {
    if let failing, failing.verdict != .lossy, failing.value != asked {
      (candidate, asked) = (failing.value, failing.value)
    } else {
      (candidate, isConfirming, failures) = (clean, true, 0)
    }
  }

  /// From what is confirmed towards what failed, by half of what is between, until that is within the resolution.
  private mutating func climb() {
    confirmed = 0
    guard let failing, !isNarrow(failing.value) else { return isDone = true }
    candidate = between(failing.value)
  }

  private mutating func failed(_ verdict: Trial.Verdict, _ survived: Double) {
    limits.removeAll { $0.value <= candidate }
    limits.append((candidate, verdict))
    guard result == nil else { return climb() }
    failures += 1
    // One long trial that fails may have met something rare: the second step is no longer than the first.
    let doublings = max(0, failures - (isConfirming ? 2 : 1))
    let step = min(0.5, resolution * Double(1 << min(doublings, 20)))
    let lower = rounded(min(survived, candidate * (1 - step), candidate - unit))
    if isConfirming {
      confirmed = 0
      candidate = lower
    } else {
      survivors = min(survivors ?? survived, survived)
      if clean > 0, isNarrow(candidate) { return settle() }
      candidate = clean > 0 && lower <= clean * (1 + resolution / 2) ? between(candidate) : lower
    }
    // A trial in which next to nothing survived says little of where to look.
    if candidate < floor, let failing, failing.value > floor * 4, !isConfirming {
      candidate = rounded(failing.value / 4)
    }
    if candidate < floor { isDone = true }
  }

  private var unit: Double { isWhole ? 1 : 0 }
  private func rounded(_ value: Double) -> Double { isWhole ? value.rounded(.down) : value }
  /// A step down by the resolution is, whatever rounding makes of it.
  private func isNarrow(_ high: Double) -> Bool { high - clean <= max(unit, resolution * high * (1 + 1e-9)) }
  private func between(_ high: Double) -> Double { rounded((clean + high) / 2) }
}
