// SPDX-License-Identifier: GPL-2.0-or-later
internal import Clocks
internal import Dispatch
internal import Foundation
internal import Synchronization

package struct TimerOptions: Sendable {
  /// Sleeps of each kind under each load.
  package var samples = 2000
  /// Of each clock, under each load.
  var readings: Int { min(10 * samples, 100_000) }
  /// Nanoseconds from a sleep's begin to its target.
  package var interval: Int64 = 1_000_000
  package var loads = LoadKind.allCases
  package var tuning = ThreadTuning()
  /// Where the I/O load writes.
  package var directory = NSTemporaryDirectory()

  package init() {}
}

/// What one way to read a clock costs, or what one way to sleep misses by, under one load.
package struct TimerSeries: Sendable {
  package enum Quantity: String, Sendable { case cost, miss }

  /// `rdtsc`, `hybrid`.
  package var name: String
  package var quantity: Quantity
  package var load: LoadKind
  /// Begin and end in nanoseconds of CLOCK_MONOTONIC: two successive readings, or a target and when the sleep was over.
  package var samples: [(start: Int64, end: Int64)]
}

/// Measures clocks and sleeps on a thread of its own, one load after the other.
package struct TimerStudy {
  private let options: TimerOptions
  /// What the kernel refused, and what became of the loads: one line each.
  package private(set) var warnings: [String] = []
  /// Guard times of the hybrid waits in nanoseconds, by load.
  package private(set) var guards: [(load: LoadKind, nanoseconds: Int64)] = []

  package init(_ options: TimerOptions) { self.options = options }

  /// - Parameters:
  ///   - stopRequested: asked between samples; what was measured until then is returned.
  ///   - progress: told what is measured next.
  /// - Throws: ``LoadError``
  package mutating func run(
    stopRequested: @escaping @Sendable () -> Bool, progress: @escaping @Sendable (String) -> Void
  ) throws(LoadError) -> [TimerSeries] {
    var series: [TimerSeries] = []
    for kind in options.loads where !stopRequested() {
      let load = try Load(kind, directory: options.directory)
      // Let it begin.
      Thread.sleep(forTimeInterval: 0.1)
      let options = options
      let phase = TimerStudy.onThread { Phase(options, kind, stopRequested, progress) }
      series += phase.series
      if let time = phase.guardTime { guards.append((kind, time)) }
      for warning in phase.refused + [load.failure].compactMap({ $0 }) where !warnings.contains(warning) {
        warnings.append(warning)
      }
    }
    return series
  }

  /// Runs `body` to its end on a thread of its own, whose scheduling ends with it.
  private static func onThread(_ body: @escaping @Sendable () -> Phase) -> Phase {
    let result = Mutex<Phase?>(nil)
    let isDone = DispatchSemaphore(value: 0)
    Thread {
      let phase = body()
      result.withLock { $0 = phase }
      isDone.signal()
    }.start()
    isDone.wait()
    return result.withLock { $0 } ?? Phase()
  }
}

/// All measurements under one load.
private struct Phase: Sendable {
  var series: [TimerSeries] = []
  var refused: [String] = []
  var guardTime: Int64?

  init() {}

  init(
    _ options: TimerOptions, _ load: LoadKind, _ stopRequested: () -> Bool, _ progress: (String) -> Void
  ) {
    refused = options.tuning.apply()
    let first = ClockReading.now()
    var costs: [(method: ClockReadingMethod, begin: Int64, readings: [UInt64])] = []
    for method in ClockReadingMethod.allCases where !stopRequested() {
      progress("\(method.name), \(load.rawValue)")
      // The first readings bring code and pages into the caches.
      _ = method.readings(100)
      costs.append((method, Instant<Monotonic>.now.nanoseconds, method.readings(options.readings + 1)))
    }
    var misses: [TimerSeries] = []
    for (name, slack, wait) in ways where !stopRequested() {
      progress("\(name), \(load.rawValue)")
      ThreadTuning.setTimerSlack(slack)
      let wait = wait()
      if let hybrid = wait as? HybridWait { guardTime = hybrid.guardTime }
      misses.append(
        TimerSeries(
          name: name, quantity: .miss, load: load, samples: Phase.misses(wait, options, stopRequested)))
    }
    ThreadTuning.setTimerSlack(nil)
    let rate = CounterRate(first, .now())
    series = costs.compactMap { Phase.cost($0.method, load, $0.begin, $0.readings, rate) } + misses
  }

  private var ways: [(name: String, slack: UInt?, wait: () -> any Wait)] {
    [
      ("clock-nanosleep", nil, { AbsoluteSleep() }),
      ("nanosleep-slack-1ns", 1, { RelativeSleep() }),
      ("hybrid", 1, { HybridWait() }),
    ]
  }

  private static func misses(
    _ wait: any Wait, _ options: TimerOptions, _ stopRequested: () -> Bool
  ) -> [(start: Int64, end: Int64)] {
    var samples: [(start: Int64, end: Int64)] = []
    samples.reserveCapacity(options.samples)
    while samples.count < options.samples, !stopRequested() {
      let target = Instant<Monotonic>(nanoseconds: Instant<Monotonic>.now.nanoseconds + options.interval)
      samples.append((target.nanoseconds, wait.wait(until: target).nanoseconds))
    }
    return samples
  }

  /// Successive readings on the time line of CLOCK_MONOTONIC, which they began at; nil where the counter is not known.
  private static func cost(
    _ method: ClockReadingMethod, _ load: LoadKind, _ begin: Int64, _ readings: [UInt64], _ rate: CounterRate
  ) -> TimerSeries? {
    guard let first = readings.first, let scale = method.isCounter ? rate.nanosecondsPerTick : 1 else { return nil }
    // A clock that is set back meanwhile has no cost there.
    let times = readings.map { begin + Int64((Double(Int64(bitPattern: $0 &- first)) * scale).rounded()) }
    let samples = zip(times, times.dropFirst()).filter { $0 <= $1 }.map { (start: $0, end: $1) }
    return TimerSeries(name: method.name, quantity: .cost, load: load, samples: samples)
  }
}
