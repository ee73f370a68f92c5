// SPDX-License-Identifier: GPL-2.0-or-later
import Analysis
import Foundation
import Recording
import Testing
import VirtualLab

extension IntegrationSuites {
  /// What a sender's run says beyond round trips: each way's delays, their variation, and the hook points of its packets.
  @Suite struct OneWayTests {
    private let bed: Testbed

    init() throws { bed = try Testbed() }

    private func send(_ name: String, _ arguments: String...) throws -> Output {
      try Command(
        [Testbed.latprobe, "send", "10.77.0.2", "--netns", bed.a, "-o", bed.path(name)] + arguments, in: bed.folder
      ).wait(limit: 30)
    }

    private func analysed(_ name: String) throws -> SessionResult {
      let session = try bed.load(name)
      #expect(session.damage == [])
      return try analyse(session: session.session, recordings: session.machines)
    }

    /// 20 ms on the way there for the second packet of each two, by one kernel's clock: one frame of 1042 bytes takes all of
    /// the bucket, which fills in 20 ms.
    @Test(arguments: ["kernel", "user"]) func aDelayOfOneWay(clock: String) throws {
      try bed.run(
        "tc", "-n", bed.bridge, "qdisc", "add", "dev", "vb", "root", "tbf", "rate", "416800bit", "burst", "1042",
        "limit",
        "100000")
      _ = try bed.reflect("--stateful")
      let output = try send(
        "s", "--rate", "25", "--burst", "2", "--count", "42", "--size", "1000", "--timestamps", clock, "--same-clock")
      #expect(output.status == 0 && output.errors.contains("one-way delays: sent and received by "), "\(output.errors)")
      let result = try analysed("s")
      let forward = try result.segment("one-way-forward", "stamp")
      let backward = try result.segment("one-way-backward", "stamp")
      #expect(forward.count == 42 && backward.count == 42 && forward.errorBound == 0 && result.clockFaults == [])
      #expect(try #require(forward.summary).min > 0 && #require(backward.summary).min > 0)
      var delays: [UInt32: [UInt16: Int64]] = [:]
      for pair in try bed.load("s").only().pairs where pair.name != 3 {
        delays[try #require(pair.number), default: [:]][pair.name] = pair.end - pair.start
      }
      func median(_ name: UInt16, _ isWanted: (UInt32) -> Bool) throws -> Int64 {
        let sorted = delays.filter { isWanted($0.key) }.compactMap { $0.value[name] }.sorted()
        try #require(sorted.count == 21)
        return sorted[10]
      }
      let (first, second) = (try median(4) { $0 % 2 == 0 }, try median(4) { $0 % 2 == 1 })
      #expect(first < 5_000_000 && 15_000_000...25_000_000 ~= second, "\(first) \(second)")
      #expect(try median(5) { $0 % 2 == 1 } < 5_000_000)
      // Forward and backward and what the reflector took are the round trip.
      let rests = try delays.values.map { packet in
        abs(try #require(packet[4]) + (try #require(packet[5])) - (try #require(packet[1])))
      }.sorted()
      #expect(delays.values.allSatisfy { ($0[0] ?? 0) >= ($0[1] ?? 1) })
      // By the kernel's stamps they are differences of the same four; else the round trip is by CLOCK_MONOTONIC.
      #expect(clock == "kernel" ? rests[41] == 0 : rests[21] < 1_000_000, "\(rests)")

      // It goes up with each second packet and down with the next first one.
      #expect(forward.successive.count == 41 && forward.isNumbered)
      #expect(forward.successive.count { $0 > 10_000_000 } > 14 && forward.successive.count { $0 < -10_000_000 } > 14)
      for (text, status) in [
        ("stamp/one-way-forward max >= 15ms", 0), ("stamp/one-way-backward p50 > 15ms", 2),
        ("stamp/one-way-forward pdv max >= 10ms", 0), ("stamp/one-way-forward ipdv min < -10ms", 0),
        ("stamp/one-way-backward ipdv-abs p50 < 10ms", 0), ("stamp/round-trip ipdv count < 1", 64),
      ] {
        #expect(try bed.latprobe("gate", bed.path("s"), "--require", text).status == Int32(status), "\(text)")
      }
      let report = try bed.latprobe("report", bed.path("s"), "-o", bed.path("report"))
      #expect(report.status == 0 && report.text.contains("  one-way-forward"), "\(report.text)")
      #expect(report.text.contains("PDV p99") && report.text.contains("the same clock (--same-clock)"))
      let rows = try String(contentsOfFile: bed.path("report/segments.csv"), encoding: .utf8).split(separator: "\n")
      let column = try #require(rows[0].split(separator: ",").firstIndex(of: "ipdv_count"))
      let row = try #require(rows.first { $0.hasPrefix("one-way-forward,") })
      #expect(row.split(separator: ",", omittingEmptySubsequences: false)[column] == "41")
    }

    /// Whether this machine's clock is synchronised is not for a test to decide: what is said must fit what is recorded.
    @Test func clocksThatNobodySaysAreAligned() throws {
      _ = try bed.reflect()
      let output = try send("s", "--rate", "200", "--count", "23", "--timestamps", "kernel")
      #expect(output.status == 0)
      let result = try analysed("s")
      let names = result.segments.map(\.name)
      if output.errors.contains("no one-way delays: neither this machine's clock nor the reflector's is synchronised") {
        #expect(!names.contains { $0.hasPrefix("one-way") } && names.contains("round-trip"))
      } else {
        #expect(output.errors.contains("(S = 1), and off by ±"), "\(output.errors)")
        #expect(try result.segment("one-way-forward", "stamp").errorBound > 0)
      }
    }

    /// A packet is lost every fourth time: IPDV is undefined beside it.
    @Test func lossesSeparateTheirNeighbours() throws {
      // The last byte of the sequence number, behind 8 bytes of UDP header.
      let rules = """
        table netdev t {
          chain c {
            type filter hook egress device "eth0" priority 0;
            udp dport 862 @th,88,8 & 3 == 3 drop
          }
        }

        """
      try rules.write(toFile: bed.path("drop.nft"), atomically: true, encoding: .utf8)
      try bed.run("ip", "netns", "exec", bed.a, "nft", "-f", bed.path("drop.nft"))
      _ = try bed.reflect()
      #expect(try send("s", "--rate", "500", "--count", "200", "--timestamps", "kernel").status == 0)
      let segment = try analysed("s").segment("round-trip", "stamp")
      // Of each four packets 0 1 2 arrive: 1 and 2 have a predecessor.
      #expect(segment.count == 150 && segment.lost == 50 && segment.successive.count == 100)
    }

    /// Hook points in the kernel, a tap at the bridge and the sender, in one session.
    @Test func hookPointsTapAndSenderInOneSession() throws {
      let id = UUID().uuidString.lowercased()
      _ = try bed.reflect()
      let filter = "udp dst port 862"
      let hooks = try bed.record("h", "--session", id, "--filter", filter)
      let tap = try bed.start([
        Testbed.latprobe, "tap", "--netns", bed.bridge, "va", "vb", "--filter", filter, "--session", id, "-o",
        bed.path("t"),
      ])
      try tap.expect("listening on")
      usleep(1_200_000)
      let output = try send("s", "--rate", "100", "--count", "97", "--timestamps", "kernel", "--session", id)
      #expect(output.status == 0, "\(output.errors)")
      usleep(1_200_000)
      tap.signal(SIGINT)
      #expect(try tap.wait(limit: 30).status == 0)
      try bed.finish(hooks)
      let session = try RecordedSession.load(paths: ["h", "t", "s"].map(bed.path))
      #expect(session.damage == [])
      let result = try analyse(session: session.session, recordings: session.machines)
      for name in ["txg1-txg2", "txg2-txh0", "txh0-rxh1", "rxh1-rxg0", "rxg0-rxg1", "txg0-rxg1"] {
        let segment = try result.segment(name)
        #expect(segment.count == 97 && segment.lost + segment.unmatched == 0, "\(name): \(segment.count)")
        #expect(segment.successive.count == 96, "\(name)")
      }
      #expect(try result.segment("wire-in-wire-out").count == 97, "\(result.warnings)")
      #expect(try result.segment("round-trip", "stamp").count == 97)
      #expect(result.clockFaults == [], "\(result.warnings)")
      // The tap's at the other end of the path, not the sender's stamps at its beginning.
      let wire = try result.segment("wire-in-wire-out")
      #expect(try wire.to.machine == wire.from.machine && wire.duplicate == 0 && #require(wire.summary).min > 0)
      #expect(result.warnings.contains { $0.contains("own stamps are left out of the paths") }, "\(result.warnings)")
      let report = try bed.latprobe(
        "report", bed.path("h"), bed.path("t"), bed.path("s"), "-o", bed.path("report"))
      #expect(report.status == 0, "\(report.errors)")
      for text in ["east-west:", "\nstamp", "round-trip", "txh0-rxh1", "PDV p99"] {
        #expect(report.text.contains(text), "\(text): \(report.text)")
      }
    }

    /// The device goes down in mid-run: said, an error, and what was measured is kept.
    @Test func theDeviceGoesDown() throws {
      _ = try bed.reflect()
      let sender = try bed.start([
        Testbed.latprobe, "send", "10.77.0.2", "--netns", bed.a, "--timestamps", "kernel", "--rate", "100", "--count",
        "200", "-o", bed.path("d"),
      ])
      try sender.expect("sending to")
      usleep(900_000)
      try bed.run("ip", "-n", bed.a, "link", "set", "eth0", "down")
      let output = try sender.wait(limit: 20)
      let lines = output.errors.split(separator: "\n").filter { $0.hasPrefix("Error: ") }
      #expect(output.status == 1 && lines.count == 1, "\(output.errors)")
      #expect(
        output.errors.contains("eth0 went down, or ") && output.errors.contains("; what was measured is kept in "))
      let match = try #require(
        output.errors.firstMatch(of: /Error: ([0-9]+) of 200 packets were not sent/), "\(output.errors)")
      let unsent = try #require(Int(match.1))
      let segment = try analysed("d").segment("round-trip", "stamp")
      #expect(segment.count >= 10 && segment.count + segment.lost == 200 - unsent, "\(segment.count) \(segment.lost)")
      #expect(try bed.load("d").only().machine.stoppedBy == "count")
    }

