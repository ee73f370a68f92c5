// SPDX-License-Identifier: GPL-2.0-or-later
import Analysis
import Foundation
import Recording
import Testing
import VirtualLab

extension IntegrationSuites {
  /// A KVM host and its guest on real kernels, under emulation: function, order, counts and clocks, never latency.
  ///
  /// A boot takes 20 s and more, so that one test does several things to the machines it has.
  @Suite struct LabTests {
    @Test func hostAndGuestOnOneTimeLine() throws {
      let lab = try LabRun(kernel: "6.1")
      let before = try lab.expectWholeJourneys()
      try lab.expectEveryRungToCountTheSame()
      try lab.expectDelayInTheHostsQueue(before)
      try lab.expectStoppedVirtualCPU(before, cpu: 0)
      try lab.expectClocksToStayAligned()
      try lab.expectBulkWithoutWrongMatches()
    }

    @Test func newerKernelWithThrottledNIC() throws {
      let lab = try LabRun(kernel: "6.12", cpus: 2, nicOptions: "tx=timer,x-txtimer=8000000")
      try lab.pinThreads(vhost: 1, others: 0)
      let before = try lab.expectDelayInTheNIC()
      try lab.expectStoppedVirtualCPU(before, cpu: 0)
      try lab.expectStoppedVhost(before, cpu: 1)
    }
  }
}

/// A booted lab and what is asked of it.
final class LabRun {
  static let port: UInt16 = 11111
  static let tx = ["txg0", "txg1", "txg2", "txh0", "txh1", "txh2"]
  static let rx = ["rxh0", "rxh1", "rxg0", "rxg1"]

  let lab: VirtualLab
  private let scenario: Scenario
  private let scratch: URL
  private var sessions = 0

