// SPDX-License-Identifier: GPL-2.0-or-later
import Recording
import Testing

@testable import Analysis

@Suite struct ByteRangesTests {
  /// Overlapping, repeated and disordered ranges of two flows around the wrap of sequence numbers, against a plain search.
  @Test(arguments: 0..<23)
  func findsWhatCoversAByte(seed: Int) {
    var generator = SeededGenerator(state: UInt64(seed))
    let base: UInt64 = (1 << 32) - 2_000
    var ranges = ByteRanges()
    var expected: [(flow: UInt32, range: Range<UInt64>, time: Int64)] = []
    for step in 0..<211 {
      let flow = UInt32.random(in: 1...2, using: &generator)
      let start = base + UInt64.random(in: 0..<4_000, using: &generator)
      // Mostly short ones, now and then one that spans many.
      let length = UInt64.random(in: 1...(step % 13 == 5 ? 2_500 : 60), using: &generator)
      ranges.add(
        flow: flow, sequence: UInt32(truncatingIfNeeded: start), length: UInt32(length), time: UInt64(step) * 1_000,
        stamp: step)
      expected.append((flow, start..<(start + length), Int64(step) * 1_000))
    }
    for byte in stride(from: base - 50, to: base + 6_600, by: 17) {
      for flow in UInt32(1)...2 {
        var found: [UInt64] = []
        let isWhole = ranges.forEachCover(of: UInt32(truncatingIfNeeded: byte), flow: flow, near: 99_000) {
          found.append($0.time)
        }
        #expect(isWhole)
        let covering = expected.filter { $0.flow == flow && $0.range.contains(byte) }
        #expect(found.sorted() == covering.map { UInt64($0.time) })
      }
    }
  }

  /// Many ranges, the later half backwards, so that blocks are split and filled at any place.
  @Test func keepsDisorderedRangesInBlocks() {
    var ranges = ByteRanges()
    let starts = (0..<2_000).map { $0 * 2 } + (0..<2_000).reversed().map { $0 * 2 + 1 }
    for (step, start) in starts.enumerated() {
      ranges.add(flow: 1, sequence: UInt32(start * 10), length: 10, time: UInt64(step), stamp: step)
    }
    for (step, start) in starts.enumerated() {
      var found: [Int] = []
      let isWhole = ranges.forEachCover(of: UInt32(start * 10 + 5), flow: 1, near: UInt64(step)) {
        found.append($0.stamp)
      }
      #expect(isWhole && found == [step])
    }
  }

  @Test func forgetsWhatIsOld() {
    var ranges = ByteRanges()
    for step in 0..<3_000 {
      ranges.add(flow: 1, sequence: UInt32(step * 10), length: 10, time: UInt64(step), stamp: step)
    }
    ranges.drop(before: 2_990, keepsMark: true)
    var found: [Int] = []
    _ = ranges.forEachCover(of: 5, flow: 1, near: 2_999) { found.append($0.stamp) }
    #expect(found.isEmpty && ranges.wasForgotten(5, flow: 1, near: 2_999))
    _ = ranges.forEachCover(of: 29_995, flow: 1, near: 2_999) { found.append($0.stamp) }
    #expect(found == [2_999] && !ranges.wasForgotten(29_995, flow: 1, near: 2_999))
    ranges.drop(before: 10_000, keepsMark: false)
    #expect(!ranges.wasForgotten(5, flow: 1, near: 10_000))
  }
}