    /// Python's hmac as sender and as reflector of authenticated packets.
    @Test func anotherAuthenticatedPeer() throws {
      let key = "0123456789abcdef0123456789abcdef"
      let made = FileManager.default.createFile(
        atPath: bed.path("key"), contents: Data(key.utf8), attributes: [.posixPermissions: 0o600])
      #expect(made)
      let peer = Testbed.fixture("stamp_authenticated.py")
      let reflector = try bed.reflect("--stateful", "--key", bed.path("key"))
      let theirs = try bed.attempt(
        "ip", "netns", "exec", bed.a, "/usr/bin/python3", peer, "send", "10.77.0.2", "862", "23", key)
      #expect(theirs.status == 0 && theirs.text.hasSuffix("23 answers, 0 wrong\n"), "\(theirs)")
      reflector.signal(SIGINT)
      let counts = try reflector.wait(limit: 10).errors
      #expect(counts.contains("24 packets, 23 answered, 1 not authentic"), "\(counts)")

      let other = try bed.start(in: bed.b, "/usr/bin/python3", peer, "reflect", "10.77.0.2", "862", "23", key)
      try other.expect("ready")
      let output = try send("s", "--rate", "50", "--count", "23", "--timestamps", "kernel", "--key", bed.path("key"))
      // The codes of four answers are wrong.
      #expect(output.errors.contains("19 of 23 answered, answers that are none 4\n"), "\(output.errors)")
      #expect(try other.wait(limit: 10).status == 0)
      let segment = try analysed("s").segment("round-trip", "stamp")
      // Behind each wrong one there is no IPDV: 4, 9, 14 and 19 of 0 to 22.
      #expect(segment.count == 19 && segment.lost == 4 && segment.successive.count == 14)
    }
  }
}
