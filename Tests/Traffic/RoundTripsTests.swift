// SPDX-License-Identifier: GPL-2.0-or-later
import Recording
import Testing

@testable import Traffic

/// Times are made up; nothing is sent.
@Suite struct RoundTripsTests {
  private func packet(_ number: UInt64, late: Int64 = 10) -> SentPacket {
    let due = Int64(number) * 1_000_000
    return SentPacket(number: number, due: due, actual: due + late, time: due + late)
  }

  private func reflection(_ sender: UInt32, own: UInt32) throws -> Reflection {
    let request = TestPacket(sequence: sender, time: 5, session: 1).bytes(size: 44)
    return try #require(
      Reflection(
        payload: Reflection.answer(
          to: request, sequence: own, received: 5, sent: 6, error: ErrorEstimate(bits: 0x4001), ttl: 64, key: nil)))
  }

  private func arrival(_ time: Int64?, _ monotonic: Int64) -> RoundTrips.Arrival {
    RoundTrips.Arrival(time: time, monotonic: monotonic, residence: 30)
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
      let pairs = trips.takePairs()
      #expect(pairs.map(\.name) == [3, 0, 1, 2])
      #expect(pairs.map(\.start) == [7_000_000, 7_009_900, 7_009_930, 7_000_000])
      #expect(pairs.map(\.end) == [7_002_500, 7_010_000, 7_010_000, 7_010_000])
      #expect(trips.delays.max == 100 && trips.lateness.max == 2_500 && trips.takePairs().isEmpty)
    }
  }

  /// A cut answer does not say how long the reflector had the packet.
  @Test func withoutResidence() throws {
    var trips = RoundTrips()
    trips.sent(packet(7), left: 100)
    trips.came(try reflection(7, own: 7), RoundTrips.Arrival(time: 400, monotonic: 7_010_000, residence: nil))
    let pairs = trips.takePairs()
    #expect(pairs.map(\.name) == [3, 0, 2] && pairs.map(\.start) == [7_000_000, 7_009_700, 7_000_000])
    #expect(trips.answered == 1 && trips.delays.max == 300)
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
    #expect(trips.takePairs().count { $0.name == 0 } == 6)
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
}
