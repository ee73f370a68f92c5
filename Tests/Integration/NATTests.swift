// SPDX-License-Identifier: GPL-2.0-or-later
import Foundation
import Testing
import VirtualLab

extension IntegrationSuites {
  /// Traffic from a to b that the namespace between them masquerades.
  @Suite struct NATTests {
    @Test func datagramsMatchAcrossNAT() throws {
      let bed = try masquerading()
      let report = try ping(bed, "--nat")
      let segment = try report.segment("txg1-rxg0")
      #expect(segment.count > 1900, "\(segment)")
      expectNoneMissing(report)
    }

    /// The same with the full key, which holds addresses and ports: nothing can match where these change.
    @Test func fullKeyDoesNotMatchAcrossNAT() throws {
      let bed = try masquerading()
      let report = try ping(bed)
      let segments = report.segments.filter { ["txg1-rxg0", "txh0-rxh1"].contains($0.name) }
      #expect(segments.allSatisfy { $0.count == 0 }, "\(segments)")
      #expect(try report.hook("txg1").emitted > 1900 && report.hook("rxg0").emitted > 1900)
    }

    @Test func streamsMatchAcrossNAT() throws {
      let bed = try masquerading()
      let server = try bed.start(in: bed.b, "iperf3", "-s", "-p", "5201", "--forceflush")
      try server.expect("Server listening")
      let recording = try bed.record("r", "--nat", "--filter", "tcp port 5201")
      try bed.run(
        "ip", "netns", "exec", bed.a, "iperf3", "-c", "10.77.2.1", "-p", "5201", "-t", "1", "-b", "40M", "-l", "8K")
      try bed.finish(recording)
      let report = try bed.report("r")
      // 40 Mbit/s in writes of 8 KiB: about 600 in a second.
      #expect(try report.segment("txg1-rxg0").count > 500)
      #expect(try report.segment("txg0-rxg1").count > 400)
      expectNoneMissing(report)
    }

    private func masquerading() throws -> Testbed {
      let bed = try Testbed(routed: true)
      let rules = """
        table ip nat {
          chain postrouting {
            type nat hook postrouting priority srcnat
            oifname "vb" masquerade
          }
        }
        """
      try rules.write(toFile: bed.path("nat.nft"), atomically: true, encoding: .utf8)
      try bed.run("ip", "netns", "exec", bed.bridge, "nft", "-f", bed.path("nat.nft"))
      // Neighbours are learnt before anything is recorded.
      try bed.run("ip", "netns", "exec", bed.a, "ping", "-c", "1", "-W", "5", "10.77.2.1")
      return bed
    }

    /// A second of UDP ping-pong, 997 each way.
    private func ping(_ bed: Testbed, _ arguments: String...) throws -> Report {
      let server = try bed.start(in: bed.b, "sockperf", "sr", "-i", "10.77.2.1", "-p", "5001")
      try server.expect("using recvfrom")
      let recording = try bed.start(
        [Testbed.latprobe, "record", "--netns", bed.a, "--netns", bed.b, "-o", bed.path("r")]
          + ["--filter", "udp port 5001"] + arguments)
      try recording.expect("recording ")
      usleep(300_000)
      try bed.run(
        "ip", "netns", "exec", bed.a, "sockperf", "pp", "-i", "10.77.2.1", "-p", "5001", "-t", "1", "--mps=997")
      try bed.finish(recording)
      return try bed.report("r")
    }

    private func expectNoneMissing(_ report: Report) {
      for segment in report.segments where segment.direction == "east-west" {
        #expect(segment.unmatched == 0 && segment.lost == 0, "\(segment)")
        #expect(segment.ambiguous <= segment.count / 10, "\(segment)")
      }
    }
  }
}
