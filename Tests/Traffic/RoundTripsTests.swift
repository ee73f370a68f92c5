// SPDX-License-Identifier: GPL-2.0-or-later
import Recording
import TestPackets
import Testing

@testable import Traffic

/// Times are made up; nothing is sent.
@Suite struct RoundTripsTests {
  private func packet(_ number: UInt64, late: Int64 = 10) -> SentPacket {
    let due = Int64(number) * 1_000_000
    return SentPacket(number: number, due: due, actual: due + late, time: due + late)
  }

  private func reflection(
    _ sender: UInt32, own: UInt32, received: Int64 = 5, sent: Int64 = 35, error: UInt16 = 0x4001
  ) throws -> Reflection {
    let request = TestPacket(sequence: sender, time: 5, session: 1).bytes(size: 44)
    return try #require(
      Reflection(
        payload: Reflection.answer(
          to: request, sequence: own, received: received, sent: sent, error: ErrorEstimate(bits: error), ttl: 64,
          key: nil)))
  }

  private func arrival(_ time: Int64?, _ monotonic: Int64, real: Int64 = 0) -> RoundTrips.Arrival {
    RoundTrips.Arrival(time: time, monotonic: monotonic, real: real)
  }

  private func state(sent: UInt64) -> PacedThread.State {
    var state = PacedThread.State()
    state.sent = sent
    return state
  }

  /// Stamps come before the answers or after them, by another clock than the recording's.
  @Test func pairsOfOnePacket() throws {
    for isStampFirst in [true, false] {
      var trips = RoundTrips()
      trips.sent(packet(7, late: 2_500), left: nil)
      if isStampFirst { trips.left(7, at: 1_000_000_000_300) }
      trips.came(try reflection(7, own: 7), arrival(1_000_000_000_400, 7_010_000))
      if !isStampFirst { trips.left(7, at: 1_000_000_000_300) }
      let pairs = trips.takePairs().map(\.pair)
      #expect(pairs.map(\.name) == [3, 0, 1, 2] && pairs.map(\.number) == [7, 7, 7, 7])
      #expect(pairs.map(\.start) == [7_000_000, 7_009_900, 7_009_930, 7_000_000])
      #expect(pairs.map(\.end) == [7_002_500, 7_010_000, 7_010_000, 7_010_000])
      #expect(trips.delays.max == 100 && trips.lateness.max == 2_500 && trips.takePairs().isEmpty)
    }
  }

  /// A cut answer does not say how long the reflector had the packet.
  @Test func withoutResidence() throws {
    var trips = RoundTrips()
    trips.sent(packet(7), left: 100)
    var cut = try reflection(7, own: 7)
    (cut.received, cut.isCut) = (nil, true)
    trips.came(cut, arrival(400, 7_010_000))
    let pairs = trips.takePairs().map(\.pair)
    #expect(pairs.map(\.name) == [3, 0, 2] && pairs.map(\.start) == [7_000_000, 7_009_700, 7_000_000])
    #expect(trips.answered == 1 && trips.delays.max == 300)
    #expect(trips.oneWay.refusal?.contains("too short") == true)
  }

  /// Of 10 packets 3 is lost on the way there, the answers to 5 and 8 are lost, 6 comes before 4, 7 twice.
  @Test func whatBecameOfPackets() throws {
    var trips = RoundTrips()
    for number in 0..<UInt64(10) {
      trips.sent(packet(number), left: nil)
      if number != 9 { trips.left(UInt32(number), at: Int64(number)) }
    }
    for (sender, own) in [(0, 0), (1, 1), (2, 2), (6, 5), (4, 3), (7, 6), (7, 6), (9, 8)] as [(UInt32, UInt32)] {
      trips.came(try reflection(sender, own: own), arrival(20_000_000, 20_000_000))
    }
    trips.came(try reflection(100, own: 1), arrival(5, 5))
    trips.malformedAnswer()
    trips.finish()
    let tallies = trips.tallies(state(sent: 10))
    #expect(
      tallies.map(\.counts) == [
        [
          "requests": 10, "paired": 6, "unanswered": 3, "abandoned": 1, "repeated_responses": 1,
          "unmatched_responses": 1, "malformed": 1, "disordered": 1, "lost_forward": 1, "lost_backward": 2,
        ],
        ["requests": 10, "paired": 10],
      ])
    #expect(trips.takePairs().count { $0.pair.name == 0 } == 6)
  }

  /// A copy that the reflector got has its own number: 1, 4 and the last packet come twice, 2 never, the answer to 3 is lost.
  @Test func copiesOnTheWayThere() throws {
    var trips = RoundTrips()
    for number in 0..<UInt64(7) { trips.sent(packet(number), left: 1) }
    for (sender, own) in [(0, 0), (1, 1), (1, 2), (4, 4), (4, 5), (4, 5), (5, 6), (6, 7), (6, 8)] as [(UInt32, UInt32)]
    {
      trips.came(try reflection(sender, own: own), arrival(2, 2))
    }
    let counts = trips.tallies(state(sent: 7))[0].counts
    #expect(
      counts == [
        "requests": 7, "paired": 5, "unanswered": 2, "repeated_responses": 4, "duplicated_forward": 3,
        "lost_forward": 1, "lost_backward": 1,
      ])
  }

  /// Packets that never left have numbers, and are not lost: of 100 each fourth, of the others the last but one.
  @Test func whatTheStackRefused() throws {
    var trips = RoundTrips()
    var (refused, own) = (UInt32(0), UInt32(0))
    for number in 0..<UInt64(100) {
      var packet = packet(number)
      packet.refused = refused
      trips.sent(packet, left: 1)
      if number % 4 == 3 {
        refused += 1
      } else if number != 97 {
        trips.came(try reflection(UInt32(number), own: own), arrival(2, 2))
        own += 1
      }
    }
    let counts = trips.tallies(state(sent: 75))[0].counts
    #expect(counts == ["requests": 75, "paired": 74, "unanswered": 1, "lost_forward": 1, "lost_backward": 0])
  }

  /// The first of all was lost on the way there; the wire has 32 bits for a number.
  @Test func numbersBeginAnew() throws {
    var trips = RoundTrips()
    for number in [1, 1 << 31, (1 << 32) - 1, 1 << 32, (1 << 32) + 1] as [UInt64] {
      trips.sent(packet(number), left: 1)
      trips.came(
        try reflection(UInt32(truncatingIfNeeded: number), own: UInt32(truncatingIfNeeded: number - 1)), arrival(2, 2))
    }
    let counts = trips.tallies(state(sent: (1 << 32) + 2))[0].counts
    #expect(counts["lost_forward"] == 1 && counts["lost_backward"]?.value == (1 << 32) + 1 - 5, "\(counts)")
  }

  /// Of 10 packets 3 is lost on the way there, and 9 overtakes 8, whose answer comes last.
  @Test func theLastPacketOvertakes() throws {
    var trips = RoundTrips()
    for number in 0..<UInt64(10) { trips.sent(packet(number), left: 1) }
    for (sender, own) in [(0, 0), (1, 1), (2, 2), (4, 3), (5, 4), (6, 5), (7, 6), (9, 7), (8, 8)] as [(UInt32, UInt32)]
    {
      trips.came(try reflection(sender, own: own), arrival(2, 2))
    }
    let counts = trips.tallies(state(sent: 10))[0].counts
    #expect(
      counts == [
        "requests": 10, "paired": 9, "unanswered": 1, "disordered": 1, "lost_forward": 1, "lost_backward": 0,
      ])
  }

  /// Restarted behind packet 99 of 200, of which each fourth has lost its answer; and numbers of no meaning.
  @Test func aReflectorThatBeginsAnew() throws {
    for isRestarted in [true, false] {
      var trips = RoundTrips(isStateful: true)
      for number in 0..<UInt32(200) {
        trips.sent(packet(UInt64(number)), left: 1)
        let own = isRestarted ? number % 100 : 70_000 + number
        if number % 4 != 1 { trips.came(try reflection(number, own: own), arrival(2, 2)) }
      }
      let counts = trips.tallies(state(sent: 200))[0].counts
      #expect(
        counts
          == ["requests": 200, "paired": 150, "unanswered": 50].merging(isRestarted ? ["renumbered": 1] : [:]) { $1 })
    }
  }

  /// Nothing is lost on the way there: told by who knows that the reflector is stateful.
  @Test func lossOnTheWayBackAlone() throws {
    for isTold in [true, false] {
      var trips = RoundTrips(isStateful: isTold)
      for number in 0..<UInt32(20) {
        trips.sent(packet(UInt64(number)), left: 1)
        if number != 7 { trips.came(try reflection(number, own: number), arrival(2, 2)) }
      }
      let counts = trips.tallies(state(sent: 20))[0].counts
      #expect(counts["lost_forward"] == (isTold ? 0 : nil) && counts["lost_backward"] == (isTold ? 1 : nil))
    }
  }

  /// Of 20 answers 4 found no room here, and 3 others were lost: not said on which way back, as the first are among them.
  @Test func whatFoundNoRoomHere() throws {
    var trips = RoundTrips()
    for number in 0..<UInt64(21) { trips.sent(packet(number), left: 1) }
    for number in 1..<UInt32(14) { trips.came(try reflection(number, own: number - 1), arrival(2, 2)) }
    trips.came(try reflection(20, own: 19), arrival(2, 2))
    var state = state(sent: 21)
    #expect(trips.tallies(state)[0].counts["lost_backward"] == 6)
    state.ownDrops = 4
    let counts = trips.tallies(state)[0].counts
    #expect(counts == ["requests": 21, "paired": 14, "unanswered": 3, "own_drops": 4, "lost_forward": 1])
  }

  /// Packets are due at 10 and 11 ms, and handed over 4 ms before; 2 ms early is what a queue that keeps times may do.
  @Test func aQueueThatIgnoresTimes() {
    for (early, count) in [(2_000_000, nil), (2_000_001, 1)] as [(Int64, Int?)] {
      var trips = RoundTrips(isByKernel: true, lead: 4_000_000)
      for number in 10..<12 as Range<UInt64> { trips.sent(packet(number), left: nil, isHandedEarly: true) }
      trips.departed(10, at: 10_000_000 - early)
      trips.departed(11, at: 11_000_050)
      let counts = trips.tallies(state(sent: 2))[1].counts
      #expect(counts["paired"] == 2 && counts["left_early"]?.value == count)
    }
  }

  /// Numbers that are the sender's do not tell the way.
  @Test func aStatelessReflector() throws {
    var trips = RoundTrips()
    for number in 0..<UInt64(10) { trips.sent(packet(number), left: 1) }
    for number in [0, 1, 9] as [UInt32] { trips.came(try reflection(number, own: number), arrival(2, 2)) }
    trips.finish()
    #expect(trips.tallies(state(sent: 10))[0].counts == ["requests": 10, "paired": 3, "unanswered": 7])
  }

  /// Numbers wrap, and packets of ten seconds ago are forgotten.
  @Test func longRuns() throws {
    var trips = RoundTrips()
    let first = UInt64(UInt32.max) - 10
    for number in first..<first + 20_000 { trips.sent(packet(number), left: 1) }
    trips.came(try reflection(UInt32(truncatingIfNeeded: first), own: 0), arrival(2, 2))
    trips.came(try reflection(UInt32(truncatingIfNeeded: first + 19_999), own: 0), arrival(2, 2))
    let counts = trips.tallies(state(sent: 20_000))[0].counts
    #expect(counts["unmatched_responses"] == 1 && counts["paired"] == 1 && counts["unanswered"] == 19_999)
  }

  /// A packet is known for ten seconds from when it was sent, however late that was.
  @Test func aSenderFarBehind() throws {
    var trips = RoundTrips()
    for number in 0..<UInt64(5) { trips.sent(packet(number, late: 11_000_000_000), left: 1) }
    for number in 0..<UInt32(5) { trips.came(try reflection(number, own: number), arrival(2, 11_100_000_000)) }
    let counts = trips.tallies(state(sent: 5))[0].counts
    #expect(counts == ["requests": 5, "paired": 5])
  }

  /// T1 and T4 by the kernel's stamps or by the program, both of them CLOCK_REALTIME; S = 1 at both ends.
  @Test(arguments: [true, false]) func delaysOfEachWay(isByKernel: Bool) throws {
    var trips = RoundTrips(isByKernel: isByKernel)
    // 1 · 2^8 / 2^32 s: 60 ns.
    var packet = packet(7)
    packet.error = ErrorEstimate(bits: 0xc801)
    packet.time = 1_000_000_000_100
    trips.sent(packet, left: nil)
    trips.left(7, at: 1_000_000_000_300)
    // 2 · 2^8 / 2^32 s.
    let answer = try reflection(7, own: 7, received: 1_000_000_000_350, sent: 1_000_000_000_380, error: 0xc802)
    trips.came(answer, arrival(1_000_000_000_400, 7_010_000, real: 1_000_000_000_450))
    let found = trips.takePairs().filter { $0.pair.name >= 4 }
    #expect(found.map { $0.pair.end - $0.pair.start } == (isByKernel ? [50, 20] : [250, 70]))
    #expect(found.map(\.time) == [7_010_000, 7_010_000] && found.map(\.pair.number) == [7, 7])
    #expect(found.map(\.pair.start) == [7_009_900, isByKernel ? 7_009_980 : 7_009_930])
    #expect(trips.pairing.names.map(\.name).suffix(2) == ["one-way-forward", "one-way-backward"])
    // 59.6 and 119.2, rounded up.
    #expect(trips.pairing.names.map(\.error) == [nil, nil, nil, nil, 180, 180])
    // One answer without S, and there are none.
    var next = self.packet(8)
    next.error = packet.error
    trips.sent(next, left: 8)
    trips.came(try reflection(8, own: 8), arrival(20, 7_020_000))
    #expect(trips.takePairs().map(\.pair.name) == [3, 0, 1, 2] && trips.pairing.names.count == 4)
    #expect(trips.oneWay.refusal == "the reflector's clock is not synchronised (S = 0)" && trips.oneWayText == nil)
  }
}

