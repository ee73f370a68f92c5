// SPDX-License-Identifier: GPL-2.0-or-later
import TestPackets
import Testing

@testable import Traffic

/// What tells a question from an answer, and ends loops with whatever answers answers.
@Suite struct LoopTests {
  private static let second: Int64 = 1_000_000_000
  private static let now: Int64 = 1_700_000_000_000_000_000
  private static let key = TestKey(bytes: Array(0..<32))

  private func question(_ size: Int, _ sequence: UInt32 = 7, key: TestKey? = nil) -> [UInt8] {
    TestPacket(
      sequence: sequence, time: LoopTests.now, error: ErrorEstimate(isSynchronized: true, microseconds: 5), session: 9
    ).bytes(size: size, key: key)
  }

  private func answer(_ request: [UInt8], key: TestKey? = nil, at time: Int64 = LoopTests.now) -> [UInt8] {
    Reflection.answer(
      to: request, sequence: nil, received: time + 10, sent: time + 20,
      error: ErrorEstimate(isSynchronized: true, microseconds: 5), ttl: 64, key: key)
  }

  @Test(arguments: [16, 18, 24, 37, 38, 44, 112, 1472], [false, true]) func answersAreKnown(size: Int, isKeyed: Bool) {
    guard !isKeyed || size >= 112 else { return }
    let key = isKeyed ? LoopTests.key : nil
    let question = question(size, key: key)
    #expect(!Reflection.isAnswer(question, isAuthenticated: isKeyed, now: LoopTests.now))
    // Answered by a reflector whose clock is a year off.
    for time in [LoopTests.now, LoopTests.now - 31_536_000 * LoopTests.second] {
      #expect(Reflection.isAnswer(answer(question, key: key, at: time), isAuthenticated: isKeyed, now: LoopTests.now))
    }
  }

  /// A TWAMP Light reflector that leaves the receive time 0, in either format of time: our own time comes back.
  @Test(arguments: [0, 2_208_988_800] as [UInt32]) func answersOfOthersAreKnown(epoch: UInt32) {
    var theirs = answer(question(44))
    theirs.replaceSubrange(16..<24, with: [UInt8](repeating: 0, count: 8))
    Field.put(Field.word(theirs, 28) &+ epoch, at: 28, in: &theirs)
    #expect(Reflection.isAnswer(theirs, isAuthenticated: false, now: LoopTests.now + 3 * LoopTests.second))
  }

  /// TWAMP Light senders pad with anything; some fill the packet with one byte.
  @Test func paddingIsNoAnswer() {
    var random = SystemRandomNumberGenerator()
    for _ in 0..<1000 {
      var packet = question(64)
      for index in 16..<64 { packet[index] = .random(in: 0...255, using: &random) }
      #expect(!Reflection.isAnswer(packet, isAuthenticated: false, now: LoopTests.now))
    }
    for byte in [0, 0x20, 0xa5, 0xff] as [UInt8] {
      for size in [16, 44, 1400] {
        let packet = [UInt8](repeating: byte, count: size)
        #expect(!Reflection.isAnswer(packet, isAuthenticated: false, now: LoopTests.now), "\(byte) \(size)")
      }
    }
  }

  private func source(_ number: Int, port: UInt16 = 5000) -> AnsweredSources.Key {
    AnsweredSources.Key([UInt8](repeating: 0, count: 12) + (0..<4).map { UInt8(number >> (24 - 8 * $0) & 255) }, port)
  }

  /// A million packets of one sender at 100 000 a second: reordered by as much as 1 ms, each hundredth twice, a second of
  /// them lost, the wire's 32 bits passed.
  @Test func aSenderIsAnswered() {
    var sources = AnsweredSources()
    var numbers = (0..<UInt32(1_000_000)).filter { !(400_000..<500_000 ~= $0) }
    for index in stride(from: 0, to: numbers.count - 100, by: 97) { numbers.swapAt(index, index + 99) }
    let isAnswered = numbers.enumerated().allSatisfy { index, number in
      let packet = question(16, number &- 300_000)
      return (0..<(index % 100 == 0 ? 2 : 1)).allSatisfy { _ in
        sources.mayAnswer(source(1), packet, at: Int64(index) * 10_000)
      }
    }
    #expect(isAnswered)
  }

  /// Answers to a source that answers each of them at once, until one is not answered.
  private func play(limit: Int = 10_000, every time: Int64 = 30_000, _ reply: (Int, [UInt8]) -> [UInt8]) -> Int {
    var sources = AnsweredSources()
    var packet = question(44)
    for count in 0..<limit {
      let now = Int64(count) * time
      guard sources.mayAnswer(source(1), packet, at: now) else { return count }
      let answer = answer(packet, at: LoopTests.now + now)
      sources.answered(source(1), with: answer[4..<12])
      packet = reply(count, answer)
    }
    return limit
  }

  @Test func loopsEnd() {
    #expect(play { _, answer in answer } < 70)
    #expect(play { _, answer in Array("you said: ".utf8) + answer } < 70)
    #expect(play { count, answer in Array((self.question(16, UInt32(count))[..<4] + answer).prefix(48)) } < 70)
    #expect(play { count, _ in (0..<72).map { UInt8(33 + (count + $0) % 94) } } < 70)
    #expect(play { _, _ in (0..<44).map { _ in UInt8.random(in: 0...255) } } < 100)
    // As slow as a way around the world.
    #expect(play(every: 300_000_000) { _, answer in answer } < 150)
  }

  /// Another port each time.
  @Test func beginningsAreBounded() {
    var sources = AnsweredSources()
    let answered = (0..<5000).filter { number in
      sources.mayAnswer(source(1, port: UInt16(1024 + number)), question(44), at: Int64(number) * 30_000)
    }
    #expect(256...260 ~= answered.count, "\(answered.count)")
    let other = sources.mayAnswer(source(2), question(44), at: 0)
    #expect(other)
  }

  /// Forged sources do not make the program grow, and those at work stay.
  @Test func memoryIsBounded() {
    var generations = Generations<Int, Int>(limit: 100)
    for number in 0..<10_000 {
      generations[number] = number
      if generations[0] == nil { generations[0] = -1 }
    }
    #expect(generations[0] == 0 && generations[5000] == nil)
  }
}
