// SPDX-License-Identifier: GPL-2.0-or-later
import Foundation
import Recording
import Testing
import VirtualLab

extension IntegrationSuites {
  @Suite struct RecordTests {
    @Test func udpPingPongPassesEveryHook() throws {
      let bed = try Testbed()
      let server = try bed.start(in: bed.b, "sockperf", "sr", "-i", "10.77.0.2", "-p", "5001")
      try server.expect("using recvfrom")
      // The filter keeps out what repeats by nature (IPv6 router solicitations): that is ambiguous, rightly.
      let recording = try bed.record("r", "--filter", "udp port 5001")
      try bed.run(
        "ip", "netns", "exec", bed.a, "sockperf", "pp", "-i", "10.77.0.2", "-p", "5001", "-t", "1", "--mps=997")
      try bed.finish(recording)
      let report = try bed.report("r")
      let whole = try report.segment("txg0-rxg1")
      #expect(whole.count > 900)
      for segment in report.segments where segment.direction == "east-west" {
        #expect(segment.ambiguous == 0 && segment.lost == 0 && segment.unmatched == 0, "\(segment)")
        #expect((segment.minNs ?? -1) >= 0, "\(segment)")
      }
      for hook in report.hooks { #expect(hook.lost == 0 && hook.emitted > 900, "\(hook)") }
      let cost = try #require(try bed.load("r").only().machine.stampCost)
      #expect(cost > 20 && cost < 100_000)
    }

    /// Datagrams that leave in one packet are told apart, and not called lost where the stack has split them.
    @Test func datagramsInOnePacketAreNotLost() throws {
      let bed = try Testbed()
      let server = try bed.serve("receive", count: 7 * 97)
      let recording = try bed.record("r", "--filter", "udp dst port 5001")
      try bed.send("segmented", count: 97)
      #expect(try server.wait(limit: 10).text.contains("received \(7 * 97)"))
      // Beyond the match window, or all would be cut off.
      usleep(1_200_000)
      try bed.finish(recording)
      let stamps = try bed.load("r").only().stamps
      for stamp in stamps { #expect(stamp.sequence == (stamp.hook == .rxg1 ? 0 : 100), "\(stamp)") }
      let report = try bed.report("r")
      #expect(try report.segment("txg1-rxg0").count == 97)
      let read = try report.segment("rxg0-rxg1")
      #expect(read.count == 0 && read.lost == 0 && read.unmatched >= 97, "\(read)")
    }
  }
}
