// SPDX-License-Identifier: GPL-2.0-or-later
internal import Recording

/// Counts the packets of a trial and their answers. Pure.
///
/// Packets before `first` warm the path up: they and their answers are not counted.
struct TrialTally: Sendable {
  private let first: Int
  /// Packets that are late by more than this, and follow the one before at less than half the time that was due, leave in the
  /// wake of a stall; nanoseconds.
  private let haste: Int64
  /// By number: when the packet was handed to the stack, CLOCK_REALTIME; 0 once it was answered.
  private var times: [Int64] = []
  private var highest = -1
  private var sending: (first: Int64, last: Int64)?
  private var latest: SentPacket?
  private(set) var attempts = 0
  private(set) var answered = 0
  private(set) var repeated = 0
  private(set) var disordered = 0
  private var hurried = 0
  private var delays = Histogram()
  private var lateness = Histogram()

  init(first: Int, haste: Int64 = .max) { (self.first, self.haste) = (first, haste) }

  /// Packets come in order.
  mutating func sent(_ packet: SentPacket) {
    times.append(packet.time)
    defer { latest = packet }
    guard times.count > first else { return }
    attempts += 1
    lateness.add(packet.actual - packet.due)
    if let latest, packet.actual - packet.due > haste,
      2 * (packet.actual - latest.actual) < packet.due - latest.due
    {
      hurried += 1
    }
    sending = (sending?.first ?? packet.actual, packet.actual)
  }

  /// - Parameter time: CLOCK_REALTIME, nanoseconds.
  mutating func came(_ sequence: UInt32, at time: Int64) {
    let number = Int(sequence)
    guard number >= first, number < times.count else { return }
    guard times[number] != 0 else { return repeated += 1 }
    answered += 1
    delays.add(time - times[number])
    times[number] = 0
    if number < highest { disordered += 1 }
    highest = max(highest, number)
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
  func finish(
    _ trial: inout Trial, due: Int, refused: Int, ownDrops: Int, acceptedLoss: Double, longestStall: Int64 = .max
  ) {
    trial.due = due
    trial.sent = max(0, attempts - refused)
    (trial.answered, trial.repeated, trial.disordered) = (answered, repeated, disordered)
    trial.ownDrops = ownDrops
    if trial.purpose.isBurst {
      trial.sentRate = rate ?? trial.rate
    } else {
      trial.sentRate = due > 0 ? trial.rate * Double(trial.sent) / Double(due) : 0
    }
    (trial.latency, trial.lateness) = (delays.quantiles, lateness.quantiles)
    (trial.refused, trial.hurried) = (refused, hurried)
    trial.judge(acceptedLoss: acceptedLoss, longestStall: longestStall)
  }
}

extension Histogram {
  fileprivate var quantiles: Trial.Quantiles? {
    guard let p50 = quantile(0.5), let p99 = quantile(0.99), let p999 = quantile(0.999) else { return nil }
    return Trial.Quantiles(min: min, mean: Int64(mean), p50: p50, p99: p99, p999: p999, max: max)
  }
}
