// SPDX-License-Identifier: GPL-2.0-or-later
import Testing

@testable import Clocks

/// ε is a bound, whatever the clocks do.
@Suite struct BoundTests {
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
