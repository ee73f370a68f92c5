// SPDX-License-Identifier: GPL-2.0-or-later
import Foundation
import Recording
import Testing
import VirtualLab

extension IntegrationSuites {
  /// `latprobe send` where nobody answers, or with what cannot be: said in one line, an error, and never a PASS.
  @Suite struct SilenceTests {
    private let bed: Testbed

    init() throws { bed = try Testbed() }

    private func send(_ name: String, _ arguments: String..., to host: String = "10.77.0.2") throws -> Output {
      try Command(
        [Testbed.latprobe, "send", host, "--netns", bed.a, "--timestamps", "kernel", "-o", bed.path(name)] + arguments,
        in: bed.folder
      ).wait(limit: 30)
    }

    private func filter(in namespace: String, _ hook: String, _ verdict: String) throws {
      let rules = """
        table inet t {
          chain c {
            type filter hook \(hook) priority 0;
            udp dport 862 \(verdict)
          }
        }

        """
      try rules.write(toFile: bed.path("t.nft"), atomically: true, encoding: .utf8)
      try bed.run("ip", "netns", "exec", namespace, "nft", "-f", bed.path("t.nft"))
    }

    private func odd(_ kind: String) throws {
      let script = Testbed.fixture("odd_reflector.py")
      let peer = try bed.start(in: bed.b, "/usr/bin/python3", script, kind, "10.77.0.2", "862")
      try peer.expect("ready")
    }

    private func gate(_ name: String, _ requirement: String) throws -> Output {
      try bed.latprobe("gate", bed.path(name), "--require", requirement)
    }

    /// Error lines; there must be one.
    private func error(_ output: Output) throws -> String {
      let lines = output.errors.split(separator: "\n").filter { $0.hasPrefix("Error") }
      try #require(lines.count == 1, "\(output.errors)")
      return String(lines[0])
    }

    @Test(arguments: [
      ("b", "input", "drop", "a firewall drops the packets or their answers"),
      ("b", "input", "reject", "nobody listens there: start 'latprobe reflect'"),
      ("b", "input", "reject with icmpx type admin-prohibited", "a firewall at 10.77.0.2 rejects them"),
      ("a", "output", "drop", "a firewall of this machine drops them"),
    ])
    func aFirewall(place: String, hook: String, verdict: String, words: String) throws {
      _ = try bed.reflect()
      try filter(in: place == "a" ? bed.a : bed.b, hook, verdict)
      let output = try send("f", "--rate", "50", "--count", "11")
      #expect(try output.status == 1 && error(output).contains(words), "\(output.errors)")
      guard place == "b" else {
        #expect(!FileManager.default.fileExists(atPath: bed.path("f")))
        return
      }
      let gate = try gate("f", "stamp/round-trip p50 < 1s")
      #expect(gate.status == 3 && gate.text.contains("no packet was answered") && gate.text.contains(words))
      #expect(gate.text.contains("see that 'latprobe reflect' runs there"), "\(gate.text)")
      #expect(try self.gate("f", "stamp/round-trip loss < 1%").status != 0)
      // Where nobody is to answer, the same is as it should be.
      let alone = try send("g", "--rate", "50", "--count", "11", "--no-answers")
      #expect(alone.status == 0, "\(alone.errors)")
    }

    @Test func wrongPortsAndServices() throws {
      let closed = try send("p", "--count", "5", to: "[fd77::2]:863")
      #expect(try closed.status == 1 && error(closed).contains("nobody listens there"), "\(closed.errors)")
      try odd("echo")
      for size in ["44", "18"] {
        let echo = try send("e" + size, "--count", "5", "--size", size)
        #expect(try echo.status == 1 && error(echo).contains("is no answer of a STAMP reflector"), "\(echo.errors)")
      }
    }

    /// One clock that says S = 1 and is 267 ms ahead: neither way is known.
    @Test func theOtherWayOfAWrongClock() throws {
      try odd("ahead")
      #expect(try send("s", "--rate", "500", "--count", "600", "--same-clock").status == 0)
      for requirement in ["one-way-forward p50 < 1s", "one-way-forward p50 < 1ms", "one-way-backward p50 < 1s"] {
        let gate = try gate("s", "stamp/" + requirement)
        #expect(gate.status == 3 && gate.text.contains("INVALID"), "\(requirement): \(gate.text)")
      }
      let gate = try gate("s", "stamp/round-trip p50 < 1s")
      #expect(gate.status == 0, "\(gate.text)")
    }