/// Times by hand.
@Suite struct OneWayDelaysTests {
  private let good = ErrorEstimate(isSynchronized: true, microseconds: 100)

  /// T1, forward, residence, backward; by how much the reflector is ahead.
  private func times(
    _ sent: Int64, _ forward: Int64, _ residence: Int64, _ backward: Int64, ahead: Int64 = 0
  ) -> FourTimes {
    let received = sent + forward + ahead
    return FourTimes(
      sent: sent, received: received, answered: received + residence, came: sent + forward + residence + backward)
  }

  @Test func theErrorIsTheLargestOfEachEnd() {
    var delays = OneWayDelays(isSameClock: false)
    #expect(!delays.isTold && delays.refusal == nil)
    for (own, theirs) in [(100, 900), (500, 100), (1, 1)] {
      let isTold = delays.take(
        times(0, 1000, 10, 2000), sender: ErrorEstimate(isSynchronized: true, microseconds: own),
        reflector: ErrorEstimate(isSynchronized: true, microseconds: theirs))
      #expect(isTold)
    }
    #expect(delays.isTold && (1_400_000...1_420_000).contains(delays.error), "\(delays.error)")
    #expect(delays.negative == (0, 0) && delays.jumps == 0)
  }

  @Test func whoIsNotSynchronised() {
    let bad = ErrorEstimate(isSynchronized: false, microseconds: 100)
    // S = 1, and a multiplier that must not be.
    let nothing = ErrorEstimate(bits: 0xc000)
    for (own, theirs, text) in [
      (bad, good, "this machine's clock is"), (good, bad, "the reflector's clock is"), (bad, bad, "neither this"),
      (good, nothing, "the reflector says that its clock is synchronised, and not how well"),
    ] {
      var delays = OneWayDelays(isSameClock: false)
      // None are told any more after one that cannot be.
      let told = [(good, good), (own, theirs), (good, good)].map {
        delays.take(times(0, 1, 1, 1), sender: $0, reflector: $1)
      }
      #expect(told == [true, false, false] && !delays.isTold)
      #expect(delays.refusal?.hasPrefix(text) == true)
    }
    var same = OneWayDelays(isSameClock: true)
    let isTold = same.take(times(0, 1, 1, 1), sender: bad, reflector: bad)
    #expect(isTold && same.isTold && same.error == 0)
  }

