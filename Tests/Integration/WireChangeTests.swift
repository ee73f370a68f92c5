// SPDX-License-Identifier: GPL-2.0-or-later
import Foundation
import Recording
import Testing
import VirtualLab

extension IntegrationSuites {
  /// What `tap`, `pair` and `send` are at changes meanwhile: it is told, and no verdict is built on it.
  @Suite(.serialized) struct WireChangeTests {
    private let bed: Testbed

    init() throws { bed = try Testbed() }

    enum Event: String, Sendable, CaseIterable { case deleted, renamed, moved, down, back }

    private func happen(_ event: Event) throws {
      let links: [String] =
        switch event {
        case .deleted: ["del eth0"]
        case .renamed: ["set eth0 down", "set eth0 name lan0", "set lan0 up"]
        case .moved: ["set eth0 netns \(bed.bridge)"]
        case .down: ["set eth0 down"]
        case .back: ["set eth0 down", "set eth0 up"]
        }
      for line in links {
        let output = try bed.start(["ip", "-n", bed.a, "link"] + line.split(separator: " ").map(String.init)).wait()
        try #require(output.status == 0, "\(line): \(output.errors)")
      }
    }

    /// Of the device itself; one that is renamed or moved is closed first.
    private func changes(_ name: String) throws -> [Change.Kind] {
      (try bed.load(name).only().machine.changes ?? []).filter { $0.device == "eth0" }.map(\.what)
    }

    private func expect(_ event: Event, among told: [Change.Kind]) {
      let kind: Change.Kind =
        switch event {
        case .deleted: .deleted
        case .renamed: .renamed
        case .moved: .moved
        case .down, .back: .down
        }
      // The name of a device that is closed first is of no interest any more.
      #expect(told.contains(kind) || (event == .renamed && told.contains(.down)), "\(event): \(told)")
    }

    private func inside(_ arguments: String...) -> [String] {
      ["ip", "netns", "exec", bed.a, Testbed.latprobe] + arguments
    }

    private func ping() throws {
      try bed.run("ip", "netns", "exec", bed.a, "ping", "-c", "7", "-i", "0.02", "10.77.0.2")
    }

    @Test(arguments: Event.allCases) func aTapsDevice(_ event: Event) throws {
      let tap = try bed.start(inside("tap", "eth0", "-o", bed.path("r")))
      try tap.expect("listening on")
      try ping()
      try happen(event)
      let output = try tap.wait()
      #expect(output.status == 1 && output.errors.contains("what came before is kept"), "\(output)")
      expect(event, among: try changes("r"))
      let gate = try bed.latprobe("gate", bed.path("r"), "--require", "wire-in count > 0")
      #expect(gate.status != 0, "\(gate)")
      let report = try bed.latprobe("report", bed.path("r"), "--json")
      #expect(report.text.contains("eth0@this namespace"), "\(report)")
    }

    @Test(arguments: Event.allCases) func aPairersDevice(_ event: Event) throws {
      let pairing = try bed.start(inside("pair", "--proto", "icmp", "eth0", "-o", bed.path("r")))
      try pairing.expect("pairing on")
      try ping()
      usleep(300_000)
      try happen(event)
      let output = try pairing.wait()
      #expect(output.status == 1 && output.errors.contains("what came before is kept"), "\(output)")
      expect(event, among: try changes("r"))
      let report = try bed.report("r")
      #expect(try report.segment("icmp", "icmp").count == 7)
      let gate = try bed.latprobe("gate", bed.path("r"), "--require", "icmp/icmp p50 < 1s")
      #expect(gate.status == 3, "\(gate)")
    }

    /// A sender that has been at work for half a second, with 1.5 s before it.
    private func sending(to peer: String = "10.77.0.2") throws -> Command {
      _ = try bed.reflect()
      let sender = try bed.start([
        Testbed.latprobe, "send", peer, "--netns", bed.a, "--timestamps", "kernel", "--rate", "100", "--count",
        "200", "-o", bed.path("r"),
      ])
      try sender.expect("sending to")
      usleep(500_000)
      return sender
    }

