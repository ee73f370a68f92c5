// SPDX-License-Identifier: GPL-2.0-or-later
import Analysis
import Foundation
import Recording
import Testing
import VirtualLab

extension IntegrationSuites {
  /// A tap and hook points of the same packets in one session.
  @Suite struct WireJoinTests {
    private let bed: Testbed
    private let id = UUID().uuidString.lowercased()
    private static let filter = "udp dst port 5001"

    init() throws { bed = try Testbed() }

    /// Records hook points and a tap while sockperf exchanges datagrams between the guests.
    private func run(hooks: [String], tap: [String]) throws -> SessionResult {
      try bed.startPingPongServer()
      let common = ["--session", id, "--filter", Self.filter, "-o"]
      let recording = try bed.start(
        [Testbed.latprobe, "record", "--topology", "veth"] + hooks + common + [bed.path("r")])
      try recording.expect("recording ")
      let wire = try bed.start([Testbed.latprobe, "tap"] + tap + common + [bed.path("w")])
      try wire.expect("listening on")
      usleep(1_200_000)
      try bed.pingPong()
      usleep(1_200_000)
      for command in [wire, recording] {
        command.signal(SIGINT)
        #expect(try command.wait(limit: 30).status == 0)
      }
      let session = try RecordedSession.load(paths: [bed.path("r"), bed.path("w")])
      #expect(session.damage == [])
      return try analyse(session: session.session, recordings: session.machines)
    }

    /// A bridge as the device under test, with a tap in the cables to it: a namespace `name` holds the guests' outer ends, and
    /// joins each to a new pair of which the other end, `y0` and `y1`, is a port of the bridge.
    private func insertTap(_ name: String) throws {
      try bed.run("ip", "netns", "add", name)
      for (number, device) in ["va", "vb"].enumerated() {
        try bed.run("ip", "-n", bed.bridge, "link", "set", device, "nomaster")
        try bed.run("ip", "-n", bed.bridge, "link", "set", device, "netns", name)
        try bed.run(
          "ip", "-n", name, "link", "add", "x\(number)", "type", "veth", "peer", "name", "y\(number)", "netns",
          bed.bridge)
        try bed.run("ip", "-n", name, "link", "add", "bt\(number)", "type", "bridge")
        for port in [device, "x\(number)"] {
          try bed.run("ip", "-n", name, "link", "set", port, "master", "bt\(number)", "up")
        }
        try bed.run("ip", "-n", name, "link", "set", "bt\(number)", "up")
        try bed.run("ip", "-n", bed.bridge, "link", "set", "y\(number)", "master", "br0", "up")
      }
      try bed.run("ip", "netns", "exec", bed.a, "ping", "-c", "1", "-W", "5", "10.77.0.2")
    }

    @Test func theWireStandsAtTheEndsOfADeviceThatForwards() throws {
      let tap = bed.bridge + "-t"
      try insertTap(tap)
      defer { _ = try? bed.attempt("ip", "netns", "del", tap) }
      let result = try run(
        hooks: ["--side", "host", "--netns", tap, "--dev", "x0", "--dev", "x1"],
        tap: ["--netns", tap, "wire-in=va", "wire-out=vb"])
      #expect(
        result.segments.map { "\($0.direction) \($0.name)" } == [
          "east-west wire-in-txh0", "east-west txh0-rxh1", "east-west rxh1-wire-out", "east-west wire-in-wire-out",
        ], "\(result.warnings)")
      let wire = try result.segment("wire-in-wire-out")
      #expect(wire.count > 900 && wire.lost + wire.unmatched + wire.ambiguous == 0, "\(wire.count), \(result.warnings)")
      let parts = try #require(wire.wire)
      #expect(parts.software == "txh0-rxh1" && parts.explained.count == wire.count)
      // The bridges of the tap work before the first hook point and behind the last one.
      #expect(parts.explained.min > 0 && parts.unexplained.min > 0)
      // What is left over is what lies at both ends.
      let before = try result.segment("wire-in-txh0")
      let behind = try result.segment("rxh1-wire-out")
      let error = before.errorBound + behind.errorBound
      #expect(before.packets == wire.packets && behind.packets == wire.packets && error > 0)
      let sums = zip(before.delays, behind.delays).map { $0 + $1 }.sorted()
      #expect(zip(sums, parts.unexplained.sorted).allSatisfy { abs($0 - $1) <= error })
      #expect(result.clockFaults == [])

      let report = try bed.latprobe("report", bed.path("r"), bed.path("w"), "-o", bed.path("report"))
      #expect(
        report.status == 0 && report.text.contains("east-west: wire-in → txh0 → rxh1 → wire-out"), "\(report.text)")
      #expect(report.text.contains("    unexplained") && report.text.contains("by the segments of txh0-rxh1"))
    }

    /// At the bridge's own ports the kernel stamps for the tap within the path; no segment of the path changes.
    @Test func aTapAtDevicesThatHookPointsWatch() throws {
      let result = try run(
        hooks: ["--netns", bed.a, "--netns", bed.b], tap: ["--netns", bed.bridge, "va", "vb"])
      let wire = try result.segment("wire-in-wire-out")
      #expect(wire.count > 900 && wire.lost + wire.unmatched + wire.ambiguous == 0, "\(wire.count), \(result.warnings)")
      #expect(try #require(wire.wire).software == "txh0-rxh1")
      for name in ["txg2-txh0", "txh0-rxh1", "rxh1-rxg0"] { #expect(try result.segment(name).isNeighbour, "\(name)") }
      // netif_rx takes the tap's time before the hook point sees the packet; sending, the tap is before the driver.
      let before = try result.segment("wire-in-txh0")
      #expect(try before.count == wire.count && #require(before.summary).min >= -before.errorBound)
      let behind = try result.segment("rxh1-wire-out")
      #expect(try behind.count == wire.count && #require(behind.summary).max <= behind.errorBound)
      #expect(result.clockFaults == [])
    }

    /// Both directions through two devices: a path for each.
    @Test func eachWayHasItsPath() throws {
      try bed.startPingPongServer()
      let wire = try bed.start([
        Testbed.latprobe, "tap", "--netns", bed.bridge, "va", "vb", "--filter", "udp port 5001", "-o", bed.path("w"),
      ])
      try wire.expect("listening on")
      usleep(300_000)
      try bed.pingPong()
      usleep(1_200_000)
      wire.signal(SIGINT)
      #expect(try wire.wait(limit: 30).status == 0)
      let session = try bed.load("w")
      let result = try analyse(session: session.session, recordings: session.machines)
      #expect(result.segments.map(\.direction) == ["va-vb", "vb-va"])
      let counts = result.segments.map(\.count)
      // Each exchange is one packet each way; sockperf's own first and last ones may lack an answer.
      #expect(counts[1] > 900 && counts[0] >= counts[1] && counts[0] - counts[1] < 50, "\(counts)")
      #expect(result.segments.allSatisfy { $0.lost + $0.unmatched + $0.ambiguous == 0 })
      #expect(result.segments.allSatisfy { ($0.summary?.min ?? 0) > 0 })
    }
  }
}
