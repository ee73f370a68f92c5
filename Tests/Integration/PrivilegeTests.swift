// SPDX-License-Identifier: GPL-2.0-or-later
import Foundation
import Testing
import VirtualLab

extension IntegrationSuites {
  /// What a user without privileges can do, and what is said where that is not enough.
  @Suite(.serialized) struct PrivilegeTests {
    /// An installation that everybody may read, and a way to run it as nobody.
    private struct Installation {
      let bed: Testbed
      let program: String

      init() throws {
        bed = try Testbed()
        let prefix = bed.path("prefix")
        let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
          .deletingLastPathComponent().path
        program = "\(prefix)/bin/latprobe"
        try bed.run("install", "-D", "-m", "755", Testbed.latprobe, program)
        try bed.run(
          "install", "-D", "-m", "644", "\(root)/build/bpf/latprobe.bpf.o", "\(prefix)/lib/latprobe/latprobe.bpf.o")
        for name in ["veth", "host-nic"] {
          try bed.run(
            "install", "-D", "-m", "644", "\(root)/probes/\(name).yaml", "\(prefix)/share/latprobe/probes/\(name).yaml")
        }
        try bed.run("chmod", "755", bed.folder.path)
        try bed.run("install", "-d", "-o", "65534", bed.path("out"))
      }

      func asNobody(_ arguments: String..., capabilities: String = "-all") throws -> Output {
        let kept = capabilities == "-all" ? [] : ["--inh-caps=\(capabilities)", "--ambient-caps=\(capabilities)"]
        return try bed.start(
          [
            "setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--bounding-set=\(capabilities)",
          ] + kept + [program] + arguments
        ).wait(limit: 20)
      }
    }

    @Test func recordNamesTheMissingCapabilityAndHowToGrantIt() throws {
      let installed = try Installation()
      let bed = installed.bed
      let output = try installed.asNobody("record", "--netns", bed.a, "--duration", "1s", "-o", bed.path("out/r"))
      #expect(output.status == 1 && output.text.isEmpty)
      #expect(output.errors.split(separator: "\n").count == 1, "\(output.errors)")
      for words in ["CAP_BPF", "CAP_PERFMON", "setcap", installed.program, "sudo"] {
        #expect(output.errors.contains(words), "\(words): \(output.errors)")
      }
      #expect(!FileManager.default.fileExists(atPath: bed.path("out/r")))
    }

    /// With one of the two, the other alone is missing.
    @Test func onlyWhatIsMissingIsNamed() throws {
      let installed = try Installation()
      let bed = installed.bed
      let output = try installed.asNobody(
        "record", "--netns", bed.a, "--duration", "1s", "-o", bed.path("out/r"), capabilities: "-all,+bpf")
      #expect(output.status == 1)
      #expect(output.errors.hasPrefix("Error: CAP_PERFMON missing"), "\(output.errors)")
    }

    /// What the message tells to grant is enough.
    @Test func withTheCapabilitiesNamedItRecords() throws {
      let installed = try Installation()
      let bed = installed.bed
      try bed.startPingPongServer()
      let recording = try bed.start(
        [
          "setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--bounding-set=-all,+bpf,+perfmon,+sys_admin",
          "--inh-caps=-all,+bpf,+perfmon,+sys_admin", "--ambient-caps=-all,+bpf,+perfmon,+sys_admin", installed.program,
          "record", "--netns", bed.a, "--netns", bed.b, "-o", bed.path("out/r"),
        ])
      try recording.expect("recording ")
      try bed.pingPong()
      try bed.finish(recording)
      #expect(try bed.report("out/r").segment("txg0-rxg1").count > 900)
    }

    @Test func hooksAndDoctorWorkAndSaySo() throws {
      let installed = try Installation()
      let hooks = try installed.asNobody("hooks", "veth")
      #expect(hooks.status == 0 && hooks.errors.contains("CAP_BPF") && hooks.errors.contains("setcap"), "\(hooks)")
      for hook in ["txg0", "txg1", "txg2", "txh0", "rxh1", "rxg0", "rxg1"] { #expect(hooks.text.contains(hook)) }
      let list = try installed.asNobody("hooks")
      #expect(list.status == 0 && list.text.contains("veth") && list.text.contains("host-nic"))
      let doctor = try installed.asNobody("doctor")
      #expect(doctor.status == 1, "\(doctor)")
      let line = doctor.text.split(separator: "\n").first { $0.contains("privileges") }
      #expect(line?.hasPrefix("missing") == true && line?.contains("CAP_BPF") == true, "\(doctor.text)")
      for text in [hooks.errors, doctor.text] { #expect(text.contains("+ep \(installed.program)'"), "\(text)") }
      #expect(doctor.text.contains("sudo") && doctor.text.contains("clock source"))
    }

    /// A recording is read without any privilege but to read its files, which the recorder's umask may deny to others.
    @Test func reportAndGateNeedNone() throws {
      let installed = try Installation()
      let bed = installed.bed
      try bed.startPingPongServer()
      let recording = try bed.record("r")
      try bed.pingPong()
      try bed.finish(recording)
      let folder = try #require(
        FileManager.default.contentsOfDirectory(atPath: bed.path("r")).first { !$0.hasSuffix(".json") })
      for denied in [bed.path("r"), bed.path("r/\(folder)")] {
        try bed.run("chmod", "-R", "a+rX", bed.path("r"))
        try bed.run("chmod", "go-rwx", denied)
        let output = try installed.asNobody("report", bed.path("r"))
        #expect(output.status == 1 && output.text.isEmpty)
        #expect(output.errors.split(separator: "\n").count == 1, "\(output.errors)")
        #expect(output.errors.contains(denied) && output.errors.contains("Permission denied"), "\(output.errors)")
      }
      try bed.run("chmod", "-R", "a+rX", bed.path("r"))
      let report = try installed.asNobody("report", bed.path("r"), "--json")
      #expect(report.status == 0 && report.text.contains("txg0-rxg1"), "\(report.errors)")
      let gate = try installed.asNobody("gate", bed.path("r"), "--require", "txg1-rxg0 p50 < 1s")
      #expect(gate.status == 0 && gate.text.contains("PASS"), "\(gate)")
    }
  }
}