  /// Beyond both errors, 200 µs and the format's rounding, it is impossible; counted, never cut.
  @Test func whatCameBeforeItLeft() {
    var delays = OneWayDelays(isSameClock: false)
    for ahead in [-150_000, 150_000, -400_000, -500_000, 450_000] as [Int64] {
      _ = delays.take(times(0, 50_000, 10, 60_000, ahead: ahead), sender: good, reflector: good)
    }
    #expect(delays.negative == (2, 1))
    var same = OneWayDelays(isSameClock: true)
    _ = same.take(times(0, -1, 5, 7), sender: good, reflector: good)
    #expect(same.negative == (1, 0))
    // A peer may send anything.
    let wild = FourTimes(sent: .max, received: .min, answered: .max, came: .min)
    _ = delays.take(wild, sender: good, reflector: ErrorEstimate(bits: 0xffff))
    #expect(delays.isTold)
  }

  /// A clock that is set by more than a round trip takes is found out, and drift is not taken for it.
  @Test func clocksThatMove() {
    var delays = OneWayDelays(isSameClock: false)
    var ahead: Int64 = 20_000
    for number in 0..<500 as Range<Int64> {
      if number == 300 { ahead -= 5_000_000 }
      // 400 ppm.
      let drift = number * 10_000_000 / 1_000_000 * 400
      let queue = number % 7 == 0 ? 30_000_000 : 100_000 as Int64
      let times = times(number * 10_000_000, queue, 50_000, 200_000, ahead: ahead + drift)
      _ = delays.take(times, sender: good, reflector: good)
    }
    #expect(delays.jumps == 1)
  }
}
