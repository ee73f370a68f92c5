// SPDX-License-Identifier: GPL-2.0-or-later
import Testing

@testable import Clocks

@Suite struct AlignmentErrorTests {
  private func failures(_ input: AlignmentInput) -> [AlignmentError?] { Alignment(input).outcomes.map(\.failure) }

  @Test func everythingMayBeMissing() throws {
    var pair = VirtualPair(seed: 1)
    var input = pair.input()
    input.counters = []
    input.crossStamps = []
    input.exchanges = []
    #expect(failures(input) == [.noGuestCounters, .noCrossStamps, .noExchanges])
    #expect(Alignment(input).best == nil)
    input = pair.input()
    input.guest = Array(input.guest.prefix(1))
    #expect(failures(input) == [.noReadings(.guest), .noReadings(.guest), .noReadings(.guest)])
    input = pair.input()
    input.host = []
    #expect(failures(input) == [.noReadings(.host), .noReadings(.host), .noReadings(.host)])
  }

  @Test func aMachineWithoutACounterUsesTheNextMethod() throws {
    var pair = VirtualPair(seed: 2)
    var input = pair.input()
    for index in input.guest.indices { input.guest[index].counter = 0 }
    let alignment = Alignment(input)
    #expect(alignment.outcomes[0].failure == .noCounter(.guest))
    #expect(alignment.best?.method == .ptpKVM)
  }

  @Test func aMigratedGuestIsNotAlignedAtAll() throws {
    var pair = VirtualPair(seed: 3)
    var input = pair.input()
    for index in input.counters.indices.suffix(4) { input.counters[index].scaling.offset += 3 }
    let alignment = Alignment(input)
    let at = input.counters.suffix(4).first?.at.nanoseconds ?? 0
    #expect(alignment.outcomes[0].failure == .offsetChanged(vcpu: 0, at: at))
    #expect(alignment.best == nil)
    #expect(alignment.interruption == .offsetChanged(vcpu: 0, at: at))
    #expect("\(try #require(alignment.interruption))".contains("migrated"))
  }

  @Test func aGuestThatLeavesTheHostIsNotAligned() throws {
    var pair = VirtualPair(seed: 13)
    var input = pair.input()
    let kept = input.counters.filter { $0.at.nanoseconds < pair.host.monotonic.read(8.1e9) }
    input.counters = kept
    let alignment = Alignment(input)
    let at = try #require(kept.last).at.nanoseconds
    #expect(alignment.outcomes[0].failure == .countersEnded(at: at))
    #expect(alignment.interruption == .countersEnded(at: at) && alignment.best == nil)
    #expect("\(try #require(alignment.interruption))".contains("migrated away or stopped"))
    // It may leave once it has recorded, and the host may go on.
    input.guest.removeAll { $0.monotonic.nanoseconds > pair.guest.monotonic.read(9e9) }
    #expect(Alignment(input).best?.method == .tsc)
  }

  @Test func vCPUsThatDifferALittleWidenTheError() throws {
    for seed in 20..<40 as Range<UInt64> {
      var pair = VirtualPair(seed: seed)
      var input = pair.input()
      let plain = try Alignment(input).outcomes[0].result.get()
      for index in input.counters.indices where input.counters[index].vcpu == 1 {
        input.counters[index].scaling.offset += 900
      }
      let map = try Alignment(input).outcomes[0].result.get()
      let (ratio, _) = pair.judge(map)
      #expect(ratio <= 1)
      #expect(map.maximumError(over: pair.span) > plain.maximumError(over: pair.span) + 90)
      for index in input.counters.indices where input.counters[index].vcpu == 1 {
        input.counters[index].scaling.offset += 100_000
      }
      #expect(Alignment(input).outcomes[0].failure == .countersDisagree(ticks: 100_900))
    }
  }

  @Test func counterReadingsThatProveNothing() throws {
    var pair = VirtualPair(seed: 4)
    var input = pair.input()
    input.counters = Array(input.counters.prefix(2))
    #expect(failures(input)[0] == .countersReadOnce)
    input.counters = pair.counters()
    for index in input.counters.indices {
      input.counters[index].scaling = CounterScaling(offset: 1, ratio: 5, fractionBits: 64)
    }
    #expect(failures(input)[0] == .badScaling(vcpu: 0))
    // Another guest's scaling: rates that cannot be.
    for index in input.counters.indices {
      input.counters[index].scaling = CounterScaling(
        offset: pair.guest.scaling?.offset ?? 0, ratio: 3 << 31, fractionBits: 32)
    }
    if case .implausibleRate = failures(input)[0] {
    } else if failures(input)[0] != .noOverlap {
      Issue.record("\(String(describing: failures(input)[0]))")
    }
  }

