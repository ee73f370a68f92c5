// SPDX-License-Identifier: GPL-2.0-or-later
import Recording
import Testing

@testable import Analysis

@Suite struct PacketIntervalTests {
  @Test func intervalsAreWithinAFlow() throws {
    var lab = Lab()
    for packet in 0..<23 {
      lab.packet(.tx, from: Int64(packet) * 2_500, key: 100 + UInt64(packet), flow: 1)
      lab.packet(.tx, from: Int64(packet) * 7_000 + 100, key: 200 + UInt64(packet), flow: 2)
    }
    let result = try lab.analysed()
    #expect(result.intervals.map(\.point.hook) == [.txg0, .txg1, .txg2, .txh0])
    for histogram in result.intervals {
      #expect(histogram.direction == "tx")
      #expect(histogram.count == 44)
      #expect(histogram.bins.map(\.index) == [2, 7])
      #expect(histogram.bins.map(\.count) == [22, 22])
      #expect(histogram.mean == 4_750)
    }
  }

  @Test func longIntervalsAndAmbiguousPacketsCount() throws {
    var lab = Lab(hooks: ["txg1"])
    lab.options.pitBin = 10
    for (index, at) in [Int64(0), 9, 19, 19, 40 * second].enumerated() {
      lab.stamp(.txg1, at: at, key: index < 2 ? 1 : UInt64(index))
    }
    let histogram = try #require(try lab.analysed().intervals.first)
    #expect(histogram.bins.map(\.index) == [0, 1, 3_999_999_998])
    #expect(histogram.bins.map(\.count) == [2, 1, 1])
    #expect(histogram.binWidth == 10)
  }

  @Test func byteRangesAreNoPackets() throws {
    var lab = Lab()
    for packet in 0..<5 {
      lab.packet([.rxh1, .rxg0], from: Int64(packet) * 1_000, step: 100, key: UInt64(packet) + 1, flow: 9)
      lab.read(at: Int64(packet) * 1_000 + 500, UInt64(packet)..<UInt64(packet + 1))
    }
    #expect(try lab.analysed().intervals.map(\.point.hook) == [.rxh1, .rxg0])
  }
}
