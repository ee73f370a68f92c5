// SPDX-License-Identifier: GPL-2.0-or-later
import Recording
import Testing

@testable import RFC2544

/// Devices are made up; nothing is sent.
@Suite struct RFC2544Tests {
  /// What lets so many packets a second through, and queues so many beyond that.
  private struct Device {
    /// Packets a second, by trial.
    var capacity: (Int) -> Double = { _ in .infinity }
    var queue = 0.0
    /// Of each packet by itself.
    var loss = 0.0
    /// Packets a second that the sender manages.
    var sender = Double.infinity
    private(set) var plans: [Benchmark.Plan] = []
    private var random = SystemRandom(state: 7)

    init(queue: Double = 0, loss: Double = 0, sender: Double = .infinity, capacity: @escaping (Int) -> Double) {
      (self.capacity, self.queue, self.loss, self.sender) = (capacity, queue, loss, sender)
    }

    mutating func perform(_ plan: Benchmark.Plan) -> Trial {
      defer { plans.append(plan) }
      let due = plan.count ?? max(1, Int(plan.rate * (plan.duration ?? 0)))
      let rate = min(plan.rate, sender)
      let sent = plan.count ?? min(due, Int((rate * (plan.duration ?? 0)).rounded()))
      let time = Double(sent) / rate
      let passing = min(Double(sent), (capacity(plans.count) * time + queue).rounded(.down))
      var answered = 0
      for _ in 0..<Int(passing) where loss == 0 || random.next() >= loss { answered += 1 }
      var trial = Trial(purpose: plan.purpose, frame: plan.frame, rate: plan.rate, duration: plan.duration ?? time)
      (trial.due, trial.sent, trial.answered, trial.sentRate) = (due, sent, answered, rate)
      trial.latency = Trial.Quantiles(
        min: 50, mean: 120, p50: 100, p99: 200, p999: 300, max: 400 + Int64(plans.count))
      trial.judge(acceptedLoss: acceptedLoss)
      return trial
    }
    var acceptedLoss = 0.0
  }

  private struct SystemRandom {
    var state: UInt64
    mutating func next() -> Double {
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return Double(state >> 11) / 9_007_199_254_740_992
    }
  }

  private func benchmark(_ measurements: Set<Benchmark.Measurement> = [.throughput]) -> Benchmark {
    var benchmark = Benchmark()
    (benchmark.measurements, benchmark.repeats, benchmark.trial) = (measurements, 3, 10)
    return benchmark
  }

  /// 100 Mbit/s with frames of 512 bytes: 23 496 packets/s.
  private func run(_ device: inout Device, _ benchmark: Benchmark) throws -> FrameResult {
    try benchmark.run(frame: 512, lineRate: 100e6) { device.perform($0) }
  }

  @Test func lineRates() throws {
    for (frame, rate) in [(64, 14_880_952.4), (1518, 812_743.8)] {
      var benchmark = benchmark()
      benchmark.mostPackets = 1e9
      var device = Device { _ in 1e12 }
      device.acceptedLoss = 0
      let result = try benchmark.run(frame: frame, lineRate: 10e9) { plan in
        // Counts alone: so many packets take their time.
        var trial = Trial(purpose: plan.purpose, frame: plan.frame, rate: plan.rate, duration: 1)
        (trial.due, trial.sent, trial.answered, trial.sentRate) = (1000, 1000, 1000, plan.rate)
        trial.judge(acceptedLoss: 0)
        return trial
      }
      #expect(abs(result.lineRate - rate) < 0.1 && result.throughput == result.lineRate)
      #expect(result.failingRate == nil)
    }
  }

