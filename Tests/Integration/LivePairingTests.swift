// SPDX-License-Identifier: GPL-2.0-or-later
import Foundation
import Glibc
import Recording
import Testing
import VirtualLab

extension IntegrationSuites {
  /// `latprobe pair` at devices.
  @Suite struct LivePairingTests {
    private let bed: Testbed

    init() throws { bed = try Testbed() }

    private func ping(_ count: Int) throws {
      try bed.run("ip", "netns", "exec", bed.a, "ping", "-q", "-c", "\(count)", "-i", "0.01", "10.77.0.2")
    }

    private func pair(_ arguments: String...) throws -> Command {
      let command = try bed.start([Testbed.latprobe, "pair", "--netns", bed.b] + arguments)
      try command.expect("pairing on")
      return command
    }

    @Test func liveAndFileGiveTheSamePairs() throws {
      try bed.serveNames()
      let recording = try bed.pairLive("dns,icmp") {
        try ping(23)
        try script("dns")
      }
      let counts = Dictionary(grouping: recording.foundPairs, by: \.name).mapValues(\.count)
      // Of 8 queries a copy follows, which is a new query if the answer was faster.
      #expect(counts["icmp"] == 23 && 23...31 ~= counts["dns"] ?? 0, "\(counts)")
      #expect(recording.machine.interfaces?.first?.hardware == "not asked for")
      #expect(recording.machine.ledger.allSatisfy { $0.lost == 0 && $0.seen == $0.emitted + $0.filtered })
    }

    @Test func liveAndFileGiveTheSamePairsOfStreams() throws {
      try bed.serveMemcached()
      let recording = try bed.pairLive("memcached,tcp-handshake,tcp-ack", isTCP: true) { try script("memcached") }
      let counts = Dictionary(grouping: recording.foundPairs, by: \.name).mapValues(\.count)
      #expect(counts["memcached-set"] == 50 && counts["tcp-syn-synack"] == 2, "\(counts)")
    }

    /// A client of pairing_traffic.py.
    private func script(_ role: String) throws {
      try bed.run(
        "ip", "netns", "exec", bed.a, "python3", Testbed.fixture("pairing_traffic.py"), role, "10.77.0.2")
    }

    /// What enters at one device leaves at another: the rings are merged by time.
    @Test func devicesArePairedTogether() throws {
      let live = try bed.start([
        Testbed.latprobe, "pair", "--netns", bed.bridge, "--proto", "icmp", "wire-in=va", "wire-out=vb", "--filter",
        "icmp", "--json",
      ])
      try live.expect("pairing on")
      try ping(50)
      usleep(300_000)
      live.signal(SIGTERM)
      let output = try live.wait(limit: 20)
      #expect(output.status == 0, "\(output.errors)")
      // Each echo and each reply is seen twice: coming in and going out.
      let report = try JSONDecoder.report.decode(Report.self, from: Data(output.text.utf8))
      let echo = try #require(report.segments.first { $0.name == "icmp" })
      #expect(echo.count == 50 && echo.duplicate == 100 && echo.lost == 0, "\(echo)")
      #expect(report.hooks.map(\.emitted).reduce(0, +) == 200, "\(report.hooks)")
    }

    @Test func endsByCountDurationAndSignal() throws {
      let counted = try pair("eth0", "--proto", "icmp", "--count", "7")
      try ping(11)
      var output = try counted.wait(limit: 20)
      #expect(output.status == 0 && output.text.contains("icmp: 11 of 11 requests"), "\(output.text)\(output.errors)")
      let timed = try bed.latprobe("pair", "--netns", bed.b, "eth0", "--proto", "icmp", "--duration", "300ms")
      #expect(timed.status == 0 && timed.text.contains("icmp: 0 of 0 requests"), "\(timed.text)\(timed.errors)")
      let ended = try pair("eth0", "--proto", "icmp", "-o", bed.path("r"))
      try ping(5)
      usleep(200_000)
      ended.signal(SIGINT)
      output = try ended.wait(limit: 20)
      #expect(output.status == 0 && output.errors.contains("recording in"), "\(output.errors)")
      let machine = try bed.load("r").only().machine
      #expect(machine.stoppedBy == "SIGINT" && machine.pairing?.protocols.first?.counts["paired"] == 5)
      #expect(try bed.latprobe("gate", bed.path("r"), "--require", "icmp p50 < 1s").status != 1)
    }

