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
    #expect(babeltrace.eventsByType == recording.eventsByType)
    #expect(recording.eventsByType == ["stamp": 20, "stamp_held": 1, "flow": 1, "clock_sample": 1])
    #expect(recording.discardedByCPU == [0: 3, 1: 5])
    #expect(babeltrace.discarded == 8)
  }
}
