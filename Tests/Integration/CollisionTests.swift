// SPDX-License-Identifier: GPL-2.0-or-later
import Analysis
import Foundation
import Recording
import Testing
import VirtualLab

extension IntegrationSuites {
  /// Packets that cannot be told apart are said to be so; packets that can be are told apart.
  @Suite(.serialized) struct CollisionTests {
    /// Records `count` datagrams of `mode` from a to b.
    private func report(_ mode: String, to host: String, count: Int) throws -> Report {
      let bed = try Testbed()
      let server = try bed.serve("receive", on: host, count: count)
      let recording = try bed.record("r", "--filter", "udp dst port 5001")
      try bed.send(mode, to: host, count: count)
      #expect(try server.wait(limit: 10).text.contains("received \(count)"))
      try bed.finish(recording)
      return try bed.report("r")
    }

    private static let devices = ["txg1-txg2", "txg2-txh0", "txh0-rxh1", "rxh1-rxg0", "txg1-rxg0"]

    @Test func identicalIPv6DatagramsAreAmbiguous() throws {
      let report = try report("connected", to: "fd77::2", count: 101)
      for name in CollisionTests.devices {
        let segment = try report.segment(name)
        #expect(segment.ambiguous == 101 && segment.count == 0, "\(segment)")
        #expect(segment.lost == 0 && segment.unmatched == 0, "\(segment)")
      }
    }

    @Test func identicalIPv4DatagramsWithOneIDAreAmbiguous() throws {
      let report = try report("raw", to: "10.77.0.2", count: 101)
      for name in CollisionTests.devices {
        let segment = try report.segment(name)
        #expect(segment.ambiguous == 101 && segment.count == 0, "\(segment)")
        #expect(segment.lost == 0 && segment.unmatched == 0, "\(segment)")
      }
    }

    /// The kernel counts their ids.
    @Test func ordinaryIdenticalIPv4DatagramsMatch() throws {
      let report = try report("connected", to: "10.77.0.2", count: 997)
      for segment in report.segments where segment.direction == "east-west" {
        #expect(segment.count == 997 && segment.ambiguous == 0, "\(segment)")
        #expect(segment.lost == 0 && segment.unmatched == 0 && segment.duplicate == 0, "\(segment)")
        #expect((segment.minNs ?? -1) >= 0, "\(segment)")
      }
      #expect(report.segments.contains { $0.name == "txg0-rxg1" })
    }

    @Test func identicalIPv6DatagramsOfManyFlowsAreNot() throws {
      let report = try report("counted", to: "fd77::2", count: 499)
      for segment in report.segments where segment.direction == "east-west" {
        #expect(segment.count == 499 && segment.ambiguous == 0 && segment.unmatched == 0, "\(segment)")
      }
    }

    /// Acknowledgments without data differ in little, in IPv6 not even by an id.
    @Test func fewIPv6AcknowledgmentsAreAmbiguous() throws {
      let bed = try Testbed()
      try bed.startIperfServer()
      let recording = try bed.record("r", "--filter", "tcp port 5201")
      try bed.run("ip", "netns", "exec", bed.a, "iperf3", "-c", "fd77::2", "-t", "2", limit: 20)
      try bed.finish(recording)
      let session = try bed.load("r")
      var machine = try session.only()
      machine.stamps.removeAll { $0.kind != .tcp || $0.payloadLength != 0 }
      let segment = try analyse(session: session.session, recordings: [machine]).segment("txg1-txg2")
      let all = segment.count + segment.ambiguous + segment.lost + segment.unmatched
      #expect(all > 200, "\(all) acknowledgments")
      #expect(segment.ambiguous * 10 <= all, "\(segment.ambiguous) of \(all)")
    }

    @Test func askingIsNeverLaterThanQueueing() throws {
      let bed = try Testbed()
      try bed.startPingPongServer()
      try bed.startIperfServer()
      let recording = try bed.record("r")
      try bed.pingPong(rate: 1999)
      try bed.run("ip", "netns", "exec", bed.a, "iperf3", "-c", "10.77.0.2", "-t", "1", "-b", "200M", limit: 20)
      try bed.finish(recording)
      let session = try bed.load("r")
      var ofKind: [StampKind: Int] = [:]
      for kind in [StampKind.udp, .tcp] {
        var machine = try session.only()
        machine.stamps.removeAll { $0.kind != kind }
        let segment = try analyse(session: session.session, recordings: [machine]).segment("txg0-txg1")
        #expect((segment.delays.min() ?? -1) >= 0, "\(kind)")
        ofKind[kind] = segment.count
      }
      #expect((ofKind[.udp] ?? 0) > 1900 && (ofKind[.tcp] ?? 0) > 50, "\(ofKind)")
    }
  }
}
