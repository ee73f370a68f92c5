// SPDX-License-Identifier: GPL-2.0-or-later
import Foundation
import Glibc
import Recording
import Testing
import VirtualLab

extension IntegrationSuites {
  /// Agent and host as two programs; the guests are namespaces, so one kernel is on both sides.
  @Suite(.serialized) struct AgentTests {
    /// Starts an agent that watches the guests `namespaces`; back once it listens.
    private func agent(_ bed: Testbed, _ url: String, watching namespaces: [String], _ more: String...) throws
      -> Command
    {
      let watched = namespaces.flatMap { ["--netns", $0] }
      let command = try bed.start(
        ["ip", "netns", "exec", namespaces[0], Testbed.latprobe, "agent", url, "--state", bed.path("state")] + watched
          + more)
      try command.expect("listening on")
      return command
    }

    /// Starts `record --side host` in the bridge's namespace.
    private func host(_ bed: Testbed, _ name: String, _ more: String...) throws -> Command {
      try host(bed, name, more)
    }

    private func host(_ bed: Testbed, _ name: String, _ more: [String]) throws -> Command {
      // The guests are honest, and this machine may be busy.
      let grace = more.contains("--guest") && !more.contains("--guest-grace") ? ["--guest-grace", "60s"] : []
      return try bed.start(
        [
          "ip", "netns", "exec", bed.bridge, Testbed.latprobe, "record", "--topology", "veth", "--side", "host",
          "--netns", bed.a, "--netns", bed.b, "--filter", "udp port 5001", "-o", bed.path(name),
        ] + more + grace)
    }

    private func makeState(_ bed: Testbed) throws {
      try FileManager.default.createDirectory(atPath: bed.path("state"), withIntermediateDirectories: true)
    }

    private func kept(_ bed: Testbed) throws -> [String] {
      try FileManager.default.contentsOfDirectory(atPath: bed.path("state"))
    }

    private func key(_ bed: Testbed, _ name: String = "key") throws -> String {
      let path = bed.path(name)
      let text = (0..<8).map { _ in String(UInt32.random(in: 0 ... .max), radix: 16) }.joined(separator: "-")
      try (text + "\n").write(toFile: path, atomically: false, encoding: .utf8)
      unsafe chmod(path, 0o600)
      return path
    }

    /// All of east-west, joined across the two recordings.
    private func checkJoined(_ report: Report) throws {
      let whole = try report.segment("txg0-rxg1")
      #expect(whole.count > 900, "\(whole)")
      for segment in report.segments where segment.direction == "east-west" {
        #expect(segment.lost == 0 && segment.unmatched == 0 && (segment.minNs ?? -1) >= 0, "\(segment)")
      }
    }

