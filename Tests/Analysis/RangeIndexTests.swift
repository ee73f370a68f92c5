// SPDX-License-Identifier: GPL-2.0-or-later
import Recording
import Testing

@testable import Analysis

@Suite struct RangeIndexTests {
  /// Overlapping, repeated and disordered ranges of two flows around the wrap of sequence numbers, against a plain search.
  @Test(arguments: 0..<23)
  func findsWhatCoversAByte(seed: Int) throws {
    var generator = SeededGenerator(state: UInt64(seed))
    let base: UInt64 = (1 << 32) - 2_000
    var lab = Lab(hooks: ["rxg0"])
    var expected: [(flow: UInt32, range: Range<UInt64>, time: Int64)] = []
    for step in 0..<211 {
      let flow = UInt32.random(in: 1...2, using: &generator)
      let start = base + UInt64.random(in: 0..<4_000, using: &generator)
      // Mostly short ones, now and then one that spans many.
      let length = UInt64.random(in: 1...(step % 13 == 5 ? 2_500 : 60), using: &generator)
      lab.data(.rxg0, at: Int64(step) * 1_000, start..<(start + length), key: UInt64(step) + 1, flow: flow)
      expected.append((flow, start..<(start + length), Int64(step) * 1_000))
    }
    let order = PathSet(machines: [lab.recording.machine]).order
    let domain = ClockDomain(recordings: [TimedRecording(recording: lab.sorted)], order: order)
    let journeys = Journeys(domain, window: UInt64(second), lateness: UInt64(second))
    let flows = FlowTable(domain, journeys)
    let index = RangeIndex(domain, flows, hook: .rxg0)
    for byte in stride(from: base - 50, to: base + 6_600, by: 17) {
      for flow in UInt32(1)...2 {
        let number = try #require(flows.ids.firstIndex(of: flow))
        var found: [UInt64] = []
        let isWhole = index.forEachCover(
          of: UInt32(truncatingIfNeeded: byte), flow: UInt32(number), near: Lab.start + 99_000
        ) { found.append($0.time - Lab.start) }
        #expect(isWhole)
        let covering = expected.filter { $0.flow == flow && $0.range.contains(byte) }
        #expect(found.sorted() == covering.map { UInt64($0.time) })
      }
    }
  }
}
