// SPDX-License-Identifier: GPL-2.0-or-later
import Analysis
import CLatprobeABI
import Foundation
import Recording
import Testing
import VirtualLab

extension IntegrationSuites {
  /// `latprobe tap` at devices, and `latprobe pair` on what tcpdump captured there.
  @Suite struct WireTests {
    private let bed: Testbed

    init() throws { bed = try Testbed() }

    private func tap(_ name: String, _ arguments: String...) throws -> Command {
      let command = try bed.start(
        [Testbed.latprobe, "tap", "--netns", bed.bridge, "-o", bed.path(name)] + arguments)
      try command.expect("listening on")
      usleep(300_000)
      return command
    }

    private func load(_ name: String) throws -> MachineRecording {
      let session = try RecordedSession.load(paths: [bed.path(name)])
      #expect(session.damage == [])
      return try #require(session.machines.first)
    }

    /// The bridge is measured: packets enter at one port and leave at the other. Both programs see the kernel's stamps.
    @Test func stampsAreThoseOfTcpdump() throws {
      let dumps = try ["va", "vb"].map { try bed.dump(in: bed.bridge, $0, "udp port 5001") }
      let server = try bed.start(in: bed.b, "sockperf", "sr", "-i", "10.77.0.2", "-p", "5001")
      try server.expect("using recvfrom")
      let recording = try tap("t", "va", "vb", "--filter", "udp port 5001")
      try bed.run(
        "ip", "netns", "exec", bed.a, "sockperf", "pp", "-i", "10.77.0.2", "-p", "5001", "-t", "1", "--mps=997")
      usleep(1_500_000)
      recording.signal(SIGINT)
      let output = try recording.wait(limit: 20)
      #expect(output.status == 0, "\(output.errors)")
      #expect(output.errors.contains("by kernel, dropped 0"), "\(output.errors)")
      let captured = try dumps.map { try $0.finish().packets }

      let machine = try load("t")
      #expect(machine.machine.ledger.allSatisfy { $0.lost == 0 })
      #expect(machine.wireStamps.count > 1_500)
      #expect(machine.wireStamps.allSatisfy { $0.clock == .kernel })
      for (interface, packets) in captured.enumerated() {
        let stamps = machine.wireStamps.filter { Int($0.interface) == interface }
        #expect(stamps.count == packets.count)
        func sorted(_ times: [(UInt64, Int64)]) -> [[Int64]] {
          times.map { [Int64(bitPattern: $0.0), $0.1] }.sorted { $0.lexicographicallyPrecedes($1) }
        }
        // The same packets at the same nanosecond.
        #expect(sorted(stamps.map { ($0.stamp.key, $0.at) }) == sorted(packets.map { ($0.key, $0.time) }))
      }
      let result = try analyse(
        session: RecordedSession.load(paths: [bed.path("t")]).session, recordings: [machine])
      // Requests one way, answers the other.
      #expect(result.segments.map(\.direction) == ["va-vb", "vb-va"])
      let count = result.segments.reduce(0) { $0 + $1.count }
      #expect(count == machine.wireStamps.count / 2, "\(count), \(result.warnings)")
      for segment in result.segments {
        #expect(segment.lost + segment.unmatched + segment.ambiguous == 0)
        #expect(try #require(segment.summary).min > 0)
      }
    }

    @Test func nothingIsTakenForHardwareStamps() throws {
      let output = try bed.latprobe("tap", "--netns", bed.bridge, "va", "--require-hw", "-o", bed.path("h"))
      #expect(output.status == 1)
      #expect(
        output.errors.hasPrefix("Error: va: the device has no hardware time stamps")
          && output.errors.split(separator: "\n").count == 1, "\(output.errors)")
      #expect(!FileManager.default.fileExists(atPath: bed.path("h")))
      let recording = try tap("s", "va", "--duration", "300ms")
      let said = try recording.wait(limit: 20).errors
      #expect(!said.contains("warning"), "\(said)")
      #expect(try load("s").machine.interfaces?.first?.hardware.hasPrefix("the device has no") == true)
    }

