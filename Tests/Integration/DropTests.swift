// SPDX-License-Identifier: GPL-2.0-or-later
import Foundation
import Recording
import Testing
import VirtualLab

extension IntegrationSuites {
  /// What the kernel throws away is told with its reason, whatever else takes packets is not called lost.
  @Suite(.serialized) struct DropTests {
    private struct Dropped: Decodable {
      struct Segment: Decodable {
        var name: String
        var direction: String
        var lost: Int
        var unmatched: Int
        var dropped: [String: Int]
        var discarded: [String: Int]
        var notAsked: Int
      }
      var segments: [Segment]

      func segment(_ name: String) throws -> Segment {
        try #require(segments.first { $0.name == name && $0.direction == "east-west" })
      }
    }

    private func report(_ bed: Testbed) throws -> Dropped {
      try JSONDecoder.report.decode(
        Dropped.self, from: Data(try bed.latprobe("report", bed.path("r"), "--json").text.utf8))
    }

    private func datagrams(_ bed: Testbed, to port: Int, count: Int) throws {
      try bed.run(
        "ip", "netns", "exec", bed.a, "python3", "-c",
        "import socket, time; s = socket.socket(2, 2)\nfor i in range(\(count)): "
          + "s.sendto(b'%08d' % i, ('10.77.0.2', \(port))); time.sleep(.002)")
    }

    @Test func aReasonIsTold() throws {
      let bed = try Testbed()
      try bed.run(
        "ip", "netns", "exec", bed.b, "nft",
        "add table inet t; add chain inet t c { type filter hook input priority 0; }; add rule inet t c udp dport 5003 drop"
      )
      let recording = try bed.record("r", "--filter", "udp portrange 5001-5009")
      let receiver = try bed.serve("receive", count: 23)
      try bed.send("counted", count: 23)
      #expect(try receiver.wait(limit: 10).text.contains("received 23"))
      try datagrams(bed, to: 5003, count: 29)
      try datagrams(bed, to: 5004, count: 31)
      usleep(1_200_000)
      try bed.finish(recording)
      let read = try report(bed).segment("rxg0-rxg1")
      #expect(read.lost == 60 && read.unmatched == 0 && read.notAsked == 0, "\(read)")
      #expect(read.dropped == ["NETFILTER_DROP": 29, "NO_SOCKET": 31], "\(read)")
      let table = try bed.latprobe("report", bed.path("r"))
      #expect(table.text.contains("lost 60 (dropped by NO_SOCKET 31, NETFILTER_DROP 29)"), "\(table.text)")
      let machine = try bed.load("r").only().machine
      #expect(machine.dropsLost == 0 && machine.drops?.contains { $0.name == "NO_SOCKET" } == true)
    }

    /// A tunnel's own packets, and bytes that are spliced, are read by the kernel.
    @Test func whatTheKernelReadsIsNotLost() throws {
      let bed = try Testbed()
      for (namespace, own, other) in [(bed.a, 1, 2), (bed.b, 2, 1)] {
        try bed.run(
          "ip", "-n", namespace, "link", "add", "vx0", "type", "vxlan", "id", "7", "local", "10.77.0.\(own)", "remote",
          "10.77.0.\(other)", "dstport", "4789", "dev", "eth0")
        try bed.run("ip", "-n", namespace, "addr", "add", "10.77.9.\(own)/24", "dev", "vx0")
        try bed.run("ip", "-n", namespace, "link", "set", "vx0", "up")
      }
      try bed.run("ip", "netns", "exec", bed.a, "ping", "-c", "1", "-W", "5", "10.77.9.2")
      let splice = try bed.start(
        in: bed.b, "python3", "-c",
        """
        import socket, os
        l = socket.create_server(("10.77.0.2", 6001)); print("ready", flush=True)
        c, _ = l.accept(); r, w = os.pipe(); z = os.open("/dev/null", 1); n = 0
        while k := os.splice(c.fileno(), w, 65536): n += k; os.splice(r, z, k)
        print("read", n)
        """)
      try splice.expect("ready")
      let recording = try bed.record("r")
      try bed.run("ip", "netns", "exec", bed.a, "ping", "-q", "-c", "37", "-i", "0.01", "10.77.9.2")
      try bed.run(
        "ip", "netns", "exec", bed.a, "python3", "-c",
        """
        import socket, time
        s = socket.create_connection(("10.77.0.2", 6001)); s.setsockopt(6, 1, 1)
        for i in range(41): s.send(b"x" * 1000); time.sleep(.002)
        """)
      #expect(try splice.wait(limit: 10).text.contains("read 41000"))
      usleep(1_200_000)
      try bed.finish(recording)
      let read = try report(bed).segment("rxg0-rxg1")
      #expect(read.lost == 0 && read.notAsked >= 2 * 37 + 41, "\(read)")
    }

    /// A mirrored copy is not for the one who throws it away; what is said over the loopback device passes nothing watched.
    @Test func copiesAndLoopbackAreNotLost() throws {
      let bed = try Testbed()
      let c = bed.a + "-c"
      try bed.run("ip", "netns", "add", c)
      defer { _ = try? bed.attempt("ip", "netns", "del", c) }
      try bed.run("ip", "-n", c, "link", "add", "eth0", "type", "veth", "peer", "name", "vc", "netns", bed.bridge)
      try bed.run("ip", "-n", bed.bridge, "link", "set", "vc", "up")
      try bed.run("ip", "-n", c, "link", "set", "eth0", "up")
      for rule in [
        ["qdisc", "add", "dev", "va", "clsact"],
        [
          "filter", "add", "dev", "va", "ingress", "protocol", "ip", "u32", "match", "ip", "protocol", "17", "0xff",
          "action", "mirred", "egress", "mirror", "dev", "vc",
        ],
      ] {
        let output = try Command(["ip", "netns", "exec", bed.bridge, "tc"] + rule, in: bed.folder).wait(limit: 20)
        #expect(output.status == 0, "\(output.errors)")
      }
      let recording = try bed.start([
        Testbed.latprobe, "record", "--topology", "veth", "--netns", bed.a, "--netns", c, "--filter",
        "udp portrange 5001-5002", "-o", bed.path("r"),
      ])
      try recording.expect("recording ")
      let receiver = try bed.serve("receive", count: 23)
      try bed.send("counted", count: 23)
      #expect(try receiver.wait(limit: 10).text.contains("received 23"))
      try bed.run(
        "ip", "netns", "exec", bed.a, "python3", "-c",
        "import socket; s = socket.socket(2, 2); s.bind(('127.0.0.1', 5002))\n"
          + "for i in range(29): s.sendto(b'%08d' % i, ('127.0.0.1', 5002)); s.recv(99)")
      usleep(1_200_000)
      try bed.finish(recording)
      let read = try report(bed).segment("rxg0-rxg1")
      #expect(read.lost == 0 && read.unmatched == 23 && read.discarded == ["OTHERHOST": 23], "\(read)")
      let table = try bed.latprobe("report", bed.path("r"))
      #expect(table.text.contains("unmatched 23 (copies for others: OTHERHOST)"), "\(table.text)")
      #expect(table.text.contains("seen at no device that is") && !table.text.contains("└ lost"), "\(table.text)")
    }
  }
}