  /// Found within the resolution, in few trials, and confirmed by as many as were asked for.
  @Test(arguments: [300.0, 1000, 2345, 9876, 23_000, 23_490])
  func fixedCapacity(capacity: Double) throws {
    var device = Device { _ in capacity }
    let result = try run(&device, benchmark())
    let found = try #require(result.throughput)
    // A packet more or less in a short trial.
    #expect(found <= capacity + 0.5 && found >= capacity * 0.985, "\(found)")
    let failing = try #require(result.failingRate)
    #expect(failing > capacity && result.failingVerdict == .lossy)
    let confirmations = device.plans.filter { $0.purpose == .confirmation }
    #expect(confirmations.suffix(3).allSatisfy { $0.rate == confirmations.last?.rate && $0.duration == 10 })
    #expect(device.plans.count <= 14, "\(device.plans.map(\.rate))")
    #expect(result.latency?.p50 == 100 && result.latency?.max == 399 + Int64(device.plans.count))
    #expect(result.latency?.min == 50 && result.latency?.mean == 120 && result.lost == 0)
  }

  /// A queue lets short trials pass at rates that long ones do not.
  @Test func queuesAreSeenThrough() throws {
    var device = Device(queue: 500) { _ in 5000 }
    let result = try run(&device, benchmark())
    let found = try #require(result.throughput)
    // 500 packets are 1 % of 10 s.
    #expect(4900...5051 ~= found, "\(found)")
    #expect(device.plans.contains { $0.purpose == .search && $0.rate > 5100 && $0.rate < 5300 })
  }

  /// A long trial that fails lowers the rate by the resolution, whatever the search did before it.
  @Test func stepsOfConfirmation() {
    var search = RateSearch(highest: 1000, resolution: 0.01, floor: 10, confirmations: 2)
    search.took(.lossy, survived: 500)
    #expect(search.next == RateSearch.Step(value: 500, isConfirmation: false))
    search.took(.clean, survived: 500)
    #expect(search.next == RateSearch.Step(value: 505, isConfirmation: false))
    search.took(.lossy, survived: 503)
    for (value, verdict, survived) in [(500.0, .clean, 500), (500, .lossy, 499), (495, .lossy, 494.9)]
      as [(Double, Trial.Verdict, Double)]
    {
      #expect(search.next == RateSearch.Step(value: value, isConfirmation: true))
      search.took(verdict, survived: survived)
    }
    #expect(abs((search.next?.value ?? 0) - 490.05) < 1e-9)
    search.took(.clean, survived: 490)
    #expect(search.result == nil)
    search.took(.clean, survived: 490)
    #expect(abs((search.result ?? 0) - 490.05) < 1e-9 && search.next == nil)
  }