    @Test func overTCPWithAKey() throws {
      let bed = try Testbed()
      try makeState(bed)
      try bed.run("ip", "-n", bed.bridge, "addr", "add", "10.77.0.9/24", "dev", "br0")
      let key = try key(bed)
      let agent = try agent(bed, "tcp:10.77.0.1:5211", watching: [bed.a, bed.b], "--key-file", key)
      try bed.startPingPongServer()
      let host = try host(bed, "r", "--guest", "tcp:10.77.0.1:5211", "--key-file", key, "--label", "run=1")
      try host.expect("recording txh0")
      usleep(300_000)
      try bed.pingPong()
      try bed.finish(host)
      #expect(host.errors.contains("is ready: txg0 txg1 txg2 rxg0 rxg1"), "\(host.errors)")

      let loaded = try bed.load("r")
      #expect(loaded.machines.map(\.machine.role) == ["host", "guest"] && loaded.damage.isEmpty)
      let (first, second) = (loaded.machines[0], loaded.machines[1])
      #expect(second.machine.stoppedBy == "the host" && second.machine.filter == "udp port 5001")
      #expect(first.machine.peers?.map(\.machine) == [second.machine.name])
      #expect(first.machine.peers?.first?.bootID == second.machine.bootID)
      // 20 at the start, one in 50 ms, and at the end as many of 20 as the machine has time for.
      #expect(first.clockExchanges.count > 30, "\(first.clockExchanges.count)")
      #expect(second.clockExchanges.isEmpty)
      for exchange in first.clockExchanges {
        #expect(exchange.sent <= exchange.peerReceived && exchange.peerSent <= exchange.received)
      }
      try checkJoined(try bed.report("r"))
      #expect(try kept(bed).isEmpty)

      // The agent serves the next host.
      let again = try self.host(
        bed, "again", "--guest", "tcp:10.77.0.1:5211", "--key-file", key, "--duration", "300ms")
      #expect(try again.wait(limit: 20).status == 0)
      #expect(try bed.load("again").machines.count == 2)

      // Who does not have the key is turned away, and nothing is made.
      let wrong = try self.host(
        bed, "wrong", "--guest", "tcp:10.77.0.1:5211", "--key-file", try self.key(bed, "other"), "--duration", "1s")
      let refused = try wrong.wait(limit: 20)
      #expect(refused.status == 1 && refused.errors.contains("another key"), "\(refused)")
      #expect(!FileManager.default.fileExists(atPath: bed.path("wrong")))
      agent.signal(SIGINT)
      #expect(try agent.wait(limit: 10).status == 0)
    }

    /// A guest that stalls or drips loses itself alone: the host's recording ends when it should, and is whole.
    @Test(arguments: [
      ("pong", "stall"), ("pong", "drip"), ("stopped", "stall"), ("stopped", "drip"), ("stopped", "flood"),
      ("file", "stall"), ("pong", "words"),
    ])
    func aGuestThatStalls(phase: String, way: String) throws {
      let bed = try Testbed()
      let script = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .appendingPathComponent("Fixtures/hostile_guest.py").path
      let guest = try bed.start(["python3", script, bed.path("socket"), phase, way, "300"])
      try guest.expect("listening")
      let host = try host(
        bed, "r", "--guest", "unix:\(bed.path("socket"))", "--duration", "1s", "--guest-grace", "2s")
      // Without an end of its own, the guest's 300 s.
      let output = try host.wait(limit: 120)
      #expect(output.status == 1 && output.errors.contains("the recording of guest-hostile is missing"), "\(output)")
      #expect(output.errors.split(separator: "\n").count < 12, "\(output.errors)")
      let machine = try bed.load("r").only().machine
      #expect(machine.stoppedBy == "duration" && machine.role == "host")
      let gate = try bed.latprobe("gate", bed.path("r"), "--require", "txh0-rxh1 p50 < 1s")
      #expect(gate.status == 3, "\(gate)")
      let report = try bed.latprobe("report", bed.path("r"), "--json")
      #expect(report.text.contains("the recording of guest-hostile is missing"), "\(report)")
    }

    @Test func twoGuestsOnALineAndASocket() throws {
      let bed = try Testbed()
      try makeState(bed)
      let script = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .appendingPathComponent("Fixtures/serial_bridge.py").path
      let bridge = try bed.start(["python3", script, bed.path("port"), bed.path("chardev")])
      try bridge.expect("ready")
      _ = try agent(bed, "serial:\(bed.path("port"))", watching: [bed.a])
      _ = try agent(bed, "unix:\(bed.path("agent"))", watching: [bed.b])
      try bed.startPingPongServer()
      let host = try host(
        bed, "r", "--guest", "serial:\(bed.path("chardev"))", "--guest", "unix:\(bed.path("agent"))")
      try host.expect("recording txh0")
      usleep(300_000)
      try bed.pingPong()
      try bed.finish(host)
      let loaded = try bed.load("r")
      #expect(loaded.machines.map(\.machine.role) == ["host", "guest", "guest"] && loaded.damage.isEmpty)
      #expect(Set(loaded.machines.map(\.machine.name)).count == 3)
      let peers = Dictionary(grouping: loaded.machines[0].clockExchanges, by: \.peer)
      #expect(peers[0]?.count ?? 0 > 30 && peers[1]?.count ?? 0 > 50, "\(peers.mapValues(\.count))")
      #expect(loaded.machines[1...].allSatisfy { !$0.stamps.isEmpty })
      #expect(try kept(bed).isEmpty)
    }

