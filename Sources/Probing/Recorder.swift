internal import Clocks
// SPDX-License-Identifier: GPL-2.0-or-later
package import Collecting
package import Host
package import Recording
package import Topology

/// Records what the probes stamp.
package struct Recorder: ~Copyable {
  private var probes: ProbeSet
  private let resolved: ResolvedTopology
  private let collector: Collector
  private var watch: SystemWatch
  private let warn: (String) -> Void
  private var cost = StampCost()
  private var drain: Drain?
  private var companion = RecorderCompanion()
  package var machine: Machine

  /// - Parameters:
  ///   - machine: described all but for times and ledger.
  ///   - clocks: what to write of this machine's clocks and of those it is tied to.
  ///   - watch: of the devices that the probes are at.
  ///   - warn: told in one line each what changes under the recording.
  package init(
    probes: consuming ProbeSet, resolved: ResolvedTopology, machine: Machine, session: Session, directory: String,
    clocks: ClockKeeper, watch: consuming SystemWatch, options: RecorderOptions,
    warn: @escaping (String) -> Void = { _ in }
  ) throws(RecordingError) {
    self.probes = probes
    self.resolved = resolved
    self.machine = machine
    self.watch = watch
    self.warn = warn
    collector = try Collector(
      machine: machine, session: session, directory: directory, clocks: clocks, options: options)
  }

  /// Records until the duration or count is reached, or `stopRequested` says why to stop.
  ///
  /// - Returns: the machine as written last.
  package mutating func run(
    beside companion: RecorderCompanion = RecorderCompanion(), stopRequested: () -> String?,
    progress: (RecordingProgress) -> Void
  ) throws -> Machine {
    self.companion = companion
    let collector = collector
    return try collector.collect(&self, stopRequested: stopRequested, progress: progress)
  }
}

extension Recorder: Producer {
  package mutating func start() throws {
    drain = try Drain(probes.rings)
    try probes.enable()
  }

  package mutating func poll(_ now: Int64, into outlet: Outlet) throws -> Round {
    let bytes = pour(into: outlet)
    companion.put(into: outlet)
    try follow(watch.take())
    if let found = try cost.follow(probes, now: now, bytes: bytes) { take(found) }
    return .idle
  }

  package mutating func mayEnd() -> Bool { companion.mayEnd() }

  package mutating func stop() throws {
    try probes.disable()
    try follow(watch.take(isLast: true))
  }

  package mutating func finish(into outlet: Outlet) throws {
    while pour(into: outlet) > 0 {}
    companion.put(into: outlet)
    if let found = try cost.finish(probes) { take(found) }
  }

  package mutating func takeAccount(_ account: Account) throws {
    switch account {
    case .flush: try takeLedger()
    case .update: try takeDrops(named: false)
    case .end:
      try takeLedger()
      try takeDrops(named: true)
    }
  }

  package mutating func forgetFlows() throws { try probes.forgetFlows() }

  private borrowing func pour(into outlet: Outlet) -> Int {
    unsafe drain?.run { cpu, records in unsafe outlet.append(cpu: cpu, bytes: records) } ?? 0
  }

  /// Writes down what has changed; a device that came back is watched under the number it has now.
  private mutating func follow(_ changes: [Change]) throws(KernelError) {
    for change in changes {
      machine.changes = (machine.changes ?? []) + [change]
      warn("\(change)")
      guard change.what == .back, let name = change.device, let (namespace, index) = change.place else { continue }
      try probes.follow(name, inNamespace: namespace, to: index)
      for place in machine.hooks.indices where change.hooks.contains(machine.hooks[place].name) {
        guard let id = change.id, machine.hooks[place].devices?.contains(id) == false,
          machine.hooks[place].devices?.isEmpty == false
        else { continue }
        machine.hooks[place].devices?.append(id)
      }
    }
  }

  private mutating func take(_ cost: StampCost.Result) {
    machine.stampCost = cost.mean
    machine.stampCosts = cost.byHook
  }

  private mutating func takeLedger() throws {
    machine.ledger = try probes.ledger()
    let misses = probes.misses()
    for hook in resolved.attachedHooks {
      let programs = Set(hook.probes.flatMap(\.programs))
      machine.missed[hook.point.name] = Count(programs.reduce(0) { $0 + (misses[$1] ?? 0) })
    }
  }

  private mutating func takeDrops(named: Bool) throws(KernelError) {
    let drops = try probes.drops(named: named)
    machine.drops = drops?.places
    machine.dropsLost = drops?.lost
  }
}
