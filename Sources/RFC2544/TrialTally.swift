// SPDX-License-Identifier: GPL-2.0-or-later
internal import Recording
internal import TestPackets

/// Counts the packets of a trial and their answers. Pure.
///
/// Packets before `first` warm the path up: they and their answers are not counted.
struct TrialTally: Sendable {
  private let first: Int
  /// Nanoseconds. Packets that are late by more than a tenth of this, and follow the one before at less than half the time
  /// that was due, leave in the wake of a stall; those no later than this behind them may have found a queue full of them.
  private let longestStall: Int64
  /// By number modulo `window`: when the packet was handed to the stack, CLOCK_REALTIME, below 0 if in the wake of a stall
  /// or soon behind; 0 once it was answered.
  private var times: [Int64] = []
  /// Packets whose answers are waited for; an answer to one before these is none.
  private let window: Int
  private var count = 0
  private var highest = -1
  private var sending: (first: Int64, last: Int64)?
  private var latest: SentPacket?
  private(set) var attempts = 0
  private(set) var answered = 0
  private(set) var repeated = 0
  private(set) var disordered = 0
  private var hurried = 0
  private var lastHurried: Int64?
  /// Packets neither in the wake of a stall nor soon behind that are not answered.
  private var steady = 0
  private var delays = Histogram()
  private var lateness = Histogram()
  private var clockSteps = 0
  private var clockOffset: (value: Int64, window: Int64)?

  init(first: Int, longestStall: Int64 = .max, window: Int = .max) {
    (self.first, self.longestStall, self.window) = (first, longestStall, window)
  }

  /// Packets come in order.
  mutating func sent(_ packet: SentPacket) {
    defer {
      latest = packet
      count += 1
    }
    let isHurried = isHurried(packet)
    if isHurried { lastHurried = packet.actual }
    let isExcused = lastHurried.map { packet.actual - $0 <= longestStall } ?? false
    let time = isExcused ? -packet.time : packet.time
    if times.count < window { times.append(time) } else { times[count % window] = time }
    guard count >= first else { return }
    attempts += 1
    lateness.add(packet.actual - packet.due)
    if isHurried { hurried += 1 }
    if !isExcused { steady += 1 }
    sending = (sending?.first ?? packet.actual, packet.actual)
  }

  private func isHurried(_ packet: SentPacket) -> Bool {
    guard let latest, packet.actual - packet.due > longestStall / 10 else { return false }
    return 2 * (packet.actual - latest.actual) < packet.due - latest.due
  }

  /// - Parameter time: CLOCK_REALTIME, nanoseconds.
  mutating func came(_ sequence: UInt32, at time: Int64) {
    let number = Int(sequence)
    guard number >= first, number < count, count - number <= window else { return }
    let sent = times[number % window]
    guard sent != 0 else { return repeated += 1 }
    answered += 1
    if sent > 0 { steady -= 1 }
    delays.add(time - abs(sent))
    times[number % window] = 0
    if number < highest { disordered += 1 }
    highest = max(highest, number)
  }

  /// CLOCK_REALTIME − CLOCK_MONOTONIC, which is constant but where somebody sets the clock; nanoseconds ± half of `window`.
  mutating func sawClocks(offset: Int64, window: Int64) {
    if let before = clockOffset, (offset - before.value).magnitude > UInt64(window + before.window + 1000) {
      clockSteps += 1
    }
    clockOffset = (offset, window)
  }

  var isComplete: Bool { answered >= attempts }

  /// Between the first packet and the last one, packets a second.
  var rate: Double? {
    guard let sending, sending.last > sending.first else { return nil }
    return Double(attempts - 1) * 1e9 / Double(sending.last - sending.first)
  }

  /// - Parameters:
  ///   - trial: its size, rate and duration; the rest is filled in.
  ///   - due: packets, without those that warm up.
  ///   - refused: of those attempted, by the stack.
  func finish(_ trial: inout Trial, due: Int, refused: Int, ownDrops: Int, acceptedLoss: Double) {
    trial.due = due
    trial.sent = max(0, attempts - refused)
    (trial.answered, trial.repeated, trial.disordered) = (answered, repeated, disordered)
    trial.ownDrops = ownDrops
    if trial.purpose.isBurst {
      trial.sentRate = rate ?? trial.rate
    } else {
      trial.sentRate = due > 0 ? trial.rate * Double(trial.sent) / Double(due) : 0
    }
    (trial.latency, trial.lateness) = (clockSteps == 0 ? delays.quantiles : nil, lateness.quantiles)
    trial.clockSteps = clockSteps
    // Which of them the stack refused is not known.
    (trial.refused, trial.hurried, trial.unexplained) = (refused, hurried, max(0, steady - refused))
    trial.judge(acceptedLoss: acceptedLoss, longestStall: longestStall)
  }
}

extension Histogram {
  fileprivate var quantiles: Trial.Quantiles? {
    guard let p50 = quantile(0.5), let p99 = quantile(0.99), let p999 = quantile(0.999) else { return nil }
    return Trial.Quantiles(min: min, mean: Int64(mean), p50: p50, p99: p99, p999: p999, max: max)
  }
}
