// SPDX-License-Identifier: GPL-2.0-or-later
import Recording
import Testing

@testable import Remote

@Suite struct ExchangerTests {
  /// A question at 1000 whose answer is there at 1500.
  private func ask() -> Exchanger {
    var exchanger = Exchanger(peer: 4)
    #expect(exchanger.next() == 1)
    exchanger.sent(at: 1000)
    return exchanger
  }

  @Test func theFourTimes() throws {
    var exchanger = ask()
    let result = try exchanger.answer(id: 1, peerReceived: 90, peerSent: 190, at: 1500, monotonic: 77)
    #expect(
      result
        == .exchange(ClockExchange(time: 77, peer: 4, sent: 1000, peerReceived: 90, peerSent: 190, received: 1500)))
    #expect(!exchanger.isWaiting)
    // The same answer again belongs to no question.
    #expect(try exchanger.answer(id: 1, peerReceived: 190, peerSent: 190, at: 1600, monotonic: 78) == .late)
  }

  @Test func aLateAnswerIsNoExchange() throws {
    var exchanger = ask()
    exchanger.giveUp()
    #expect(exchanger.next() == 2)
    exchanger.sent(at: 2000)
    #expect(try exchanger.answer(id: 1, peerReceived: 90, peerSent: 190, at: 2100, monotonic: 1) == .late)
    #expect(exchanger.isWaiting)
  }

  @Test func impossibleTimesAreLeftOut() throws {
    var exchanger = ask()
    // The guest had it for 1 502 ns of the 500 that passed, 1 000.5 ns of tolerance included.
    #expect(try exchanger.answer(id: 1, peerReceived: 0, peerSent: 1501, at: 1500, monotonic: 1) == .wrong)
    exchanger = ask()
    guard case .exchange = try exchanger.answer(id: 1, peerReceived: 0, peerSent: 1500, at: 1500, monotonic: 1) else {
      Issue.record("within the tolerance")
      return
    }
  }

  @Test(arguments: [(100, 99), (-1, 5), (Int64.min, Int64.max), (39, 60)] as [(Int64, Int64)])
  func clocksDoNotRunBackwards(_ received: Int64, _ sent: Int64) throws {
    var exchanger = ask()
    _ = try exchanger.answer(id: 1, peerReceived: 40, peerSent: 50, at: 1500, monotonic: 1)
    _ = exchanger.next()
    exchanger.sent(at: 2000)
    #expect(try exchanger.answer(id: 2, peerReceived: received, peerSent: sent, at: 2500, monotonic: 1) == .wrong)
    #expect(!exchanger.isWaiting)
  }

  /// A guest that stood still finds the question that was given up and the next one, and answers both.
  @Test func questionsReadTogether() throws {
    var exchanger = ask()
    exchanger.giveUp()
    _ = exchanger.next()
    exchanger.sent(at: 2000)
    #expect(try exchanger.answer(id: 1, peerReceived: 40, peerSent: 50, at: 2500, monotonic: 1) == .late)
    guard case .exchange = try exchanger.answer(id: 2, peerReceived: 40, peerSent: 60, at: 2501, monotonic: 2) else {
      Issue.record("not taken")
      return
    }
  }

  /// The next question's number is easily guessed: who answers before it has been put lies about the time.
  @Test func answersBeforeTheirQuestion() {
    var exchanger = ask()
    #expect(throws: RemoteError.self) {
      try exchanger.answer(id: 1, peerReceived: 1, peerSent: 2, at: 999, monotonic: 1)
    }
  }

  @Test func answersWithoutAQuestion() {
    var exchanger = ask()
    #expect(throws: RemoteError.self) {
      try exchanger.answer(id: 2, peerReceived: 1, peerSent: 2, at: 1500, monotonic: 1)
    }
  }
}
