// SPDX-License-Identifier: GPL-2.0-or-later
import ArgumentParser
import Foundation
import Probing
import Recording
import Topology

struct Record: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Stamp packets at the hook points of a topology and write a recording.",
    discussion: """
      Stops on --duration, --count, Ctrl-C or SIGTERM, and keeps what it has. Needs CAP_BPF and CAP_PERFMON.

      Two containers or namespaces behind a bridge, for ten seconds:
        sudo latprobe record --topology veth --netns web --netns db --duration 10s -o run1

      The host's end of a container's veth pair, one flow only:
        sudo latprobe record --topology veth --dev vetha1b2c3 --filter 'udp port 5001' -o run2

      This machine's own stack, one packet in sixteen, at most 1 GiB on disk:
        sudo latprobe record --topology host-nic --dev eth0 --sample 1/16 --max-size 1G -o run3
      """)

  @Option(help: "Topology: a name that 'latprobe hooks' lists, or a file.")
  var topology = "veth"

  @Option(help: "Stamp only this side's hook points: guest or host.")
  var side: Topology.Side?

  @Option(
    name: .customLong("dev"), help: ArgumentHelp("Device to watch; may be repeated.", valueName: "if"))
  var devices: [String] = []

  @Option(
    name: .customLong("tap"),
    help: ArgumentHelp("On a virtual machine's host: the guest's tap; may be repeated.", valueName: "if"))
  var taps: [String] = []

  @Option(
    name: .customLong("netns"),
    help: ArgumentHelp(
      "Network namespace: a name, a process id or a path. With veth pairs the guests'; may be repeated.",
      valueName: "ns"))
  var namespaces: [String] = []

  @Option(help: "Stamp only what this pcap filter matches, as in 'udp port 5001'.")
  var filter: String?

  @Option(help: "Stamp one in N, the same at every hook point: 1/N.")
  var sample = SampleArgument(oneIn: 1)

  @Option(help: "Sample UDP and the like by packet or by whole flow; TCP goes by flow.")
  var sampleBy = SampleBy.packet

  @Flag(help: "Leave addresses and ports out of a packet's identity, for paths with NAT.")
  var nat = false

  @Option(help: "Stop after this time: 10s, 500ms, 2m.")
  var duration: TimeArgument?

  @Option(help: "Stop once a hook point has stamped this many packets.")
  var count: UInt64?

  @Option(name: .customLong("label"), help: ArgumentHelp("Label of the run; may be repeated.", valueName: "key=value"))
  var labels: [LabelArgument] = []

  @Option(help: "Bound of the recording on disk: 1G. The oldest streams are deleted and counted.")
  var maxSize: SizeArgument?

  @Option(help: "Begin new stream files after a size or a time: 100M, 60s.")
  var rotate: RotateArgument?

  @Option(help: "Ring buffer of each CPU, a power of two: 16M.")
  var buffer: SizeArgument?

  @Option(name: .shortAndLong, help: "Directory to write.")
  var output: String

  @Flag(help: "Replace a recording that is there.")
  var force = false

  enum SampleBy: String, ExpressibleByArgument, CaseIterable { case packet, flow }

  func validate() throws {
    if let size = buffer?.bytes, size < 4096 || size & (size - 1) != 0 || size > 1 << 30 {
      throw ValidationError("--buffer takes a power of two from 4096 to 1G")
    }
    if count == 0 { throw ValidationError("--count takes a number of packets from 1") }
  }

  func run() throws {
    var probe = ProbeOptions()
    if let filter { probe.filter = try Filter(filter) }
    probe.sampling = Machine.Sampling(
      oneIn: sample.oneIn, udpBy: sampleBy.rawValue, tcpBy: nat ? "packet" : "flow")
    probe.isNATProof = nat
    probe.bufferSize = buffer?.bytes

    let executable = TopologyLibrary.executablePath()
    let topology = try TopologyLibrary.standard(environment: ProcessInfo.processInfo.environment).load(topology)
    if let complaint = Capability.complaint(executable: executable ?? "latprobe") { throw ProbingError(complaint) }
    let object = try BPFObjectFile.find(executable: executable)
    var resolved = try topology.resolve(
      facts: KernelFacts.live(), programs: try ProbeSet.programs(in: object), side: side)
    for warning in resolved.warnings { Console.error("warning: \(warning)") }
    let plan = try WatchPlan.make(topology: topology, namespaces: namespaces, devices: devices, taps: taps, side: side)
    let hooks = resolved.hooks.map { hook in
      guard let obstacle = plan.obstacle(to: hook) else { return hook.attachedHook(watches: plan.watches(hook.watch)) }
      Console.error("warning: \(hook.point.name) is absent: \(obstacle)")
      return AttachedHook(name: hook.point.name, attachedAs: nil, absentBecause: obstacle)
    }
    resolved.hooks.removeAll { plan.obstacle(to: $0) != nil }
    let probes = try ProbeSet(object, resolved, plan, probe)

    var machine = Environment.machine(role: side?.rawValue ?? "both", topology: topology.name, plan: plan)
    machine.hooks = hooks
    machine.paths = resolved.recordedPaths
    machine.segments = resolved.recordedSegments
    machine.filter = filter
    machine.sampling = probe.sampling
    machine.identity = nat ? "nat-proof" : "full"

    let session = Session(
      id: UUID().uuidString.lowercased(), members: [machine.name],
      labels: Dictionary(labels.map { ($0.key, $0.value) }, uniquingKeysWith: { $1 }),
      commandLine: CommandLine.arguments, createdAt: Date().timeIntervalSince1970)
    try Session.prepare(directory: output, force: force)
    try session.write(to: output)

    var options = RecorderOptions()
    options.duration = duration?.nanoseconds
    options.count = count
    options.writer.maxSize = maxSize?.bytes
    switch rotate {
    case .size(let bytes): options.writer.rotateSize = bytes
    case .time(let nanoseconds): options.writer.rotateTime = UInt64(nanoseconds)
    case nil: break
    }
    let clocks = ClockKeeper(side: side) { Console.error("warning: \($0)") }
    StopSignal.watch()
    var recorder = try Recorder(
      probes: probes, resolved: resolved, machine: machine, session: session, directory: output, clocks: clocks,
      options: options)
    Console.error(
      "recording \(resolved.attachedHooks.map(\.point.name).joined(separator: " ")) to \(output)"
        + (duration == nil && count == nil ? "; Ctrl-C stops" : ""))
    var last = RecordingProgress()
    let result: Machine
    do {
      result = try recorder.run(stopRequested: { StopSignal.name }) { progress in
        Console.live(Record.line(progress, since: last))
        last = progress
      }
    } catch {
      Console.endLive()
      throw error
    }
    Console.endLive()
    Console.error(Record.summary(result, output))
  }

  private static func line(_ now: RecordingProgress, since last: RecordingProgress) -> String {
    let rate = Double(now.stamps - last.stamps) / max(now.elapsed - last.elapsed, 1e-9)
    return String(
      format: "%.1f s  %llu stamps  %.0f/s  lost %llu  %.1f MiB", now.elapsed, now.stamps, rate, now.lost,
      Double(now.size) / 1_048_576)
  }

  private static func summary(_ machine: Machine, _ output: String) -> String {
    let stamps = machine.ledger.reduce(0) { $0 + $1.emitted }
    let lost = machine.ledger.reduce(0) { $0 + $1.lost }
    let seconds = machine.stoppedAt.map { Double($0 - machine.startedAt) / 1e9 } ?? 0
    var text = String(format: "%llu stamps in %.1f s, lost %llu", stamps, seconds, lost)
    text += "; stopped by \(machine.stoppedBy ?? "?"). Next: latprobe report \(output)"
    if lost > 0 { text += "\nwarning: stamps were lost; use a filter, --sample or a larger --buffer" }
    if stamps == 0 {
      text += "\nwarning: no packet was stamped; see 'latprobe hooks' and check --dev, --netns, --filter"
    }
    return text
  }
}

extension Topology.Side: ExpressibleByArgument {}
