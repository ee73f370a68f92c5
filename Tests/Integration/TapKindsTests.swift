// SPDX-License-Identifier: GPL-2.0-or-later
import Foundation
import Recording
import Testing
import VirtualLab

extension IntegrationSuites {
  /// What devices and their packets may be under `tap` and `pair`, and what a person types wrongly.
  @Suite(.serialized) struct TapKindsTests {
    /// Each send is nine datagrams in one packet (UDP_SEGMENT), each of them is answered.
    private static let segments = """
      import socket
      s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
      s.setsockopt(17, 103, 1000)
      s.connect(("10.77.0.2", 7))
      s.settimeout(5)
      n = 0
      for i in range(23):
          s.send(b"".join(b"%04d%04d" % (i, k) + b"." * 992 for k in range(9)))
          for k in range(9): n += len(s.recv(2000)) == 1000
      print("answers", n)
      """
    private static let echo = """
      import socket
      s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
      s.bind(("", 7))
      print("ready", flush=True)
      while True:
          d, a = s.recvfrom(2000)
          s.sendto(d, a)
      """

    @Test func datagramsOfASuperPacketAreToldApart() throws {
      let bed = try Testbed()
      try bed.start(in: bed.b, "python3", "-c", Self.echo).expect("ready")
      let dump = try bed.dump(in: bed.a, "eth0", "udp port 7")
      let live = try bed.start([
        Testbed.latprobe, "pair", "--netns", bed.a, "--proto", "udp-echo", "eth0", "-o", bed.path("p"),
      ])
      try live.expect("pairing on")
      let tap = try bed.start([Testbed.latprobe, "tap", "--netns", bed.a, "eth0", "-o", bed.path("t")])
      try tap.expect("listening on")
      #expect(try bed.run("ip", "netns", "exec", bed.a, "python3", "-c", Self.segments).contains("answers 207"))
      usleep(1_500_000)
      for command in [live, tap] {
        command.signal(SIGINT)
        #expect(try command.wait(limit: 20).status == 0)
      }
      let recording = try bed.load("p").only()
      #expect(recording.tally("paired") == 207 && recording.tally("requests") == 207)
      // One stamp, which says that it is several.
      #expect(try bed.load("t").only().wireStamps.count { $0.stamp.isSuperPacket } == 23)
      // A file does not tell: that is said, and nothing is lost.
      try dump.end()
      let file = try bed.latprobe("pair", "--proto", "udp-echo", dump.path)
      #expect(file.status == 0 && file.text.contains("perhaps several 23"), "\(file.text)")
      let words = file.text.split(whereSeparator: \.isWhitespace).joined(separator: " ")
      #expect(words.contains("not told apart here") && !file.text.contains("unanswered"), "\(file.text)")
    }

    /// Both sides of an address translation, stamped by one tap.
    @Test func aTapFollowsPacketsThroughNAT() throws {
      let bed = try Testbed(routed: true)
      let rules = "table ip nat { chain p { type nat hook postrouting priority srcnat; oifname \"vb\" masquerade; }; }"
      try rules.write(toFile: bed.path("nat.nft"), atomically: true, encoding: .utf8)
      try bed.run("ip", "netns", "exec", bed.bridge, "nft", "-f", bed.path("nat.nft"))
      try bed.run("ip", "netns", "exec", bed.a, "ping", "-c", "1", "-W", "5", "10.77.2.1")
      for (name, options) in [("full", []), ("nat", ["--nat"])] as [(String, [String])] {
        let tap = try bed.start(
          [Testbed.latprobe, "tap", "--netns", bed.bridge, "va", "vb", "--filter", "icmp", "-o", bed.path(name)]
            + options)
        try tap.expect("listening on")
        try bed.run("ip", "netns", "exec", bed.a, "ping", "-q", "-c", "23", "-i", "0.01", "10.77.2.1")
        usleep(300_000)
        tap.signal(SIGINT)
        #expect(try tap.wait(limit: 20).status == 0)
        #expect(try bed.load(name).only().machine.identity == (name == "nat" ? "nat-proof" : "full"))
        let counts = try bed.report(name).segments.map(\.count)
        #expect(name == "nat" ? counts == [23, 23] : counts.allSatisfy { $0 == 0 }, "\(name) \(counts)")
      }
    }