    @Test func aGuestThatDies() throws {
      let bed = try Testbed()
      try makeState(bed)
      let agent = try agent(bed, "unix:\(bed.path("agent"))", watching: [bed.a])
      let host = try host(bed, "r", "--guest", "unix:\(bed.path("agent"))", "--duration", "3s")
      try host.expect("recording txh0")
      agent.signal(SIGKILL)
      try host.expect("is lost, recording goes on without it")
      let output = try host.wait(limit: 20)
      #expect(output.status == 1 && output.errors.contains("Error: the recording of guest-"), "\(output)")
      let loaded = try bed.load("r")
      #expect(loaded.machines.count == 1 && loaded.machines[0].machine.stoppedBy == "duration")
      #expect(loaded.session.members.count == 2)
      let report = try bed.latprobe("report", bed.path("r"))
      #expect(report.text.contains("the recording of guest-") && report.text.contains("is missing"), "\(report)")
      let gate = try bed.latprobe("gate", bed.path("r"), "--require", "txh0-rxh1 p50 < 1s")
      #expect(gate.status == 3 && gate.text.contains("INVALID"), "\(gate)")
    }

    @Test func aHostThatDies() throws {
      let bed = try Testbed()
      try makeState(bed)
      let agent = try agent(bed, "unix:\(bed.path("agent"))", watching: [bed.a, bed.b], "--grace", "500ms")
      try bed.startPingPongServer()
      let host = try host(bed, "r", "--guest", "unix:\(bed.path("agent"))")
      try host.expect("recording txh0")
      try bed.pingPong()
      usleep(400_000)
      host.signal(SIGKILL)
      try agent.expect("the recording is kept in \(bed.path("state"))/latprobe-")
      // Copied by hand, both halves are one session.
      let folder = try #require(try kept(bed).first)
      let report = try bed.latprobe("report", bed.path("r"), bed.path("state/\(folder)"), "--json")
      #expect(report.status == 0, "\(report.errors)")
      let decoder = JSONDecoder()
      decoder.keyDecodingStrategy = .convertFromSnakeCase
      let decoded = try decoder.decode(Report.self, from: Data(report.text.utf8))
      #expect(try decoded.segment("txg0-rxg1").count > 900)
      // The agent is there for the next host.
      let again = try self.host(bed, "again", "--guest", "unix:\(bed.path("agent"))", "--duration", "300ms")
      #expect(try again.wait(limit: 20).status == 0)
    }

    @Test func aGuestThatHangsIsNotWaitedFor() throws {
      let bed = try Testbed()
      try makeState(bed)
      let agent = try agent(bed, "unix:\(bed.path("agent"))", watching: [bed.a], "--grace", "500ms")
      let host = try host(bed, "r", "--guest", "unix:\(bed.path("agent"))")
      try host.expect("recording txh0")
      usleep(300_000)
      agent.signal(SIGSTOP)
      defer { agent.signal(SIGCONT) }
      host.signal(SIGINT)
      usleep(500_000)
      host.signal(SIGINT)
      let output = try host.wait(limit: 5)
      #expect(output.status == 1 && output.errors.contains("not waited for any longer"), "\(output)")
      #expect(try bed.load("r").machines.map(\.machine.stoppedBy) == ["SIGINT"])
      agent.signal(SIGCONT)
      try agent.expect("the recording is kept in")
      #expect(try kept(bed).count == 1)
    }

