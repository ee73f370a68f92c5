// SPDX-License-Identifier: GPL-2.0-or-later
import Foundation
import Glibc
import Recording
import Testing
import VirtualLab

extension IntegrationSuites {
  @Suite struct TapLoadTests {
    private let bed: Testbed

    /// `f0` in `a` and `f1` in `b` are a veth pair, on which nothing but the flood passes.
    init() throws {
      bed = try Testbed()
      try bed.run("ip", "-n", bed.a, "link", "add", "f0", "type", "veth", "peer", "name", "f1", "netns", bed.b)
      for (namespace, device) in [(bed.a, "f0"), (bed.b, "f1")] {
        try bed.run("ip", "netns", "exec", namespace, "sysctl", "-qw", "net.ipv6.conf.\(device).disable_ipv6=1")
        try bed.run("ip", "-n", namespace, "link", "set", device, "up")
      }
      try bed.run("ip", "-n", bed.a, "addr", "add", "198.18.0.1/24", "dev", "f0")
      // Nobody has this address: the other end drops each frame as meant for another host.
      try bed.run(
        "ip", "-n", bed.a, "neigh", "add", "198.18.0.2", "lladdr", "02:00:00:00:00:99", "dev", "f0", "nud", "permanent")
    }

    /// 200 000 frames of 64 bytes a second for 10 s, or as many as this machine can send: whatever the tap has no room
    /// for is in the ledger, and the device counts no other packets.
    @Test func everyPacketOfAFloodIsInTheLedger() throws {
      let tap = try bed.start([Testbed.latprobe, "tap", "--netns", bed.b, "wire-in=f1", "-o", bed.path("f")])
      try tap.expect("listening on")
      usleep(300_000)
      let before = try received()
      let sender = try bed.run(
        "ip", "netns", "exec", bed.a, "python3", Testbed.fixture("flood.py"), "198.18.0.2", "5001", "200000", "10")
      usleep(500_000)
      let passed = try received() - before
      tap.signal(SIGINT)
      let output = try tap.wait(limit: 60)
      #expect(output.status == 0, "\(output.errors)")
      let folders = try FileManager.default.contentsOfDirectory(atPath: bed.path("f")).filter { $0.hasPrefix("wire") }
      let file = try #require(folders.first.map { bed.path("f/\($0)/machine.json") })
      let machine = try JSONDecoder().decode(Machine.self, from: Data(contentsOf: URL(fileURLWithPath: file)))
      let row = try #require(machine.ledger.only)
      print("flood: \(sender.trimmingCharacters(in: .newlines)) packets a second, lost \(row.lost) of \(row.seen)")
      #expect(passed > 100_000 && row.seen == Count(passed) && row.filtered == 0)
      #expect(row.seen == row.emitted + row.filtered + row.lost)
      #expect(
        row.lost == machine.interfaces?.first?.ringDrops && row.emitted == machine.interfaces?.first?.clocks["kernel"])
    }

    /// A tap that had no time for its ring before the device went down: what is in the ring is recorded.
    @Test func whatCameBeforeTheDeviceWentDownIsKept() throws {
      let tap = try bed.start([Testbed.latprobe, "tap", "--netns", bed.b, "wire-in=f1", "-o", bed.path("d")])
      try tap.expect("listening on")
      usleep(300_000)
      let before = try received()
      tap.signal(SIGSTOP)
      try bed.run(
        "ip", "netns", "exec", bed.a, "python3", Testbed.fixture("flood.py"), "198.18.0.2", "5001", "10000", "0.5")
      usleep(100_000)
      let passed = try received() - before
      try bed.run("ip", "-n", bed.b, "link", "set", "f1", "down")
      tap.signal(SIGCONT)
      let output = try tap.wait(limit: 60)
      #expect(output.status == 1 && output.errors.contains("f1 is down or gone"), "\(output.errors)")
      let recording = try bed.load("d").only()
      let row = try #require(recording.machine.ledger.only)
      #expect(passed >= 4000 && row.seen == Count(passed) && row.lost == 0 && row.seen == row.emitted + row.filtered)
      #expect(Count(recording.wireStamps.count) == row.emitted && recording.machine.stoppedBy == "error")
    }

    /// Files may have 100 KiB: every packet is recorded, or counted as unwritten.
    @Test func whatIsNotWrittenIsCounted() throws {
      let tap = try bed.start([
        "bash", "-c", "ulimit -f 100; exec \(Testbed.latprobe) tap --netns \(bed.b) wire-in=f1 -o \(bed.path("u"))",
      ])
      try tap.expect("listening on")
      usleep(300_000)
      let before = try received()
      tap.signal(SIGSTOP)
      try bed.run(
        "ip", "netns", "exec", bed.a, "python3", Testbed.fixture("flood.py"), "198.18.0.2", "5001", "20000", "1")
      usleep(100_000)
      let passed = try received() - before
      tap.signal(SIGCONT)
      let output = try tap.wait(limit: 60)
      #expect(output.status == 1, "\(output.errors)")
      let recording = try bed.load("u").only()
      let (row, unwritten) = (try #require(recording.machine.ledger.only), recording.machine.unwritten)
      #expect(passed > 6000 && row.seen == Count(passed) && row.lost == 0 && recording.machine.stoppedBy == "disk full")
      // Clock samples may be unwritten too.
      #expect(unwritten > 0 && row.emitted...row.emitted + 50 ~= Count(recording.wireStamps.count) + unwritten)
    }

    /// Packets that `f1` says it has received.
    private func received() throws -> UInt64 {
      let text = try bed.run("ip", "-n", bed.b, "-s", "-j", "link", "show", "f1")
      let match = try #require(text.firstMatch(of: /"rx":\{"bytes":\d+,"packets":(\d+)/))
      return try #require(UInt64(match.1))
    }
  }
}

extension Array {
  fileprivate var only: Element? { count == 1 ? first : nil }
}
