// SPDX-License-Identifier: GPL-2.0-or-later
import Foundation
import Glibc
import Recording
import Testing

@testable import Analysis

/// Columns that are on disk against arrays.
@Suite struct ColumnTests {
  private let directory = FileManager.default.temporaryDirectory.path

  private func values(_ count: Int, seed: UInt64) -> [Int64] {
    var generator = SeededGenerator(state: seed)
    let ranges: [ClosedRange<Int64>] = [-3...3, 0...70_000, Int64.min...Int64.max]
    return (0..<count).map {
      $0 % 100 == 0
        ? [.min, 0, .max].randomElement(using: &generator) ?? 0
        : .random(in: ranges[Int(seed) % 3], using: &generator)
    }
  }

  @Test(arguments: [0, 1, 63, 64, 255, 256, 257, 1_000, 20_011], [UInt64(0), 1, 2])
  func readsAsAnArray(count: Int, seed: UInt64) {
    let values = values(count, seed: seed)
    let scratch = Scratch(in: directory, limit: 1_024)
    var column = Column<Int64>(on: scratch)
    column.append(contentsOf: values)
    #expect(column == values && column.count == count && Array(column) == values)
    #expect(stride(from: 0, to: count, by: 37).allSatisfy { column[$0] == values[$0] })
    var parts: [Int64] = []
    column.forEachPart(overlap: 5) { part, own in
      let end = min(parts.count + own + 5, count)
      #expect(own == part.count || part == Array(values[parts.count..<end]))
      parts += part[..<own]
    }
    #expect(parts == values)
    #expect(column.map { $0 / 2 } == values.map { $0 / 2 })
    #expect(column.ascending() == values.sorted() && values.ascending() == values.sorted())
    #expect(scratch.failure == nil)
  }

  @Test(arguments: [UInt64(0), 1, 2])
  func summariesAreTheSame(seed: UInt64) throws {
    let values = values(30_011, seed: seed).map { $0 / 4 }
    var column = Column<Int64>(on: Scratch(in: directory, limit: 2_048))
    column.append(contentsOf: values)
    var found = try #require(Summary(delays: column))
    var expected = try #require(Summary(delays: values))
    #expect(found.sorted == values.sorted())
    (found.sorted, expected.sorted) = ([], [])
    // All fields, and of numbers each digit.
    #expect("\(found)" == "\(expected)")
    #expect(SuccessiveVariation(column) == SuccessiveVariation(Column(values)))
    #expect(thinnedCCDF(column.ascending(), to: 100) == thinnedCCDF(Column(values.sorted()), to: 100))
  }

  @Test func distancesAreThoseOfASort() {
    for seed in UInt64(0)..<3 {
      let values = values(499, seed: seed)
      for centre in [Int64.min, -1, 0, 1, 12_345, .max] {
        let distances = values.map { value -> Int64 in
          let (difference, overflows) = value.subtractingReportingOverflow(centre)
          return overflows ? .max : magnitude(difference)
        }.sorted()
        for rank in [1, 2, 250, 499] {
          #expect(distance(rank, from: centre, ofSorted: Column(values.sorted())) == distances[rank - 1])
        }
      }
    }
  }

  /// Many columns share what may be held.
  @Test func allTogetherHoldNoMoreThanTheirShare() {
    let scratch = Scratch(in: directory, limit: 256)
    var columns = [Column<Int64>](repeating: Column(on: scratch), count: 1_000)
    for value in 0..<Int64(130) { for index in columns.indices { columns[index].append(value) } }
    #expect(columns.allSatisfy { $0 == (0..<130).map(Int64.init) })
    #expect(scratch.failure == nil)
  }

  @Test func aDiskThatFailsIsTold() throws {
    let scratch = Scratch(in: directory, limit: 256) { _, _ in
      errno = ENOSPC
      return -1
    }
    var column = Column<Int64>(on: scratch)
    column.append(contentsOf: (0..<5_000).map(Int64.init))
    #expect(column.count == 5_000)
    let problem = try #require(throws: RecordingError.self) { try scratch.check() }
    #expect(problem.kind == .diskFull && problem.description.contains("TMPDIR"))
    let nowhere = Scratch(in: "/nonexistent/folder", limit: 256)
    var other = Column<Int64>(on: nowhere)
    other.append(contentsOf: (0..<5_000).map(Int64.init))
    #expect(other.ascending().count == 5_000 && nowhere.failure?.description.hasPrefix("/nonexistent/folder") == true)
  }

  /// A whole analysis with hardly any memory.
  @Test func analysesAreTheSame() throws {
    var lab = Lab()
    for number in 0..<3_000 {
      lab.packet(
        [.txg0, .txg1, .txg2, .txh0], from: Int64(number) * 100_000, step: Int64(900 + number % 7), key: UInt64(number))
    }
    let session = Session(id: "lab", members: [], labels: [:], commandLine: [], createdAt: 0)
    let sorted = lab.sorted
    let held = try analyse(session: session, recordings: [sorted])
    let scratch = Scratch(in: directory, limit: 256)
    let stored = try analyse(session: session, recordings: [sorted], scratch: scratch)
    for (held, stored) in zip(held.segments, stored.segments) {
      #expect(stored.delays == held.delays && stored.starts == held.starts && stored.packets == held.packets)
      #expect(stored.successive == held.successive && stored.summary?.sorted == held.summary?.sorted)
      #expect(stored.share == held.share && stored.slowShare == held.slowShare && stored.slowCount == held.slowCount)
      #expect(stored.summary?.quantiles == held.summary?.quantiles)
    }
    #expect(held.segments.contains { $0.count == 3_000 } && scratch.failure == nil)
  }
}
