// SPDX-License-Identifier: GPL-2.0-or-later
import ArgumentParser
import Collecting
import Foundation
import Host
import Probing
import Recording
import Remote
import Topology

struct Record: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Stamp packets at the hook points of a topology and write a recording.",
    discussion: """
      Stops on --duration, --count, Ctrl-C, SIGTERM, SIGHUP or SIGQUIT, and keeps what it has. Needs CAP_BPF and CAP_PERFMON.

      Two containers or namespaces behind a bridge, for ten seconds:
        sudo latprobe record --topology veth --netns web --netns db \\
          --duration 10s -o run1

      A container of Docker, Podman, containerd or Kubernetes, by name, to the NIC:
        sudo latprobe record --container web --duration 10s -o run6

      The host's end of a container's veth pair, one flow only:
        sudo latprobe record --topology veth --dev vetha1b2c3 \\
          --filter 'udp port 5001' -o run2

      This machine's own stack, one packet in sixteen, at most 1 GiB on disk:
        sudo latprobe record --topology host-nic --dev eth0 --sample 1/16 \\
          --max-size 1G -o run3

      A KVM guest's packets on their host, between its tap and the NIC:
        sudo latprobe record --topology kvm-vhost --side host --guest-name web \\
          -o run4

      A KVM host and its guest, in which 'sudo latprobe agent vsock:' runs:
        sudo latprobe record --topology kvm-vhost --guest vsock:3 --duration 10s \\
          -o run5

      The same by hand, with one name on both sides; then: latprobe report host guest
        sudo latprobe record --topology kvm-vhost --side guest --session lab7 \\
          -o guest
      """)

  @Option(
    help: "Topology: a name that 'latprobe hooks' lists, or a file (default: veth; of one --container: container).")
  var topology: String?

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
    help: ArgumentHelp(
      "On a KVM host: the guest to follow, by name (a libvirt domain's), process id or UUID.", valueName: "name"))
  var guestName: String?

  @Option(
    name: .customLong("netns"),
    help: ArgumentHelp(
      "Network namespace: a name, a process id or a path. With veth pairs the guests'; may be repeated.",
      valueName: "ns"))
  var namespaces: [String] = []

  @Option(
    name: .customLong("container"),
    help: ArgumentHelp(
      "Container or pod, by name or id: of Docker, Podman, containerd, CRI-O, runc or crun; may be repeated.",
      valueName: "name"))
  var containers: [String] = []

  @Option(help: "Stamp only what this pcap filter matches, as in 'udp port 5001'.")
  var filter: String?

  @Option(help: "Stamp one in N, the same at every hook point: 1/N.")
  var sample = SampleArgument(oneIn: 1)

  @Option(help: "Sample UDP and the like by packet or by whole flow; TCP goes by flow.")
  var sampleBy = SampleBy.packet

  @Flag(
    inversion: .prefixedNo,
    help: "Leave addresses and ports out of a packet's identity, for paths with NAT (default: as --container needs).")
  var nat: Bool?

  @Option(help: "Stop after this time: 10s, 500ms, 2m.")
  var duration: TimeArgument?

  @Option(help: "Stop once a hook point has stamped this many packets.")
  var count: UInt64?

  @Option(name: .customLong("label"), help: ArgumentHelp("Label of the run; may be repeated.", valueName: "key=value"))
  var labels: [LabelArgument] = []

  @Option(
    name: .customLong("guest"),
    help: ArgumentHelp(
      "Also record in the guest whose 'latprobe agent' is here: vsock:CID[:PORT], serial:PATH, tcp:HOST[:PORT]; may be repeated.",
      valueName: "url"))
  var guests: [String] = []

  @Option(
    name: .customLong("guest-dev"),
    help: ArgumentHelp("Device to watch in the guests; may be repeated.", valueName: "if"))
  var guestDevices: [String] = []

  @Option(help: ArgumentHelp("Key shared with the agents; needed for tcp.", valueName: "file"))
  var keyFile: String?

  @Option(
    help: "How long a guest may take to end its recording, and to begin or go on sending it, after the host's end (5s)."
  )
  var guestGrace: TimeArgument?

  @Option(
    help: ArgumentHelp(
      "Name of the session, the same for recordings that are made one by one; default: a new one.", valueName: "name"))
  var session: String?

  @Option(help: "Bound of the recording on disk: 1G. The oldest streams are deleted and counted.")
  var maxSize: SizeArgument?

  @Option(help: "Begin new stream files after a size or a time: 100M, 60s.")
  var rotate: RotateArgument?

  @Option(help: "Ring buffer of each CPU, a power of two: 16M.")
  var buffer: SizeArgument?

  @Option(name: .shortAndLong, help: ArgumentHelp("Directory for the recording.", valueName: "dir"))
  var output: String

  @Flag(help: "Replace a recording that is there.")
  var force = false

  @OptionGroup var writing: WriteOptions

  enum SampleBy: String, ExpressibleByArgument, CaseIterable { case packet, flow }

  func validate() throws {
    if !containers.isEmpty, side != nil || !taps.isEmpty || guestName != nil || !guests.isEmpty {
      throw ValidationError("--container is of this kernel: it does not go with --side, --tap, --guest or --guest-name")
    }
    if let size = buffer?.bytes, size < 4096 || size & (size - 1) != 0 || size > 1 << 30 {
      throw ValidationError("--buffer takes a power of two from 4096 to 1G")
    }
    if count == 0 { throw ValidationError("--count takes a number of packets from 1") }
    try maxSize.validateAsMaxSize()
    try session.validateAsSession()
    for guest in guests { _ = try Endpoint(typed: guest) }
    if containers.contains("") { throw ValidationError("--container takes a name, or the beginning of an id") }
    if guests.isEmpty {
      if keyFile != nil || !guestDevices.isEmpty || guestGrace != nil {
        throw ValidationError("--key-file, --guest-dev and --guest-grace go with --guest")
      }
    } else if side == .guest {
      throw ValidationError("--guest is for the host's side; without it, record each side with one --session ID")
    }
  }

  private var choice: ProbeChoice {
    var choice = ProbeChoice()
    choice.topology = topology ?? (containers.count == 1 ? "container" : "veth")
    choice.side = side ?? (guests.isEmpty ? nil : .host)
    choice.devices = devices
    choice.taps = taps
    choice.guestName = guestName
    choice.namespaces = namespaces
    choice.filter = filter
    choice.oneIn = sample.oneIn
    choice.sampleBy = sampleBy.rawValue
    choice.nat = nat
    choice.bufferSize = buffer?.bytes
    return choice
  }

  private var recorderOptions: RecorderOptions {
    var options = RecorderOptions()
    options.duration = duration?.nanoseconds
    options.count = count
    options.writer.maxSize = maxSize?.bytes
    switch rotate {
    case .size(let bytes): options.writer.rotateSize = bytes
    case .time(let nanoseconds): options.writer.rotateTime = UInt64(nanoseconds)
    case nil: break
    }
    return options
  }

  func run() throws {
    writing.apply()
    var choice = choice
    let topology = try choice.load()
    let place = try RecordingPlace(output, force: force)
    if !containers.isEmpty { choice.containers = try Container.named(containers, among: Container.all()) }
    var setup = try RecordingSetup(
      choice, topology, note: { Console.error($0) }, warn: { Console.error("warning: \($0)") })
    let id = session ?? UUID().uuidString.lowercased()
    let party = try GuestParty(
      urls: guests, keyFile: keyFile, choice: choice, devices: guestDevices, topology: topology, session: id,
      host: setup.machine.name, maxSize: maxSize?.bytes, grace: guestGrace?.nanoseconds)
    party.describe(in: &setup.machine)
    let session = Session(
      id: id, members: [setup.machine.name] + party.peers.map(\.machine),
      labels: Dictionary(labels.map { ($0.key, $0.value) }, uniquingKeysWith: { $1 }),
      commandLine: CommandLine.arguments, createdAt: Date().timeIntervalSince1970)
    let attached = setup.attached.joined(separator: " ")
    StopSignal.watch()
    Privileges.keep(setup.needed)
    try party.start(into: output)
    let result: Result<Machine, any Error>
    do {
      // A recording that is there is kept until all guests have started.
      try place.begin(session)
      var recorder = try setup.recorder(session: session, directory: output, options: recorderOptions)
      Console.error(
        "recording \(attached) to \(output)" + (duration == nil && count == nil ? "; Ctrl-C stops" : ""))
      result = .success(try Record.run(&recorder, beside: party))
    } catch {
      // A start that failed took it away; what the guests have recorded still comes.
      if !guests.isEmpty, !FileManager.default.fileExists(atPath: "\(output)/\(Session.fileName)") {
        try? session.write(to: output)
      }
      result = .failure(error)
    }
    Console.endLive()
    let missing = party.collect()
    Console.error(lines: Record.summary(try result.get(), output))
    if !missing.isEmpty { throw GuestError(missing) }
  }

  private static func run(_ recorder: inout Recorder, beside party: GuestParty) throws -> Machine {
    var last = RecordingProgress()
    return try recorder.run(
      beside: RecorderCompanion(exchanges: party.exchanges, mayEnd: party.mayEnd),
      stopRequested: { StopSignal.name },
      progress: { progress in
        party.tellLosses()
        Console.live(Record.line(progress, since: last) + party.line)
        last = progress
      })
  }

  static func line(_ now: RecordingProgress, since last: RecordingProgress) -> String {
    let rate = Double(now.stamps - last.stamps) / max(now.elapsed - last.elapsed, 1e-9)
    return String(
      format: "%.1f s  %llu stamps  %.0f/s  lost %llu  %.1f MiB", now.elapsed, now.stamps, rate, now.lost,
      Double(now.size) / 1_048_576)
  }

  /// - Parameter advice: where to look if no packet was stamped.
  static func summary(
    _ machine: Machine, _ output: String, advice: String = "see 'latprobe hooks' and check --dev, --netns, --filter"
  ) -> String {
    let stamps = machine.ledger.sum(\.emitted)
    let lost = machine.ledger.sum(\.lost)
    let seconds = machine.stoppedAt.map { Double($0 - machine.startedAt) / 1e9 } ?? 0
    var text = String(format: "%llu stamps in %.1f s, lost %llu", stamps.unsigned, seconds, lost.unsigned)
    text += "; stopped by \(machine.stoppedBy ?? "?"). Next: latprobe report \(output)"
    if lost > 0 { text += "\nwarning: stamps were lost; use a filter, --sample or a larger --buffer" }
    if stamps == 0 {
      text += "\nwarning: no packet was stamped; \(advice)"
    }
    return text
  }
}

extension Topology.Side: ExpressibleByArgument {}
