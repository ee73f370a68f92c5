// SPDX-License-Identifier: GPL-2.0-or-later
import Testing

@testable import Clocks

/// What happens to the clocks during a run.
enum Trouble: String, CaseIterable {
  case none, guestSlewed, hostSlewed, bothSlewed, manySlews, guestStepped, hostStepped, hostSetBack, scaled32, scaled48
  case slowWindows

  func apply(to pair: inout VirtualPair) {
    func when() -> Double { Double.random(in: 1e9...9e9, using: &pair.random) }
    switch self {
    case .none: break
    case .guestSlewed: pair.slewGuest([(when(), 200)])
    case .hostSlewed: pair.slewHost([(when(), -200)])
    case .bothSlewed:
      pair.slewGuest([(when(), 500)])
      pair.slewHost([(when(), -200)])
    case .manySlews:
      var slews: [(from: Double, ppm: Double)] = []
      for index in 0..<19 {
        slews.append((from: Double(index) * 500e6 + 33e6, ppm: Double(index % 5 - 2) * 100))
      }
      pair.slewGuest(slews)
    case .guestStepped: pair.guest.wall.append((when(), pair.guest.wall[0].offset + 1_000_000_000))
    case .hostStepped: pair.host.wall.append((when(), pair.host.wall[0].offset + 1_000_000_000))
    case .hostSetBack: pair.host.wall.append((5.03e9, pair.host.wall[0].offset - 5_000_000_000))
    case .scaled32:
      pair.guest.scaling = CounterScaling(offset: -987_654_321, ratio: (1 << 32) * 3 / 4 + 12_345, fractionBits: 32)
    case .scaled48:
      pair.guest.scaling = CounterScaling(offset: .min + 5, ratio: (1 << 48) / 10 * 13 + 7, fractionBits: 48)
    case .slowWindows: pair.window = 9_000
    }
  }
}

