// SPDX-License-Identifier: GPL-2.0-or-later
import Collecting
import Foundation
import Host
import Probing
import Recording
import Topology

/// What to stamp, and where.
struct ProbeChoice {
  var topology = ""
  var side: Topology.Side?
  var devices: [String] = []
  var taps: [String] = []
  /// On a KVM host: the guest to follow.
  var guestName: String?
  var namespaces: [String] = []
  var containers: [Container] = []
  var filter: String?
  var oneIn: UInt32 = 1
  /// `packet` or `flow`: what UDP and the like are sampled by.
  var sampleBy = "packet"
  /// `--nat`, `--no-nat`; nil: where containers' packets may be translated on the way.
  var nat: Bool?
  /// Bytes of each CPU's ring buffer; nil for a size that fits the machine.
  var bufferSize: Int?

  /// The guests of this host that the recording is about, and their devices; no guests inside one.
  fileprivate func chooseGuests() throws -> GuestChoice {
    let namespaces = try namespaces.map { try NetworkNamespace.named($0) }
    let links = try (namespaces.isEmpty ? [NetworkNamespace.current()] : namespaces).map { try $0.links() }
    return try GuestChoice.make(
      name: guestName, taps: taps, devices: devices, side: side, among: side == .guest ? [] : KVMGuest.all(),
      links: links)
  }

  /// As `--topology` names it; before anything else, so that a wrong name is told first.
  func load() throws -> Topology {
    try TopologyLibrary.standard(environment: ProcessInfo.processInfo.environment).load(topology)
  }
}

/// All that comes before the first stamp, for `record` and `agent`: hook points resolved, devices found, programs
/// loaded and attached. Nothing is stamped yet; released, it detaches.
struct RecordingSetup: ~Copyable {
  let resolved: ResolvedTopology
  /// Described all but for peers, times and ledger; may be renamed.
  var machine: Machine
  private let neededToWatch: Set<Capability>
  private let probes: ProbeSet
  private let clocks: ClockKeeper
  private let watch: SystemWatch
  private let warn: (String) -> Void

  /// - Parameters:
  ///   - note: told which containers, devices and addresses were found.
  ///   - warn: told in one line each what will be missing; also while recording.
  init(
    _ choice: ProbeChoice, _ topology: Topology, note: (String) -> Void = { _ in }, warn: @escaping (String) -> Void
  ) throws {
    var options = ProbeOptions()
    if let filter = choice.filter { options.filter = try Filter(filter) }
    if options.filter?.namesTags == true {
      warn("--filter: VLAN tags are taken out of a frame before the filter is asked, so 'vlan' matches nothing")
    }
    options.bufferSize = choice.bufferSize

    let executable = TopologyLibrary.executablePath()
    if let complaint = Capability.complaint { throw KernelError(complaint) }
    let object = try BPFObjectFile.find(executable: executable)
    let facts = try KernelFacts.live()
    let programs = try ProbeSet.programs(in: object)
    options.dropRung = facts.dropRung(programs)
    var resolved = try topology.resolve(facts: facts, programs: programs, side: choice.side)
    resolved.warnings.forEach(warn)
    let guests = try choice.chooseGuests()
    let plan = try WatchPlan.make(
      topology: topology, namespaces: choice.namespaces, devices: guests.devices, taps: guests.taps, side: choice.side,
      containers: try choice.containers.map { try $0.namespace() })
    for line in plan.stackedLines() { warn(line) }
    let isNATProof = choice.isNATProof(plan)
    for line in choice.containerLines(plan, isNATProof: isNATProof) { note(line) }
    options.isNATProof = isNATProof
    options.sampling = Machine.Sampling(
      oneIn: choice.oneIn, udpBy: choice.sampleBy, tcpBy: isNATProof ? "packet" : "flow")
    let hooks = resolved.hooks.map { hook in
      guard let obstacle = plan.obstacle(to: hook) else {
        var attached = hook.attachedHook(watches: plan.watches(hook.watch))
        attached.devices = plan.devices(hook.watch).map(\.id)
        return attached
      }
      warn("\(hook.point.name) is absent: \(obstacle)")
      return AttachedHook(name: hook.point.name, attachedAs: nil, absentBecause: obstacle)
    }
    resolved.hooks.removeAll { plan.obstacle(to: $0) != nil }
    let watch = try SystemWatch(plan.watched(by: resolved.attachedHooks))
    probes = try ProbeSet(object, resolved, plan, options)
    // While it still may.
    probes.runTimes.open()
    neededToWatch = watch.needed
    self.watch = watch
    self.warn = warn

    machine = Environment.machine(role: choice.side?.rawValue ?? "both", topology: topology.name)
    machine.settings.merge(plan.settings) { $1 }
    machine.hooks = hooks
    machine.paths = resolved.recordedPaths
    machine.segments = resolved.recordedSegments
    machine.segmentNames = resolved.recordedSegmentNames
    machine.filter = choice.filter
    machine.sampling = options.sampling
    machine.guests = guests.guests.map(\.recorded)
    machine.identity = isNATProof ? Machine.natProof : "full"
    self.resolved = resolved
    clocks = ClockKeeper(side: choice.side, guests: guests.guests, warn: warn)
  }

  /// What recording takes of this process's rights: maps are read, a guest's counters are files of root's, and namespaces
  /// whose changes are not heard are entered to look.
  var needed: Set<Capability> {
    // CAP_SYS_ADMIN stands for it.
    var needed: Set<Capability> = [Capability.held.contains(.bpf) ? .bpf : .sysAdmin]
    if machine.guests?.isEmpty == false { needed.insert(.dacReadSearch) }
    return needed.union(neededToWatch)
  }

  /// Names of the hook points that are attached.
  var attached: [String] { resolved.attachedHooks.map(\.point.name) }

  consuming func recorder(session: Session, directory: String, options: RecorderOptions) throws -> Recorder {
    try Recorder(
      probes: probes, resolved: resolved, machine: machine, session: session, directory: directory, clocks: clocks,
      watch: watch, options: options, warn: warn)
  }
}
