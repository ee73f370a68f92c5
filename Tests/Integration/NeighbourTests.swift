// SPDX-License-Identifier: GPL-2.0-or-later
import Foundation
import Glibc
import Testing
import VirtualLab

extension IntegrationSuites {
  /// Root beside another user, nobody: whose folders, links and files root meets, and who reads what root has written.
  @Suite(.serialized) struct NeighbourTests {
    private static let nobody: UInt32 = 65534

    private func asNobody(_ arguments: [String]) -> [String] {
      ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"] + arguments
    }

    private func owner(_ path: String) throws -> UInt32 {
      var status = stat()
      try #require(unsafe lstat(path, &status) == 0, "\(path)")
      return status.st_uid
    }

    private func mode(_ path: String) throws -> UInt32 {
      var status = stat()
      try #require(unsafe lstat(path, &status) == 0, "\(path)")
      return status.st_mode & 0o7777
    }

    private func everything(in folder: String) throws -> [String] {
      [folder] + (try FileManager.default.subpathsOfDirectory(atPath: folder)).map { "\(folder)/\($0)" }
    }

    /// A recording of nobody's, in a folder of nobody's.
    private func theirs(_ bed: Testbed) throws -> String {
      let folder = bed.path("theirs")
      let fixture = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .appendingPathComponent("Fixtures/recording-5").path
      try bed.run("chmod", "755", bed.folder.path)
      try bed.run("mkdir", folder)
      try bed.run("cp", "-r", fixture, "\(folder)/run")
      try bed.run("chown", "-R", "65534:65534", folder)
      try bed.run("chmod", "-R", "u+rwX", folder)
      return folder
    }

    private func record(_ bed: Testbed, _ path: String, _ more: String..., environment: [String: String] = [:]) throws
      -> Output
    {
      try bed.start(
        ["ip", "netns", "exec", bed.a, Testbed.latprobe, "record", "--topology", "host-nic", "--dev", "lo"]
          + ["--duration", "100ms", "-o", path] + more, environment: environment
      ).wait(limit: 60)
    }

    /// Tries of a neighbour to have root run its script, or write where a link of its own leads.
    @Test func nobodyCanTurnRootsReportAgainstRoot() throws {
      let bed = try Testbed()
      let theirs = try theirs(bed)
      try bed.run("mkdir", "-m", "755", bed.path("root"))
      let (victim, proof) = (bed.path("root/victim"), "\(theirs)/proof")
      try "precious".write(toFile: victim, atomically: false, encoding: .utf8)
      let swapper = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .appendingPathComponent("Fixtures/swap_files.py").path
      try bed.run("install", "-m", "755", swapper, bed.path("swap_files.py"))
      let neighbour = try bed.start(asNobody(["/usr/bin/python3", bed.path("swap_files.py"), theirs, victim, proof]))
      let tries = ProcessInfo.processInfo.environment["LATPROBE_TRIES"].flatMap { Int($0) } ?? 8
      for number in 0..<tries {
        let more = number % 2 == 0 ? ["-o", "\(theirs)/out"] : []
        let output = try Command([Testbed.latprobe, "report", "\(theirs)/run"] + more, in: bed.folder).wait(limit: 60)
        #expect([0, 1].contains(output.status), "\(output)")
        #expect(try String(contentsOfFile: victim, encoding: .utf8) == "precious")
        #expect(
          !FileManager.default.fileExists(atPath: proof),
          "\((try? String(contentsOfFile: proof, encoding: .utf8)) ?? "")")
      }
      #expect(neighbour.isRunning)
      neighbour.signal(SIGKILL)
      #expect(try FileManager.default.contentsOfDirectory(atPath: bed.path("root")) == ["victim"])
      #expect(try owner(victim) == 0 || owner(victim) == getuid())
    }