@Suite struct AlignmentTests {
  @Test(arguments: Trouble.allCases)
  func theTrueErrorNeverExceedsItsBoundAndTheBoundIsNotAbsurd(trouble: Trouble) throws {
    for seed in 0..<29 as Range<UInt64> {
      var pair = VirtualPair(seed: seed)
      trouble.apply(to: &pair)
      let alignment = Alignment(pair.input())
      #expect(alignment.best?.method == .tsc)
      for outcome in alignment.outcomes {
        let map = try outcome.result.get()
        let (ratio, largest) = pair.judge(map)
        #expect(ratio <= 1, "seed \(seed), \(outcome.method): \(ratio) times its bound")
        #expect(largest <= map.maximumError(over: pair.span))
        #expect(
          map.maximumError(over: pair.span) <= limit(outcome.method, trouble, pair), "seed \(seed), \(outcome.method)")
      }
    }
  }

  /// What the bound may be at worst, from the windows, the ways of messages and the slews that were put in.
  private func limit(_ method: AlignmentMethod, _ trouble: Trouble, _ pair: VirtualPair) -> Int64 {
    // Two local clocks, each within three windows at the ends and one in between.
    var limit = 13 * pair.window + 100
    switch trouble {
    // A change of rate between two readings, 330 ms apart if two between them were poor, may be a step anywhere between them.
    case .guestSlewed, .hostSlewed: limit += 330e6 * 200e-6 * 1.1
    case .bothSlewed: limit += 330e6 * 700e-6 * 1.1
    case .manySlews: limit += 330e6 * 400e-6
    default: break
    }
    switch method {
    case .tsc: break
    case .ptpKVM: limit += 8 * pair.window + 200 + (trouble == .hostSlewed ? 330e6 * 200e-6 * 1.1 : 0)
    case .exchange: limit += pair.ways.forth + pair.ways.back
    }
    return Int64(limit)
  }

  @Test func theMapNeverRunsBackwards() throws {
    for seed in 100..<110 as Range<UInt64> {
      var pair = VirtualPair(seed: seed)
      pair.slewGuest([(3e9, 500), (3.2e9, -500)])
      for outcome in Alignment(pair.input()).outcomes {
        let map = try outcome.result.get()
        var cursor = map.cursor()
        var last = Int64.min
        for time in stride(from: pair.span.lowerBound - 1_000, to: pair.span.upperBound + 1_000, by: 99_991) {
          guard let next = cursor.host(time) else {
            Issue.record("no time at \(time)")
            break
          }
          #expect(next >= last)
          #expect(next == map.host(time))
          last = next
        }
      }
    }
  }

  @Test func driftAndSamplesAreTold() throws {
    var pair = VirtualPair(seed: 5)
    pair.host.monotonic = VirtualClock(origin: 0, rate: 1 + 30e-6)
    pair.guest.monotonic = VirtualClock(origin: 0, rate: 1 - 20e-6)
    pair.host.raw = pair.host.monotonic
    pair.guest.raw = pair.guest.monotonic
    for outcome in Alignment(pair.input()).outcomes {
      let map = try outcome.result.get()
      #expect(abs(map.driftPPM - 50) < (outcome.method == .exchange ? 12 : 0.2))
      #expect(map.samples == [.tsc: 22, .ptpKVM: 21, .exchange: 201][outcome.method])
    }
  }

  @Test func methodsAgreeWithinTheirErrorsAndAWrongOneIsFound() throws {
    for seed in 200..<220 as Range<UInt64> {
      var pair = VirtualPair(seed: seed)
      let input = pair.input()
      let maps = Alignment(input).outcomes.compactMap(\.map)
      #expect(maps.count == 3)
      for other in maps.dropFirst() {
        let found = maps[0].disagreement(with: other, over: pair.span)
        #expect(found.isAllowed, "\(found)")
      }
      // The host's offset off by a millisecond: the exchanges say so, whatever their error.
      var wrong = input
      for index in wrong.counters.indices {
        wrong.counters[index].scaling.offset += Int64(pair.host.counter.rates[0].rate * 1e6)
      }
      let lying = try #require(Alignment(wrong).outcomes[0].map)
      let found = lying.disagreement(with: maps[2], over: pair.span)
      #expect(!found.isAllowed && found.difference > 900_000)
    }
  }

  @Test(arguments: [true, false])
  func crossStampsWithWindowsAreAsGoodAsTheirWindows(tellsRaw: Bool) throws {
    for seed in 300..<320 as Range<UInt64> {
      var pair = VirtualPair(seed: seed)
      // Steps on both sides: without RAW, each stamp has to be placed on both clocks.
      Trouble.guestStepped.apply(to: &pair)
      Trouble.hostSetBack.apply(to: &pair)
      var input = pair.input()
      input.counters = []
      input.crossStamps = pair.crossStamps(window: 5_000, tellsRaw: tellsRaw)
      let alignment = Alignment(input)
      let map = try #require(alignment.best)
      #expect(map.method == .ptpKVM)
      let (ratio, largest) = pair.judge(map)
      #expect(ratio <= 1 && largest < 8_000)
    }
  }

  @Test func stampsLessPreciseThanTheyShouldBeWidenTheError() throws {
    var pair = VirtualPair(seed: 9)
    var input = pair.input()
    for index in input.crossStamps.indices {
      input.crossStamps[index].hostRealtime.nanoseconds += index % 2 == 0 ? 1_500 : -1_500
    }
    let map = try #require(Alignment(input).outcomes[1].map)
    let (ratio, _) = pair.judge(map)
    #expect(ratio <= 1 && map.maximumError(over: pair.span) > 1_000)
  }

  @Test func clocksThatWanderAreFollowedInPieces() throws {
    for seed in 400..<410 as Range<UInt64> {
      var pair = VirtualPair(seed: seed)
      // 20 ppm to and fro, far more than a crystal does in 10 s: no one line fits.
      pair.guest.raw = VirtualClock(
        origin: 123, rate: 1, slews: [(2e9, 20), (4e9, -20), (6e9, 20), (8e9, -20)])
      pair.ways = (2_000, 2_000)
      let input = pair.input()
      let map = try Alignment(input).outcomes[2].result.get()
      let (_, largest) = pair.judge(map)
      #expect(largest < 60_000)
    }
  }

  @Test func aFewSecondsOutsideOfTheSamplesTheErrorGrows() throws {
    var pair = VirtualPair(seed: 12)
    let map = try Alignment(pair.input()).outcomes[0].result.get()
    let (_, end) = (pair.span.lowerBound, pair.span.upperBound)
    pair.slewGuest([(10e9, 500)])
    let later = pair.guest.monotonic.read(12e9)
    let error = try #require(map.error(at: later))
    let host = try #require(map.host(later))
    #expect(abs(host - pair.host.monotonic.read(12e9)) <= error)
    #expect(error > 2_000_000 * 5 / 10 && error < 4_000_000)
    #expect(map.host(end + 11_000_000_000) == nil && map.error(at: end + 11_000_000_000) == nil)
    #expect(map.host(.max) == nil && map.host(.min) == nil)
  }

  @Test func thisMachineAlignedWithItselfIsTheIdentity() async throws {
    // Real clocks, whatever slews them here: two sets of readings, messages without any way, an offset of 0.
    var input = AlignmentInput(host: [], guest: [])
    for round in 0..<9 {
      input.host.append(.now())
      input.guest.append(.now())
      let times = (0..<4).map { _ in Instant<MonotonicRaw>.now }
      input.exchanges.append(
        TwoWayExchange(hostSent: times[0], guestReceived: times[1], guestSent: times[2], hostReceived: times[3]))
      input.counters.append(
        CounterReading(at: input.host[round].monotonic, vcpu: 0, scaling: CounterScaling(offset: 0)))
      try await Task.sleep(for: .milliseconds(round < 8 ? 50 : 0))
    }
    let alignment = Alignment(input)
    for method in [AlignmentMethod.tsc, .exchange] {
      let outcome = try #require(alignment.outcomes.first { $0.method == method })
      if outcome.failure == .noCounter(.host) { continue }
      let map = try outcome.result.get()
      for time in stride(from: map.covered.lowerBound, through: map.covered.upperBound, by: 1_000_003) {
        let (host, error) = try (#require(map.host(time)), #require(map.error(at: time)))
        #expect(abs(host - time) <= error)
      }
    }
  }
}
