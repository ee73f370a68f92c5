// SPDX-License-Identifier: GPL-2.0-or-later
internal import Clocks
package import Host
package import Recording

/// Records what a producer makes until there is a reason to stop: the one loop of all that records.
///
/// What came until then is on disk whatever happens; on a full disk too.
package struct Collector {
  /// The longest that nobody looks at the producer.
  private static let interval: Int64 = 20_000_000
  private static let updateInterval: Int64 = 1_000_000_000

  private let writer: MachineWriter
  private let outlet: Outlet
  private let clocks: ClockKeeper
  private let options: RecorderOptions

  /// Makes the machine's folder, so that a recording for which there is no room never begins.
  ///
  /// - Parameters:
  ///   - machine: described all but for times and ledger.
  ///   - directory: `DIR`, which holds `session.json`.
  ///   - clocks: what to write of this machine's clocks and of those it is tied to.
  ///   - sinks: who looks at the records, beside the disk.
  package init(
    machine: Machine, session: Session, directory: String, clocks: ClockKeeper,
    options: RecorderOptions = RecorderOptions(), sinks: [any RecordSink] = []
  ) throws(RecordingError) {
    var machine = machine
    let now = ClockReading.now()
    machine.startedAt = UInt64(now.monotonic.nanoseconds)
    writer = try MachineWriter(
      directory: directory, machine: machine, session: session,
      utcOffset: now.realtime.nanoseconds - now.monotonic.nanoseconds, options: options.writer)
    outlet = Outlet(writer, sinks)
    self.clocks = clocks
    self.options = options
  }

  /// Once: records until the duration or count is reached, the producer has ended, or `stopRequested` says why to stop.
  ///
  /// - Parameter started: called when every packet from then on is recorded.
  /// - Returns: the machine as written last.
  package func collect<P: Producer & ~Copyable>(
    _ producer: inout P, started: () -> Void = {}, stopRequested: () -> String?,
    progress: (RecordingProgress) -> Void = { _ in }
  ) throws -> Machine {
    var failure: (any Error)?
    func attempt(_ step: () throws -> Void) {
      do { try step() } catch { failure = failure ?? error }
    }
    attempt {
      outlet.append(cpu: 0, clocks.take(.all))
      try outlet.check()
      producer.machine.startedAt = UInt64(Instant<Monotonic>.now.nanoseconds)
      try producer.start()
      started()
      producer.machine.stoppedBy = try loop(&producer, stopRequested, progress)
    }
    attempt { try producer.stop() }
    producer.machine.stoppedAt = UInt64(Instant<Monotonic>.now.nanoseconds)
    attempt { try producer.finish(into: outlet) }
    outlet.append(cpu: 0, clocks.take(.all))
    attempt { try outlet.check() }
    attempt { try producer.takeAccount(.end) }
    if let failure { producer.machine.stoppedBy = Machine.end(by: failure) }
    tellLosses(of: producer.machine)
    attempt { try writer.close(producer.machine) }
    if let failure { throw failure }
    return producer.machine
  }

  private func loop<P: Producer & ~Copyable>(
    _ producer: inout P, _ stopRequested: () -> String?, _ progress: (RecordingProgress) -> Void
  ) throws -> String {
    let start = Instant<Monotonic>.now.nanoseconds
    var flushes = FlushSchedule(start: start)
    // With the first flush, so that what is on disk is accounted for.
    var nextUpdate = start + FlushSchedule.first
    let rotates = options.writer.rotateSize ?? options.writer.maxSize != nil || options.writer.rotateTime != nil
    var reason: String?
    while true {
      let now = Instant<Monotonic>.now.nanoseconds
      let round = try producer.poll(now, into: outlet)
      try outlet.check()
      if flushes.isDue(now) {
        try producer.takeAccount(.flush)
        tellLosses(of: producer.machine)
        try writer.flush()
        var state = producer.progress
        (state.elapsed, state.size) = (Double(now - start) / 1e9, writer.size)
        progress(state)
        if let count = options.count, state.packets >= count { reason = reason ?? "count" }
      }
      outlet.append(cpu: 0, clocks.take(.due(now)))
      try outlet.check()
      if now >= nextUpdate {
        nextUpdate = now + Collector.updateInterval
        try producer.takeAccount(.update)
        try writer.updateMachine(producer.machine)
        if rotates { try producer.forgetFlows() }
      }
      if case .ended(let why) = round { reason = reason ?? why }
      reason = reason ?? stopRequested()
      var next = now + Collector.interval
      if let duration = options.duration, reason == nil {
        if now - start >= duration { reason = "duration" }
        next = min(next, start + duration)
      }
      if let reason, producer.mayEnd() { return reason }
      if round != .more { try producer.wait(until: next) }
    }
  }

  /// The next packet of each CPU says how many events it has lost.
  private func tellLosses(of machine: Machine) {
    let lost = Dictionary(machine.ledger.map { ($0.cpu, $0.lost) }, uniquingKeysWith: +)
    for (cpu, total) in lost { writer.discarded(cpu: cpu, total: total) }
  }
}