    @Test func rootRefusesAnotherUsersFolder() throws {
      let bed = try Testbed()
      let theirs = try theirs(bed)
      let refused = try record(bed, "\(theirs)/new")
      #expect(refused.status == 1 && refused.text.isEmpty, "\(refused)")
      #expect(refused.errors.contains("\(theirs): it belongs to another user (uid 65534)"), "\(refused.errors)")
      #expect(refused.errors.contains("--foreign") && !FileManager.default.fileExists(atPath: "\(theirs)/new"))
      // Nor through a link of theirs, wherever it leads.
      try bed.run("mkdir", "-m", "1777", bed.path("sticky"))
      try bed.run(
        "setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "ln", "-s", bed.folder.path,
        bed.path("sticky/link"))
      let linked = try record(bed, bed.path("sticky/link/new"))
      #expect(linked.status == 1 && linked.errors.contains("link of another user"), "\(linked)")
      #expect(try record(bed, bed.path("sticky/new")).status == 0)
      #expect(try mode(bed.path("sticky/new")) == 0o700)
      #expect(try record(bed, "\(theirs)/new", "--foreign").status == 0)
      for arguments in [["report", "\(theirs)/new", "--json", "-o", "\(theirs)/run"], ["repair", "\(theirs)/run"]] {
        let output = try Command([Testbed.latprobe] + arguments, in: bed.folder).wait(limit: 60)
        #expect(output.status == 1 && output.errors.contains("--foreign"), "\(output)")
      }
      // A new folder in theirs is root's own.
      #expect(try bed.latprobe("report", "\(theirs)/run", "-o", "\(theirs)/mine").status == 0)
      #expect(try owner("\(theirs)/mine") != NeighbourTests.nobody && mode("\(theirs)/mine/report.json") == 0o600)
    }

    /// By sudo: what was made belongs to who called, and is read without it.
    @Test func whatSudoMakesBelongsToTheCaller() throws {
      let bed = try Testbed()
      try bed.run("chmod", "755", bed.folder.path)
      try bed.run("install", "-d", "-o", "65534", bed.path("out"))
      try bed.run("install", "-m", "755", Testbed.latprobe, bed.path("latprobe"))
      let sudo = ["SUDO_UID": "65534", "SUDO_GID": "65534"]
      let output = try record(bed, bed.path("out/new/run"), environment: sudo)
      #expect(output.status == 0, "\(output)")
      for path in try everything(in: bed.path("out/new")) {
        #expect(try owner(path) == NeighbourTests.nobody, "\(path)")
      }
      let report = try bed.start(asNobody([bed.path("latprobe"), "report", bed.path("out/new/run")])).wait(limit: 60)
      #expect(report.status == 0, "\(report)")
      let again = try Command(
        [Testbed.latprobe, "report", bed.path("out/new/run"), "-o", bed.path("out/report")], in: bed.folder,
        environment: sudo
      ).wait(limit: 60)
      #expect(again.status == 0, "\(again)")
      for path in try everything(in: bed.path("out/report")) {
        #expect(try owner(path) == NeighbourTests.nobody, "\(path)")
      }
    }