    @Test func byHandWithOneID() throws {
      let bed = try Testbed()
      let id = UUID().uuidString.lowercased()
      try bed.startPingPongServer()
      let guest = try bed.record("guest", "--side", "guest", "--session", id, "--filter", "udp port 5001")
      let host = try bed.record("host", "--side", "host", "--session", id, "--filter", "udp port 5001")
      try bed.pingPong()
      try bed.finish(host)
      try bed.finish(guest)
      let report = try bed.latprobe("report", bed.path("host"), bed.path("guest"), "--json")
      #expect(report.status == 0, "\(report.errors)")
      let decoder = JSONDecoder()
      decoder.keyDecodingStrategy = .convertFromSnakeCase
      try checkJoined(try decoder.decode(Report.self, from: Data(report.text.utf8)))
      // Two ids are two sessions, and the error says how they become one.
      #expect(try bed.record("other", "--side", "host", "--duration", "200ms").wait(limit: 10).status == 0)
      let apart = try bed.latprobe("report", bed.path("guest"), bed.path("other"))
      #expect(apart.status == 1 && apart.errors.contains("--session"), "\(apart.errors)")
    }

    /// A guest that is lost before the start leaves the session that --force would have replaced.
    @Test func anOldSessionStaysUntilGuestsHaveStarted() throws {
      let bed = try Testbed()
      try makeState(bed)
      let first = try agent(bed, "unix:\(bed.path("a"))", watching: [bed.a])
      _ = try agent(bed, "unix:\(bed.path("b"))", watching: [bed.b])
      let old = try host(bed, "r", "--duration", "200ms")
      #expect(try old.wait(limit: 20).status == 0)
      let id = try bed.load("r").session.id
      let host = try host(bed, "r", "--force", "--guest", "unix:\(bed.path("a"))", "--guest", "unix:\(bed.path("b"))")
      // The second guest is loading its programs.
      try host.expect("is ready")
      first.signal(SIGKILL)
      let output = try host.wait(limit: 20)
      #expect(output.status == 1 && output.errors.contains("\(bed.path("a")): the connection is lost"), "\(output)")
      #expect(!output.errors.contains("recording txh0"))
      let kept = try bed.load("r")
      #expect(kept.session.id == id && kept.machines.count == 1 && kept.damage.isEmpty)
      let again = try self.host(
        bed, "r", "--force", "--guest", "unix:\(bed.path("b"))", "--duration", "200ms")
      #expect(try again.wait(limit: 20).status == 0)
      let new = try bed.load("r")
      #expect(new.session.id != id && new.machines.count == 2)
    }

    @Test func wrongChoices() throws {
      let bed = try Testbed()
      try makeState(bed)
      let missing = bed.path("nobody")
      let output = try bed.latprobe("agent", "tcp:127.0.0.1:5211")
      #expect(output.status == 64 && output.errors.contains("--key-file"), "\(output)")
      for (arguments, exit, words) in [
        (["--guest", "ssh:guest"], 64, ["ssh:guest", "vsock:CID"]),
        (["--guest", "vsock:"], 1, ["vsock:CID"]),
        (["--guest", "tcp:10.77.0.1"], 1, ["--key-file"]),
        (["--guest", "unix:\(missing)"], 1, [missing, "No such file"]),
        (["--guest", "unix:\(missing)", "--side", "guest"], 64, ["--guest"]),
        (["--key-file", missing], 64, ["--guest"]), (["--session", "to/day"], 64, ["--session", "to/day"]),
      ] as [([String], Int32, [String])] {
        let output = try host(bed, "r", ["--duration", "1s"] + arguments).wait(limit: 20)
        #expect(output.status == exit, "\(arguments): \(output)")
        for word in words { #expect(output.errors.contains(word), "\(arguments): \(output.errors)") }
        #expect(!FileManager.default.fileExists(atPath: bed.path("r")))
      }
    }
  }
}
