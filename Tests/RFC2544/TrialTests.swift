// SPDX-License-Identifier: GPL-2.0-or-later
import Recording
import TestPackets
import Testing

@testable import RFC2544

/// What becomes of a trial's packets and answers; nothing is sent.
@Suite struct TrialTests {
  @Test func verdicts() {
    func verdict(_ due: Int, _ sent: Int, _ answered: Int, drops: Int = 0, accepted: Double = 0) -> Trial.Verdict {
      var trial = Trial(purpose: .search, frame: 64, rate: 1, duration: 1)
      (trial.due, trial.sent, trial.answered, trial.ownDrops) = (due, sent, answered, drops)
      trial.judge(acceptedLoss: accepted)
      return trial.verdict
    }
    #expect(verdict(1000, 1000, 1000) == .clean && verdict(1000, 1000, 999) == .lossy)
    #expect(verdict(100_000, 100_000, 99_999) == .lossy)
    #expect(verdict(1000, 995, 995) == .clean && verdict(1000, 994, 994) == .notOffered)
    #expect(verdict(1000, 990, 500) == .notOffered && verdict(1000, 1000, 990, drops: 10) == .notOffered)
    #expect(verdict(1000, 1000, 990, accepted: 0.01) == .clean && verdict(1000, 1000, 989, accepted: 0.01) == .lossy)
    #expect(verdict(0, 0, 0) == .notOffered)
  }

  /// Of packets that are late, those behind a stall that follow each other too fast.
  @Test func haste() {
    var tally = TrialTally(first: 0, longestStall: 1000)
    for (number, actual) in [0, 1000, 3500, 3520, 4030, 5500, 6501].enumerated() as EnumeratedSequence<[Int64]> {
      tally.sent(SentPacket(number: UInt64(number), due: Int64(number) * 1000, actual: actual, time: 1))
    }
    var trial = Trial(purpose: .search, frame: 64, rate: 1000, duration: 1)
    tally.finish(&trial, due: 7, refused: 0, ownDrops: 0, acceptedLoss: 0)
    #expect(trial.hurried == 1)
  }

  /// 1000 packets/s, and four stalls of 30 ms: what is lost in their wake or within 10 ms behind it is nobody's; one packet
  /// elsewhere is the path's.
  @Test(
    arguments: [
      ([], .clean), ([210, 429, 635], .uneven), ([210, 239], .uneven), ([210, 500], .lossy), ([250], .lossy),
      ([100], .lossy),
      ([200], .lossy),
    ] as [(Set<Int64>, Trial.Verdict)])
  func whereLossIs(lost: Set<Int64>, verdict: Trial.Verdict) {
    var tally = TrialTally(first: 0, longestStall: 10_000_000, window: 300)
    for number in 0..<1000 as Range<Int64> {
      // Those of 200 to 229 leave at 230 ms, and so on.
      let place = number % 200
      let isLate = number >= 200 && place < 30
      let actual = number * 1_000_000 + (isLate ? (30 - place) * 1_000_000 + place : 0)
      tally.sent(SentPacket(number: UInt64(number), due: number * 1_000_000, actual: actual, time: 1 + actual))
      if !lost.contains(number) { tally.came(UInt32(number), at: 8 + actual) }
    }
    var trial = Trial(purpose: .search, frame: 64, rate: 1000, duration: 1)
    tally.finish(&trial, due: 1000, refused: 0, ownDrops: 0, acceptedLoss: 0)
    #expect(trial.verdict == verdict && trial.lost == lost.count && trial.hurried == 116)
    #expect(trial.latency?.min == 7 && trial.latency?.max == 7)
    // What is accepted is no more the path's in a trial with stalls than in one without.
    tally.finish(&trial, due: 1000, refused: 0, ownDrops: 0, acceptedLoss: 0.0015)
    #expect(trial.verdict == (lost.count <= 1 ? .clean : .uneven))
  }

  /// No more packets are kept than have answers on their way.
  @Test func answersTooLate() {
    var tally = TrialTally(first: 1, window: 4)
    for number in 0..<10 as Range<Int64> {
      tally.sent(SentPacket(number: UInt64(number), due: number, actual: number, time: 100 + number))
      if number == 3 { tally.came(2, at: 105) }
    }
    for number in [9, 6, 6, 5, 2] as [UInt32] { tally.came(number, at: 120) }
    #expect(tally.answered == 3 && tally.repeated == 1 && tally.attempts == 9)
  }

  /// Of 10 packets, the first 3 not counted: 4 is lost, 6 comes behind 7, 8 twice, an unknown one.
  @Test func tally() {
    var tally = TrialTally(first: 3)
    for number in 0..<10 as Range<Int64> {
      tally.sent(
        SentPacket(number: UInt64(number), due: number * 1000, actual: number * 1000 + 7, time: 1_000_000 + number))
    }
    for number in [0, 1, 3, 5, 7, 6, 8, 8, 77] as [UInt32] { tally.came(number, at: 1_000_050 + Int64(number)) }
    var trial = Trial(purpose: .search, frame: 64, rate: 1000, duration: 1)
    #expect(!tally.isComplete)
    tally.finish(&trial, due: 7, refused: 0, ownDrops: 0, acceptedLoss: 0)
    #expect(trial.sent == 7 && trial.answered == 5 && trial.lost == 2 && trial.verdict == .lossy)
    #expect(trial.repeated == 1 && trial.disordered == 1 && trial.sentRate == 1000)
    #expect(trial.latency == Trial.Quantiles(min: 50, mean: 50, p50: 50, p99: 50, p999: 50, max: 50))
    #expect(trial.lateness?.max == 7 && trial.hurried == 0)
    // A leap of CLOCK_REALTIME spoils delays alone.
    var leaping = tally
    for (offset, window) in [(1_700_000_000_000_000_000, 100), (1_700_000_000_000_001_100, 100)] as [(Int64, Int64)] {
      leaping.sawClocks(offset: offset, window: window)
    }
    leaping.finish(&trial, due: 7, refused: 0, ownDrops: 0, acceptedLoss: 0)
    #expect(trial.clockSteps == 0 && trial.latency != nil)
    leaping.sawClocks(offset: 1_699_999_999_999_000_000, window: 100)
    leaping.finish(&trial, due: 7, refused: 0, ownDrops: 0, acceptedLoss: 0)
    #expect(trial.clockSteps == 1 && trial.latency == nil && trial.lateness != nil && trial.lost == 2)
    // Refused by the stack is not lost.
    tally.finish(&trial, due: 7, refused: 2, ownDrops: 0, acceptedLoss: 0)
    #expect(trial.sent == 5 && trial.lost == 0 && trial.verdict == .notOffered)
  }
}
