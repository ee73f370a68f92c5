// SPDX-License-Identifier: GPL-2.0-or-later
import Analysis
import Foundation
import Recording
import Testing
import VirtualLab

/// A booted lab and what is asked of it.
final class LabRun {
  static let port: UInt16 = 11111
  static let tx = ["txg0", "txg1", "txg2", "txh0", "txh1", "txh2"]
  static let rx = ["rxh0", "rxh1", "rxg0", "rxg1"]

  let lab: VirtualLab
  private let machines: LabMachines
  private let scenario: Scenario
  private let scratch: URL
  private var sessions = 0

  init(_ machines: LabMachines) throws {
    self.machines = machines
    scratch = FileManager.default.temporaryDirectory.appendingPathComponent("latprobe-lab-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: scratch, withIntermediateDirectories: true)
    let tree = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
      .deletingLastPathComponent().path
    let options = LabOptions(tree: tree, latprobe: Testbed.latprobe)
    scenario = try Scenario.parse(machines.scenario, file: "test")
    lab = try VirtualLab(scenario, options)
    try lab.guest.run("sockperf server --ip 10.77.0.3 --port \(Self.port) >/tmp/sockperf.log 2>&1 & sleep 1")
    try lab.guest.run("latprobe agent \(machines.agent.listens) >/tmp/agent.log 2>&1 & sleep 1")
  }

  deinit { try? FileManager.default.removeItem(at: scratch) }

  /// Asks `body` of booted machines. Where the emulator crashes it is asked again of new ones; three crashes in a row
  /// fail the test.
  static func with(_ machines: LabMachines, _ body: (LabRun) throws -> Void) throws {
    try VirtualLab.again(onRetry: { print("lab: beginning again, because \($0)") }) {
      let run = try LabRun(machines)
      do { try body(run) } catch let error as LabError where !error.hung {
        try run.expectBothToAnswer()
        throw error
      }
    }
  }

  /// What failed first may be a command on the host that noticed the guest's crash: then the guest's own silence, and
  /// the last words on its console, are the error.
  private func expectBothToAnswer() throws {
    for machine in [lab.host, try lab.guest] { try machine.run("true", limit: 20) }
  }

  // ------------------------------------------------------------------------------------------ recording

  /// Records host and guest with one command on the host while `workload` runs.
  func session(topology: String? = nil, _ workload: () throws -> Void) throws -> LabSession {
    sessions += 1
    let folder = "/var/tmp/session\(sessions)"
    var options = scenario.recording
    options.topology = topology ?? options.topology
    let recording = try lab.startRecording(
      VirtualLab.arguments(options) + ["--guest", machines.agent.url], in: folder)
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

  /// Emulation stalls now and then: a delay or a number of packets that is not as it should be is measured again, twice
  /// at most, and the log says so. What must hold in any case is asked with `#expect`.
  private func repeated<T>(_ measure: (_ attempt: Int) throws -> T) throws -> T {
    for attempt in 1...2 {
      do { return try measure(attempt) } catch let error where LabRun.mayPass(error) {
        try expectBothToAnswer()
        print("lab: measuring again, because \(error)")
      }
    }
    return try measure(3)
  }

  /// Not after a crash: the machines are gone.
  private static func mayPass(_ error: any Error) -> Bool { error is Unmet || (error as? LabError)?.hung == false }

  // -------------------------------------------------------------------------------------- what is asked

  /// 1 000 packets each way have all their hook points, in order, and no more time inside than outside.
  func expectWholeJourneys() throws -> LabSession {
    let (session, packets) = try repeated { attempt -> (LabSession, [CapturedPacket]) in
      let capture = scratch.appendingPathComponent("outside\(attempt).pcap").path
      let tcpdump = try lab.startOutside([
        "tcpdump", "-i", "nic0", "-w", capture, "--time-stamp-precision=nano", "-s", "128", "-Z", "root",
        "udp port \(Self.port)",
      ])
      try tcpdump.expect("listening on")
      let recorded = try self.session { try pingPong(seconds: 12 * attempt) }
      let packets = try Dump(command: tcpdump, path: capture).finish().packets
      try need(recorded.keys(at: "rxh0", to: Self.port, true).count >= 1_000, "fewer than 1 000 packets")
      return (recorded, packets)
    }
    for (path, toPort) in [(Self.tx, false), (Self.rx, true)] {
      let keys = path.map { session.keys(at: $0, to: Self.port, toPort) }
      let all = keys.reduce(into: Set<UInt64>()) { $0.formUnion($1) }
      let whole = keys.reduce(all) { $0.intersection($1) }
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
      #expect(reply.time - request.time >= rx + tx - session.error, "\(reply.time - request.time) \(rx) \(tx)")
    }
    #expect(compared >= 990)
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
    #expect(counts[0].values.allSatisfy { $0 > 20 }, "\(counts)")
  }

  /// tbf lets one frame of 106 bytes through in 15 ms, and a reply only leaves after the one before.
  func expectDelayInTheHostsQueue(_ before: LabSession) throws {
    try lab.host.run("tc qdisc replace dev eth0 root tbf rate 56kbit burst 106 limit 100000")
    defer { _ = try? lab.host.run("tc qdisc delete dev eth0 root") }
    try repeated { _ in
      let session = try session {
        try lab.runOutside("sockperf ping-pong --ip 10.77.0.3 --port \(Self.port) --msg-size 64 --time 4")
      }
      try session.expect(planted: ["txh0-txh1"], comparedWith: before, median: 5_000_000)
    }
  }

  /// In Linux 6.1 vhost's thread is one of the kernel's, from 6.4 on it is one of QEMU's.
  func pinThreads(vhost: Int, others: Int) throws {
    try lab.host.run(
      """
      for task in /proc/[0-9]*/task/[0-9]*; do case "$(cat $task/comm)" in \
      vhost-*) taskset -cp \(vhost) ${task##*/};; qemu*|CPU*) taskset -cp \(others) ${task##*/};; esac; done
      """)
  }

  /// Records `workload` while a real-time hog takes a CPU of the host for 40 ms, time and again: threads
  /// there stand still. What the kernel does in interrupts goes on.
  private func sessionWithHog(cpu: Int, _ workload: () throws -> Void) throws -> LabSession {
    let script = """
      count() { i=0; while [ $i -lt $1 ]; do i=$((i+1)); done; }; \
      a=$(cut -d' ' -f1 /proc/uptime | tr -d .); count 200000; b=$(cut -d' ' -f1 /proc/uptime | tr -d .); \
      n=$((200000*4/(b-a+1))); while :; do count $n; usleep 40000; done
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

  /// Threads on a CPU of the host stand still time and again: that shows in some segments, and not in others.
  ///
  /// The guest's sender waits for no answer, or it would fall into step with what stops its packets.
  func expectStopped(
    cpu: Int, sender: Scenario.Place = .outside, slower: [String], alike: [String], comparedWith before: LabSession
  ) throws {
    try repeated { _ in
      let session = try sessionWithHog(cpu: cpu) {
        if sender == .guest {
          try lab.guest.run("ping -q -i 0.03 -c 250 10.77.0.1")
        } else {
          try pingPong(seconds: 8, rate: 50)
        }
      }
      try session.expect(slower: slower, alike: alike, comparedWith: before)
      expectOrder(session)
    }
  }

  /// The guest's wall clock steps by a second and its kernel clock runs 200 ppm faster from then on.
  func expectClocksToStayAligned() throws {
    try repeated { _ in
      let session = try session {
        try pingPong(seconds: 3)
        try lab.guest.run("date -s @$(($(date +%s)+1)) >/dev/null; adjtimex -f 13107200 >/dev/null")
        try pingPong(seconds: 9)
      }
      try lab.guest.run("adjtimex -f 0 >/dev/null")
      expectOrder(session)
      try session.expectAlignment()
      // Not corrected, the delays would be off by a second, or drift apart by 1.6 ms in the 8 s between the two parts.
      for name in ["txg2-txh0", "rxh1-rxg0"] {
        let (early, late) = (try session.p10(name, from: 0, to: 0.2), try session.p10(name, from: 0.8, to: 1))
        try need(abs(late - early) <= 600_000, "\(name): \(early) → \(late)")
      }
    }
  }

  /// While QEMU holds a guest its clocks stand still, so that no alignment holds for the whole session.
  func expectAPauseToBeTold() throws {
    let session = try session {
      try pingPong(seconds: 2)
      for order in ["stop", "cont"] { try lab.host.run("(echo \(order); sleep 1) | nc -w 2 127.0.0.1 4445") }
      try pingPong(seconds: 2)
    }
    let fault = try #require(session.result.clockFaults.first, "\(session.result.clocks)")
    #expect(fault.contains("paused") || fault.contains("suspended"), "\(session.result.clockFaults)")
    #expect(session.result.clocks.allSatisfy { $0.method == nil }, "\(session.result.clocks)")
  }

  /// TCP both ways, with segments that virtio-net hands over whole.
  func expectBulkWithoutWrongMatches() throws {
    try lab.guest.run("iperf3 -s -D")
    try repeated { _ in
      let session = try session {
        for direction in ["", "-R"] {
          // The server takes a moment to be free again.
          try lab.runOutside("sleep 1; iperf3 -c 10.77.0.3 -t 2 \(direction)")
        }
      }
      expectOrder(session)
      for name in ["txh0-txh1", "rxh0-rxh1"] { try session.expectSameBytes(name) }
      #expect(session.machines.flatMap(\.stamps).contains { $0.kind == .tcp && $0.length > 2_000 })
      for name in ["txg2-txh0", "txh0-txh1", "rxh0-rxh1", "rxh1-rxg0"] {
        let segment = try session.segment(name)
        let rest = segment.lost + segment.unmatched + segment.ambiguous + segment.late
        try need(segment.count > 200 && rest * 10 <= segment.count, "\(name): \(segment.count), but \(rest)")
      }
    }
  }

  /// QEMU's timer hands a frame on 8 ms after the driver has kicked.
  func expectDelayInTheNIC() throws -> LabSession {
    try repeated { _ in
      let session = try session { try pingPong(seconds: 5, rate: 50) }
      expectOrder(session)
      try session.expectAlignment()
      for name in zip(Self.tx, Self.tx.dropFirst()).map({ "\($0)-\($1)" }) {
        let segment = try session.segment(name)
        let median = try #require(segment.summary?.quantiles.first?.value)
        try need(segment.count >= 20, "\(name): \(segment.count) packets")
        try need(name == "txh1-txh2" ? median >= 6_000_000 : median <= 4_000_000, "\(name): \(median)")
      }
      return session
    }
  }

  /// Flows of several ports take both queues, and the report can tell them apart.
  func expectQueuesToBeTold() throws {
    let ports = (1...6).map { Int(Self.port) + $0 }
    for port in ports {
      try lab.guest.run("sockperf server --ip 10.77.0.3 --port \(port) >/dev/null 2>&1 &")
    }
    usleep(1_000_000)
    let clients = ports.map { "sockperf ping-pong --ip 10.77.0.3 --port \($0) --mps 20 --time 4 >/dev/null &" }
    let session = try repeated { _ -> LabSession in
      let recorded = try self.session { try lab.runOutside(clients.joined(separator: " ") + " wait") }
      expectOrder(recorded)
      for hook in ["txg2", "rxh1"] {
        let queues = Set(recorded.machines.flatMap(\.stamps).filter { $0.hook.name == hook }.map(\.queue))
        try need(queues == [0, 1], "\(hook): queues \(queues)")
      }
      return recorded
    }
    var options = AnalysisOptions()
    options.byQueue = true
    let result = try analyse(session: session.session, recordings: session.machines, options: options)
    let segment = try #require(result.segments.first { $0.name == "txg2-txh0" })
    #expect(segment.byQueue.map(\.queue) == [0, 1])
  }

  /// Kick, worker, copy and interrupt.
  func expectWakeUps() throws {
    try repeated { _ in
      let session = try session(topology: "kvm-vhost-fine") { try pingPong(seconds: 4, rate: 50) }
      expectOrder(session)
      // At a gentle rate nearly every packet is kicked, taken up and told by itself.
      let packets = try session.segment("rxh1-rxg0").count
      let counts = try ["txg2-txgk", "txhk-txh0", "rxgi-rxg0", "rxh1-rxhc"].map { try session.segment($0).count }
      try need(packets >= 20 && counts.allSatisfy { $0 * 2 > packets }, "\(counts) of \(packets)")
    }
  }

  /// The guest with its threads, and the five causes of delays.
  func expectDoctorToKnowTheGuest() throws {
    let text = try lab.host.run("latprobe doctor --json || true")
    let findings = try JSONDecoder().decode([Finding].self, from: Data(text.utf8))
    #expect(findings.allSatisfy { $0.state != "missing" }, "\(text)")
    let guest = try #require(findings.compactMap(\.guest).first, "\(text)")
    #expect(guest.name == "lab-guest" && guest.taps == ["tap0"] && guest.backend == "vhost-net", "\(guest)")
    #expect(guest.vsockCID == UInt32(VirtualLab.guestCID))
    #expect(Set(guest.threads.filter { $0.kind == "vcpu" }.compactMap(\.vcpu)) == [0, 1], "\(guest.threads)")
    #expect(guest.threads.contains { $0.kind == "vhost" && $0.policy == "SCHED_OTHER" }, "\(guest.threads)")
    #expect(Set(findings.compactMap(\.cause)) == [1, 2, 3, 4, 5])
  }

  /// A line of `doctor --json`.
  private struct Finding: Decodable {
    var state: String
    var cause: Int?
    var guest: Recording.Guest?
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
