// SPDX-License-Identifier: GPL-2.0-or-later
import Foundation
import Recording
import Testing
import VirtualLab

extension IntegrationSuites {
  /// What a filter or a sample picks is the same at every hook point.
  @Suite(.serialized) struct SelectionTests {
    private static let hooks: [HookPoint] = [.txg0, .txg1, .txg2, .txh0, .rxh1, .rxg0, .rxg1]

    /// Stamps by hook, and a check that each is of a flow with `port` on one side.
    private func stamps(_ recording: MachineRecording, port: UInt16) -> [HookPoint: Int] {
      var counts: [HookPoint: Int] = [:]
      for stamp in recording.stamps {
        counts[stamp.hook, default: 0] += 1
        let flow = recording.flows[stamp.flow]
        let isOurs = flow?.sourcePort == port || flow?.destinationPort == port
        if !isOurs { #expect(isOurs, "\(stamp) \(String(describing: flow))") }
      }
      return counts
    }

    @Test func aUDPFilterHoldsAtEveryHook() throws {
      let bed = try Testbed()
      try bed.startPingPongServer()
      let other = try bed.serve("receive", port: 5002, count: 211)
      let recording = try bed.record("r", "--filter", "udp port 5001")
      let pings = try bed.start(in: bed.a, "ping", "-q", "-c", "23", "-i", "0.01", "10.77.0.2")
      try bed.send("counted", port: 5002, count: 211)
      try bed.pingPong()
      #expect(try pings.wait(limit: 10).status == 0)
      #expect(try other.wait(limit: 10).text.contains("received 211"))
      try bed.finish(recording)
      let counts = try stamps(bed.load("r").only(), port: 5001)
      let report = try bed.report("r")
      for hook in SelectionTests.hooks {
        #expect((counts[hook] ?? 0) > 1800, "\(hook): \(counts)")
        #expect(try report.hook(hook.name).filtered >= 211, "\(hook)")
      }
      // Pings both ways as well at the devices.
      #expect(try report.hook("txg1").filtered >= 211 + 46)
      #expect(try report.segment("txg0-rxg1").unmatched == 0)
    }

    @Test func aTCPFilterHoldsAtEveryHook() throws {
      let bed = try Testbed()
      try bed.startIperfServer()
      let other = try bed.serve("accept", port: 5202, count: 11)
      let recording = try bed.record("r", "--filter", "tcp port 5201")
      try bed.send("streams", port: 5202, count: 11)
      try bed.run("ip", "netns", "exec", bed.a, "iperf3", "-c", "10.77.0.2", "-t", "1", "-b", "100M", limit: 20)
      #expect(try other.wait(limit: 10).status == 0)
      try bed.finish(recording)
      let machine = try bed.load("r").only()
      let counts = stamps(machine, port: 5201)
      let report = try bed.report("r")
      for hook in SelectionTests.hooks {
        #expect((counts[hook] ?? 0) > 20, "\(hook): \(counts)")
        #expect(try report.hook(hook.name).filtered >= 11, "\(hook)")
      }
      // What was read from sockets is bytes of a stream.
      #expect(machine.stamps.allSatisfy { ($0.kind == .tcpRange) == ($0.hook == .rxg1) })
    }

    @Test func everyHookSamplesTheSamePackets() throws {
      let bed = try Testbed()
      let server = try bed.serve("receive", count: 1999)
      let recording = try bed.record("r", "--sample", "1/8", "--filter", "udp dst port 5001")
      try bed.send("counted", count: 1999, gap: 0.5)
      #expect(try server.wait(limit: 10).text.contains("received 1999"))
      try bed.finish(recording)
      let report = try bed.report("r")
      let sampled = try report.hook("txg1").emitted
      // Binomial: 250 expected, standard deviation 15.
      #expect(sampled > 175 && sampled < 325)
      for hook in SelectionTests.hooks {
        let ledger = try report.hook(hook.name)
        #expect(ledger.emitted == sampled && ledger.emitted + ledger.sampledOut == 1999, "\(ledger)")
        #expect(ledger.seen == ledger.emitted + ledger.sampledOut + ledger.filtered, "\(ledger)")
      }
      for segment in report.segments where segment.direction == "east-west" {
        #expect(segment.count == Int(sampled) && segment.unmatched == 0 && segment.lost == 0, "\(segment)")
      }
    }

    @Test func tcpIsSampledByWholeFlows() throws {
      let bed = try Testbed()
      let server = try bed.serve("accept", count: 101)
      let recording = try bed.record("r", "--sample", "1/4", "--filter", "tcp port 5001")
      try bed.send("streams", count: 101)
      #expect(try server.wait(limit: 10).status == 0)
      try bed.finish(recording)
      let machine = try bed.load("r").only()
      var bytes: [UInt16: Int] = [:]
      var answers: Set<UInt16> = []
      for stamp in machine.stamps where stamp.hook == .txg1 {
        let flow = try #require(machine.flows[stamp.flow])
        if flow.destinationPort == 5001 {
          bytes[flow.sourcePort, default: 0] += Int(stamp.payloadLength)
        } else {
          answers.insert(flow.destinationPort)
        }
      }
      // Binomial: 25 expected, standard deviation 4.4. Each flow with every byte of it, and its other direction.
      #expect(bytes.count > 5 && bytes.count < 50, "\(bytes.count) flows")
      #expect(bytes.values.allSatisfy { $0 == 10_000 }, "\(bytes)")
      #expect(answers == Set(bytes.keys))
      let report = try bed.report("r")
      #expect(try report.hook("txg1").sampledOut > 101)
      let read = machine.stamps.filter { $0.hook == .rxg1 }.reduce(0) { $0 + Int($1.length) }
      #expect(read == 10_000 * bytes.count)
      for segment in report.segments { #expect(segment.unmatched == 0 && segment.lost == 0, "\(segment)") }
    }

    @Test func ipv6MatchesEndToEnd() throws {
      let bed = try Testbed()
      let server = try bed.serve("receive", on: "fd77::2", count: 499)
      let streams = try bed.serve("accept", on: "fd77::2", port: 5002, count: 11)
      let recording = try bed.record("r", "--filter", "ip6 and (udp or tcp)")
      try bed.send("counted", to: "fd77::2", count: 499)
      try bed.send("streams", to: "fd77::2", port: 5002, count: 11)
      #expect(try server.wait(limit: 10).text.contains("received 499") && streams.wait(limit: 10).status == 0)
      try bed.finish(recording)
      let report = try bed.report("r")
      for segment in report.segments where segment.direction == "east-west" {
        #expect(segment.count >= 499 && segment.lost == 0 && segment.unmatched == 0, "\(segment)")
        #expect((segment.minNs ?? -1) >= 0, "\(segment)")
      }
      #expect(try report.segment("txg0-rxg1").count > 499, "UDP and TCP")
    }

    /// The sender's tag stands in the frame; the bridge takes it out and hands it on beside the frame. Raw frames,
    /// because not every kernel has VLAN devices.
    @Test func taggedFramesMatchFromDeviceToDevice() throws {
      let bed = try Testbed()
      let recording = try bed.record("r", "--filter", "udp port 5001")
      try bed.send("tagged", to: "10.77.0.2", count: 499)
      try bed.finish(recording)
      let report = try bed.report("r")
      for name in ["txg1-txg2", "txg2-txh0", "txh0-rxh1", "rxh1-rxg0", "txg1-rxg0"] {
        let segment = try report.segment(name)
        #expect(segment.count == 499 && segment.lost == 0 && segment.unmatched == 0, "\(segment)")
      }
      let machine = try bed.load("r").only()
      #expect(machine.stamps.allSatisfy { $0.kind == .udp && $0.length == 36 && $0.headerLength == 28 })
    }

    @Test func pingsMatchBothWays() throws {
      let bed = try Testbed()
      let recording = try bed.record("r", "--filter", "icmp")
      try bed.run("ip", "netns", "exec", bed.a, "ping", "-q", "-c", "101", "-i", "0.01", "10.77.0.2")
      try bed.finish(recording)
      let report = try bed.report("r")
      let segment = try report.segment("txg1-rxg0")
      #expect(
        segment.count == 202 && segment.lost == 0 && segment.unmatched == 0 && segment.ambiguous == 0, "\(segment)")
      // Requests alone have an application that sends, answers alone one that reads.
      #expect(try report.hook("txg0").emitted == 101 && report.hook("rxg1").emitted == 101)
    }
  }
}
