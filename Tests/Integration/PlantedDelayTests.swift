// SPDX-License-Identifier: GPL-2.0-or-later
import Foundation
import Testing
import VirtualLab

extension IntegrationSuites {
  /// A delay of known place and size.
  @Suite struct PlantedDelayTests {
    private static let path = ["txg0", "txg1", "txg2", "txh0", "rxh1", "rxg0", "rxg1"]

    @Test func delayInTheBridgeShowsThereAlone() throws {
      let bed = try Testbed()
      try expectDelay(bed, in: bed.bridge, "vb", from: "txh0", to: "rxh1")
    }

    @Test func delayInTheGuestsQueueShowsThereAlone() throws {
      let bed = try Testbed()
      try expectDelay(bed, in: bed.a, "eth0", from: "txg1", to: "txg2")
    }

    /// Plants 2 ms with tbf on a device's way out. One frame of 1042 bytes takes all of the bucket, which fills at
    /// 521 bytes a millisecond, so each of a ping-pong's requests waits until 2 ms have passed since the one before.
    private func expectDelay(
      _ bed: Testbed, in namespace: String, _ device: String, from: String, to: String
    ) throws {
      try bed.run(
        "tc", "-n", namespace, "qdisc", "add", "dev", device, "root", "tbf", "rate", "4168kbit", "burst", "1042",
        "limit", "100000")
      let server = try bed.start(in: bed.b, "sockperf", "sr", "-i", "10.77.0.2", "-p", "5001")
      try server.expect("using recvfrom")
      let recording = try bed.record("r", "--filter", "udp dst port 5001")
      try bed.run(
        "ip", "netns", "exec", bed.a, "sockperf", "pp", "-i", "10.77.0.2", "-p", "5001", "-t", "1", "-m", "1000")
      try bed.finish(recording)
      let report = try bed.report("r")

      let (begin, end) = (try #require(Self.path.firstIndex(of: from)), try #require(Self.path.firstIndex(of: to)))
      let segments = report.segments.filter { $0.direction == "east-west" }
      try #require(segments.count >= Self.path.count)
      for segment in segments {
        let ends = segment.name.split(separator: "-").map(String.init)
        let first = try #require(Self.path.firstIndex(of: ends[0]))
        let last = try #require(Self.path.firstIndex(of: ends[1]))
        let median = try #require(segment.p50Ns, "\(segment)")
        #expect(segment.count > 300, "\(segment)")
        if first <= begin && last >= end {
          #expect(median >= 1_500_000 && median <= 2_500_000, "\(segment)")
        } else {
          #expect(median < 200_000, "\(segment)")
        }
      }
    }
  }
}
