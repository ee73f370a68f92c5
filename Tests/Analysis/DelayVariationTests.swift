// SPDX-License-Identifier: GPL-2.0-or-later
import Recording
import Testing

@testable import Analysis

/// PDV and IPDV of RFC 5481, by hand from the definitions.
@Suite struct DelayVariationTests {
  /// | sent  | 0  | 1  | 2    | 3  | 4  | 5   | 6  |
  /// |-------|----|----|------|----|----|-----|----|
  /// | D     | 20 | 24 | lost | 15 | 40 | 16  | 16 |
  /// | PDV   | 5  | 9  | –    | 0  | 25 | 1   | 1  |
  /// | IPDV  | –  | 4  | –    | –  | 25 | −24 | 0  |
  private static let delays: [(number: UInt32, delay: Int64)] = [
    (0, 20), (1, 24), (3, 15), (4, 40), (5, 16), (6, 16),
  ]

  /// Sent every 10 ns; 4 comes after 5, and its start looks earlier than that of 3.
  private func sent(numbered: Bool = true, firstNumber: UInt32 = 0, error: Int64? = nil) throws -> SegmentResult {
    var machine = Machine(name: "send-a", role: "wire", hostname: "a", bootID: "b", topology: "wire")
    machine.stoppedAt = 10_000
    machine.pairing = PairingAccount(
      names: [PairingAccount.Name(name: "round-trip", ofProtocol: "stamp", error: error)],
      protocols: [PairingAccount.Tally(name: "stamp", counts: ["requests": 7, "paired": 6, "unanswered": 1])],
      packets: [:])
    var recording = MachineRecording(machine: machine)
    recording.pairs = DelayVariationTests.delays.map { number, delay in
      let start = 1000 + 10 * Int64(number) - (number == 4 ? 15 : 0)
      return RecordedPair(
        name: 0, start: start, end: start + delay, last: nil, isRepeated: false,
        number: numbered ? firstNumber &+ number : nil)
    }.sorted { $0.end < $1.end }
    let session = Session(id: "s", members: [], labels: [:], commandLine: [], createdAt: 0)
    return try #require(try Analysis.analyse(session: session, recordings: [recording]).segments.first)
  }

  @Test(arguments: [0, UInt32.max - 3]) func ofASender(firstNumber: UInt32) throws {
    let segment = try sent(firstNumber: firstNumber)
    #expect(segment.isNumbered && segment.count == 6 && segment.lost == 1)
    #expect(segment.successive == [4, 25, -24, 0])
    #expect(Set(segment.packets) == Set(DelayVariationTests.delays.map { firstNumber &+ $0.number }))
    let ipdv = try #require(segment.successiveVariation)
    #expect([ipdv.min, ipdv.median, ipdv.p99, ipdv.max, ipdv.absoluteP99] == [-24, 0, 25, 25, 25] && ipdv.count == 4)
    let pdv = try #require(segment.packetVariation)
    // Ascending: 0 1 1 5 9 25.
    #expect(pdv.min == 0 && pdv.max == 25 && pdv.count == 6 && pdv.quantiles.map(\.value) == [1, 25, 25, 25, 25])
    #expect(abs(pdv.mean - 41.0 / 6) < 1e-9)
    #expect(pdv.standardDeviation == segment.summary?.standardDeviation)
  }

  /// A constant offset of the clocks changes neither.
  @Test func theClocksOffsetIsNotInThem() throws {
    let shifted = DelayVariationTests.delays.map { $0.delay - 1_000_000 }
    let numbers = DelayVariationTests.delays.map(\.number)
    #expect(successiveDifferences(shifted, numbers: numbers) == [4, 25, -24, 0])
    var segment = try sent()
    segment.summary = Summary(delays: shifted)
    #expect(segment.packetVariation?.quantiles.map(\.value) == [1, 25, 25, 25, 25])
  }

  /// What is smaller than two clock errors is not resolved.
  @Test func theClocksErrorCountsTwice() throws {
    var segment = try sent(error: 6)
    #expect(segment.errorBound == 6 && segment.variationError == 12)
    let delays = (0..<1000).map { Int64($0 % 20) }
    segment.summary = Summary(delays: delays, errorBound: 6)
    let pdv = try #require(segment.packetVariation)
    #expect(pdv.quantiles[0].value == 9 && !pdv.quantiles[0].isResolved && pdv.quantiles[1].isResolved)
  }

