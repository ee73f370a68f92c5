// SPDX-License-Identifier: GPL-2.0-or-later
import Analysis
import Recording
import Testing

@testable import Reporting

/// From stamps to table and verdict, through the real analysis.
@Suite struct AnalysedTests {
  /// 997 UDP packets, 1 ms apart, that pass txg1, txg2 (after 500 ns) and txh0 (after 1 500 ns more, every tenth 3 000).
  private func analysed(cpuModel: String = "Test CPU") throws -> SessionResult {
    var machine = Machine(
      name: Synthetic.machine, role: "both", hostname: "testhost", bootID: "boot", topology: "veth")
    machine.cpuModel = cpuModel
    machine.paths = [Path(name: "tx", hooks: ["txg1", "txg2", "txh0"])]
    machine.startedAt = 1_000_000_000
    machine.stoppedAt = 9_000_000_000
    machine.stoppedBy = "duration"
    for hook in ["txg1", "txg2", "txh0"] {
      machine.hooks.append(AttachedHook(name: hook, attachedAs: "tp_btf:test"))
      machine.ledger.append(LedgerRow(hook: hook, cpu: 0, seen: 997, emitted: 997))
    }
    var recording = MachineRecording(machine: machine)
    for number in 0..<UInt64(997) {
      let start = 3_000_000_000 + number * 1_000_000
      let end: UInt64 = number % 10 == 0 ? 3_500 : 2_000
      for (hook, time) in [(HookPoint.txg1, 0), (.txg2, 500), (.txh0, end)] {
        recording.stamps.append(
          Stamp(
            time: start + time, key: number &* 0x9E37_79B9_7F4A_7C15 | 1, flow: 7, length: 100, hook: hook, kind: .udp))
      }
    }
    let session = Session(
      id: "7d1c", members: [machine.name], labels: [:], commandLine: ["latprobe"], createdAt: 1_700_000_000)
    return try analyse(session: session, recordings: [recording], options: AnalysisOptions())
  }

  @Test func tableShowsWhatWasPutIn() throws {
    let lines = Report.table(try analysed()).split(separator: "\n").map { String($0) }
    #expect(lines.first == "tx: txg1 → txg2 → txh0")
    let rows = lines.filter { $0.hasPrefix("  tx") }.map { $0.split(separator: " ").joined(separator: " ") }
    #expect(rows.count == 3)
    #expect(rows[0].hasPrefix("txg1-txg2 997 500 ns 500 ns ~500 ns ?500 ns"), "\(rows[0])")
    #expect(rows[1].hasPrefix("txg2-txh0 997 1.50 µs 3.00 µs ~3.00 µs ?3.00 µs"), "\(rows[1])")
    #expect(rows[2].hasPrefix("txg1-txh0 997 2.00 µs 3.50 µs ~3.50 µs ?3.50 µs"), "\(rows[2])")
    #expect(rows[0].contains(" 23.3 %") && rows[1].contains(" 76.7 %"))
  }

  @Test func verdictsFollow() throws {
    let result = try analysed()
    for (text, verdict) in [
      ("txg2-txh0 p50 < 1.6us", Verdict.pass), ("txg2-txh0 p95 < 2us", .fail), ("tx/* p50 < 1us", .fail),
      ("txg2-txh0 p90 <= 2us", .inconclusive), ("txg2-txh0 max <= 3us", .pass), ("* loss <= 0%", .pass),
      ("txh0-rxh1 p50 < 1s", .invalid),
    ] {
      let report = Gate.check(result, policy: Policy(requirements: [try Requirement(parsing: text)]))
      #expect(report.verdict == verdict, "\(text)\n\(report.text)")
    }
  }

  @Test func emulationIsSaidAndDecidesNothing() throws {
    let words = "\(Synthetic.machine): emulated processor: this shows function, not latency"
    let policy = Policy(requirements: [try Requirement(parsing: "txg2-txh0 p50 < 1.6us")])
    for (model, warnings) in [("QEMU TCG CPU version 2.5+", [words]), ("Test CPU", [])] {
      let result = try analysed(cpuModel: model)
      #expect(result.warnings == warnings)
      #expect(Report.table(result).contains("Warning   \(words)\n") == !warnings.isEmpty)
      #expect(Report.json(result).text.contains("\"\(words)\"") == !warnings.isEmpty)
      let gate = Gate.check(result, policy: policy)
      #expect(gate.verdict == .pass)
      #expect(gate.text.contains("Warning: \(words)\nVerdict: PASS") == !warnings.isEmpty, "\(gate.text)")
      #expect(gate.json.text.contains("\"\(words)\"") == !warnings.isEmpty)
    }
  }
}