    @Test func aDeviceThatGoesEndsInAnErrorAndATable() throws {
      let live = try bed.start([
        Testbed.latprobe, "pair", "--netns", bed.bridge, "wire-in=va", "--proto", "icmp",
      ])
      try live.expect("pairing on")
      try ping(5)
      usleep(300_000)
      try bed.run("ip", "-n", bed.bridge, "link", "del", "va")
      let output = try live.wait(limit: 20)
      #expect(output.status == 1 && output.errors.contains("va is down or gone"), "\(output.errors)")
      #expect(output.text.contains("icmp: 5 of 5 requests"), "\(output.text)")
    }

    /// A ring that is not read for a while: what it drops is told, and is a gap on each connection.
    @Test func dropsAreGaps() throws {
      try bed.serveRedis()
      try bed.startIperfServer()
      let live = try pair("eth0", "--proto", "redis", "-o", bed.path("g"))
      let load = try bed.start(
        in: bed.a, "redis-benchmark", "-h", "10.77.0.2", "-t", "get", "-l", "-n", "1000", "-c", "3", "-q")
      usleep(500_000)
      live.signal(SIGSTOP)
      try bed.run("ip", "netns", "exec", bed.a, "iperf3", "-c", "10.77.0.2", "-t", "2")
      live.signal(SIGCONT)
      usleep(1_500_000)
      load.signal(SIGTERM)
      _ = try load.wait(limit: 10)
      live.signal(SIGINT)
      let output = try live.wait(limit: 60)
      #expect(output.status == 0, "\(output.errors)")
      let recording = try bed.load("g").only()
      let rows = recording.machine.ledger
      #expect(rows.contains { $0.lost > 0 } && rows.allSatisfy { $0.seen == $0.emitted + $0.filtered + $0.lost })
      #expect(recording.tally("gaps") > 0 && recording.tally("paired") > 0)
      let settled = ["paired", "unanswered", "refused", "silent", "abandoned", "evicted"].reduce(0) {
        $0 + recording.tally($1)
      }
      #expect(recording.tally("requests") == settled)
      // The pairs after the gap are there as well, and none spans it.
      #expect(recording.pairs.allSatisfy { $0.end - $0.start < 1_000_000_000 })
      #expect(try bed.latprobe("gate", bed.path("g"), "--require", "redis-GET p50 < 1s").status == 3)
    }

    @Test func argumentsAreCapturesOrDevices() throws {
      func expect(_ arguments: String..., status: Int32 = 1, says text: String) throws {
        let output = try Command([Testbed.latprobe, "pair", "--proto", "icmp"] + arguments, in: bed.folder).wait()
        #expect(output.status == status && output.errors.contains(text), "\(arguments): \(output.errors)")
      }
      let dump = try bed.dump(in: bed.b, "eth0", "icmp")
      try ping(5)
      usleep(1_500_000)
      try dump.end()
      try FileManager.default.createDirectory(atPath: bed.path("folder"), withIntermediateDirectories: true)
      try FileManager.default.copyItem(atPath: dump.path, toPath: bed.path("folder/a.pcap"))
      let folder = try bed.latprobe("pair", "--proto", "icmp", bed.path("folder"))
      #expect(folder.text.contains("icmp: 5 of 5 requests"), "\(folder.text)\(folder.errors)")
      try expect("nosuch0", says: "'nosuch0' is no file, and there is no such device here")
      try expect("./nosuch0", says: "cannot open: No such file")
      try expect("--netns", bed.b, "wire-in=nosuch0", says: "no device 'nosuch0' here")
      try expect(dump.path, "--netns", bed.b, "eth0", says: "pair them one after the other")
      try expect(dump.path, "--duration", "1s", status: 64, says: "are for devices")
      try expect("--netns", bed.b, "eth0", "eth0", status: 64, says: "each device can be named once")
      try expect("--netns", bed.b, "eth0", "--require-hw", says: "of received packets alone")
      try expect("--netns", bed.b, "wire-in=eth0", "--require-hw", says: "and --require-hw asks for them")
      try expect("--netns", bed.b, "eth0", "--filter", "no filter", says: "filter")
      // A device and a file of one name: the path with a slash is the file.
      let plain = URL(fileURLWithPath: bed.path("plain"))
      try FileManager.default.createDirectory(at: plain, withIntermediateDirectories: true)
      try FileManager.default.copyItem(atPath: dump.path, toPath: bed.path("plain/eth0"))
      func there(_ name: String) throws -> Output {
        try bed.start([
          "sh", "-c",
          "cd \(plain.path) && exec \(Testbed.latprobe) pair --proto icmp --netns \(bed.b) \(name) --duration 100ms",
        ]).wait()
      }
      let device = try there("eth0")
      #expect(
        device.status == 0 && device.errors.contains("warning: 'eth0' is a device and a file"), "\(device.errors)")
      #expect(device.text.contains("icmp: 0 of 0 requests"))
      #expect(try there("./eth0").errors.contains("are for devices"))
    }
  }
}
