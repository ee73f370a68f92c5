// SPDX-License-Identifier: GPL-2.0-or-later
package import Recording

/// The measurements of RFC 2544 for one frame size after the other. Pure: `perform` does the trials.
package struct Benchmark: Sendable {
  package enum Measurement: String, Sendable, CaseIterable {
    /// And latency at the throughput.
    case throughput
    case lossCurve = "loss-curve"
    case backToBack = "back-to-back"
  }

  package struct Plan: Sendable, Hashable {
    package var purpose: Trial.Purpose
    /// Bytes with the check sequence.
    package var frame: Int
    /// Packets a second.
    package var rate: Double
    /// Seconds; nil for a burst.
    package var duration: Double?
    /// Packets of a burst.
    package var count: Int?
    /// The highest rate that is tried at all; packets a second.
    package var highest: Double
  }

  package var measurements = Set(Measurement.allCases)
  /// Seconds.
  package var trial = 60.0
  package var searchTrial = 2.0
  package var repeats = 10
  package var resolution = 0.01
  /// More packets a second are not tried.
  package var mostPackets = 1_000_000.0
  /// How often a trial is done again for which this machine was at fault.
  package var repetitions = 2
  /// Share of the highest rate below which no throughput is looked for.
  package static let floor = 0.01

  package init() {}

  /// - Parameters:
  ///   - lineRate: bits a second.
  ///   - progress: told what is known whenever a measurement begins or a rate or burst was confirmed: an error ends all,
  ///     and must not take what was found with it.
  package func run(
    frame: Int, lineRate: Double, progress: (FrameResult) -> Void = { _ in }, perform: (Plan) throws -> Trial
  ) throws -> FrameResult {
    // Preamble and gap are 20 bytes.
    let most = lineRate / Double(8 * (frame + 20))
    var result = FrameResult(frame: frame, lineRate: most, highest: min(most, mostPackets))
    for measurement in Measurement.allCases where measurements.contains(measurement) {
      result.unfinished = measurement.rawValue
      progress(result)
      switch measurement {
      case .throughput: try findThroughput(&result, progress) { try persist($0, perform) }
      case .lossCurve: try drawLossCurve(&result) { try persist($0, perform) }
      case .backToBack: try findBurst(&result, progress, perform)
      }
    }
    result.unfinished = nil
    return result
  }

  /// Seconds for one frame size: without loss at the highest rate, and with a limit that it takes a dozen trials to find.
  /// A confirmation that fails is more.
  ///
  /// - Parameter overhead: seconds around each trial.
  package func estimate(overhead: Double) -> ClosedRange<Double> {
    let search = 12.0
    var (least, most) = (0.0, 0.0)
    for measurement in measurements {
      // The longest burst takes two seconds; one that is lost takes next to none.
      let (short, long) = measurement == .backToBack ? (2.0, 2.0) : (searchTrial, trial)
      let confirmed = measurement == .lossCurve ? 0 : Double(repeats) * (long + overhead)
      least += (measurement == .lossCurve ? 2 : 1) * (short + overhead) + confirmed
      most += (measurement == .lossCurve ? 10 : search) * (short + overhead) + confirmed
    }
    return least...most
  }

  private func persist(_ plan: Plan, _ perform: (Plan) throws -> Trial) throws -> Trial {
    var trial = try perform(plan)
    for _ in 0..<repetitions where trial.isWorthRepeating { trial = try perform(plan) }
    return trial
  }

  private func findThroughput(
    _ result: inout FrameResult, _ progress: (FrameResult) -> Void, _ perform: (Plan) throws -> Trial
  ) throws {
    var search = RateSearch(
      highest: result.highest, resolution: resolution, floor: result.highest * Benchmark.floor, confirmations: repeats)
    var confirmations: [Trial] = []
    while let step = search.next {
      let trial = try perform(
        Plan(
          purpose: step.isConfirmation ? .confirmation : .search, frame: result.frame, rate: step.value,
          duration: step.isConfirmation ? self.trial : searchTrial, highest: result.highest))
      if step.isConfirmation { confirmations = confirmations.filter { $0.rate == step.value } + [trial] }
      let survivors = trial.answered + trial.lostInWake
      let before = search.result
      search.took(trial.verdict, survived: trial.due > 0 ? step.value * Double(survivors) / Double(trial.due) : 0)
      if let failing = search.failing { (result.failingRate, result.failingVerdict) = failing }
      if search.result != before {
        confirm(&result, confirmations)
        progress(result)
      }
    }
  }

  private func confirm(_ result: inout FrameResult, _ confirmations: [Trial]) {
    result.throughput = confirmations.map(\.sentRate).min()
    result.lost = confirmations.reduce(0) { $0 + $1.lost }
    let latencies = confirmations.compactMap(\.latency)
    result.latency = nil
    guard let least = latencies.map(\.min).min(), let largest = latencies.map(\.max).max() else { return }
    func mean(_ figure: KeyPath<Trial.Quantiles, Int64>) -> Int64 {
      latencies.reduce(0) { $0 + $1[keyPath: figure] } / Int64(latencies.count)
    }
    result.latency = Trial.Quantiles(
      min: least, mean: mean(\.mean), p50: mean(\.p50), p99: mean(\.p99), p999: mean(\.p999), max: largest)
  }

  /// From the highest rate down in steps of a tenth, until two trials in a row are without loss.
  private func drawLossCurve(_ result: inout FrameResult, _ perform: (Plan) throws -> Trial) throws {
    var cleanInARow = 0
    for tenths in (1...10).reversed() where cleanInARow < 2 {
      let trial = try perform(
        Plan(
          purpose: .lossCurve, frame: result.frame, rate: result.highest * Double(tenths) / 10, duration: searchTrial,
          highest: result.highest))
      result.lossCurve.append(trial)
      // Loss that is accepted is loss.
      cleanInARow = trial.verdict == .clean && trial.lost == 0 ? cleanInARow + 1 : 0
    }
  }

  /// Bursts at the highest rate, or as fast as this machine sends; the longest one tried would take two seconds.
  private func findBurst(
    _ result: inout FrameResult, _ progress: (FrameResult) -> Void, _ perform: (Plan) throws -> Trial
  ) throws {
    let most = max(2, (result.highest * 2).rounded(.down))
    var search = RateSearch(highest: most, resolution: resolution, floor: 2, confirmations: repeats, isWhole: true)
    var rates: [Double] = []
    while let step = search.next {
      let trial = try perform(
        Plan(
          purpose: step.isConfirmation ? .burstConfirmation : .burstSearch, frame: result.frame, rate: result.highest,
          count: Int(step.value), highest: result.highest))
      if trial.verdict == .clean, step.isConfirmation { rates.append(trial.sentRate) } else { rates = [] }
      let before = search.result
      search.took(trial.verdict, survived: Double(trial.answered))
      if let failing = search.failing {
        (result.failingBurst, result.failingBurstVerdict) = (Int(failing.value), failing.verdict)
      }
      if let packets = search.result, packets != before {
        result.burst = Int(packets)
        result.burstRate = rates.reduce(0, +) / Double(max(1, rates.count))
        result.isBurstLimit = packets == most
        rates = []
        progress(result)
      }
    }
  }
}