    @Test func onlyTheCallerReadsUnlessAsked() throws {
      let bed = try Testbed()
      #expect(try record(bed, bed.path("private")).status == 0)
      for path in try everything(in: bed.path("private")) { #expect(try mode(path) & 0o077 == 0, "\(path)") }
      let shared = try bed.start(
        [
          "sh", "-c",
          "umask 022; exec ip netns exec \(bed.a) \(Testbed.latprobe) record --topology host-nic --dev lo "
            + "--duration 100ms --shared -o \(bed.path("shared"))",
        ]
      ).wait(limit: 60)
      #expect(shared.status == 0, "\(shared)")
      for path in try everything(in: bed.path("shared")) { #expect(try mode(path) & 0o044 == 0o044, "\(path)") }
    }

    // MARK: - Rights that are given up

    /// `CapEff`, `CapBnd`, `NoNewPrivs` and `Seccomp` of each thread.
    private func rights(_ command: Command) throws -> [[String: String]] {
      let folder = "/proc/\(command.pid)/task"
      return try FileManager.default.contentsOfDirectory(atPath: folder).map { thread in
        let text = try String(contentsOfFile: "\(folder)/\(thread)/status", encoding: .utf8)
        let pairs = text.split(separator: "\n").compactMap { line -> (String, String)? in
          let parts = line.split(separator: ":", maxSplits: 1)
          return parts.count == 2 ? (String(parts[0]), parts[1].trimmingCharacters(in: .whitespaces)) : nil
        }
        return Dictionary(pairs, uniquingKeysWith: { $1 })
      }
    }

    private func check(_ command: Command, keeps mask: UInt64) throws {
      for thread in try rights(command) {
        for set in ["CapEff", "CapPrm", "CapBnd"] {
          let held = try #require(thread[set].flatMap { UInt64($0, radix: 16) })
          #expect(held & ~mask == 0, "\(thread["Name"] ?? ""): \(set) \(String(held, radix: 16))")
        }
        #expect(thread["NoNewPrivs"] == "1")
      }
    }

    /// After what needs them is done, no thread has more than it still uses: to read maps CAP_BPF, else nothing.
    @Test func whatIsNotNeededIsGivenUp() throws {
      let bed = try Testbed()
      let inside = ["ip", "netns", "exec", bed.a, Testbed.latprobe]
      let bpf: UInt64 = 1 << 39
      let recording = try bed.record("r")
      try check(recording, keeps: bpf)
      let tap = try bed.start(inside + ["tap", "eth0", "-o", bed.path("t")])
      try tap.expect("listening on")
      try check(tap, keeps: 0)
      let reflector = try bed.start(inside + ["reflect", "--listen", "10.77.0.1:8620"])
      try reflector.expect("reflecting on")
      try check(reflector, keeps: 0)
      let sender = try bed.start(inside + ["send", "10.77.0.1:8620", "-o", bed.path("s")])
      try sender.expect("sending to")
      try check(sender, keeps: 0)
      let timer = try bed.start(inside + ["timer", "--samples", "1000000", "--load", "idle"])
      let benchmark = try bed.start(
        inside + ["rfc2544", "10.77.0.1:8620", "--line-rate", "1M", "--sizes", "128", "-o", bed.path("b")])
      try benchmark.expect("frame size")
      // The room of its sockets.
      try check(benchmark, keeps: 1 << 12)
      try check(timer, keeps: 0)
      for command in [timer, benchmark] { command.signal(SIGINT) }
      try bed.run("mkdir", "-m", "700", bed.path("state"))
      let agent = try bed.start(inside + ["agent", "unix:\(bed.path("socket"))", "--state", bed.path("state")])
      try agent.expect("listening on")
      // Perfmon, sys_admin, net_admin, net_broadcast: it attaches when a host says so.
      try check(agent, keeps: bpf | 1 << 38 | 1 << 21 | 1 << 12 | 1 << 11)
      for command in [recording, tap, sender] { try bed.finish(command) }
    }

    /// Who reads what may be anybody's has its system calls filtered: waiting for a capture from a pipe, it shows.
    @Test(arguments: [["tap", "--read"], ["pair", "--proto", "dns"]]) func aReaderIsConfined(_ command: [String]) throws
    {
      let bed = try Testbed()
      let pipe = bed.path("capture")
      try #require(unsafe mkfifo(pipe, 0o600) == 0)
      let reader = try bed.start([Testbed.latprobe] + command + [pipe, "-o", bed.path("r")])
      let writer = unsafe open(pipe, O_WRONLY)
      defer { close(writer) }
      usleep(500_000)
      for thread in try rights(reader) {
        #expect(thread["Seccomp"] == "2" && thread["NoNewPrivs"] == "1", "\(thread)")
      }
      reader.signal(SIGKILL)
    }

    /// A library that was made to run within the commands calls what they never do, once they are at their end.
    @Test(arguments: [
      ["report", "theirs/run", "-o", "out"], ["report", "theirs/run", "--json"],
      ["gate", "theirs/run", "--require", "* count > 0"], ["repair", "theirs/run"],
      ["tap", "--read", "capture", "-o", "tapped"], ["pair", "--proto", "dns", "capture"],
    ])
    func aForbiddenCallEndsEachReader(_ words: [String]) throws {
      let bed = try Testbed()
      _ = try theirs(bed)
      // A capture's header and no packets.
      let header: [UInt32] = [0xa1b2_c3d4, 0x0004_0002, 0, 0, 65535, 1]
      let bytes = header.flatMap { word in (0..<4).map { UInt8(truncatingIfNeeded: word >> (8 * $0)) } }
      try Data(bytes).write(to: bed.folder.appendingPathComponent("capture"))
      try """
      #include <sys/socket.h>
      __attribute__((destructor)) static void end(void) { socket(AF_INET, SOCK_STREAM, 0); }

      """.write(toFile: bed.path("intruder.c"), atomically: false, encoding: .utf8)
      try bed.run("cc", "-shared", "-fPIC", "-o", bed.path("intruder.so"), bed.path("intruder.c"))
      let intruder = ["env", "LD_PRELOAD=\(bed.path("intruder.so"))", Testbed.latprobe]
      let output = try Command(
        ["sh", "-c", "cd \(bed.folder.path); exec \"$@\"", "sh"] + intruder + words, in: bed.folder
      ).wait()
      #expect(output.status == 128 + SIGSYS, "\(output)")
      // Elsewhere the call harms nobody.
      let list = try Command(intruder + ["hooks"], in: bed.folder).wait()
      #expect(list.status == 0, "\(list)")
    }

    /// Who owns the file knows the key, and may exchange it.
    @Test(arguments: ["agent", "record", "reflect", "send", "rfc2544"]) func aKeyOfAnotherUsers(_ command: String)
      throws
    {
      let bed = try Testbed()
      let key = bed.path("key")
      try "0123456789abcdef".write(toFile: key, atomically: false, encoding: .utf8)
      let words = [
        "agent": ["unix:\(bed.path("socket"))", "--state", bed.folder.path, "--key-file", key],
        "record": [
          "--topology", "veth", "--netns", bed.a, "--netns", bed.b, "--side", "host", "--guest",
          "unix:\(bed.path("none"))",
          "--key-file", key, "-o", bed.path("r"),
        ],
        "reflect": ["--netns", bed.a, "--key", key],
        "send": ["10.77.0.2", "--netns", bed.a, "--key", key, "-o", bed.path("r")],
        "rfc2544": ["10.77.0.2", "--netns", bed.a, "--key", key, "-o", bed.path("r")],
      ]
      func refusal(_ environment: [String: String] = [:]) throws -> String {
        let running = try bed.start([Testbed.latprobe, command] + (words[command] ?? []), environment: environment)
        // What takes the key goes on to listen, or finds nobody.
        let isAtWork = /listening on|reflecting on|sending to/
        for _ in 0..<6000 where running.isRunning && !running.errors.contains(isAtWork) { usleep(10_000) }
        running.signal(SIGINT)
        return try running.wait().errors
      }
      for (owner, mode, complaint) in [
        ("1234", "600", "belongs to another user (uid 1234)"), ("0", "640", "may be read by others"), ("0", "600", nil),
      ] as [(String, String, String?)] {
        try bed.run("chown", owner, key)
        try bed.run("chmod", mode, key)
        let errors = try refusal()
        if let complaint {
          #expect(errors.contains("the key file \(key) \(complaint)"), "\(errors)")
        } else {
          #expect(!errors.contains("the key file"), "\(errors)")
        }
      }
      try bed.run("chown", "1234", key)
      let errors = try refusal(["SUDO_UID": "1234", "SUDO_GID": "1234"])
      #expect(!errors.contains("the key file"), "\(errors)")
    }
  }
}
