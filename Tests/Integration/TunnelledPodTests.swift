// SPDX-License-Identifier: GPL-2.0-or-later
import Foundation
import Recording
import Testing
import VirtualLab

extension IntegrationSuites {
  /// Pods of two nodes, joined by a VXLAN tunnel as Flannel makes it: `a` and `b` are the nodes.
  @Suite(.serialized) struct TunnelledPodTests {
    /// Behind its node's bridge cni0; 10.244.NODE.2.
    private final class Pod {
      let namespace: String
      private let bed: Testbed

      init(_ bed: Testbed, node: String, number: Int, other: Int) throws {
        self.bed = bed
        namespace = "\(node)-pod"
        try bed.run("ip", "netns", "add", namespace)
        let commands = """
          link add cni0 type bridge
          addr add 10.244.\(number).1/24 dev cni0
          link set cni0 up
          link add vethpod type veth peer name eth0 netns \(namespace)
          link set vethpod master cni0 up
          link add flannel.1 type vxlan id 1 local 10.77.0.\(number) remote 10.77.0.\(other) dev eth0 dstport 8472
          addr add 10.244.\(number).0/32 dev flannel.1
          link set flannel.1 up
          route add 10.244.\(other).0/24 via 10.244.\(other).0 dev flannel.1 onlink
          """
        for line in commands.split(separator: "\n") { try ip(node, line) }
        for line in [
          "link set lo up", "addr add 10.244.\(number).2/24 dev eth0", "link set eth0 up",
          "route add default via 10.244.\(number).1",
        ] { try ip(namespace, Substring(line)) }
        try bed.run("ip", "netns", "exec", node, "sysctl", "-qw", "net.ipv4.ip_forward=1")
      }

      deinit { _ = try? bed.attempt("ip", "netns", "del", namespace) }

      private func ip(_ namespace: String, _ words: Substring) throws {
        let command = ["ip", "-n", namespace] + words.split(separator: " ").map(String.init)
        let output = try Command(command, in: bed.folder).wait(limit: 20)
        guard output.status == 0 else { throw TestbedError(description: "\(words): \(output.errors)") }
      }
    }

    private func server(_ bed: Testbed, in namespace: String) throws {
      let echo = try bed.start(
        in: namespace, "python3", "-c",
        "import socket; s = socket.socket(2, 2); s.bind(('', 5001)); print('ready', flush=True)\n"
          + "while 1:\n  d, a = s.recvfrom(99); s.sendto(d, a)")
      try echo.expect("ready")
    }

    private func datagrams(_ bed: Testbed, in namespace: String, to address: String, _ port: Int, count: Int) throws {
      try bed.run(
        "ip", "netns", "exec", namespace, "python3", "-c",
        """
        import socket
        s = socket.socket(2, 2); s.settimeout(5)
        for i in range(\(count)):
            s.sendto(b"%08d" % i, ("\(address)", \(port)))
            if \(port) == 5001: s.recv(99)
        """)
    }

