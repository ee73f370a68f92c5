// SPDX-License-Identifier: GPL-2.0-or-later
import Foundation
import Testing
import VirtualLab

extension IntegrationSuites {
  /// Paths that no topology has, and hook points that never fire, with real packets.
  @Suite(.serialized) struct ObservedPathTests {
    /// An echo over an address: 101 datagrams each way.
    private func echo(_ bed: Testbed, from client: String, to server: String, _ address: String) throws {
      let echo = try bed.start(
        in: server, "python3", "-c",
        "import socket; s = socket.socket(2, 2); s.bind(('\(address)', 5001)); print('ready', flush=True)\n"
          + "while 1:\n  d, a = s.recvfrom(99); s.sendto(d, a)")
      try echo.expect("ready")
      let answered = try bed.run(
        "ip", "netns", "exec", client, "python3", "-c",
        "import socket; s = socket.socket(2, 2); s.settimeout(5); s.connect(('\(address)', 5001))\n"
          + "for i in range(101): s.send(b'%08d' % i); s.recv(99)\nprint('answered', i + 1)")
      #expect(answered.contains("answered 101"))
      usleep(1_300_000)
    }

    @Test func theLoopbackDeviceHandsPacketsToItself() throws {
      let bed = try Testbed()
      let recording = try bed.start([
        Testbed.latprobe, "record", "--topology", "host-nic", "--netns", bed.a, "--dev", "lo", "-o", bed.path("r"),
      ])
      try recording.expect("recording ")
      try echo(bed, from: bed.a, to: bed.a, "127.0.0.1")
      try bed.finish(recording)
      let report = try bed.report("r")
      #expect(Set(report.segments.map(\.direction)) == ["tx+rx"])
      for segment in report.segments {
        #expect(segment.count == 202 && segment.lost + segment.unmatched + segment.ambiguous == 0, "\(segment)")
        #expect(segment.minNs ?? -1 > 0)
      }
      #expect(!report.warnings.contains { $0.contains("clock") }, "\(report.warnings)")
    }

    /// A veth pair without NAPI delivers by netif_rx alone.
    @Test func aHookPointThatNeverFiresIsNamed() throws {
      let bed = try Testbed()
      let topology = bed.path("blind.yaml")
      try """
      format: 1
      name: blind
      summary: veth, with a way to rxg0 that no packet takes
      hooks:
        txg1: {side: guest, watch: guest-device, candidates: [{tracepoint: net_dev_queue}]}
        txg2: {side: guest, watch: guest-device, candidates: [{tracepoint: net_dev_start_xmit}]}
        rxg0: {side: guest, watch: guest-device, candidates: [{tracepoint: napi_gro_receive_entry}]}
        rxg1:
          side: guest
          watch: guest-socket
          parts:
            udp: [{function: skb_consume_udp}, {tracepoint: sock_recv_length, with: [sk_data_ready]}]
      paths:
        across: [txg1, txg2, rxg0, rxg1]
      names: {txg1-txg2: qdisc}
      """.write(toFile: topology, atomically: true, encoding: .utf8)
      let recording = try bed.start([
        Testbed.latprobe, "record", "--topology", topology, "--netns", bed.a, "--netns", bed.b, "--filter",
        "udp port 5001", "-o", bed.path("r"),
      ])
      try recording.expect("recording ")
      try echo(bed, from: bed.a, to: bed.b, "10.77.0.2")
      try bed.finish(recording)
      let report = try bed.report("r")
      for segment in report.segments { #expect(segment.lost == 0, "\(segment)") }
      #expect(try report.segment("txg2-rxg1", "across").count == 202)
      #expect(report.warnings.contains { $0.hasPrefix("rxg0 saw none of the packets of across") }, "\(report.warnings)")
      let verdict = try bed.latprobe("gate", bed.path("r"), "--require", "txg2-rxg0 loss < 1%")
      #expect(verdict.status == 3 && verdict.text.contains("rxg0 saw none of the packets"), "\(verdict)")
      #expect(try bed.latprobe("gate", bed.path("r"), "--require", "txg1-rxg1 loss < 1%").status == 0)

      let table = try bed.latprobe("report", bed.path("r"), "-o", bed.path("out")).text
      #expect(table.contains("across, 10.77.0.1 → 10.77.0.2:") && table.contains("across, 10.77.0.2 → 10.77.0.1:"))
      #expect(table.contains(#/txg1-txg2 +qdisc +101 /#))
      let groups = try String(contentsOfFile: bed.path("out/groups.csv"), encoding: .utf8).split(separator: "\n")
      #expect(groups.first?.hasPrefix("segment,direction,") == true && groups.first?.hasSuffix(",name") == true)
      #expect(groups.count { $0.contains("10.77.0.1 -> 10.77.0.2") && $0.hasPrefix("txg1-rxg1,") } == 1)
      let one = try bed.latprobe(
        "gate", bed.path("r"), "--filter", "dst port 5001", "--require", "txg1-rxg1 count >= 101", "--require",
        "txg1-rxg1 count <= 101")
      #expect(one.status == 0, "\(one)")
      let none = try bed.latprobe("report", bed.path("r"), "--filter", "udp port")
      #expect(none.status == 64 && none.errors.contains("column 9"), "\(none)")
    }
  }
}