  /// One trial that confirms loses a sixth, and the sender is not late: the rate is low for it but for a while. What is
  /// found was confirmed at full length by all trials, and what failed is within the resolution.
  @Test(arguments: [0, 2])
  func oneDisturbedConfirmation(number: Int) throws {
    var device = Device { _ in 5000 }
    var confirmations = 0
    var results: [FrameResult] = []
    let result = try benchmark().run(frame: 512, lineRate: 100e6, progress: { results.append($0) }) { plan in
      var trial = device.perform(plan)
      guard plan.purpose == .confirmation else { return trial }
      defer { confirmations += 1 }
      guard confirmations == number else { return trial }
      trial.answered -= trial.sent / 6
      trial.judge(acceptedLoss: 0)
      return trial
    }
    let (found, failing) = (try #require(result.throughput), try #require(result.failingRate))
    #expect(4850...5000.5 ~= found && failing - found <= failing * 0.0101, "\(found) and \(failing)")
    let its = device.plans.filter { $0.rate == found && $0.purpose == .confirmation && $0.duration == 10 }
    #expect(its.count == 3 && device.plans.count <= 40, "\(device.plans.map(\.rate))")
    // What was confirmed on the way up was kept.
    let kept = results.compactMap(\.throughput)
    #expect(kept.first ?? 0 < 4300 && kept.last == found && kept == kept.sorted(), "\(kept)")
  }

  /// The same of a burst: its rate is that of the bursts that confirmed it.
  @Test func oneDisturbedBurst() throws {
    var device = Device(queue: 287) { _ in 10_000 }
    var isDisturbed = false
    let result = try benchmark([.backToBack]).run(frame: 512, lineRate: 100e6) { plan in
      var trial = device.perform(plan)
      if plan.purpose == .burstConfirmation, !isDisturbed {
        isDisturbed = true
        trial.answered /= 2
        trial.judge(acceptedLoss: 0)
      }
      return trial
    }
    #expect(485...500 ~= result.burst ?? 0 && abs(result.burstRate - 23_496) < 1, "\(result)")
  }

  /// What was lost in the wake of a long stall does not lower the next rate, and where it is most of the loss the trial is
  /// done again.
  @Test func lossInTheWake() throws {
    func trial(lost: Int, unexplained: Int, late: Int64 = 1_000_000_000) -> Trial {
      var trial = Trial(purpose: .confirmation, frame: 512, rate: 1250, duration: 6)
      (trial.due, trial.sent, trial.answered, trial.hurried) = (7500, 7500, 7500 - lost, 1250)
      trial.unexplained = unexplained
      trial.lateness = Trial.Quantiles(min: 0, mean: 1, p50: 1, p99: 1, p999: 1, max: late)
      trial.judge(acceptedLoss: 0, longestStall: 10_000_000)
      return trial
    }
    #expect(trial(lost: 1200, unexplained: 70).verdict == .lossy && trial(lost: 1200, unexplained: 70).isWorthRepeating)
    #expect(trial(lost: 1200, unexplained: 70).lostInWake == 1130)
    #expect(!trial(lost: 1200, unexplained: 601).isWorthRepeating)
    #expect(!trial(lost: 1200, unexplained: 70, late: 9_000_000).isWorthRepeating)
    var (device, isStalled) = (Device { _ in 5000 }, true)
    _ = try benchmark().run(frame: 512, lineRate: 100e6) { plan in
      var trial = device.perform(plan)
      guard plan.purpose == .confirmation, isStalled else { return trial }
      isStalled = device.plans.count { $0.purpose == .confirmation } < 3
      (trial.hurried, trial.unexplained, trial.answered) = (trial.sent / 6, 20, trial.sent * 5 / 6)
      trial.lateness = Trial.Quantiles(min: 0, mean: 1, p50: 1, p99: 1, p999: 1, max: 1_000_000_000)
      trial.judge(acceptedLoss: 0, longestStall: 10_000_000)
      return trial
    }
    let rates = device.plans.filter { $0.purpose == .confirmation }.map(\.rate)
    #expect(rates[0] == rates[2] && rates[3] < rates[2] && rates[3] > rates[2] * 0.98, "\(rates)")
  }

  /// One packet in a thousand is lost at any rate: no rate is confirmed, and the search ends.
  @Test func randomLoss() throws {
    var device = Device(loss: 0.001) { _ in .greatestFiniteMagnitude }
    let result = try run(&device, benchmark())
    #expect(result.throughput == nil && result.latency == nil)
    #expect(result.failingVerdict == .lossy)
    #expect(device.plans.count < 40, "\(device.plans.count)")
    // The same with 1 % accepted: all is clean.
    device = Device(loss: 0.001) { _ in .greatestFiniteMagnitude }
    device.acceptedLoss = 0.01
    let accepted = try run(&device, benchmark())
    #expect(accepted.throughput == 100e6 / 8 / 532 && accepted.lost > 500)
  }

  /// Someone stops it, or the reflector dies: what was found before is not lost.
  @Test func endBeforeTime() {
    struct End: Error {}
    var device = Device { _ in 5000 }
    var results: [FrameResult] = []
    #expect(throws: End.self) {
      try benchmark([.throughput, .lossCurve]).run(frame: 512, lineRate: 100e6, progress: { results.append($0) }) {
        plan in
        if plan.purpose == .lossCurve { throw End() }
        return device.perform(plan)
      }
    }
    #expect(results.map(\.unfinished) == ["throughput", "throughput", "loss-curve"])
    #expect(results[0].throughput == nil && results[1].throughput ?? 0 > 4900)
    #expect(results[2].throughput == results[1].throughput && results[2].lossCurve.isEmpty)
  }

