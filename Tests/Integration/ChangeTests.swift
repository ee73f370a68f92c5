// SPDX-License-Identifier: GPL-2.0-or-later
import Foundation
import Recording
import Testing
import VirtualLab

extension IntegrationSuites {
  /// What is recorded changes under the recorder.
  @Suite(.serialized) struct ChangeTests {
    private func gate(_ bed: Testbed, _ requirement: String) throws -> Output {
      try bed.latprobe("gate", bed.path("r"), "--require", requirement)
    }

    private func changes(_ bed: Testbed) throws -> [Change] { try bed.load("r").only().machine.changes ?? [] }

    /// All datagrams arrive, by a device in another namespace; nothing of that is asked for, and nothing is lost.
    @Test func aMovedDeviceLosesNothing() throws {
      let bed = try Testbed()
      let recording = try bed.record("r", "--filter", "udp dst port 5001")
      let echo = try bed.serve("receive", count: 43)
      try bed.send("counted", count: 43)
      #expect(try echo.wait(limit: 10).text.contains("received 43"))
      try bed.run("ip", "netns", "exec", bed.b, "ip", "link", "set", "eth0", "netns", bed.bridge)
      try bed.run("ip", "-n", bed.bridge, "addr", "add", "10.77.0.2/24", "dev", "eth0")
      try bed.run("ip", "-n", bed.bridge, "link", "set", "eth0", "up")
      let other = try bed.start(
        in: bed.bridge, "python3", "-c",
        "import socket; s = socket.socket(2, 2); s.bind(('10.77.0.2', 5001)); print('ready', flush=True)\n"
          + "for i in range(47): s.recv(99)\nprint('received', i + 1)")
      try other.expect("ready")
      try bed.send("counted", count: 47)
      #expect(try other.wait(limit: 10).text.contains("received 47"))
      usleep(1_200_000)
      recording.signal(SIGINT)
      #expect(try recording.wait(limit: 30).errors.contains("was moved to another namespace"))
      let report = try bed.report("r")
      for segment in report.segments { #expect(segment.lost == 0, "\(segment)") }
      #expect(try report.segment("rxg0-rxg1").count == 43)
      #expect(report.warnings.contains { $0.contains("was moved") && $0.contains("rxg0") }, "\(report.warnings)")
      let moved = try #require(try changes(bed).first { $0.what == .moved })
      #expect(moved.device == "eth0" && moved.hooks.contains("rxg1"))
      let verdict = try gate(bed, "txg1-rxg0 loss < 1%")
      #expect(verdict.status == 3 && verdict.text.contains("did not record all the while"), "\(verdict)")
      #expect(try gate(bed, "txh0-rxh1 p50 < 1s").status == 0)
    }

    /// A device of another name with the number of one that is gone was not asked for; one of its name is.
    @Test func aDeviceIsKnownByMoreThanItsNumber() throws {
      let bed = try Testbed()
      let index = try bed.run("ip", "netns", "exec", bed.a, "cat", "/sys/class/net/eth0/ifindex")
        .trimmingCharacters(in: .whitespacesAndNewlines)
      let recording = try bed.record("r", "--filter", "udp dst port 5001")
      try bed.run("ip", "-n", bed.a, "link", "del", "eth0")
      func link(_ name: String, _ number: String) throws {
        try bed.run(
          "ip", "-n", bed.a, "link", "add", name, "index", number, "type", "veth", "peer", "name", "p-\(name)", "netns",
          bed.bridge)
        try bed.run("ip", "-n", bed.a, "link", "set", name, "up")
        try bed.run("ip", "-n", bed.bridge, "link", "set", "p-\(name)", "up")
        try bed.run("ip", "-n", bed.a, "addr", "replace", "172.30.0.1/24", "dev", name)
        try bed.run("ip", "-n", bed.a, "neigh", "replace", "172.30.0.2", "lladdr", "02:00:00:00:00:07", "dev", name)
      }
      try link("other", index)
      try bed.send("counted", to: "172.30.0.2", count: 31)
      try bed.run("ip", "-n", bed.a, "link", "del", "other")
      try link("eth0", "\((Int(index) ?? 0) + 40)")
      usleep(300_000)
      try bed.send("counted", to: "172.30.0.2", count: 37)
      try bed.finish(recording)
      let machine = try bed.load("r").only()
      #expect(machine.stamps.filter { $0.hook == .txg2 }.count == 37)
      let told = (machine.machine.changes ?? []).filter { $0.device == "eth0" && $0.namespace == bed.a }
      #expect(told.map(\.what).filter { $0 != .down && $0 != .up } == [.deleted, .back], "\(told)")
      #expect(machine.machine.hooks.first { $0.name == "txg2" }?.devices?.count == 3)
    }

    @Test func aNamespaceThatIsDeletedIsTold() throws {
      let bed = try Testbed()
      let recording = try bed.record("r", "--filter", "udp dst port 5001")
      let receiver = try bed.serve("receive", count: 11)
      try bed.send("counted", count: 11)
      // What runs in it would keep it alive.
      #expect(try receiver.wait(limit: 10).text.contains("received 11"))
      try bed.run("ip", "netns", "del", bed.b)
      try recording.expect("was deleted")
      try bed.finish(recording)
      let whats = try changes(bed).filter { $0.device == "eth0" && $0.namespace == bed.b }.map(\.what)
      #expect(whats.contains(.namespaceDeleted) || whats.contains(.deleted), "\(whats)")
      let verdict = try gate(bed, "txg1-rxg0 p50 < 1s")
      #expect(verdict.status == 3 && verdict.text.contains("did not record all the while"), "\(verdict)")
    }

    @Test func aDeviceThatWasDownForAWhileIsToldAndCutOff() throws {
      let bed = try Testbed()
      let recording = try bed.record("r", "--filter", "udp dst port 5001")
      try bed.run("ip", "-n", bed.b, "link", "set", "eth0", "down")
      usleep(100_000)
      try bed.send("counted", count: 13)
      try bed.run("ip", "-n", bed.b, "link", "set", "eth0", "up")
      try recording.expect("is up again")
      usleep(1_200_000)
      try bed.finish(recording)
      #expect(try changes(bed).filter { $0.device == "eth0" }.map(\.what) == [.down, .up])
      for segment in try bed.report("r").segments { #expect(segment.lost == 0, "\(segment)") }
    }

    @Test func aTagMoreOrLessHidesNoPacket() throws {
      let bed = try Testbed()
      for device in ["va", "vb"] {
        try bed.run("ip", "netns", "exec", bed.bridge, "ethtool", "-K", device, "rxvlan", "off", "txvlan", "off")
      }
      for namespace in [bed.a, bed.b] {
        try bed.run("ip", "netns", "exec", namespace, "ethtool", "-K", "eth0", "rxvlan", "off", "txvlan", "off")
      }
      let recording = try bed.record("r", "--filter", "udp dst port 5001")
      let tags = [
        "", "8100002a", "8100000a81000014", "88a8000a", "9100000188a8000281000003",
        String(repeating: "81000007", count: 8),
      ]
      for tag in tags {
        try bed.run(
          "ip", "netns", "exec", bed.a, "python3", "-c",
          """
          import socket, struct, sys
          s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW); s.bind(("eth0", 0))
          udp = struct.pack("!HHHH", 4000, 5001, 24, 0) + sys.argv[1].encode()[:16].ljust(16, b".")
          ip = bytearray(struct.pack("!BBHHHBBH4s4s", 0x45, 0, 44, 7, 0, 64, 17, 0, socket.inet_aton("10.77.0.1"),
            socket.inet_aton("10.77.0.2")))
          t = sum(struct.unpack("!10H", ip)); t = (t & 65535) + (t >> 16)
          ip[10:12] = struct.pack("!H", ~(t + (t >> 16)) & 65535)
          s.send(b"\\xff" * 6 + b"\\2\\0\\0\\0\\0\\7" + bytes.fromhex(sys.argv[1]) + b"\\x08\\0" + ip + udp)
          """, tag)
      }
      try bed.finish(recording)
      let stamps = try bed.load("r").only().stamps
      for hook in [HookPoint.txg2, .txh0, .rxh1, .rxg0] {
        #expect(stamps.filter { $0.hook == hook }.count == tags.count, "\(hook)")
      }
    }
  }
}
