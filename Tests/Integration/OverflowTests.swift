// SPDX-License-Identifier: GPL-2.0-or-later
import Foundation
import Recording
import Testing
import VirtualLab

extension IntegrationSuites {
  /// What does not fit into the buffers is counted, told, and keeps a gate from passing.
  @Suite struct OverflowTests {
    /// A verdict that only losses can spoil.
    private static let requirement = "txg1-rxg0 max < 10s"

    @Test func lossIsCountedToldAndInvalid() throws {
      let bed = try Testbed()
      try bed.recordFlood("r", "--buffer", "4096")
      let report = try bed.report("r")
      let lost = report.hooks.reduce(0) { $0 + $1.lost }
      #expect(lost > 0)
      let table = try bed.latprobe("report", bed.path("r"))
      #expect(table.status == 0)
      #expect(table.text.contains("lost \(lost)"), "\(table.text)")
      let gate = try bed.latprobe("gate", bed.path("r"), "--require", Self.requirement)
      #expect(gate.status == 3)
      #expect(gate.text.contains("INVALID") && gate.text.contains("lost"), "\(gate.text)")
    }

    /// The other way round: the same traffic with a buffer that holds it loses nothing and passes.
    @Test func enoughBufferLosesNothing() throws {
      let bed = try Testbed()
      try bed.recordFlood("r", "--buffer", "16M")
      #expect(try bed.report("r").hooks.allSatisfy { $0.lost == 0 && $0.emitted > 0 })
      let gate = try bed.latprobe("gate", bed.path("r"), "--require", Self.requirement)
      #expect(gate.status == 0, "\(gate.text)")
    }

    @Test func babeltraceCountsWhatWasRecorded() throws {
      let bed = try Testbed()
      try bed.recordFlood("r", "--buffer", "16M")
      try expectBabeltraceAgrees(bed, "r", losses: false)
    }

    @Test func babeltraceCountsWhatWasLost() throws {
      let bed = try Testbed()
      try bed.recordFlood("r", "--buffer", "4096")
      try expectBabeltraceAgrees(bed, "r", losses: true)
    }

    /// babeltrace2 reads the recording as it is: events by type, and by CPU the losses of the ledger.
    private func expectBabeltraceAgrees(_ bed: Testbed, _ name: String, losses: Bool) throws {
      let babeltrace = try bed.attempt("babeltrace2", bed.path(name))
      #expect(babeltrace.status == 0, "\(babeltrace.errors)")
      var events: [String: UInt64] = [:]
      for line in babeltrace.text.split(separator: "\n") {
        // [time] (+delta) host name: { fields
        guard let colon = line.firstRange(of: ": {")?.lowerBound, let space = line[..<colon].lastIndex(of: " ") else {
          continue
        }
        events[String(line[line.index(after: space)..<colon]), default: 0] += 1
      }
      var discarded: [Int: UInt64] = [:]
      for match in babeltrace.errors.matches(of: /Tracer discarded (\d+) events?[^\n]*\/stream_(\d+)_\d+/) {
        discarded[try #require(Int(match.2)), default: 0] += try #require(UInt64(match.1))
      }
      let report = try bed.report(name)
      #expect(events == report.recording.byType)
      let machine = try #require(try RecordedSession.load(paths: [bed.path(name)]).machines.first?.machine)
      var lost: [Int: Count] = [:]
      for row in machine.ledger where row.lost > 0 { lost[row.cpu, default: 0] += row.lost }
      #expect(discarded == lost.mapValues(\.unsigned))
      #expect(lost.isEmpty != losses)
    }
  }
}
