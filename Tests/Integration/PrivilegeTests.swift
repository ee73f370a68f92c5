// SPDX-License-Identifier: GPL-2.0-or-later
import Foundation
import Recording
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
        try start(arguments, capabilities).wait()
      }

      /// - Parameters:
      ///   - namespace: to be in, as the command itself may not enter it.
      ///   - umask: of a user who hides nothing.
      func start(
        _ arguments: [String], _ capabilities: String, in namespace: String? = nil, umask: String = "022"
      ) throws -> Command {
        let kept = capabilities == "-all" ? [] : ["--inh-caps=\(capabilities)", "--ambient-caps=\(capabilities)"]
        return try bed.start(
          ["sh", "-c", "umask \(umask); exec \"$@\"", "sh"] + (namespace.map { ["ip", "netns", "exec", $0] } ?? [])
            + ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--bounding-set=\(capabilities)"] + kept
            + [program] + arguments)
      }

      /// Files and folders of nobody's that others may look into.
      func readable() throws -> [String] {
        try bed.run("find", bed.path("out"), "-mindepth", "1", "-perm", "/077", "-not", "-type", "s")
          .split(separator: "\n").map(String.init)
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

    /// What each command needs at least, by topology: with it all is well, and without one of it nothing is.
    struct Least: Sendable, CustomTestStringConvertible {
      let command: String
      var capabilities: [String] = []
      /// In the namespace of the first guest, or of the bridge; else in the test's own, from which others must be entered.
      enum Place { case guest, bridge, own }
      var place = Place.guest
      var testDescription: String { "\(command) \(capabilities)" }
    }

    /// docs/privileges.md has these; A and B are the guests' namespaces, O where results go.
    static let least = [
      Least(command: "record --topology host-nic --dev eth0 --duration 300ms -o O", capabilities: ["bpf", "perfmon"]),
      Least(
        command: "record --topology kvm-vhost --side guest --dev eth0 --duration 300ms -o O",
        capabilities: ["bpf", "perfmon"]),
      Least(
        command: "record --topology kvm-user --side guest --dev eth0 --duration 300ms -o O",
        capabilities: ["bpf", "perfmon"]),
      Least(
        command: "record --topology veth --netns A --netns B --duration 300ms -o O",
        capabilities: ["sys_admin"], place: .own),
      Least(
        command: "record --topology container --netns A --dev vb --duration 300ms -o O",
        capabilities: ["sys_admin"], place: .bridge),
      Least(
        command: "record --topology kvm-vhost --side host --tap va --dev vb --duration 300ms -o O",
        capabilities: ["bpf", "perfmon"], place: .bridge),
      Least(command: "tap eth0 --duration 300ms -o O", capabilities: ["net_raw"]),
      Least(
        command: "tap eth0 --netns A --duration 300ms -o O", capabilities: ["net_raw", "sys_admin"], place: .own),
      Least(command: "pair --proto icmp eth0 --duration 300ms -o O", capabilities: ["net_raw"]),
      Least(
        command: "pair --proto icmp eth0 --netns A --duration 300ms -o O", capabilities: ["net_raw", "sys_admin"],
        place: .own),
      Least(command: "send 10.77.0.2:5000 --rate 100 --count 11 -o O"),
      Least(
        command: "send 10.77.0.2:5000 --netns A --rate 100 --count 11 -o O", capabilities: ["sys_admin"],
        place: .own),
      Least(
        command:
          "rfc2544 10.77.0.2:5000 --line-rate 1M --sizes 128 --trial 200ms --search-trial 200ms --repeat 1 --pause 0s "
          + "--measure loss-curve -o O"),
      Least(command: "timer --samples 20 --load idle -o O"),
    ]

    @Test(arguments: least) func theLeastCapabilities(_ least: Least) throws {
      let installed = try Installation()
      let bed = installed.bed
      for name in ["kvm-vhost", "kvm-user", "container"] {
        try bed.run(
          "install", "-m", "0644", Testbed.fixture("../../probes/\(name).yaml"),
          bed.path("prefix/share/latprobe/probes/\(name).yaml"))
      }
      _ = try bed.reflect("--listen", "10.77.0.2:5000")
      for (number, umask) in ["000", "022"].enumerated() {
        let words = least.command.split(separator: " ").map { word in
          ["A": bed.a, "B": bed.b, "O": bed.path("out/r\(number)")][word] ?? String(word)
        }
        func run(_ capabilities: [String]) throws -> Output {
          try installed.start(
            words, (["-all"] + capabilities.map { "+\($0)" }).joined(separator: ","),
            in: [.guest: bed.a, .bridge: bed.bridge][least.place], umask: umask
          ).wait()
        }
        for missing in least.capabilities.indices where number == 0 {
          var fewer = least.capabilities
          fewer.remove(at: missing)
          let output = try run(fewer)
          #expect(output.status == 1, "without \(least.capabilities[missing]): \(output)")
        }
        let output = try run(least.capabilities)
        #expect(output.status == 0, "\(output)")
        // Whatever the umask: what it made is for its maker alone.
        #expect(try installed.readable() == [])
      }
    }

    /// Ports below 1024, and a guest's agent in its own namespace, whose recording the host pulls.
    @Test func listenersNeedLittle() throws {
      let installed = try Installation()
      let bed = installed.bed
      let listen = ["reflect", "--listen", "10.77.0.1"]
      let refused = try installed.start(listen, "-all", in: bed.a).wait()
      #expect(refused.status == 1 && refused.errors.contains("CAP_NET_BIND_SERVICE"), "\(refused)")
      let reflector = try installed.start(listen, "-all,+net_bind_service", in: bed.a)
      try reflector.expect("reflecting on")
      reflector.signal(SIGINT)
      #expect(try reflector.wait().status == 0)

      try bed.run(
        "install", "-m", "0644", Testbed.fixture("../../probes/kvm-vhost.yaml"),
        bed.path("prefix/share/latprobe/probes/kvm-vhost.yaml"))
      try bed.run("install", "-d", "-o", "65534", "-m", "700", bed.path("out/state"))
      let agent = try installed.start(
        ["agent", "unix:\(bed.path("out/socket"))", "--state", bed.path("out/state"), "--dev", "eth0"],
        "-all,+bpf,+perfmon", in: bed.a, umask: "000")
      try agent.expect("listening on")
      let host = try bed.start([
        "sh", "-c", "umask 000; exec \"$@\"", "sh", "ip", "netns", "exec", bed.bridge, installed.program, "record",
        "--topology", "kvm-vhost", "--guest", "unix:\(bed.path("out/socket"))", "--tap", "va", "--dev", "vb", "-o",
        bed.path("r"), "--guest-grace", "60s",
      ])
      try host.expect("recording txh0")
      #expect(try installed.readable() == [])
      usleep(300_000)
      try bed.run("ip", "netns", "exec", bed.a, "ping", "-c", "7", "-i", "0.02", "10.77.0.2")
      usleep(1_200_000)
      try bed.finish(host)
      let machines = try bed.load("r").machines
      #expect(machines.map(\.machine.role) == ["host", "guest"] && machines.allSatisfy { !$0.stamps.isEmpty })
      #expect(try bed.run("find", bed.path("r"), "-perm", "/077").isEmpty)
      agent.signal(SIGINT)
      #expect(try agent.wait().status == 0)
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