  /// Capacity differs from trial to trial by up to 5 %: what is found was confirmed, and never above the best.
  @Test func noisyCapacity() throws {
    for seed in 0..<50 as Range<UInt64> {
      var random = SystemRandom(state: seed)
      let capacities = (0..<200).map { _ in 5000 * (0.95 + 0.1 * random.next()) }
      var device = Device { capacities[$0 % 200] }
      let result = try run(&device, benchmark())
      let found = try #require(result.throughput)
      #expect(4000...5250 ~= found, "\(found) by seed \(seed)")
      // Each of its three long trials let as much through, and what failed is close.
      let plans = device.plans
      let its = plans.indices.filter { plans[$0].rate == found && plans[$0].purpose == .confirmation }
      #expect(its.count == 3 && its.allSatisfy { found <= capacities[$0] + 0.5 }, "\(its) by seed \(seed)")
      let failing = try #require(result.failingRate)
      #expect(failing > found && failing - found <= failing * 0.0101, "\(found) and \(failing) by seed \(seed)")
    }
  }

  /// The sender's limit is not the device's: what it managed is confirmed, and the result says whose limit it was.
  @Test func senderLimit() throws {
    var device = Device(sender: 3000) { _ in 5000 }
    let result = try run(&device, benchmark())
    let found = try #require(result.throughput)
    #expect(2950...3000 ~= found, "\(found)")
    #expect(result.failingVerdict == .notOffered)
    // Slower than the sender, a device is seen.
    device = Device(sender: 8000) { _ in 5000 }
    let slower = try run(&device, benchmark())
    #expect(4925...5000.5 ~= slower.throughput ?? 0)
    #expect(slower.failingVerdict == .lossy)
  }

  /// The sender stalls in a trial below the limit: tried again, this is no limit.
  @Test(arguments: [1, 2])
  func oneStall(number: Int) throws {
    var device = Device { _ in 5000 }
    let result = try benchmark().run(frame: 512, lineRate: 100e6) { plan in
      var trial = device.perform(plan)
      if device.plans.count == number + 1 {
        (trial.sent, trial.answered, trial.verdict) = (trial.due / 2, trial.due / 2, .notOffered)
      }
      return trial
    }
    #expect(4925...5000.5 ~= result.throughput ?? 0 && result.failingVerdict == .lossy, "\(result)")
    #expect(device.plans.count < 25, "\(device.plans.map(\.rate))")
  }