  @Test func suspendIsSeenOnEitherSide() throws {
    var pair = VirtualPair(seed: 6)
    pair.guest.suspended = 3_000_000_000
    pair.guest.suspendedFrom = 4e9
    let alignment = Alignment(pair.input())
    #expect(alignment.outcomes.allSatisfy { $0.failure == .suspended(.guest) })
    #expect(alignment.interruption == .suspended(.guest) && alignment.best == nil)
  }

  @Test func aPausedGuestIsSeenByItsCounterAndByExchanges() throws {
    // The guest's clocks stand still for 20 ms, its counter does not.
    var pair = VirtualPair(seed: 7)
    let rate = pair.guest.raw.rates[0].rate
    let pause: [(from: Double, ppm: Double)] = [(5e9, -1e6), (5.02e9, 0)]
    pair.guest.raw = VirtualClock(origin: pair.guest.raw.origin, rate: rate, slews: pause)
    pair.guest.monotonic = VirtualClock(origin: pair.guest.monotonic.origin, rate: rate, slews: pause)
    let alignment = Alignment(pair.input())
    let failures = alignment.outcomes.map(\.failure)
    if case .jumped(.guest, clock: "time stamp counter", at: _) = failures[0] {
    } else {
      Issue.record("\(String(describing: failures[0]))")
    }
    if case .contradiction = failures[2] {} else { Issue.record("\(String(describing: failures[2]))") }
    #expect(alignment.best == nil)
  }

  @Test func recordingsOfDifferentTimesHaveNothingInCommon() throws {
    var pair = VirtualPair(seed: 8)
    var input = pair.input()
    for index in input.guest.indices { input.guest[index].counter &+= 1 << 50 }
    #expect(failures(input)[0] == .noOverlap)
    for index in input.crossStamps.indices { input.crossStamps[index].hostRealtime.nanoseconds += 86_400_000_000_000 }
    #expect(failures(input)[1] == .crossStampsOutside)
  }

  @Test func nothingInAFileMakesItTrap() {
    var random = SeededGenerator(state: 77)
    let edges: [Int64] = [.min, .min + 1, -1, 0, 1, 1 << 61, (1 << 62) - 1, 1 << 62, .max - 1, .max]
    func any() -> Int64 {
      Bool.random(using: &random)
        ? edges[Int.random(in: 0..<edges.count, using: &random)] : Int64.random(in: .min ... .max, using: &random)
    }
    func small() -> Int64 { Int64.random(in: 0...3_000_000_000, using: &random) }
    for round in 0..<600 {
      func number() -> Int64 { round % 3 == 0 ? any() : Int.random(in: 0..<9, using: &random) == 0 ? any() : small() }
      func readings() -> [ClockReading] {
        (0..<Int.random(in: 0...7, using: &random)).map { _ in
          ClockReading(
            monotonic: Instant(nanoseconds: number()), window: number(), monotonicRaw: Instant(nanoseconds: number()),
            realtime: Instant(nanoseconds: number()), tai: Instant(nanoseconds: number()),
            boottime: Instant(nanoseconds: number()), counter: UInt64(bitPattern: number()))
        }
      }
      func even() -> [ClockReading] {
        (0..<7).map { index in
          let time = Int64(index) * 100_000_000
          return ClockReading(
            monotonic: Instant(nanoseconds: time), window: 100, monotonicRaw: Instant(nanoseconds: time),
            realtime: Instant(nanoseconds: time + (1 << 60)), tai: Instant(nanoseconds: 0),
            boottime: Instant(nanoseconds: time), counter: UInt64(time + 5) &* 3)
        }
      }
      let isEven = round % 2 == 0
      let alignment = Alignment(
        AlignmentInput(
          host: isEven ? even() : readings(), guest: isEven ? even() : readings(),
          counters: (0..<4).map { _ in
            CounterReading(
              at: Instant(nanoseconds: number()), vcpu: 0,
              scaling: CounterScaling(
                offset: round % 4 == 0 ? 5 : any(), ratio: UInt64(bitPattern: number()),
                fractionBits: UInt8(truncatingIfNeeded: number())))
          },
          crossStamps: (0..<6).map { _ in
            CrossStamp(
              hostRealtime: Instant(nanoseconds: number() &+ (isEven ? 1 << 60 : 0)),
              guestRealtime: Instant(nanoseconds: number() &+ (isEven ? 1 << 60 : 0)),
              guestRaw: Bool.random(using: &random) ? Instant(nanoseconds: number()) : nil, window: number())
          },
          exchanges: (0..<6).map { _ in
            TwoWayExchange(
              hostSent: Instant(nanoseconds: number()), guestReceived: Instant(nanoseconds: number()),
              guestSent: Instant(nanoseconds: number()), hostReceived: Instant(nanoseconds: number()))
          }))
      for map in alignment.outcomes.compactMap(\.map) {
        for time in edges { #expect((map.host(time) == nil) == (map.error(at: time) == nil)) }
        #expect(map.disagreement(with: map, over: .min ... .max).difference == 0)
      }
    }
  }
}
