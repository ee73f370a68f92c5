// SPDX-License-Identifier: GPL-2.0-or-later
internal import CLatprobeABI
internal import Clocks
internal import Glibc
package import Recording
package import Topology

/// How a recording stands while it runs.
package struct RecordingProgress: Sendable {
  /// Seconds since the hooks were switched on.
  package var elapsed: Double = 0
  package var stamps: UInt64 = 0
  package var lost: UInt64 = 0
  /// The most packets that one hook point has stamped.
  package var packets: UInt64 = 0
  /// Bytes on disk.
  package var size = 0

  package init() {}
}

/// When a recording stops by itself, and how it looks on disk.
package struct RecorderOptions: Sendable {
  /// Nanoseconds; nil: until a signal.
  package var duration: Int64?
  /// Packets at the hook point that stamps the most.
  package var count: UInt64?
  package var writer = MachineWriter.Options()

  package init() {}
}

/// What goes on beside a recording: guests that record at the same time. The recorder's thread asks; no answer may wait.
package struct RecorderCompanion {
  /// Clock exchanges that were made since the last call.
  package var exchanges: () -> [ClockExchange]
  /// Asked again and again once there is a reason to stop: whether the recording may end now.
  package var mayEnd: () -> Bool

  package init(exchanges: @escaping () -> [ClockExchange] = { [] }, mayEnd: @escaping () -> Bool = { true }) {
    self.exchanges = exchanges
    self.mayEnd = mayEnd
  }
}

/// Drains the probes into a recording until it is told to stop.
package struct Recorder: ~Copyable {
  private static let drainInterval: Int64 = 20_000_000
  private static let flushInterval: Int64 = 200_000_000
  private static let clockInterval: Int64 = 1_000_000_000

  private let probes: ProbeSet
  private let resolved: ResolvedTopology
  private let options: RecorderOptions
  private let writer: MachineWriter
  private var machine: Machine

  /// - Parameter machine: described all but for times and ledger.
  package init(
    probes: consuming ProbeSet, resolved: ResolvedTopology, machine: Machine, session: Session, directory: String,
    options: RecorderOptions
  ) throws(RecordingError) {
    var machine = machine
    let clocks = ClockReading.now()
    machine.startedAt = UInt64(clocks.monotonic.nanoseconds)
    self.probes = probes
    self.resolved = resolved
    self.options = options
    self.machine = machine
    writer = try MachineWriter(
      directory: directory, machine: machine, session: session,
      utcOffset: clocks.realtime.nanoseconds - clocks.monotonic.nanoseconds, options: options.writer)
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
    try sampleClocks()
    machine.startedAt = UInt64(Instant<Monotonic>.now.nanoseconds)
    try probes.enable()
    do {
      machine.stoppedBy = try loop(drain, companion, stopRequested, progress)
    } catch {
      failure = error
      machine.stoppedBy = (error as? RecordingError)?.kind == .diskFull ? "disk full" : "error"
    }
    try probes.disable()
    machine.stoppedAt = UInt64(Instant<Monotonic>.now.nanoseconds)
    if failure == nil {
      do {
        while try pour(drain) > 0 {}
        try append(companion.exchanges())
        try sampleClocks()
      } catch { failure = error }
    }
    try takeLedger()
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
    var nextFlush = start + Recorder.flushInterval
    var nextClock = start + Recorder.clockInterval
    while true {
      _ = try pour(drain)
      try append(companion.exchanges())
      let now = Instant<Monotonic>.now.nanoseconds
      if now >= nextFlush {
        nextFlush = now + Recorder.flushInterval
        try takeLedger()
        try writer.flush()
        let state = state(elapsed: Double(now - start) / 1e9)
        progress(state)
        if let count = options.count, state.packets >= count { reason = reason ?? "count" }
      }
      if now >= nextClock {
        nextClock = now + Recorder.clockInterval
        try sampleClocks()
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

  private mutating func takeLedger() throws {
    machine.ledger = try probes.ledger()
    var lost: [Int: UInt64] = [:]
    for row in machine.ledger { lost[row.cpu, default: 0] += row.lost }
    for (cpu, total) in lost { writer.discarded(cpu: cpu, total: total) }
    let misses = probes.misses()
    for hook in resolved.attachedHooks {
      let programs = Set(hook.probes.flatMap(\.programs))
      machine.missed[hook.point.name] = programs.reduce(0) { $0 + (misses[$1] ?? 0) }
    }
  }

  private func state(elapsed: Double) -> RecordingProgress {
    var packets: [String: UInt64] = [:]
    for row in machine.ledger { packets[row.hook, default: 0] += row.emitted }
    var progress = RecordingProgress()
    progress.elapsed = elapsed
    progress.stamps = packets.values.reduce(0, +)
    progress.lost = machine.ledger.reduce(0) { $0 + $1.lost }
    progress.packets = packets.values.max() ?? 0
    progress.size = writer.size
    return progress
  }

  /// Writes clock exchanges into the stream of CPU 0.
  private borrowing func append(_ exchanges: [ClockExchange]) throws(RecordingError) {
    for exchange in exchanges {
      var event = lp_clock_exchange()
      event.time_ns = exchange.time
      event.event = UInt8(LP_EVENT_CLOCK_EXCHANGE.rawValue)
      event.peer = exchange.peer
      event.sent_ns = exchange.sent
      event.peer_received_ns = exchange.peerReceived
      event.peer_sent_ns = exchange.peerSent
      event.received_ns = exchange.received
      try unsafe withUnsafeBytes(of: event) { (bytes) throws(RecordingError) in
        try unsafe writer.append(cpu: 0, bytes: bytes)
      }
    }
  }

  /// Writes a clock sample into the stream of CPU 0.
  private borrowing func sampleClocks() throws(RecordingError) {
    let reading = ClockReading.now()
    var sample = lp_clock_sample()
    sample.time_ns = UInt64(reading.monotonic.nanoseconds)
    sample.event = UInt8(LP_EVENT_CLOCK_SAMPLE.rawValue)
    sample.window_ns = UInt32(clamping: reading.window)
    sample.monotonic_raw_ns = reading.monotonicRaw.nanoseconds
    sample.realtime_ns = reading.realtime.nanoseconds
    sample.tai_ns = reading.tai.nanoseconds
    sample.boottime_ns = reading.boottime.nanoseconds
    sample.tsc = reading.counter
    try unsafe withUnsafeBytes(of: sample) { (bytes) throws(RecordingError) in
      try unsafe writer.append(cpu: 0, bytes: bytes)
    }
  }
}