  /// Without numbers nobody knows what was sent between two packets.
  @Test func withoutNumbersThereIsNoIPDV() throws {
    let segment = try sent(numbered: false)
    #expect(!segment.isNumbered && segment.successive == [] && segment.successiveVariation == nil)
    #expect(segment.packetVariation?.max == 25)
  }

  /// By flow at the first hook point: a packet without a delay separates its neighbours.
  @Test func atHookPoints() throws {
    var lab = Lab(hooks: ["txg1", "txg2"], paths: [Path(name: "tx", hooks: ["txg1", "txg2"])])
    func packet(_ key: UInt64, at time: Int64, _ delay: Int64?, flow: UInt32 = 7) {
      lab.stamp(.txg1, at: time, key: key, flow: flow)
      if let delay { lab.stamp(.txg2, at: time + delay, key: key, flow: flow) }
    }
    packet(1, at: 0, 10_000)
    packet(2, at: 100, 100_000, flow: 8)
    // Passes the one before.
    packet(3, at: 1_000, 5_000)
    packet(4, at: 2_000, nil)
    packet(5, at: 3_000, 12_000)
    packet(6, at: 3_100, 90_000, flow: 8)
    packet(7, at: 4_000, 20_000)
    // One key twice: neither has a delay.
    packet(8, at: 5_000, 1_000)
    packet(8, at: 5_500, 1_000)
    packet(9, at: 6_000, 30_000)
    packet(10, at: 7_000, 30_000)
    let segment = try lab.analysed().segment("tx", "txg1-txg2")
    #expect(segment.count == 8 && segment.lost == 1 && segment.ambiguous == 2)
    #expect(segment.successive == [-5_000, -10_000, 8_000, 0])
    #expect(segment.successiveVariation?.count == 4 && !segment.isNumbered)
  }

  @Test func whatASenderSaysOfClocks() throws {
    for (names, faults) in [([] as [String], 0), (["one-way-forward"], 1)] {
      var machine = Machine(name: "send-a", role: "wire", hostname: "a", bootID: "b", topology: "wire")
      machine.stoppedAt = 10_000
      machine.pairing = PairingAccount(
        names: names.map { PairingAccount.Name(name: $0, ofProtocol: "stamp", error: 5) },
        protocols: [PairingAccount.Tally(name: "stamp", counts: ["requests": 3, "paired": 3, "clock_jumps": 1])],
        packets: [:])
      var recording = MachineRecording(machine: machine)
      recording.pairs = [-6, -5, 10].map { delay in
        RecordedPair(name: 0, start: 1000, end: 1000 + delay, last: nil, isRepeated: false, number: 0)
      }
      let session = Session(id: "s", members: [], labels: [:], commandLine: [], createdAt: 0)
      let result = try Analysis.analyse(session: session, recordings: [recording])
      #expect(result.clockFaults.count == faults && result.warnings.contains { $0.contains("a clock was set") })
      #expect(result.warnings.contains { $0.contains("1 delays are below zero") } == (faults == 1))
      #expect(result.segments.map(\.errorBound) == names.map { _ in 5 })
    }
  }

  /// 7 of 20 were lost: 2 on the way there, 4 on the way back, of one nobody knows; or of all nobody knows.
  @Test func lossesOfEachWay() throws {
    let names = ["round-trip", "one-way-forward", "one-way-backward"]
    for isKnown in [true, false] {
      var counts = ["requests": 20, "paired": 13, "unanswered": 7, "repeated_responses": 3]
      if isKnown { counts.merge(["lost_forward": 2, "lost_backward": 4]) { $1 } }
      var machine = Machine(name: "send-a", role: "wire", hostname: "a", bootID: "b", topology: "wire")
      machine.stoppedAt = 10_000
      machine.pairing = PairingAccount(
        names: names.map { PairingAccount.Name(name: $0, ofProtocol: "stamp") },
        protocols: [PairingAccount.Tally(name: "stamp", counts: counts)], packets: [:])
      let session = Session(id: "s", members: [], labels: [:], commandLine: [], createdAt: 0)
      let result = try Analysis.analyse(session: session, recordings: [MachineRecording(machine: machine)])
      #expect(result.segments.map(\.lost) == (isKnown ? [7, 2, 4] : [7, 0, 0]))
      #expect(result.segments.map(\.unmatched) == (isKnown ? [0, 1, 1] : [0, 7, 7]))
      #expect(result.segments.map(\.duplicate) == [3, 3, 3])
    }
  }
}
