// SPDX-License-Identifier: GPL-2.0-or-later
import Foundation
import Glibc
import Recording
import Testing
import VirtualLab

extension IntegrationSuites {
  /// How a recording ends that nobody ends with Ctrl-C.
  @Suite struct SignalTests {
    private let bed: Testbed

    init() throws { bed = try Testbed() }

    /// Records some echoes at `va`, and sends the signals in turn.
    private func tap(_ name: String, under wrapper: [String], _ signals: Int32...) throws -> Output {
      let tap = try bed.start(
        wrapper + [Testbed.latprobe, "tap", "--netns", bed.bridge, "va", "--filter", "icmp", "-o", bed.path(name)])
      try tap.expect("listening on")
      try bed.run("ip", "netns", "exec", bed.a, "ping", "-q", "-c", "23", "-i", "0.01", "10.77.0.2")
      for number in signals {
        usleep(300_000)
        tap.signal(number)
      }
      return try tap.wait(limit: 20)
    }

    @Test(arguments: [(SIGHUP, "SIGHUP"), (SIGQUIT, "SIGQUIT"), (SIGTERM, "SIGTERM")])
    func aSignalEndsInOrder(_ number: Int32, _ name: String) throws {
      let output = try tap("r", under: ["env", "--default-signal=HUP"], number)
      #expect(output.status == 0 && output.errors.contains("stopped by \(name)"), "\(output.errors)")
      let session = try bed.load("r")
      let recording = try session.only()
      #expect(session.damage == [] && recording.machine.stoppedBy == name)
      #expect(recording.wireStamps.count == 46 && recording.machine.ledger.allSatisfy { $0.lost == 0 })
    }

    /// `nohup` has SIGHUP ignored.
    @Test func nohupGoesOn() throws {
      let output = try tap("n", under: ["nohup"], SIGHUP, SIGINT)
      #expect(output.status == 0 && output.errors.contains("stopped by SIGINT"), "\(output.errors)")
    }

    /// `head` reads the first line, and is gone.
    @Test func nobodyReadsWhatIsSaid() throws {
      let tap = "\(Testbed.latprobe) tap --netns \(bed.bridge) va --duration 500ms -o \(bed.path("h"))"
      let output = try bed.start([
        "env", "--default-signal=PIPE", "bash", "-c", "set -o pipefail; \(tap) 2>&1 | head -1",
      ]).wait(limit: 20)
      #expect(output.status == 0 && output.text.hasPrefix("listening on va"), "\(output.status) \(output.text)")
      #expect(try bed.load("h").only().machine.stoppedBy == "duration")
    }
  }
}
