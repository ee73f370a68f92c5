// SPDX-License-Identifier: GPL-2.0-or-later
import Foundation
import Recording
import Testing

@testable import Analysis

/// Pairs on disk give the numbers of pairs in memory.
@Suite struct PairSpillTests {
  private static let names = ["dns", "icmp", "http-GET"]
  private let directory = FileManager.default.temporaryDirectory.path

  /// What becomes of delays from one pair to the next.
  enum Shape: CaseIterable {
    /// Few values, many of them negative.
    case ties
    /// Sums that a Double cannot hold exactly.
    case wide
    /// A walk that remembers more than a thousand pairs.
    case walk
  }

  private func pairs(_ shape: Shape, count: Int, seed: UInt64) -> [RecordedPair] {
    var generator = SeededGenerator(state: seed)
    var level: Int64 = 0
    return (0..<count).map { number in
      let delay: Int64
      switch shape {
      case .ties: delay = Int64.random(in: -3...9, using: &generator)
      case .wide: delay = Int64.random(in: -(1 << 58)...(1 << 58), using: &generator)
      case .walk:
        level += Int64.random(in: -20...20, using: &generator)
        delay = level
      }
      // Starts run backwards now and then, and several are equal.
      let start = Int64(number / 3 * 10) - Int64.random(in: 0...90, using: &generator)
      let last: Int64? =
        switch Int.random(in: 0..<4, using: &generator) {
        case 0: nil
        case 1: start + delay + 5
        default: start + delay
        }
      let name: UInt16 = Int.random(in: 0..<20, using: &generator) == 0 ? 1 : number % 5 == 0 ? 2 : 0
      return RecordedPair(
        name: name, start: start, end: start + delay, last: name == 1 ? nil : last, isRepeated: false)
    }
  }

  private func recording(_ pairs: [RecordedPair]) -> MachineRecording {
    var machine = Machine(name: "wire-a", role: "wire", hostname: "a", bootID: "boot", topology: "wire")
    machine.pairing = PairingAccount(
      names: PairSpillTests.names.map { PairingAccount.Name(name: $0, ofProtocol: $0) },
      protocols: PairSpillTests.names.enumerated().map {
        PairingAccount.Tally(
          name: $1, counts: ["unanswered": $0 + 1, "abandoned": 2, "evicted": 3, "repeated_requests": 4])
      }, packets: [:])
    var recording = MachineRecording(machine: machine)
    recording.pairs = pairs.sorted { $0.end < $1.end }
    return recording
  }

  private func spilled(_ pairs: [RecordedPair], limit: Int) throws -> PairSpill {
    let spill = PairSpill(in: directory, byEnd: true, limit: limit)
    for begin in stride(from: 0, to: pairs.count, by: limit) {
      var part = Array(pairs[begin..<min(begin + limit, pairs.count)])
      try spill.take(&part)
      #expect(part.isEmpty)
    }
    return spill
  }

  private func compare(_ pairs: [RecordedPair], limit: Int) throws {
    let recording = recording(pairs)
    let spill = try spilled(pairs, limit: limit)
    #expect(spill.count == pairs.count && spill.earliestStart == pairs.map(\.start).min())
    #expect(spill.latestEnd == pairs.map(\.end).max())
    var merged: [RecordedPair] = []
    try spill.forEachByEnd { merged.append($0) }
    #expect(merged == recording.pairs)

    let expected = pairSegments(recording, on: Recording.Scratch())
    let found = try pairSegments(recording.machine, spill)
    #expect(found.map(\.name) == expected.map(\.name) && found.map(\.direction) == expected.map(\.direction))
    for (found, expected) in zip(found, expected) {
      #expect(found.count == expected.count && expected.count == expected.delays.count)
      #expect(found.lost == expected.lost && found.unmatched == expected.unmatched)
      #expect(found.ambiguous == expected.ambiguous && found.duplicate == expected.duplicate)
      #expect((found.summary == nil) == (expected.summary == nil))
      guard var found = found.summary, var expected = expected.summary else { continue }
      #expect(found.sorted.isEmpty && expected.sorted.count == expected.count)
      expected.sorted = []
      found.sorted = []
      // All fields, and of numbers each digit.
      #expect("\(found)" == "\(expected)")
    }
  }

  @Test(arguments: Shape.allCases, [1, 2, 3])
  func numbersAreTheSame(_ shape: Shape, seed: UInt64) throws {
    let limit = 512
    for count in [1, limit - 1, limit, limit + 1, 2 * limit, 9 * limit + 7] {
      try compare(pairs(shape, count: count, seed: seed), limit: limit)
    }
  }

  @Test func numbersOfManyPagesAreTheSame() throws {
    // More than all pages of delays, and runs longer than what is held of each.
    try compare(pairs(.walk, count: 150_000, seed: 4), limit: 20_000)
  }

  @Test func aNameMayHaveNoPairs() throws {
    let only = pairs(.ties, count: 2_000, seed: 5).filter { $0.name == 2 }
    try compare(only, limit: 100)
    let segments = try pairSegments(recording(only).machine, spilled(only, limit: 100))
    #expect(segments.map(\.name) == ["dns", "icmp", "http-GET", "http-GET-last"] && segments[0].count == 0)
  }
}