  /// Loss that the burst behind a stall of this machine explains is nobody's; more than that is the path's.
  @Test func stalls() throws {
    func verdict(_ stall: Int64, hurried: Int, lost: Int, _ purpose: Trial.Purpose = .search) -> Trial.Verdict {
      var trial = Trial(purpose: purpose, frame: 64, rate: 1000, duration: 1)
      (trial.due, trial.sent, trial.answered, trial.hurried) = (1000, 1000, 1000 - lost, hurried)
      trial.lateness = Trial.Quantiles(min: 0, mean: 1, p50: 1, p99: 1, p999: 1, max: stall)
      trial.judge(acceptedLoss: 0, longestStall: 10_000_000)
      return trial.verdict
    }
    #expect(
      verdict(50_000_000, hurried: 50, lost: 11) == .uneven && verdict(50_000_000, hurried: 50, lost: 51) == .lossy)
    #expect(verdict(9_000_000, hurried: 50, lost: 11) == .lossy && verdict(50_000_000, hurried: 50, lost: 0) == .clean)
    #expect(verdict(50_000_000, hurried: 50, lost: 11, .burstSearch) == .lossy)
    // Done again, and the rate is no lower for it; three times, and it is.
    for (stalls, least, most) in [([0, 4, 5], 4925.0, 5000.5), (Array(0..<100), 0, 0)] {
      var device = Device { _ in 5000 }
      var number = 0
      let result = try benchmark().run(frame: 512, lineRate: 100e6) { plan in
        defer { number += 1 }
        var trial = device.perform(plan)
        if stalls.contains(number) { (trial.verdict, trial.answered) = (.uneven, trial.sent * 9 / 10) }
        return trial
      }
      #expect(least...most ~= result.throughput ?? 0 && result.isSendersLimit == (most == 0), "\(result)")
    }
  }

  /// From the top in tenths, until two in a row are without loss.
  @Test func lossCurve() throws {
    var device = Device { _ in 23_496.0 * 0.55 }
    let result = try run(&device, benchmark([.lossCurve]))
    #expect(result.lossCurve.map { ($0.rate / result.highest * 10).rounded() } == [10, 9, 8, 7, 6, 5, 4])
    let shares = result.lossCurve.map(\.lossShare)
    #expect(abs(shares[0] - 0.45) < 0.001 && abs(shares[4] - 1 / 12) < 0.001 && shares[5] == 0 && shares[6] == 0)
    #expect(result.throughput == nil && result.burst == nil)
    // Accepted loss is loss: 9 of 10 pass at the top, and none is lost from 0.9 of it on.
    device = Device { _ in 23_496.0 * 0.905 }
    device.acceptedLoss = 0.2
    let accepted = try run(&device, benchmark([.lossCurve])).lossCurve
    #expect(accepted.map(\.verdict) == [.clean, .clean, .clean])
    #expect(accepted.map { $0.lost == 0 } == [false, true, true])
  }

  /// At 23 496 packets/s into 10 000 packets/s and a queue of 287: 287 / (1 − 10 000 / 23 496) packets in a burst, 499.
  @Test func backToBack() throws {
    var device = Device(queue: 287) { _ in 10_000 }
    let result = try run(&device, benchmark([.backToBack]))
    #expect(490...500 ~= result.burst ?? 0, "\(String(describing: result.burst))")
    #expect(!result.isBurstLimit && abs(result.burstRate - 23_496) < 1)
    device = Device { _ in 1e9 }
    let all = try run(&device, benchmark([.backToBack]))
    #expect(all.burst == 46_992 && all.isBurstLimit)
  }

  /// The stack refuses what is beyond 300 packets of a burst: that is no limit of the path's, and said.
  @Test func refusedBursts() throws {
    var device = Device { _ in 1e9 }
    let result = try benchmark([.backToBack]).run(frame: 512, lineRate: 100e6) { plan in
      var trial = device.perform(plan)
      trial.sent = min(trial.due, 300)
      (trial.answered, trial.refused) = (trial.sent, trial.due - trial.sent)
      trial.judge(acceptedLoss: 0)
      return trial
    }
    #expect(297...301 ~= result.burst ?? 0 && result.isSendersBurst && !result.isBurstLimit, "\(result)")
    #expect(result.failingBurst ?? 0 > 300 && result.failingBurstVerdict == .notOffered)
    device = Device(queue: 287) { _ in 10_000 }
    let lossy = try run(&device, benchmark([.backToBack]))
    #expect(!lossy.isSendersBurst && lossy.failingBurst ?? 0 > lossy.burst ?? 0)
  }

  /// More would fit on the line than is tried: a lower bound.
  @Test func cappedRate() throws {
    var benchmark = benchmark()
    benchmark.mostPackets = 2000
    for (capacity, isCapped) in [(5000.0, true), (1500, false)] {
      var device = Device { _ in capacity }
      let result = try run(&device, benchmark)
      #expect(result.isCapped == isCapped && result.isSendersLimit == isCapped, "\(result)")
    }
  }

  /// By the defaults: 10 trials of a minute, 12 of two seconds.
  @Test func estimates() {
    var benchmark = Benchmark()
    benchmark.measurements = [.throughput]
    #expect(benchmark.estimate(overhead: 5) == 657...734)
    benchmark.measurements = [.lossCurve]
    #expect(benchmark.estimate(overhead: 5) == 14...70)
    benchmark.measurements = [.backToBack]
    #expect(benchmark.estimate(overhead: 5) == 77...154)
  }
}