    @Test(arguments: Event.allCases) func aSendersDevice(_ event: Event) throws {
      let sender = try sending()
      try happen(event)
      let output = try sender.wait()
      #expect(output.errors.contains("eth0@\(bed.a) "), "\(output.errors)")
      // A device that comes back takes its routes with it, but not those of others.
      if event == .deleted || event == .moved { #expect(output.status == 1, "\(output)") }
      expect(event, among: try changes("r"))
      let gate = try bed.latprobe("gate", bed.path("r"), "--require", "stamp/round-trip p50 < 1s")
      #expect(gate.status == 3, "\(gate)")
    }

    /// The other end of the cable.
    @Test func aSendersCarrier() throws {
      let sender = try sending()
      try bed.run("ip", "-n", bed.bridge, "link", "set", "va", "down")
      usleep(300_000)
      try bed.run("ip", "-n", bed.bridge, "link", "set", "va", "up")
      let output = try sender.wait()
      #expect(output.errors.contains("eth0@\(bed.a) lost its carrier"), "\(output.errors)")
      #expect(try changes("r") == [.noCarrier, .carrier])
      let gate = try bed.latprobe("gate", bed.path("r"), "--require", "stamp/round-trip p50 < 1s")
      #expect(gate.status == 3, "\(gate)")
    }

    /// IPv4's and IPv6's; routes that need it go with it.
    @Test(arguments: ["10.77.0.1/24 10.77.0.2", "fd77::1/64 [fd77::2]"]) func aSendersAddress(_ pair: String) throws {
      let (own, peer) = (String(pair.split(separator: " ")[0]), String(pair.split(separator: " ")[1]))
      let sender = try sending(to: peer)
      try bed.run("ip", "-n", bed.a, "addr", "del", own, "dev", "eth0")
      let output = try sender.wait()
      #expect(output.status == 1 && output.errors.contains("lost the address that packets are sent from"), "\(output)")
      #expect(try changes("r") == [.addressRemoved])
      let gate = try bed.latprobe("gate", bed.path("r"), "--require", "stamp/round-trip p50 < 1s")
      #expect(gate.status == 3 && gate.text.contains("lost the address"), "\(gate)")
    }

    /// More news than the socket holds come while the sender does not run, and its address goes last: it looks by itself.
    @Test func newsOfAnAddressThatWereLost() throws {
      let sender = try sending()
      sender.signal(SIGSTOP)
      let lines = (0..<4000).map { "addr add 10.99.\($0 / 100).\($0 % 100)/32 dev lo\n" }.joined()
      try lines.write(toFile: bed.path("batch"), atomically: true, encoding: .utf8)
      try bed.run("ip", "-n", bed.a, "-batch", bed.path("batch"))
      try bed.run("ip", "-n", bed.a, "addr", "del", "10.77.0.1/24", "dev", "eth0")
      sender.signal(SIGCONT)
      let output = try sender.wait()
      #expect(output.status == 1 && output.errors.contains("lost the address that packets are sent from"), "\(output)")
      #expect(try changes("r") == [.addressRemoved])
    }

    /// A program in it keeps a namespace alive: nothing ends, and that its name is gone is told.
    @Test(arguments: ["tap", "pair", "send"]) func aNamespaceLosesItsName(_ command: String) throws {
      let bed = bed
      let words = [
        "tap": ["tap", "eth0", "--netns", bed.a], "pair": ["pair", "--proto", "icmp", "eth0", "--netns", bed.a],
        "send": ["send", "10.77.0.2", "--netns", bed.a, "--no-answers", "--timestamps", "kernel"],
      ]
      let running = try bed.start([Testbed.latprobe] + (words[command] ?? []) + ["-o", bed.path("r")])
      try running.expect("Ctrl-C stops")
      usleep(300_000)
      try bed.run("ip", "netns", "del", bed.a)
      try running.expect("namespace \(bed.a) has lost its name or process")
      try bed.finish(running)
      let changes = try bed.load("r").only().machine.changes ?? []
      #expect(changes.map(\.what) == [.unnamed] && changes.first?.namespace == bed.a, "\(changes)")
    }
  }
}