    @Test(arguments: [("zero", "leave the time 0"), ("backward", "left before their request came")])
    func anImpossibleResidence(kind: String, words: String) throws {
      try odd(kind)
      let output = try send("s", "--rate", "500", "--count", "97", "--same-clock")
      #expect(output.status == 0 && output.errors.contains("97 of 97 answered"), "\(output.errors)")
      #expect(output.errors.contains("warning: 97 answers do not tell") && output.errors.contains(words))
      #expect(output.errors.contains("no one-way delays: "), "\(output.errors)")
      let report = try bed.report("s")
      let residence = try report.segment("round-trip-less-residence", "stamp")
      #expect(residence.count == 0 && residence.unmatched == 97)
      #expect(try report.segment("round-trip", "stamp").count == 97)
      #expect(!report.segments.contains { $0.name.hasPrefix("one-way") })
      #expect(try gate("s", "stamp/round-trip p50 < 1s").status == 0)
      let gate = try gate("s", "stamp/round-trip-less-residence p50 < 1s")
      #expect(gate.status == 3 && gate.text.contains("go by stamp/round-trip"), "\(gate.text)")
    }

    /// A tunnel's packets pass two devices: one stamp each, and whose it is.
    @Test func throughATunnel() throws {
      for (namespace, own, other) in [(bed.a, 1, 2), (bed.b, 2, 1)] {
        try bed.run(
          "ip", "-n", namespace, "link", "add", "vx0", "type", "vxlan", "id", "7", "local", "10.77.0.\(own)", "remote",
          "10.77.0.\(other)", "dstport", "4789", "dev", "eth0")
        try bed.run("ip", "-n", namespace, "addr", "add", "10.77.9.\(own)/24", "dev", "vx0")
        try bed.run("ip", "-n", namespace, "link", "set", "vx0", "up")
      }
      _ = try bed.reflect()
      let kernel = try send("k", "--rate", "200", "--count", "97", to: "10.77.9.2")
      #expect(kernel.status == 0 && kernel.errors.contains("97 of 97 answered"), "\(kernel.errors)")
      #expect(kernel.errors.contains("vx0: 97 packets sent, time stamps 97 by kernel\n"))
      #expect(kernel.errors.contains("time stamps are of eth0, below vx0"), "\(kernel.errors)")
      #expect(try bed.load("k").only().wireStamps.count == 97)
      let user = try Command(
        [Testbed.latprobe, "send", "10.77.9.2", "--netns", bed.a, "--timestamps", "user", "--rate", "200"]
          + ["--count", "97", "-o", bed.path("u")], in: bed.folder
      ).wait(limit: 30)
      #expect(user.errors.contains("vx0: 97 packets sent, time stamps 97 by reader\n"), "\(user.errors)")
    }

    /// Another route takes the packets: what was measured is no good for a verdict.
    @Test func theWayChanges() throws {
      _ = try bed.reflect()
      let sender = try bed.start([
        Testbed.latprobe, "send", "10.77.0.2", "--netns", bed.a, "--timestamps", "kernel", "--rate", "100", "--count",
        "200", "-o", bed.path("w"),
      ])
      try sender.expect("sending to")
      usleep(500_000)
      try bed.run("ip", "-n", bed.a, "link", "add", "other", "type", "veth", "peer", "name", "end")
      try bed.run("ip", "-n", bed.a, "link", "set", "other", "up")
      try bed.run("ip", "-n", bed.a, "route", "add", "10.77.0.2/32", "dev", "other")
      usleep(600_000)
      try bed.run("ip", "-n", bed.a, "link", "del", "other")
      let output = try sender.wait(limit: 20)
      #expect(output.errors.contains("packets leave by other, after "), "\(output.errors)")
      let gate = try gate("w", "stamp/round-trip p50 < 1s")
      #expect(gate.status == 3, "\(gate.text)")
    }
  }
}
