// SPDX-License-Identifier: GPL-2.0-or-later
import Testing

@testable import Clocks

/// A wall clock that is set, by any amount and at any time, changes nothing that an alignment rests on.
@Suite struct WallStepTests {
  private static let steps = [0.002, 0.05, 1, 2, 3, 5, 7, 10, 20, 50, 3_000].flatMap { [$0, -$0] }

  /// - Parameter step: milliseconds.
  @Test(arguments: steps, [true, false])
  func everyStepOfAWallClockIsSurvived(step: Double, isHosts: Bool) throws {
    for seed in 0..<8 as Range<UInt64> {
      var pair = VirtualPair(seed: 40_000 + seed)
      let time = Double.random(in: 0.05e9...9.95e9, using: &pair.random)
      let wall = isHosts ? pair.host.wall[0].offset : pair.guest.wall[0].offset
      let set = (from: time, offset: wall + Int64(step * 1e6))
      if isHosts { pair.host.wall.append(set) } else { pair.guest.wall.append(set) }
      var input = pair.input()
      // Only without RAW does a stamp rest on the guest's wall clock too.
      input.crossStamps = pair.crossStamps(tellsRaw: isHosts)
      let alignment = Alignment(input)
      #expect(alignment.best?.method == .tsc, "seed \(seed): \(String(describing: alignment.interruption))")
      guard let map = alignment.outcomes[1].map else {
        Issue.record("seed \(seed): \(String(describing: alignment.outcomes[1].failure))")
        continue
      }
      let (ratio, largest) = pair.judge(map, events: [time])
      #expect(ratio <= 1 && largest < 4_000, "seed \(seed): \(ratio) of \(largest) ns")
    }
  }

  @Test func manyStepsOfBothWallClocksAreSurvived() throws {
    for seed in 0..<40 as Range<UInt64> {
      var pair = VirtualPair(seed: 41_000 + seed)
      for _ in 0..<4 {
        let time = Double.random(in: 0.05e9...9.95e9, using: &pair.random)
        let step = Int64(Double.random(in: -9e6...9e6, using: &pair.random))
        for side in [\VirtualPair.host, \.guest] {
          let at = time + Double.random(in: 0...300e6, using: &pair.random)
          pair[keyPath: side].wall.append((at, (pair[keyPath: side].wall[0].offset) + step))
        }
      }
      pair.host.wall.sort { $0.from < $1.from }
      pair.guest.wall.sort { $0.from < $1.from }
      var input = pair.input()
      input.crossStamps = pair.crossStamps(window: 5_000, tellsRaw: false)
      let alignment = Alignment(input)
      let map = try #require(alignment.outcomes[1].map, "\(String(describing: alignment.outcomes[1].failure))")
      let (ratio, largest) = pair.judge(map)
      #expect(ratio <= 1 && largest < 20_000, "seed \(seed): \(ratio) of \(largest) ns")
    }
  }

  @Test func crossStampsAloneDoNotMakeAnInterruption() throws {
    var overruled = 0
    for seed in 0..<20 as Range<UInt64> {
      var pair = VirtualPair(seed: 42_000 + seed)
      // Set and set back around one cross stamp: mostly between two readings.
      let wall = pair.host.wall[0].offset
      pair.host.wall += [(4.997e9, wall + 5_000_000), (5.007e9, wall)]
      var input = pair.input()
      let alignment = Alignment(input)
      #expect(alignment.best?.method == .tsc && alignment.interruption == nil)
      guard case .crossStampsAlone(let at) = alignment.outcomes[1].failure else { continue }
      overruled += 1
      #expect(abs(at - pair.guest.raw.read(5e9)) < 1_000_000_000)
      // With nothing else to go by, or against an exchange that saw it too, it stays one.
      input.exchanges = []
      #expect(Alignment(input).best == nil)
      input = pair.input()
      let paused = pair.guest.raw.read(5e9)
      for index in input.exchanges.indices where input.exchanges[index].guestReceived.nanoseconds > paused {
        input.exchanges[index].guestReceived.nanoseconds -= 5_000_000
        input.exchanges[index].guestSent.nanoseconds -= 5_000_000
      }
      #expect(Alignment(input).interruption != nil)
    }
    #expect(overruled >= 10)
  }
}
