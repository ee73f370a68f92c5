// SPDX-License-Identifier: GPL-2.0-or-later
import Clocks
import Foundation
import Synchronization
import Testing

@testable import Timing

@Suite struct TimingTests {
  @Test(arguments: [AbsoluteSleep(), RelativeSleep(), HybridWait(guardTime: 300_000)] as [any Wait])
  func noWaitEndsEarly(_ wait: any Wait) {
    for length: Int64 in [0, 1000, 200_000, 1_000_000] {
      let target = Instant<Monotonic>(nanoseconds: Instant<Monotonic>.now.nanoseconds + length)
      let end = wait.wait(until: target)
      #expect(end >= target && Instant<Monotonic>.now >= end)
    }
    // What is past is not waited for.
    let before = Instant<Monotonic>.now
    _ = wait.wait(until: Instant(nanoseconds: before.nanoseconds - 10_000_000_000))
    #expect(Instant<Monotonic>.now.nanoseconds - before.nanoseconds < 5_000_000_000)
  }

  @Test func theGuardIsMeanAndThreeSigma() {
    // Mean 20, σ 10 (n − 1).
    #expect(HybridWait.guardTime(of: [10, 20, 30]) == 50)
    #expect(HybridWait.guardTime(of: [7, 7, 7, 7]) == 7)
    #expect(HybridWait(guardTime: .max).guardTime == HybridWait.longestGuard)
    #expect(HybridWait(guardTime: -1).guardTime == 0)
    #expect(0...HybridWait.longestGuard ~= HybridWait(measuring: 5, sleepsOf: 1000).guardTime)
  }

  /// Begins below what stalls miss by; follows the sleeps in both directions, one in 200 late; never far beyond the median.
  @Test func theGuardFollowsTheSleeps() {
    func late(_ wait: inout AdaptiveWait, _ misses: (Int) -> Int64) -> Double {
      var count = 0
      for number in 0..<100_000 {
        let miss = misses(number)
        if number >= 50_000, miss > wait.guardTime { count += 1 }
        wait.learn(miss: miss)
      }
      return Double(count) / 50_000
    }
    var wait = AdaptiveWait(misses: [20_000, 5_000_000, 20_000, 21_000, 22_000])
    #expect(wait.guardTime == 52_000)
    // 20 to 30 µs, each as often.
    #expect(0.002...0.01 ~= late(&wait) { 20_000 + Int64($0 * 7919 % 10_007) })
    #expect(28_000...35_000 ~= wait.guardTime, "\(wait.guardTime)")
    // Longer ones.
    #expect(0.002...0.01 ~= late(&wait) { 100_000 + Int64($0 * 7919 % 50_021) })
    #expect(145_000...170_000 ~= wait.guardTime, "\(wait.guardTime)")
    // One in ten is a stall.
    #expect(0.09...0.11 ~= late(&wait) { $0 % 10 == 3 ? 3_000_000 : 30_000 })
    #expect(60_000...80_000 ~= wait.guardTime, "\(wait.guardTime)")
  }

  @Test func anAdaptiveWaitDoesNotEndEarly() {
    var wait = AdaptiveWait(measuring: 5, sleepsOf: 10_000)
    for length: Int64 in [-1_000_000, 0, 1000, 200_000, 1_000_000] {
      let target = Instant<Monotonic>(nanoseconds: Instant<Monotonic>.now.nanoseconds + length)
      let end = wait.wait(until: target)
      #expect(end >= target && Instant<Monotonic>.now >= end)
    }
  }

  @Test(arguments: ClockReadingMethod.allCases) func readingsGoOn(_ method: ClockReadingMethod) throws {
    let readings = method.readings(1000)
    #expect(readings.count == 1000)
    let (first, last) = (try #require(readings.first), try #require(readings.last))
    #expect(last > first)
    // CLOCK_REALTIME alone may be set back.
    if method != .realtime { #expect(zip(readings, readings.dropFirst()).allSatisfy { $0 <= $1 }) }
  }

  /// The counter runs at the processor's rate: GHz on x86, MHz at least elsewhere.
  @Test func ticksAreNanoseconds() throws {
    let first = ClockReading.now()
    usleep(20_000)
    let rate = try #require(CounterRate(first, .now()).nanosecondsPerTick)
    #expect(0.1...1000 ~= rate)
    #expect(CounterRate(first, first).nanosecondsPerTick == nil)
  }

  @Test(arguments: LoadKind.allCases) func loadsWorkAndEnd(_ kind: LoadKind) throws {
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent("timing-\(UUID().uuidString)").path
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: folder) }
    var load: Load? = try Load(kind, directory: folder)
    for _ in 0..<500 where kind != .idle && load?.work == 0 { usleep(10_000) }
    #expect((load?.work ?? 0 > 0) == (kind != .idle))
    #expect(load?.failure == nil)
    #expect(try FileManager.default.contentsOfDirectory(atPath: folder) == [])
    load = nil
  }

  @Test func aLoadThatCannotBe() {
    let error = #expect(throws: LoadError.self) { _ = try Load(.io, directory: "/nowhere") }
    #expect(error?.description == "/nowhere: no file for the I/O load there: No such file or directory")
  }

  @Test func aStudyHasAllItsSeries() throws {
    var options = TimerOptions()
    options.samples = 20
    options.interval = 100_000
    options.loads = [.idle, .cpu]
    options.tuning = ThreadTuning(cpu: 100_000)
    var study = TimerStudy(options)
    let begin = Instant<Monotonic>.now.nanoseconds
    let series = try study.run(stopRequested: { false }, progress: { _ in })
    let end = Instant<Monotonic>.now.nanoseconds
    #expect(series.count == 2 * (ClockReadingMethod.allCases.count + 3))
    for entry in series {
      #expect(entry.samples.count == (entry.quantity == .cost ? 200 : 20), "\(entry.name)")
      #expect(entry.samples.allSatisfy { begin <= $0.start && $0.start <= $0.end && $0.end <= end }, "\(entry.name)")
    }
    #expect(study.guards.map(\.load) == [.idle, .cpu])
    #expect(study.warnings == ["cannot stay on CPU 100000: Invalid argument"])
  }

  /// What was measured until then is kept.
  @Test func aStudyThatIsStopped() throws {
    var options = TimerOptions()
    options.samples = 2
    options.loads = [.idle]
    // Asked once for the load, once for each clock and each kind of sleep, and before each sleep.
    let answers = ClockReadingMethod.allCases.count + 3
    let asked = Mutex(0)
    var study = TimerStudy(options)
    let series = try study.run(
      stopRequested: {
        asked.withLock { asked in
          asked += 1
          return asked > answers
        }
      }, progress: { _ in })
    #expect(series.count == ClockReadingMethod.allCases.count + 1)
    #expect(series.last?.samples.count == 1)
  }
}
