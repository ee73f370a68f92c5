// SPDX-License-Identifier: GPL-2.0-or-later
import Foundation
import Testing
import VirtualLab

extension IntegrationSuites {
  /// What is run for long by hand (benchmarks/README.md), for as long as it takes to see anything.
  @Suite struct SoakTests {
    private static let scripts = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
      .deletingLastPathComponent().deletingLastPathComponent().appendingPathComponent("benchmarks/soak").path

    @Test func memoryStaysAndLossesAreCounted() throws {
      let bed = try Testbed()
      let output = try Command(
        ["\(SoakTests.scripts)/run.sh", "20"], in: bed.folder,
        environment: ["LATPROBE": Testbed.latprobe, "RATE": "1000", "FOLDER": bed.folder.path]
      ).wait(limit: 60)
      #expect(output.status == 0, "\(output)")
      let line = try #require(output.text.firstMatch(of: /soak: ([0-9]+) sent, ([0-9]+) not answered.*: PASS\n/))
      #expect(abs((Int(line.1) ?? 0) - 20_000) < 1000, "\(output)")
    }

    /// Killed commands, two starts on one folder, a guest and options with numbers that cannot be, a neighbour's traps.
    @Test(arguments: [
      ("kills.py", ["2"]), ("starts.py", ["2"]), ("guest.py", ["4"]), ("options.py", []), ("neighbour.py", ["1"]),
    ])
    func nothingBreaksIt(script: String, arguments: [String]) throws {
      let bed = try Testbed()
      let output = try Command(
        ["python3", "\(SoakTests.scripts)/\(script)"] + arguments, in: bed.folder,
        environment: ["LATPROBE": Testbed.latprobe, "RUNS": "1"]
      ).wait(limit: 300)
      #expect(output.status == 0, "\(output)")
    }

    /// What the kernel and the reflector have not counted, and a process that grows, fail it.
    @Test(arguments: [
      (lost: 0, counted: 0, growth: 0, verdict: "PASS"), (lost: 7, counted: 7, growth: 900, verdict: "PASS"),
      (lost: 7, counted: 6, growth: 0, verdict: "FAIL: 1 packets were lost and not counted"),
      (lost: 0, counted: 0, growth: 1100, verdict: "FAIL: send grew by 1.1 MiB"),
    ])
    func theVerdict(lost: Int, counted: Int, growth: Int, verdict: String) throws {
      let bed = try Testbed()
      let folder = bed.path("soak")
      try FileManager.default.createDirectory(atPath: "\(folder)/sent/m", withIntermediateDirectories: true)
      func write(_ name: String, _ text: String) throws {
        try text.write(toFile: "\(folder)/\(name)", atomically: true, encoding: .utf8)
      }
      // Twelve seconds that do not count, and four quarters of ten: nothing grows but from the third to the last.
      try write(
        "memory", (1...51).map { "\($0) \($0 < 12 ? 90_000 : $0 < 32 ? 30_000 : 30_000 + growth) 20000\n" }.joined())
      let place = #"{"socket": 0, "device": 0, "checksum": 0}"#
      for (name, socket) in [("before", 5), ("after", 5 + counted)] {
        let reflector = place.replacingOccurrences(of: #""socket": 0"#, with: #""socket": \#(socket)"#)
        try write(name, #"{"sender": \#(place), "reflector": \#(reflector), "backlog": 3}"#)
      }
      try write(
        "sent/m/machine.json",
        #"{"pairing": {"protocols": [{"name": "stamp", "counts": {"requests": 1000, "paired": \#(1000 - lost)}}]}}"#)
      try write("reflect", "reflecting on all addresses\n\(1000 - lost) packets, \(1000 - lost) answered\n")
      let output = try bed.attempt("python3", "\(SoakTests.scripts)/verdict.py", folder)
      #expect(output.status == (verdict == "PASS" ? 0 : 2) && output.text.hasSuffix(": \(verdict)\n"), "\(output)")
    }
  }
}
