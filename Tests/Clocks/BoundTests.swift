// SPDX-License-Identifier: GPL-2.0-or-later
import Foundation
import Testing

@testable import Clocks

/// ε is a bound, whatever the clocks do.
@Suite struct BoundTests {
  @Test(arguments: [1_500.0, 15_000, 200_000])
  func theErrorGrowsWithTheScatterOfCrossStamps(scatter: Double) throws {
    for seed in 500..<517 as Range<UInt64> {
      var pair = VirtualPair(seed: seed)
      var input = pair.input()
      for index in input.crossStamps.indices {
        let off = Double.random(in: -scatter...scatter, using: &pair.random)
        input.crossStamps[index].hostRealtime.nanoseconds += Int64(off)
      }
      let map = try Alignment(input).outcomes[1].result.get()
      let (ratio, largest) = pair.judge(map)
      #expect(ratio <= 1, "seed \(seed): \(ratio)")
      #expect(Double(largest) > scatter / 2 && Double(largest) < scatter * 5 + 2_000)
    }
  }

  @Test func crossStampsThatScatterWidelyAreRefused() {
    var pair = VirtualPair(seed: 520)
    var input = pair.input()
    for index in input.crossStamps.indices {
      input.crossStamps[index].hostRealtime.nanoseconds += Int64.random(in: -5_000_000...5_000_000, using: &pair.random)
    }
    let alignment = Alignment(input)
    #expect(alignment.outcomes[1].failure == .scattered)
    #expect(alignment.best?.method == .tsc)
  }

  @Test func aChangeOfRateIsFollowedByCrossStamps() throws {
    for seed in 530..<547 as Range<UInt64> {
      var pair = VirtualPair(seed: seed)
      let change = Double.random(in: 3e9...7e9, using: &pair.random)
      let rate = pair.guest.raw.rates[0].rate
      pair.guest.raw = VirtualClock(origin: 123, rate: rate, slews: [(change, 20)])
      let map = try Alignment(pair.input()).outcomes[1].result.get()
      let (ratio, largest) = pair.judge(map, events: [change])
      #expect(ratio <= 1, "seed \(seed): \(ratio)")
      // Two intervals of 500 ms, at either end of which the change may lie.
      #expect(largest < 23_000)
    }
  }

  @Test(arguments: [2_000.0, 20_000, 150_000])
  func aStepOfTheGuestsClockBetweenTwoReadingsIsWithinTheError(step: Double) throws {
    for seed in 550..<579 as Range<UInt64> {
      var pair = VirtualPair(seed: seed)
      let time = Double.random(in: 0.02e9...9.98e9, using: &pair.random)
      pair.stepGuest(at: time, by: Bool.random(using: &pair.random) ? step : -step / 2)
      let alignment = Alignment(pair.input())
      for outcome in alignment.outcomes.prefix(2) {
        let map = try outcome.result.get()
        let (ratio, largest) = pair.judge(map, events: [time])
        #expect(ratio <= 1, "seed \(seed), \(outcome.method): \(ratio)")
        #expect(Double(largest) < 3 * step + (outcome.method == .tsc ? 4_000 : 8_000))
      }
    }
  }

  @Test func aShortSlewIsWithinTheErrorWhereverItLies() throws {
    for seed in 600..<640 as Range<UInt64> {
      var pair = VirtualPair(seed: seed)
      let time = Double.random(in: 0.02e9...9.9e9, using: &pair.random)
      let slew: [(from: Double, ppm: Double)] = [(time, seed % 2 == 0 ? 500 : -500), (time + 60e6, 0)]
      if seed % 3 == 0 { pair.slewHost(slew) } else { pair.slewGuest(slew) }
      for outcome in Alignment(pair.input()).outcomes {
        let map = try outcome.result.get()
        let (ratio, _) = pair.judge(map, events: [time, time + 60e6])
        #expect(ratio <= 1, "seed \(seed), \(outcome.method): \(ratio)")
      }
    }
  }