  init(kernel: String, cpus: Int = 1, nicOptions: String? = nil) throws {
    scratch = FileManager.default.temporaryDirectory.appendingPathComponent("latprobe-lab-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: scratch, withIntermediateDirectories: true)
    let tree = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
      .deletingLastPathComponent().path
    let options = LabOptions(tree: tree, latprobe: Testbed.latprobe)
    scenario = try Scenario.parse(
      """
      format: 1
      name: test
      summary: machines for a test
      host: {kernel: "\(kernel)", cpus: \(cpus)\(nicOptions.map { ", nic_options: \"\($0)\"" } ?? "")}
      guest: {kernel: "\(kernel)"}
      recording: {topology: kvm-vhost}
      workload: []
      """, file: "test")
    lab = try VirtualLab.boot(scenario, options) { print("lab: booting again, because \($0)") }
    try lab.guest.run("sockperf server --ip 10.77.0.3 --port \(Self.port) >/tmp/sockperf.log 2>&1 & sleep 1")
    try lab.guest.run("latprobe agent vsock: >/tmp/agent.log 2>&1 & sleep 1")
  }

  deinit { try? FileManager.default.removeItem(at: scratch) }

  // ------------------------------------------------------------------------------------------ recording

  /// Records host and guest with one command on the host while `workload` runs.
  func session(_ workload: () throws -> Void) throws -> LabSession {
    sessions += 1
    let folder = "/var/tmp/session\(sessions)"
    let recording = try lab.startRecording(
      VirtualLab.arguments(scenario.recording) + ["--guest", "vsock:\(VirtualLab.guestCID)"],
      in: folder)
    usleep(500_000)
    try workload()
    usleep(1_500_000)
    try recording.stop()
    let here = scratch.appendingPathComponent("\(sessions)").path
    try lab.host.fetch(folder, into: here)
    try lab.host.run("rm -rf \(folder)")
    return try LabSession(here)
  }

  func pingPong(seconds: Int, rate: Int = 100) throws {
    try lab.runOutside("sockperf ping-pong --ip 10.77.0.3 --port \(Self.port) --mps \(rate) --time \(seconds)")
  }

  // -------------------------------------------------------------------------------------- what is asked

  /// 1 000 packets each way have all their hook points, in order, and no more time inside than outside.
  func expectWholeJourneys() throws -> LabSession {
    let capture = scratch.appendingPathComponent("outside.pcap").path
    let tcpdump = try lab.startOutside([
      "tcpdump", "-i", "nic0", "-w", capture, "--time-stamp-precision=nano", "-s", "128", "-Z", "root",
      "udp port \(Self.port)",
    ])
    try tcpdump.expect("listening on")
    let session = try session { try pingPong(seconds: 10) }
    let packets = try Dump(command: tcpdump, path: capture).finish().packets

    for (path, toPort) in [(Self.tx, false), (Self.rx, true)] {
      let keys = path.map { session.keys(at: $0, to: Self.port, toPort) }
      let all = keys.reduce(into: Set<UInt64>()) { $0.formUnion($1) }
      let whole = keys.reduce(all) { $0.intersection($1) }
      #expect(all.count >= 900, "\(path)")
      #expect(Double(whole.count) >= 0.999 * Double(all.count), "\(whole.count) of \(all.count); \(keys.map(\.count))")
    }
    expectOrder(session)
    try session.expectAlignment()

    let inside = (session.inside("rx", leavingOut: nil), session.inside("tx", leavingOut: "txh1-txh2"))
    var compared = 0
    for (request, reply) in zip(packets, packets.dropFirst())
    where request.destinationPort == Self.port && reply.destinationPort != Self.port {
      guard let rx = inside.0[request.key], let tx = inside.1[reply.key] else { continue }
      compared += 1
      #expect(reply.time - request.time >= rx + tx - 2 * session.error, "\(reply.time - request.time) \(rx) \(tx)")
    }
    #expect(compared >= 900)
    return session
  }

  /// The four rungs of the ladder, in four recordings of the same packets.
  func expectEveryRungToCountTheSame() throws {
    let hooks = [
      ("txh0", "guest-tap", "netif_receive_skb", "netif_receive_skb"),
      ("txh1", "host-device", "net_dev_start_xmit", "dev_hard_start_xmit"),
      ("rxh0", "host-device", "napi_gro_receive_entry", "napi_gro_receive"),
      ("rxh1", "guest-tap", "net_dev_start_xmit", "dev_hard_start_xmit"),
    ]
    let rungs = ["tp_btf", "raw_tp", "fentry", "kprobe"]
    var recordings: [VirtualLab.Recording] = []
    for rung in rungs {
      var text = "format: 1\nname: \(rung)\nsummary: one rung\nhooks:\n"
      for (hook, watch, tracepoint, function) in hooks {
        let symbol = rung.hasSuffix("tp") || rung == "tp_btf" ? "tracepoint: \(tracepoint)" : "function: \(function)"
        text += "  \(hook): {side: host, watch: \(watch), candidates: [{\(symbol), rungs: [\(rung)]}]}\n"
      }
      text += "paths: {tx: [txh0, txh1], rx: [rxh0, rxh1]}\n"
      try lab.host.run("echo \(Data(text.utf8).base64EncodedString()) | base64 -d >/tmp/\(rung).yaml")
      recordings.append(
        try lab.startRecording(
          ["--topology", "/tmp/\(rung).yaml", "--side", "host", "--guest-name", "lab-guest", "--dev", "eth0"],
          in: "/var/tmp/\(rung)"))
    }
    usleep(500_000)
    try pingPong(seconds: 2)
    usleep(500_000)
    for recording in recordings { try recording.stop() }
    var counts: [[String: Int]] = []
    for rung in rungs {
      let here = scratch.appendingPathComponent(rung).path
      try lab.host.fetch("/var/tmp/\(rung)", into: here)
      let session = try LabSession(here)
      for hook in session.machines.flatMap(\.machine.hooks) {
        #expect(hook.attachedAs?.hasPrefix(rung + ":") == true, "\(hook)")
      }
      counts.append(
        Dictionary(uniqueKeysWithValues: hooks.map { ($0.0, session.count(at: $0.0, port: Self.port)) }))
    }
    #expect(counts.allSatisfy { $0 == counts[0] }, "\(counts)")
    #expect(counts[0].values.allSatisfy { $0 > 150 }, "\(counts)")
  }

  /// tbf lets one frame of 106 bytes through in 15 ms, and a reply only leaves after the one before.
  func expectDelayInTheHostsQueue(_ before: LabSession) throws {
    try lab.host.run("tc qdisc replace dev eth0 root tbf rate 56kbit burst 106 limit 100000")
    defer { _ = try? lab.host.run("tc qdisc delete dev eth0 root") }
    let session = try session {
      try lab.runOutside("sockperf ping-pong --ip 10.77.0.3 --port \(Self.port) --msg-size 64 --time 4")
    }
    try session.expect(planted: ["txh0-txh1"], comparedWith: before, median: 5_000_000)
  }

  /// In Linux 6.1 vhost's thread is one of the kernel's, from 6.4 on it is one of QEMU's.
  func pinThreads(vhost: Int, others: Int) throws {
    try lab.host.run(
      """
      for task in /proc/[0-9]*/task/[0-9]*; do case "$(cat $task/comm)" in \
      vhost-*) taskset -cp \(vhost) ${task##*/};; qemu*|CPU*) taskset -cp \(others) ${task##*/};; esac; done
      """)
  }

  /// Records `workload` while a real-time hog takes a CPU of the host for 20 ms, time and again: threads
  /// there stand still. What the kernel does in interrupts goes on.
  private func sessionWithHog(cpu: Int, _ workload: () throws -> Void) throws -> LabSession {
    let script = """
      count() { i=0; while [ $i -lt $1 ]; do i=$((i+1)); done; }; \
      a=$(cut -d' ' -f1 /proc/uptime | tr -d .); count 200000; b=$(cut -d' ' -f1 /proc/uptime | tr -d .); \
      n=$((200000*2/(b-a+1))); while :; do count $n; usleep 60000; done
      """
    try lab.host.run("echo '\(script.replacingOccurrences(of: "'", with: "'\\''"))' >/tmp/hog")
    let hog = "taskset -c \(cpu) /usr/bin/chrt -f 50 /busybox/busybox sh /tmp/hog"
    let pid = try lab.host.run("\(hog) >/dev/null 2>&1 & echo $!").trimmingCharacters(in: .whitespacesAndNewlines)
    usleep(3_000_000)
    return try session {
      try workload()
      try lab.host.run("kill -9 \(pid)")
    }
  }

  /// A packet that comes in meanwhile waits for the guest's interrupt, and nowhere else.
  func expectStoppedVirtualCPU(_ before: LabSession, cpu: Int) throws {
    let session = try sessionWithHog(cpu: cpu) { try pingPong(seconds: 8) }
    try session.expect(
      slower: ["rxh1-rxg0"], alike: ["rxh0-rxh1", "txg2-txh0", "txh0-txh1"], comparedWith: before)
    expectOrder(session)
  }

  /// A packet that the guest sends meanwhile waits in the queue of its device, and nowhere else.
  func expectStoppedVhost(_ before: LabSession, cpu: Int) throws {
    let server = try lab.startOutside(["sockperf", "server", "--ip", "10.77.0.1", "--port", "\(Self.port)"])
    defer { server.signal(SIGTERM) }
    try server.expect("listen on")
    let session = try sessionWithHog(cpu: cpu) {
      try lab.guest.run("sockperf ping-pong --ip 10.77.0.1 --port \(Self.port) --mps 50 --time 8", limit: 30)
    }
    try session.expect(
      slower: ["txg2-txh0"], alike: ["txg0-txg1", "txg1-txg2", "txh0-txh1", "rxh0-rxh1"], comparedWith: before)
    expectOrder(session)
  }

  /// The guest's wall clock steps by a second and its kernel clock runs 200 ppm faster from then on.
  func expectClocksToStayAligned() throws {
    let session = try session {
      try pingPong(seconds: 3)
      try lab.guest.run("date -s @$(($(date +%s)+1)) >/dev/null; adjtimex -f 13107200 >/dev/null")
      try pingPong(seconds: 3)
    }
    try lab.guest.run("adjtimex -f 0 >/dev/null")
    expectOrder(session)
    try session.expectAlignment()
  }

  /// TCP both ways, with segments that virtio-net hands over whole.
  func expectBulkWithoutWrongMatches() throws {
    try lab.guest.run("iperf3 -s -D")
    let session = try session {
      for direction in ["", "-R"] {
        // The server takes a moment to be free again.
        try lab.runOutside("sleep 1; iperf3 -c 10.77.0.3 -t 2 \(direction)")
      }
    }
    expectOrder(session)
    for name in ["txg2-txh0", "txh0-txh1", "rxh0-rxh1", "rxh1-rxg0"] {
      let segment = try session.segment(name)
      let rest = segment.lost + segment.unmatched + segment.ambiguous + segment.late
      #expect(segment.count > 300 && rest * 20 <= segment.count, "\(name): \(segment.count), but \(rest)")
    }
    #expect(session.machines.flatMap(\.stamps).contains { $0.kind == .tcp && $0.length > 2_000 })
  }

  /// QEMU's timer hands a frame on 8 ms after the driver has kicked.
  func expectDelayInTheNIC() throws -> LabSession {
    let session = try session { try pingPong(seconds: 5, rate: 50) }
    expectOrder(session)
    try session.expectAlignment()
    for name in zip(Self.tx, Self.tx.dropFirst()).map({ "\($0)-\($1)" }) {
      let segment = try session.segment(name)
      let median = try #require(segment.summary?.quantiles.first?.value)
      #expect(segment.count >= 200, "\(name)")
      if name == "txh1-txh2" {
        #expect(median >= 6_000_000, "\(name) \(median)")
      } else {
        #expect(median <= 4_000_000, "\(name) \(median)")
      }
    }
    return session
  }

  /// No packet arrives before it was sent, beyond the error of the clocks.
  private func expectOrder(_ session: LabSession) {
    for segment in session.result.segments {
      if let least = segment.summary?.min { #expect(least >= -segment.errorBound, "\(segment.name) \(least)") }
    }
    #expect(session.result.clockFaults == [])
    #expect(session.result.damage == [])
  }
}

/// A session of the lab, analysed.
struct LabSession {
  let machines: [MachineRecording]
  let result: SessionResult

  init(_ folder: String) throws {
    let recorded = try RecordedSession.load(paths: [folder])
    #expect(recorded.damage == [])
    machines = recorded.machines
    result = try analyse(session: recorded.session, recordings: recorded.machines)
    for row in machines.flatMap(\.machine.ledger) { #expect(row.lost == 0, "\(row)") }
  }

  /// ε of the guest's alignment with the host.
  var error: Int64 { result.clockError ?? .max / 4 }

  func segment(_ name: String) throws -> SegmentResult {
    guard let segment = result.segments.first(where: { $0.name == name }) else {
      throw TestbedError(description: "no segment \(name) among \(result.segments.map(\.name)): \(result.warnings)")
    }
    return segment
  }

  /// Keys of the UDP packets at a hook point that go to the port, or that come from it.
  func keys(at hook: String, to port: UInt16, _ isTo: Bool) -> Set<UInt64> {
    var keys: Set<UInt64> = []
    for machine in machines {
      for stamp in machine.stamps where stamp.hook.name == hook && stamp.kind == .udp {
        let flow = machine.flows[stamp.flow]
        if isTo ? flow?.destinationPort == port : flow?.sourcePort == port { keys.insert(stamp.key) }
      }
    }
    return keys
  }

  func count(at hook: String, port: UInt16) -> Int {
    machines.reduce(0) { sum, machine in
      sum
        + machine.stamps.count { stamp in
          let flow = machine.flows[stamp.flow]
          return stamp.hook.name == hook && (flow?.destinationPort == port || flow?.sourcePort == port)
        }
    }
  }

  /// By packet key: the sum of a path's segments, but for one; of packets that have them all.
  func inside(_ path: String, leavingOut: String?) -> [UInt64: Int64] {
    let segments = result.segments.filter { $0.direction == path && $0.isNeighbour }
    var sums: [UInt32: (count: Int, sum: Int64)] = [:]
    for segment in segments {
      for (packet, delay) in zip(segment.packets, segment.delays) {
        sums[packet, default: (0, 0)].count += 1
        if segment.name != leavingOut { sums[packet, default: (0, 0)].sum += delay }
      }
    }
    // The host's times are those of the session, so a stamp there tells whose packet it is.
    var keys: [UInt64: UInt64] = [:]
    for machine in machines where machine.machine.role == "host" {
      for stamp in machine.stamps where stamp.hook.name == (path == "tx" ? "txh0" : "rxh0") {
        keys[stamp.time] = stamp.key
      }
    }
    var result: [UInt64: Int64] = [:]
    guard let known = segments.first(where: { $0.name == (path == "tx" ? "txh0-txh1" : "rxh0-rxh1") }) else {
      return [:]
    }
    for (packet, start) in zip(known.packets, known.starts) {
      if let key = keys[start], let sum = sums[packet], sum.count == segments.count { result[key] = sum.sum }
    }
    return result
  }

  /// TSC and ptp_kvm, and the agent's exchanges, agree within their errors.
  func expectAlignment() throws {
    let clock = try #require(result.clocks.first, "\(result.warnings)")
    #expect(clock.method == "tsc")
    for name in ["tsc", "ptp_kvm", "exchange"] {
      let method = try #require(clock.methods.first { $0.name == name })
      #expect(method.failure == nil, "\(name): \(method.failure ?? "")")
      if let distance = method.disagreement, let allowance = method.allowance {
        #expect(distance <= allowance, "\(name): \(distance) of \(allowance)")
      }
    }
    #expect(result.clockFaults == [])
  }

  /// The median of the planted segments is greater than in another session by a delay, that of the others is not.
  func expect(planted: [String], comparedWith before: LabSession, median delay: Int64) throws {
    for segment in result.segments where segment.isNeighbour {
      let now = try #require(segment.summary?.quantiles.first?.value, "\(segment.name)")
      let then = try #require(before.segment(segment.name).summary?.quantiles.first?.value)
      if planted.contains(segment.name) {
        #expect(now >= then + delay, "\(segment.name): \(then) → \(now)")
      } else {
        #expect(now <= then + delay / 2, "\(segment.name): \(then) → \(now)")
      }
    }
  }

  /// Every tenth packet takes 3 ms longer through some segments than in another session, and not through others.
  func expect(slower: [String], alike: [String], comparedWith before: LabSession) throws {
    func p90(_ session: LabSession, _ name: String) throws -> Int64 {
      try #require(session.segment(name).summary?.quantiles.first { $0.probability == 0.9 }?.value)
    }
    for name in slower + alike {
      let (then, now) = (try p90(before, name), try p90(self, name))
      if slower.contains(name) {
        #expect(now >= then + 3_000_000, "\(name): \(then) → \(now)")
      } else {
        #expect(now <= then + 1_500_000, "\(name): \(then) → \(now)")
      }
    }
  }
}
