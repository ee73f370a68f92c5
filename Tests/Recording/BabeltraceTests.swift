// SPDX-License-Identifier: GPL-2.0-or-later
import Foundation
import Recording
import Testing

@Suite struct BabeltraceTests {
  @Test func countsNamesAndLossesAgree() throws {
    let scratch = try Scratch()
    try writeSmall(scratch)
    let recording = try MachineRecording.load(directory: "\(scratch.path)/host-a")
    let babeltrace = try Babeltrace(scratch.path)
    #expect(babeltrace.status == 0)
    #expect(recording.eventsByType == ["stamp": 20, "stamp_held": 1, "flow": 1, "clock_sample": 1])
    #expect(babeltrace.eventsByType == recording.eventsByType)
    #expect(recording.discardedByCPU == [0: 3, 1: 5])
    #expect(babeltrace.discarded == 8)
    for (cpu, losses) in recording.discardedByCPU {
      let line = try #require(babeltrace.errors.split(separator: "\n").first { $0.contains("stream_\(cpu)_0") })
      #expect(line.contains("Tracer discarded \(losses) events"))
    }
    #expect(babeltrace.output.contains(#"a "b" stamp: "#))
    #expect(babeltrace.output.contains(#"hook = ( "txg1" : container = 2 )"#))
    #expect(babeltrace.output.contains(#"hook = ( "wire-in" : container = 12 )"#))
    #expect(babeltrace.output.contains(#"kind = ( "tcp-range" : container = 5 )"#))
    #expect(babeltrace.output.contains("length = 92, header_words = 7"))
    #expect(babeltrace.output.contains("key = 0xABCD, at_ns = 1005"))
    // UTC offset + 1000 ns.
    #expect(babeltrace.output.hasPrefix("[2023-11-14 22:13:20.000001000]"))
  }

  @Test(arguments: [-1, 0, 1, -1_500_000_000, 1_700_000_000_123_456_789] as [Int64])
  func wallTimeFollowsTheOffset(_ offset: Int64) throws {
    let scratch = try Scratch()
    let session = sampleSession()
    try session.write(to: scratch.path)
    let writer = try MachineWriter(
      directory: scratch.path, machine: sampleMachine(), session: session, utcOffset: offset)
    var batch = Batch()
    batch.stamp(3_000_000_000)
    try writer.append(cpu: 0, batch)
    try writer.close(sampleMachine())
    let babeltrace = try Babeltrace(scratch.path, seconds: true)
    let time = offset + 3_000_000_000
    let below = String(time % 1_000_000_000)
    let expected = "[\(time / 1_000_000_000).\(String(repeating: "0", count: 9 - below.utf8.count))\(below)]"
    #expect(babeltrace.output.hasPrefix(expected))
  }
}
