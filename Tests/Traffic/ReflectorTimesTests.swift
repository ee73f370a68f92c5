// SPDX-License-Identifier: GPL-2.0-or-later
import Recording
import TestPackets
import Testing

@testable import Traffic

/// Times of reflectors that cannot be. Bytes are put together here, since a right reflector never sends them.
@Suite struct ReflectorTimesTests {
  private static let now: Int64 = 1_700_000_000_000_000_000
  private static let ntp: UInt32 = 2_208_988_800

  /// An answer of `size` bytes with these seconds and fractions.
  private func reflection(
    sent: (UInt32, UInt32), received: (UInt32, UInt32), error: UInt16, size: Int = 44
  ) throws -> Reflection {
    var bytes = [UInt8](repeating: 0, count: 44)
    for (word, place) in [
      (7, 0), (sent.0, 4), (sent.1, 8), (received.0, 16), (received.1, 20), (7, 24), (1_700_000_000, 28), (5, 32),
    ] as [(UInt32, Int)] { Field.put(word, at: place, in: &bytes) }
    Field.put(error, at: 12, in: &bytes)
    return try #require(Reflection(payload: Array(bytes.prefix(size))))
  }

  private func residence(_ reflection: Reflection, delay: Int64 = 100_000) -> (Int64?, ReflectorTimes) {
    var times = ReflectorTimes()
    let residence = times.residence(reflection, delay: delay, now: ReflectorTimesTests.now)
    return (residence, times)
  }

  @Test func whatCanBe() throws {
    for size in [38, 41, 44] {
      let (residence, times) = residence(
        try reflection(sent: (1_700_000_000, 40_000), received: (1_700_000_000, 10_000), error: 0xc001, size: size))
      #expect(residence == 30_000 && times.complaint == nil && times.refusal == nil)
    }
    // NTP's format: a fraction of 2^-32 s; a clock that nobody set, in 1970 and in 1900.
    for seconds in [1_700_000_000 &+ ReflectorTimesTests.ntp, ReflectorTimesTests.ntp + 100, 100] as [UInt32] {
      let (residence, times) = residence(
        try reflection(sent: (seconds, 429_497), received: (seconds, 214_748), error: 0x8001))
      #expect(49_000...51_000 ~= residence ?? 0 && times.complaint == nil, "\(seconds) \(times.complaint ?? "")")
    }
  }

  @Test func whatCannotBe() throws {
    let second: UInt32 = 1_700_000_000
    let cases: [(sent: (UInt32, UInt32), received: (UInt32, UInt32), error: UInt16, words: String)] = [
      // The receive time is left 0, in both formats.
      ((second, 40_000), (0, 0), 0xc001, "does not say when"),
      ((second &+ ReflectorTimesTests.ntp, 40_000), (0, 0), 0x8001, "does not say when"),
      // Answered before it came; there for longer than away; in 1900.
      ((second, 10_000), (second, 40_000), 0xc001, "impossible"),
      ((second, 500_000), (second, 40_000), 0xc001, "impossible"),
      ((second &+ ReflectorTimesTests.ntp, 0), (1, 0), 0x8001, "impossible"),
      // Z says PTP's nanoseconds and the fraction is NTP's; and the other way round.
      ((second &+ ReflectorTimesTests.ntp, 40_000), (second &+ ReflectorTimesTests.ntp, 10_000), 0xc001, "format"),
      ((second, 0xf000_0000), (second, 0xefff_0000), 0xc001, "format"),
      ((second, 40_000), (second, 10_000), 0x8001, "format"),
    ]
    for (sent, received, error, words) in cases {
      let (residence, times) = residence(try reflection(sent: sent, received: received, error: error))
      #expect(residence == nil && times.withoutResidence == 1, "\(words)")
      #expect(times.refusal?.contains(words) == true && times.complaint?.contains("1 answers") == true, "\(times)")
    }
  }

  /// A clock that moves in steps of 1 ms, and says so, is no liar.
  @Test func aCoarseClock() throws {
    let error = ErrorEstimate(isSynchronized: true, microseconds: 1000).bits
    let (residence, times) = residence(
      try reflection(sent: (1_700_000_000, 1_000_000), received: (1_700_000_000, 0), error: error))
    #expect(residence == nil && times.refusal == nil && times.complaint?.contains("too coarse") == true)
  }

  /// The round trip stands; each way is taken back, also where only one answer was impossible.
  @Test func oneImpossibleAnswer() throws {
    var trips = RoundTrips(isSameClock: true)
    for (number, received) in [(0, 10_000), (1, 90_000), (2, 10_000)] as [(UInt64, UInt32)] {
      trips.sent(
        SentPacket(number: number, due: 0, actual: 0, time: ReflectorTimesTests.now), left: 1_000_000)
      var answer = try reflection(sent: (1_700_000_000, 40_000), received: (1_700_000_000, received), error: 0xc001)
      answer.senderSequence = UInt32(number)
      trips.came(
        answer, RoundTrips.Arrival(time: 1_100_000, monotonic: 200_000, real: ReflectorTimesTests.now + 100_000))
    }
    let names = trips.takePairs().map(\.pair.name)
    #expect(names.count { $0 == 0 } == 3 && names.count { $0 == 1 } == 2)
    #expect(!trips.oneWay.isTold && trips.pairing.names.count == 4)
    var state = PacedThread.State()
    state.sent = 3
    let counts = trips.tallies(state)[0].counts
    #expect(counts["without_residence"] == 1 && counts["impossible_times"] == 1 && counts["paired"] == 3, "\(counts)")
  }

  /// CLOCK_REALTIME, by which packets are stamped, was set by 5 s while the second and the third were on their way.
  @Test func aClockThatIsSetMeanwhile() throws {
    var trips = RoundTrips(isByKernel: true)
    for (number, came) in [(0, 1_100_000), (1, 5_001_100_000), (2, -4_998_900_000)] as [(UInt64, Int64)] {
      trips.sent(SentPacket(number: number, due: 0, actual: 1_000_000, time: 0), left: 1_000_000)
      var answer = try reflection(sent: (1_700_000_000, 40_000), received: (1_700_000_000, 10_000), error: 0xc001)
      answer.senderSequence = UInt32(number)
      trips.came(
        answer, RoundTrips.Arrival(time: came, monotonic: 1_200_000, real: ReflectorTimesTests.now, read: 1_200_000))
    }
    trips.finish()
    #expect(trips.takePairs().count { $0.pair.name == 0 } == 1 && trips.discarded == 2)
    var state = PacedThread.State()
    state.sent = 3
    let counts = trips.tallies(state)[0].counts
    #expect(counts["paired"] == 1 && counts["abandoned"] == 2 && counts["unanswered"] == nil, "\(counts)")
  }
}