    @Test func aPodsPacketsAreFollowedIntoTheTunnel() throws {
      let bed = try Testbed()
      let pods = try [
        Pod(bed, node: bed.a, number: 1, other: 2), Pod(bed, node: bed.b, number: 2, other: 1),
      ]
      try bed.run("ip", "netns", "exec", pods[0].namespace, "ping", "-c", "1", "-W", "5", "10.244.2.2")
      try server(bed, in: pods[1].namespace)
      let recording = try bed.start(
        in: bed.a, Testbed.latprobe, "record", "--topology", "container", "--netns", pods[0].namespace, "--dev", "eth0",
        "-o", bed.path("r"))
      try recording.expect("recording ")
      usleep(1_300_000)
      try datagrams(bed, in: pods[0].namespace, to: "10.244.2.2", 5001, count: 53)
      // The node's own packets, and what comes for it: a firewall throws these away.
      try bed.run(
        "ip", "netns", "exec", bed.a, "nft",
        "add table inet t; add chain inet t c { type filter hook input priority 0; }; add rule inet t c udp dport 5009 drop"
      )
      try datagrams(bed, in: bed.b, to: "10.77.0.1", 5009, count: 31)
      usleep(1_300_000)
      try bed.finish(recording)
      let report = try bed.report("r")
      for (name, direction) in [
        ("txh0-txh1", "tx"), ("txg0-txh1", "tx"), ("rxh0-rxh1", "rx"), ("rxh0-rxg1", "rx"),
      ] {
        let segment = try report.segment(name, direction)
        #expect(segment.count == 53 && segment.lost == 0 && segment.unmatched == 0, "\(segment)")
        #expect(segment.minNs ?? 0 > 0)
      }
      #expect(
        report.warnings.contains(
          "rx-other: 31 packets were thrown away behind rxh0, where this path ends (NETFILTER_DROP 31)"),
        "\(report.warnings)")
      let flows = try bed.load("r").only().flows.values
      #expect(flows.contains { $0.destination == [10, 244, 2, 2] && $0.destinationPort == 5001 }, "\(flows)")
      #expect(!flows.contains { $0.destinationPort == 8472 }, "\(flows)")
    }

    /// Geneve with an option of four bytes, made by hand.
    @Test func aTunnelsOptionsAreSkipped() throws {
      let bed = try Testbed()
      let pod = try Pod(bed, node: bed.a, number: 1, other: 2)
      let recording = try bed.start(
        in: bed.a, Testbed.latprobe, "record", "--topology", "container", "--netns", pod.namespace, "--dev", "eth0",
        "-o", bed.path("r"))
      try recording.expect("recording ")
      try bed.run(
        "ip", "netns", "exec", bed.a, "python3", "-c",
        """
        import socket, struct
        s = socket.socket(2, 2)
        for i in range(23):
            udp = struct.pack("!HHHH8x", 4000, 5005, 16, 0)
            ip = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 36, i, 0, 64, 17, 0, bytes([10, 244, 1, 9]), bytes([10, 244, 2, 9]))
            geneve = struct.pack("!BBHI", 1, 0, 0x6558, 7 << 8) + bytes(4)
            s.sendto(geneve + bytes(12) + b"\\x08\\x00" + ip + udp, ("10.77.0.2", 6081))
        """)
      usleep(300_000)
      try bed.finish(recording)
      let flows = try bed.load("r").only().flows.values
      let within = flows.filter { $0.source == [10, 244, 1, 9] && $0.destination == [10, 244, 2, 9] }
      #expect(within.map(\.destinationPort) == [5005], "\(flows)")
      #expect(!flows.contains { $0.destinationPort == 6081 })
    }

    /// A device above the one that is watched has packets there, too.
    @Test func whatStandsAboveADeviceIsSaid() throws {
      let bed = try Testbed()
      try bed.run("ip", "-n", bed.a, "link", "add", "link", "eth0", "name", "mv0", "type", "macvlan", "mode", "bridge")
      try bed.run("ip", "-n", bed.a, "link", "add", "link", "eth0", "name", "mv1", "type", "macvlan", "mode", "bridge")
      try bed.run("ip", "-n", bed.a, "link", "set", "mv1", "netns", bed.bridge)
      try bed.run("ip", "-n", bed.b, "link", "add", "inner", "type", "bridge")
      try bed.run("ip", "-n", bed.b, "link", "set", "eth0", "master", "inner")
      let recording = try bed.record("r", "--duration", "100ms")
      let errors = try recording.wait(limit: 30).errors
      #expect(
        errors.contains(
          "warning: eth0@\(bed.a) has mv0 (macvlan), mv1@\(bed.bridge) (macvlan) above it: packets of those pass"),
        "\(errors)")
      #expect(errors.contains("warning: eth0@\(bed.b) is a port of inner (bridge)"), "\(errors)")
      #expect(!errors.contains("va@") && !errors.contains("vb@"), "\(errors)")
    }
  }
}
