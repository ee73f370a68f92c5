// SPDX-License-Identifier: GPL-2.0-or-later
internal import Clocks
package import Collecting
internal import Glibc
package import Host
package import Recording
package import Topology

/// Drains the probes into a recording until it is told to stop.
package struct Recorder: ~Copyable {
  private static let drainInterval: Int64 = 20_000_000
  private static let updateInterval: Int64 = 1_000_000_000

  private var probes: ProbeSet
  private let resolved: ResolvedTopology
  private let options: RecorderOptions
  private let writer: MachineWriter
  private var clocks: ClockKeeper
  private var watch: SystemWatch
  private let warn: (String) -> Void
  private var cost = StampCost()
  private var machine: Machine

  /// - Parameters:
  ///   - machine: described all but for times and ledger.
  ///   - clocks: what to write of this machine's clocks and of those it is tied to.
  ///   - watch: of the devices that the probes are at.
  ///   - warn: told in one line each what changes under the recording.
  package init(
    probes: consuming ProbeSet, resolved: ResolvedTopology, machine: Machine, session: Session, directory: String,
    clocks: consuming ClockKeeper, watch: consuming SystemWatch, options: RecorderOptions,
    warn: @escaping (String) -> Void = { _ in }
  ) throws(RecordingError) {
    var machine = machine
    let now = ClockReading.now()
    machine.startedAt = UInt64(now.monotonic.nanoseconds)
    self.probes = probes
    self.resolved = resolved
    self.options = options
    self.machine = machine
    writer = try MachineWriter(
      directory: directory, machine: machine, session: session,
      utcOffset: now.realtime.nanoseconds - now.monotonic.nanoseconds, options: options.writer)
    self.clocks = clocks
    self.watch = watch
    self.warn = warn
  }

  /// Records until the duration or count is reached, or `stopRequested` says why to stop.
  ///
  /// What was recorded until then is on disk whatever happens; on a full disk too.
  /// - Returns: the machine as written last.
  package mutating func run(
    beside companion: RecorderCompanion = RecorderCompanion(), stopRequested: () -> String?,
    progress: (RecordingProgress) -> Void
  ) throws -> Machine {
    let drain = try Drain(probes.rings)
    var failure: (any Error)?
    try clocks.take(.all, writer)
    machine.startedAt = UInt64(Instant<Monotonic>.now.nanoseconds)
    try probes.enable()
    do {
      machine.stoppedBy = try loop(drain, companion, stopRequested, progress)
    } catch {
      failure = error
      machine.stoppedBy = (error as? RecordingError)?.kind == .diskFull ? "disk full" : "error"
    }
    try probes.disable()
    if failure == nil { try follow(watch.take(isLast: true)) }
    machine.stoppedAt = UInt64(Instant<Monotonic>.now.nanoseconds)
    if let found = try cost.finish(probes) { take(found) }
    if failure == nil {
      do {
        while try pour(drain) > 0 {}
        try companion.put(into: writer)
        try clocks.take(.all, writer)
      } catch { failure = error }
    }
    try takeLedger()
    try takeDrops(named: true)
    do { try writer.close(machine) } catch { failure = failure ?? error }
    if let failure { throw failure }
    return machine
  }

  private mutating func loop(
    _ drain: borrowing Drain, _ companion: RecorderCompanion, _ stopRequested: () -> String?,
    _ progress: (RecordingProgress) -> Void
  ) throws -> String {
    var reason: String?
    let start = Instant<Monotonic>.now.nanoseconds
    var flushes = FlushSchedule(start: start)
    // With the first flush, so that what is on disk is accounted for.
    var nextUpdate = start + FlushSchedule.first
    while true {
      let bytes = try pour(drain)
      try companion.put(into: writer)
      try follow(watch.take())
      let now = Instant<Monotonic>.now.nanoseconds
      if let found = try cost.follow(probes, now: now, bytes: bytes) { take(found) }
      if flushes.isDue(now) {
        try takeLedger()
        try writer.flush()
        let state = state(elapsed: Double(now - start) / 1e9)
        progress(state)
        if let count = options.count, state.packets >= count { reason = reason ?? "count" }
      }
      try clocks.take(.due(now), writer)
      if now >= nextUpdate {
        nextUpdate = now + Recorder.updateInterval
        try takeDrops(named: false)
        try writer.updateMachine(machine)
        // Rotation may delete the stream that has a flow's 5-tuple.
        if options.writer.rotateSize ?? options.writer.maxSize != nil || options.writer.rotateTime != nil {
          try probes.forgetFlows()
        }
      }
      reason = reason ?? stopRequested()
      var pause = Recorder.drainInterval
      if let duration = options.duration, reason == nil {
        if now - start >= duration { reason = "duration" }
        pause = min(pause, max(duration - (now - start), 0))
      }
      if let reason, companion.mayEnd() { return reason }
      var time = timespec(tv_sec: 0, tv_nsec: Int(pause))
      unsafe nanosleep(&time, nil)
    }
  }

  private borrowing func pour(_ drain: borrowing Drain) throws -> Int {
    unsafe try drain.run { cpu, records throws(RecordingError) in unsafe try writer.append(cpu: cpu, bytes: records) }
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
    var lost: [Int: Count] = [:]
    for row in machine.ledger { lost[row.cpu, default: 0] += row.lost }
    for (cpu, total) in lost { writer.discarded(cpu: cpu, total: total) }
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

  private func state(elapsed: Double) -> RecordingProgress {
    var packets: [String: Count] = [:]
    for row in machine.ledger { packets[row.hook, default: 0] += row.emitted }
    var progress = RecordingProgress()
    progress.elapsed = elapsed
    progress.stamps = packets.values.sum().unsigned
    progress.lost = machine.ledger.sum(\.lost).unsigned
    progress.packets = (packets.values.max() ?? 0).unsigned
    progress.size = writer.size
    return progress
  }
}
