// SPDX-License-Identifier: GPL-2.0-or-later
import Foundation
import Testing
import VirtualLab

extension IntegrationSuites {
  /// Wrong input: the right exit code, one clear line, nothing half-made.
  @Suite(.serialized) struct CommandLineTests {
    /// The one line that a failure leaves.
    private func complaint(_ output: Output, exit status: Int32) throws -> String {
      #expect(output.status == status, "\(output)")
      #expect(output.text.isEmpty, "\(output)")
      let lines = output.errors.split(separator: "\n")
      let line = String(try #require(lines.first))
      #expect(line.hasPrefix("Error: "), "\(output.errors)")
      #expect(lines.count == 1, "\(output.errors)")
      return line
    }

    /// Who reads a result by a program must not take half of it for all.
    @Test(arguments: ["hooks --json", "hooks veth", "doctor --json"])
    func aResultThatCannotBeWritten(_ arguments: String) throws {
      let bed = try Testbed()
      let output = try bed.attempt("sh", "-c", "'\(Testbed.latprobe)' \(arguments) >/dev/full")
      #expect(try complaint(output, exit: 1).contains("standard output cannot be written: No space left on device"))
    }

    @Test func wrongChoicesOfRecord() throws {
      let bed = try Testbed()
      let out = bed.path("r")
      for (arguments, exit, words) in [
        (["--topology", "nosuch"], 1, ["nosuch"]),
        (["--netns", "nosuch"], 1, ["no network namespace 'nosuch'", "ip netns list"]),
        (["--netns", bed.a, "--dev", "nosuch0"], 1, ["no device 'nosuch0'", bed.a, "eth0"]),
        (["--netns", bed.a, "--dev", "lo"], 1, ["lo in \(bed.a)", "veth pair"]),
        (["--netns", bed.a, "--filter", "udp prt 5"], 1, ["filter 'udp prt 5'", "syntax error"]),
        (["--netns", bed.a, "--filter", "ether[200] = 1"], 1, ["byte 200", "first 128"]),
        (["--netns", bed.a, "--filter", "ip protochain 17"], 1, ["protochain"]),
        (["--netns", bed.a, "--sample", "0.5"], 64, ["0.5", "--sample"]),
        (["--netns", bed.a, "--sample", "1/0"], 64, ["1/0"]),
        (["--netns", bed.a, "--duration", "soon"], 64, ["soon"]),
        (["--netns", bed.a, "--count", "0"], 64, ["--count"]),
        (["--netns", bed.a, "--buffer", "5000"], 64, ["--buffer"]),
        (["--netns", bed.a, "--nonsense"], 64, ["--nonsense"]),
      ] as [([String], Int32, [String])] {
        let command = try bed.start([Testbed.latprobe, "record", "-o", out, "--duration", "1s"] + arguments)
        let line = try complaint(command.wait(limit: 10), exit: exit)
        for word in words { #expect(line.contains(word), "\(arguments): \(line)") }
        #expect(!FileManager.default.fileExists(atPath: out), "\(arguments)")
      }
      let nowhere = try complaint(bed.latprobe("record", "--netns", bed.a), exit: 64)
      #expect(nowhere.contains("--output") || nowhere.contains("-o"))
    }

    @Test func wrongRequirements() throws {
      let bed = try Testbed()
      for requirement in ["txg1-txg2 p99", "txg1-txg2 p99 < fast", "p99 < 5us", "txg1-txg2 speed < 5us", ""] {
        let line = try complaint(bed.latprobe("gate", bed.path("r"), "--require", requirement), exit: 64)
        #expect(line.contains("--require"), "\(line)")
      }
      #expect(try complaint(bed.latprobe("gate", bed.path("r")), exit: 64).contains("nothing to check"))
      let policy = try complaint(bed.latprobe("gate", bed.path("r"), "--policy", bed.path("none.yaml")), exit: 1)
      #expect(policy.contains("none.yaml"))
    }

    /// Every command that reads a recording says the same of one that is none.
    @Test func whatIsNoRecording() throws {
      let bed = try Testbed()
      let files = FileManager.default
      let missing = bed.path("missing")
      let empty = bed.path("empty")
      let file = bed.path("file")
      let random = bed.path("random")
      let bare = bed.path("bare")
      let newer = bed.path("newer")
      try files.createDirectory(atPath: empty, withIntermediateDirectories: true)
      try Data("not a recording".utf8).write(to: URL(fileURLWithPath: file))
      // Random bytes in every place that a recording has.
      try files.createDirectory(atPath: "\(random)/host/ctf", withIntermediateDirectories: true)
      for name in ["session.json", "host/machine.json", "host/ctf/metadata", "host/ctf/stream_0_0"] {
        try Data((0..<997).map { _ in UInt8.random(in: 0...255) }).write(to: URL(fileURLWithPath: "\(random)/\(name)"))
      }
      let recording = try bed.record("bare", "--duration", "300ms")
      #expect(try recording.wait(limit: 10).status == 0)
      try files.copyItem(atPath: bare, toPath: newer)
      let machines = try files.contentsOfDirectory(atPath: bare).filter { $0.hasPrefix("both") }
      let machine = try #require(machines.first)
      try files.removeItem(atPath: "\(bare)/\(machine)/ctf/metadata")
      let session = "\(newer)/session.json"
      let text = try String(contentsOfFile: session, encoding: .utf8)
      let changed = text.replacing(/"format"\s*:\s*1/, with: "\"format\": 2")
      #expect(changed != text)
      try changed.write(toFile: session, atomically: true, encoding: .utf8)
      for (path, words) in [
        (missing, "does not exist"), (empty, "session.json"), (file, "not a directory"), (random, "session.json"),
        (bare, "metadata"), (newer, "newer latprobe"),
      ] {
        let line = try complaint(bed.latprobe("report", path, "-o", bed.path("out")), exit: 1)
        #expect(line.contains(path) && line.contains(words), "\(line)")
        let gate = try complaint(bed.latprobe("gate", path, "--require", "txg1-txg2 p99 < 1s"), exit: 1)
        #expect(gate == line)
      }
      #expect(!files.fileExists(atPath: bed.path("out")))
      for path in [missing, empty, file] {
        #expect(try complaint(bed.latprobe("repair", path), exit: 1).contains(path))
      }
    }

    @Test func aRecordingWithoutPacketsNeverPasses() throws {
      let bed = try Testbed()
      let recording = try bed.record("r", "--duration", "500ms", "--filter", "udp port 9")
      let recorded = try recording.wait(limit: 10)
      #expect(recorded.status == 0 && recorded.errors.contains("no packet was stamped"))
      let report = try bed.report("r")
      #expect(report.segments.isEmpty || report.segments.allSatisfy { $0.count == 0 })
      #expect(report.recording.byType["stamp"] ?? 0 == 0)
      #expect(report.hooks.count == 7)
      let table = try bed.latprobe("report", bed.path("r"))
      #expect(table.status == 0 && !table.text.isEmpty && table.errors.contains("written to \(bed.path("r"))/report"))
      #expect(FileManager.default.fileExists(atPath: bed.path("r/report/report.json")))
      for requirement in [
        "txg1-txg2 p99 < 1s", "txg1-txg2 count >= 0", "txg1-txg2 loss <= 100%", "* max < 1s", "no-such p50 < 1s",
      ] {
        let gate = try bed.latprobe("gate", bed.path("r"), "--require", requirement)
        #expect(gate.status == 2 || gate.status == 3, "\(requirement): \(gate)")
        #expect(!gate.text.contains("PASS"), "\(requirement): \(gate.text)")
      }
    }

    @Test func whatIsForMachinesParses() throws {
      let bed = try Testbed()
      try bed.startPingPongServer()
      let recording = try bed.record("r")
      try bed.pingPong()
      try bed.finish(recording)
      for arguments in [
        ["report", bed.path("r"), "--json"], ["gate", bed.path("r"), "--require", "txg1-txg2 p50 < 1s", "--json"],
        ["hooks", "--json"], ["hooks", "veth", "--json"], ["doctor", "--json"],
      ] {
        let output = try bed.start([Testbed.latprobe] + arguments).wait(limit: 20)
        #expect(output.status == 0 || arguments[0] == "doctor" && output.status == 1, "\(arguments): \(output.errors)")
        #expect(throws: Never.self, "\(arguments): \(output.text)") {
          try JSONSerialization.jsonObject(with: Data(output.text.utf8))
        }
      }
    }
  }
}