    @Test func aDeviceThatIsNotThereOrGoes() throws {
      let output = try bed.latprobe("tap", "--netns", bed.bridge, "nope", "-o", bed.path("n"))
      #expect(output.status == 1 && output.errors.contains("no device 'nope' here"), "\(output.errors)")
      let vlan = try bed.latprobe("tap", "--netns", bed.bridge, "va", "--filter", "vlan 5", "-o", bed.path("n"))
      #expect(vlan.status == 1 && vlan.errors.contains("'vlan' would match in one direction only"), "\(vlan.errors)")
      let recording = try tap("g", "va")
      try bed.run("ip", "netns", "exec", bed.a, "ping", "-q", "-c", "5", "-i", "0.01", "10.77.0.2")
      usleep(500_000)
      try bed.run("ip", "-n", bed.bridge, "link", "del", "va")
      let end = try recording.wait(limit: 20)
      #expect(end.status == 1 && end.errors.contains("va is down or gone"), "\(end.errors)")
      #expect(try load("g").wireStamps.count >= 10)
    }

    /// 20 000 datagrams a second: each is stamped, or counted as dropped.
    @Test func everyPacketIsInTheLedger() throws {
      let server = try bed.start(in: bed.b, "sockperf", "sr", "-i", "10.77.0.2", "-p", "5001")
      try server.expect("using recvfrom")
      let recording = try tap("f", "va", "--filter", "udp dst port 5001")
      let before = try packets()
      try bed.run(
        "ip", "netns", "exec", bed.a, "sockperf", "tp", "-i", "10.77.0.2", "-p", "5001", "-t", "2", "--mps=20000", "-m",
        "14")
      usleep(500_000)
      let sent = try packets() - before
      recording.signal(SIGINT)
      #expect(try recording.wait(limit: 20).status == 0)
      let machine = try load("f")
      let row = try #require(machine.machine.ledger.first { $0.hook == "wire-in" })
      #expect(row.emitted == Count(machine.wireStamps.count) && row.seen == row.emitted + row.lost + row.filtered)
      // sockperf's own packets aside, nothing else is on the way.
      #expect(sent - 20...sent ~= row.seen.value, "\(row) of \(sent)")
    }

    private func packets() throws -> Int {
      let text = try bed.run("ip", "-n", bed.bridge, "-s", "-j", "link", "show", "va")
      let match = try #require(text.firstMatch(of: /"rx":\{"bytes":\d+,"packets":(\d+)/))
      return Int(match.1) ?? 0
    }

    /// Echoes are paired with the times that tcpdump captured, and a gate reads them like any segment.
    @Test func pairsBecomeSegments() throws {
      let dump = try bed.dump(in: bed.bridge, "va", "icmp")
      try bed.run("ip", "netns", "exec", bed.a, "ping", "-q", "-c", "50", "-i", "0.01", "10.77.0.2")
      usleep(1_500_000)
      let packets = try dump.finish().packets
      let delays = zip(packets, packets.dropFirst()).enumerated().filter { $0.offset % 2 == 0 }
        .map { $0.element.1.time - $0.element.0.time }.sorted()
      let output = try bed.latprobe("pair", "--proto", "icmp", dump.path, "-o", bed.path("p"))
      #expect(output.status == 0 && output.text.contains("icmp: 50 of 50 requests"), "\(output.text)\(output.errors)")
      let json = try bed.latprobe("pair", "--proto", "icmp", dump.path, "--json").text
      #expect(json.contains("\"name\": \"icmp\""))
      let recorded = try RecordedSession.load(paths: [bed.path("p")])
      let result = try analyse(session: recorded.session, recordings: recorded.machines)
      #expect(try #require(result.segments.first { $0.name == "icmp" }).delays.sorted() == delays)
      // Counts, since echoes of a busy machine may depend on one another too much to decide a quantile.
      let gate = try bed.latprobe("gate", bed.path("p"), "--require", "icmp count >= 50")
      #expect(gate.status == 0, "\(gate.text)")
      #expect(try bed.latprobe("gate", bed.path("p"), "--require", "icmp count >= 51").status == 2)
    }
  }
}