  @Test func outsideOfTheReadingsBothClocksMayBeSlewed() throws {
    for seed in 650..<660 as Range<UInt64> {
      var pair = VirtualPair(seed: seed)
      let map = try Alignment(pair.input()).outcomes[0].result.get()
      pair.slewGuest([(10e9, 500)])
      pair.slewHost([(10e9, -500)])
      let later = pair.guest.monotonic.read(15e9)
      let off = abs(try #require(map.host(later)) - pair.host.monotonic.read(15e9))
      let error = try #require(map.error(at: later))
      #expect(off > 4_980_000 && off <= error && error < 5_200_000, "\(off) \(error)")
    }
  }

  /// Readings do not tell one change of rate from two, so the bound holds both.
  @Test(arguments: [10.0, 30, 60, 100])
  func aRateThatChangesTwiceWithinAnIntervalIsWithinTheError(gap: Double) throws {
    for seed in 700..<730 as Range<UInt64> {
      var pair = VirtualPair(seed: seed)
      pair.length = 4e9
      let time = Double.random(in: 0.5e9...3.5e9, using: &pair.random)
      let rates = (0..<2).map { _ in Double.random(in: -500...500, using: &pair.random) }
      let slews = [(from: time, ppm: rates[0]), (from: time + gap * 1e6, ppm: rates[1])]
      if seed % 2 == 0 { pair.slewHost(slews) } else { pair.slewGuest(slews) }
      for outcome in Alignment(pair.input()).outcomes {
        let (ratio, _) = pair.judge(try outcome.result.get(), events: slews.map(\.from))
        #expect(ratio <= 1, "seed \(seed), \(outcome.method): \(ratio)")
      }
    }
  }

  /// A servo that seeks, as phc2sys and ptp4l do until they are locked: a new rate `hertz` times a second.
  @Test(arguments: [(1.0, 50.0), (8, 10), (8, 50), (16, 50)])
  func aRateThatAServoSetsAnewIsWithinTheError(hertz: Double, ppm: Double) throws {
    for seed in 750..<780 as Range<UInt64> {
      var pair = VirtualPair(seed: seed)
      pair.length = 4e9
      let first = Double.random(in: 0...1e9 / hertz, using: &pair.random)
      let slews = stride(from: first, to: pair.length, by: 1e9 / hertz).map {
        (from: $0, ppm: Double.random(in: -ppm...ppm, using: &pair.random))
      }
      pair.slewHost(slews)
      let map = try Alignment(pair.input()).outcomes[0].result.get()
      let (ratio, largest) = pair.judge(map, events: slews.prefix(20).map(\.from))
      #expect(ratio <= 1, "seed \(seed): \(ratio)")
      // Up to 330 ms from reading to reading, and slopes that differ by 2 ppm a side.
      #expect(Double(largest) < 330e6 * (2 * ppm + 8) * 1e-6 + 3_000)
    }
  }

  @Test func quietClocksHaveASmallError() throws {
    for seed in 660..<680 as Range<UInt64> {
      var pair = VirtualPair(seed: seed)
      let alignment = Alignment(pair.input())
      let (ratio, largest) = pair.judge(try alignment.outcomes[0].result.get())
      #expect(ratio <= 1 && largest < 2_700)
    }
  }

  /// Whatever happens: what a method claims holds, or it fails, or another method contradicts it. What RAW does within the
  /// bounds of the samples that it is compared by, the methods by lines cannot see.
  @Test(arguments: 0..<101 as Range<UInt64>)
  func noMethodIsWrongUnnoticed(seed: UInt64) throws {
    var pair = VirtualPair(seed: 10_000 + seed)
    let events = disturb(&pair)
    let alignment = Alignment(pair.input())
    guard let best = alignment.best else {
      #expect(alignment.interruption != nil)
      return
    }
    for outcome in alignment.outcomes {
      guard let map = outcome.map else { continue }
      let (ratio, largest) = pair.judge(map, events: events)
      let isTold = !best.disagreement(with: map, over: pair.span).isAllowed
      let limit = outcome.method == .tsc || pair.isRawStraight ? 1.0 : 2
      #expect(ratio <= limit || isTold, "\(outcome.method): \(ratio) of \(largest) ns")
    }
  }

  /// One or two steps, slews and changes of rate at any time; returns when.
  private func disturb(_ pair: inout VirtualPair) -> [Double] {
    func random(_ range: ClosedRange<Double>) -> Double { .random(in: range, using: &pair.random) }
    var events: [Double] = []
    for _ in 0..<Int.random(in: 1...2, using: &pair.random) {
      let time = random(0.01e9...9.99e9)
      events.append(time)
      switch Int.random(in: 0..<5, using: &pair.random) {
      case 0: pair.stepGuest(at: time, by: 100 * pow(10_000, random(0...0.92)))
      case 1: pair.stepGuest(at: time, by: -50 * pow(1_000, random(0...1)))
      case 2:
        let end = time + 1e6 * pow(1_000, random(0...1))
        events.append(end)
        pair.slewGuest([(time, random(-500...500)), (end, 0)])
      case 3:
        let end = time + 1e6 * pow(1_000, random(0...1))
        events.append(end)
        pair.slewHost([(time, random(-500...500)), (end, 0)])
      default:
        pair.guest.raw = VirtualClock(
          origin: 123, rate: pair.guest.raw.rates[0].rate, slews: [(time, random(-20...20))])
      }
    }
    return events
  }
}

extension VirtualPair {
  fileprivate var isRawStraight: Bool { guest.raw.rates.count == 1 }
}
