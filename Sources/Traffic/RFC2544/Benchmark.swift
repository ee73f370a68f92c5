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
  }

  package var measurements = Set(Measurement.allCases)
  /// Seconds.
  package var trial = 60.0
  package var searchTrial = 2.0
  package var repeats = 10
  package var resolution = 0.01
  /// More packets a second are not tried.
  package var mostPackets = 1_000_000.0
  /// Share of the highest rate below which no throughput is looked for.
  package static let floor = 0.01

  package init() {}

  /// - Parameter lineRate: bits a second.
  package func run(
    frame: Int, lineRate: Double, perform: (Plan) throws -> Trial
  ) throws -> FrameResult {
    // Preamble and gap are 20 bytes.
    let most = lineRate / Double(8 * (frame + 20))
    var result = FrameResult(frame: frame, lineRate: most, highest: min(most, mostPackets))
    if measurements.contains(.throughput) { try findThroughput(&result, perform) }
    if measurements.contains(.lossCurve) { try drawLossCurve(&result, perform) }
    if measurements.contains(.backToBack) { try findBurst(&result, perform) }
    return result
  }

  private func findThroughput(_ result: inout FrameResult, _ perform: (Plan) throws -> Trial) throws {
    var search = RateSearch(
      highest: result.highest, resolution: resolution, floor: result.highest * Benchmark.floor, confirmations: repeats)
    var confirmations: [Trial] = []
    while let step = search.next {
      let trial = try perform(
        Plan(
          purpose: step.isConfirmation ? .confirmation : .search, frame: result.frame, rate: step.value,
          duration: step.isConfirmation ? self.trial : searchTrial))
      if step.isConfirmation { confirmations = confirmations.filter { $0.rate == step.value } + [trial] }
      let survived = trial.due > 0 ? step.value * Double(trial.answered) / Double(trial.due) : 0
      search.took(trial.verdict, survived: survived)
    }
    if let failing = search.failing { (result.failingRate, result.failingVerdict) = failing }
    guard search.result != nil else { return }
    result.throughput = confirmations.map(\.sentRate).min()
    let latencies = confirmations.compactMap(\.latency)
    guard let largest = latencies.map(\.max).max() else { return }
    func mean(_ values: [Int64]) -> Int64 { values.reduce(0, +) / Int64(values.count) }
    result.latency = Trial.Quantiles(
      p50: mean(latencies.map(\.p50)), p99: mean(latencies.map(\.p99)), p999: mean(latencies.map(\.p999)), max: largest)
  }

  /// From the highest rate down in steps of a tenth, until two trials in a row are without loss.
  private func drawLossCurve(_ result: inout FrameResult, _ perform: (Plan) throws -> Trial) throws {
    var cleanInARow = 0
    for tenths in (1...10).reversed() where cleanInARow < 2 {
      let trial = try perform(
        Plan(
          purpose: .lossCurve, frame: result.frame, rate: result.highest * Double(tenths) / 10, duration: searchTrial))
      result.lossCurve.append(trial)
      cleanInARow = trial.verdict == .clean ? cleanInARow + 1 : 0
    }
  }

  /// Bursts at the highest rate, or as fast as this machine sends; the longest one tried would take two seconds.
  private func findBurst(_ result: inout FrameResult, _ perform: (Plan) throws -> Trial) throws {
    let most = max(2, (result.highest * 2).rounded(.down))
    var search = RateSearch(highest: most, resolution: resolution, floor: 2, confirmations: repeats, isWhole: true)
    var rates: [Double] = []
    while let step = search.next {
      let trial = try perform(
        Plan(
          purpose: step.isConfirmation ? .burstConfirmation : .burstSearch, frame: result.frame, rate: result.highest,
          count: Int(step.value)))
      if trial.verdict == .clean, step.isConfirmation { rates.append(trial.sentRate) } else { rates = [] }
      search.took(trial.verdict, survived: Double(trial.answered))
    }
    if let packets = search.result {
      result.burst = Int(packets)
      result.burstRate = rates.reduce(0, +) / Double(max(1, rates.count))
      result.isBurstLimit = packets == most
    }
  }
}
