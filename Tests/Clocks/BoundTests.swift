// SPDX-License-Identifier: GPL-2.0-or-later
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
        #expect(Double(largest) < 2 * step + (outcome.method == .tsc ? 4_000 : 8_000))
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

  @Test func quietClocksHaveASmallError() throws {
    for seed in 660..<680 as Range<UInt64> {
      var pair = VirtualPair(seed: seed)
      let alignment = Alignment(pair.input())
      let (ratio, largest) = pair.judge(try alignment.outcomes[0].result.get())
      #expect(ratio <= 1 && largest < 2_700)
    }
  }
}