    @Test(arguments: ["rename", "down", "move", "delete"]) func whatHappensToADevice(_ what: String) throws {
      let bed = try Testbed()
      let tap = try bed.start([Testbed.latprobe, "tap", "--netns", bed.bridge, "va", "vb", "-o", bed.path("t")])
      try tap.expect("listening on")
      let pair = try bed.start([
        Testbed.latprobe, "pair", "--netns", bed.bridge, "wire-in=va", "--proto", "icmp", "-o", bed.path("p"),
      ])
      try pair.expect("pairing on")
      try bed.run("ip", "netns", "exec", bed.a, "ping", "-q", "-c", "11", "-i", "0.01", "10.77.0.2")
      usleep(300_000)
      let change =
        switch what {
        case "rename": ["set", "va", "name", "vx"]
        case "down": ["set", "va", "down"]
        case "move": ["set", "va", "netns", bed.a]
        default: ["del", "va"]
        }
      let moved = try bed.start(["ip", "-n", bed.bridge, "link"] + change).wait(limit: 10)
      #expect(moved.status == 0, "\(moved.errors)")
      for command in [tap, pair] {
        let output = try command.wait(limit: 20)
        #expect(output.status == 1 && output.errors.contains("va"), "\(output.errors)")
      }
      for (name, requirement) in [("t", "wire-in-wire-out p50 < 1s"), ("p", "icmp p50 < 1s")] {
        let machine = try bed.load(name).only().machine
        #expect(machine.stoppedBy == "error" && machine.changes?.first?.device == "va", "\(machine.changes ?? [])")
        #expect(try bed.latprobe("gate", bed.path(name), "--require", requirement).status == 3)
      }
    }

    @Test func whatIsTypedWrongly() throws {
      let bed = try Testbed()
      let dump = try bed.dump(in: bed.b, "eth0", "icmp")
      try bed.run("ip", "netns", "exec", bed.a, "ping", "-q", "-c", "5", "-i", "0.01", "10.77.0.2")
      usleep(1_500_000)
      try dump.end()
      func expect(_ arguments: String..., status: Int32 = 1, says text: String) throws {
        let output = try bed.start([Testbed.latprobe] + arguments).wait(limit: 20)
        #expect(output.status == status, "\(output)")
        #expect(text.isEmpty || output.errors.contains(text), "\(arguments): \(output.errors)")
      }
      let out = bed.path("x")
      try expect("tap", dump.path, "-o", out, says: "did you mean 'latprobe tap --read \(dump.path)")
      try expect("tap", "--read", "lo", "-o", out, says: "did you mean 'latprobe tap lo")
      try expect("pair", "--proto", "ICMP", dump.path, status: 0, says: "")
      try expect("pair", "--proto", "http", dump.path, says: "there is no http here: all 10 packets are ICMP")
      try expect("timer", "--cpu", "8191", status: 64, says: "--cpu takes the number of a CPU that is online")
      // Lines that look like a header are none.
      let text = bed.path("text")
      try "root:*:1\n\n:0:99999:7:::\n".write(toFile: text, atomically: true, encoding: .utf8)
      try expect("pair", "--proto", "dns", text, says: "is no capture")
      // A capture that is cut off is told once.
      try bed.run("truncate", "-s", "-3", dump.path)
      let torn = try bed.latprobe("pair", "--proto", "icmp", dump.path)
      #expect(torn.status == 1 && !torn.text.contains("cut off"), "\(torn.text)")
      #expect(torn.errors.split(separator: "\n").count { $0.contains("cut off") } == 1, "\(torn.errors)")
    }
  }
}
