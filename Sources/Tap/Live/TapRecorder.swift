// SPDX-License-Identifier: GPL-2.0-or-later
internal import Clocks
package import Collecting
package import Host
package import Recording
internal import Stamping

package struct TapOptions: Sendable {
  package var filter: Filter?
  /// Hardware stamps or none: of a device that has both directions only what it receives, since a packet socket sees no
  /// hardware stamps of sent packets.
  package var requiresHardware = false
  /// Packet keys without addresses and ports, as the recorder has them.
  package var isNATProof = false
  /// The namespace that the devices are in, as it was asked for; nil: where the thread is.
  package var namespace: NetworkNamespace?
  package var recorder = RecorderOptions()

  package init() {}
}

/// Records what passes devices of this machine, each packet with whose time it has.
package struct TapRecorder: ~Copyable {
  private static let updateInterval: Int64 = 1_000_000_000

  private let options: TapOptions
  private let source: TapSource
  /// One for each device.
  private var stampers: [DeviceStamper]
  private var clocks: ClockKeeper
  package private(set) var machine: Machine

  /// Opens all devices; nothing is recorded yet.
  ///
  /// - Parameter warn: told in one line each what will be missing.
  package init(_ devices: [TapDevice], options: TapOptions, warn: @escaping (String) -> Void) throws(TapError) {
    self.options = options
    source = try TapSource(
      devices, filter: options.filter, captured: PacketRing.headers, hardware: true,
      mustBeHardware: options.requiresHardware, namespace: options.namespace, warn: warn)
    stampers = source.devices.map { DeviceStamper($0, isNATProof: options.isNATProof) }
    machine = Environment.machine(role: "wire", topology: "wire")
    machine.filter = options.filter?.expression
    if options.isNATProof { machine.identity = Machine.natProof }
    clocks = ClockKeeper(devices: source.hardwareClocks, warn: warn)
    machine.hooks = source.hooks
    // At one device a packet only passes once: what comes in is not what goes out.
    machine.paths =
      devices.count > 1
      ? [Path(name: "wire", hooks: machine.hooks.map(\.name))]
      : machine.hooks.map { Path(name: $0.name, hooks: [$0.name]) }
  }

  /// Records until the duration or count is reached, or `stopRequested` says why to stop.
  ///
  /// - Parameter started: called when every packet from then on is recorded.
  /// - Returns: the machine as written last.
  package mutating func run(
    session: Session, directory: String, started: () -> Void, stopRequested: () -> String?,
    progress: (RecordingProgress) -> Void
  ) throws -> Machine {
    let now = ClockReading.now()
    machine.startedAt = UInt64(now.monotonic.nanoseconds)
    let writer = try MachineWriter(
      directory: directory, machine: machine, session: session,
      utcOffset: now.realtime.nanoseconds - now.monotonic.nanoseconds, options: options.recorder.writer)
    var failure: (any Error)?
    do {
      try clocks.take(.all, writer)
      source.start()
      machine.startedAt = UInt64(Instant<Monotonic>.now.nanoseconds)
      started()
      machine.stoppedBy = try listen(writer, stopRequested, progress)
      try takeRest(writer)
    } catch {
      failure = error
      machine.stoppedBy = (error as? RecordingError)?.kind == .diskFull ? "disk full" : "error"
      // A device that is down still has packets in its ring; those of a writer that failed are counted as unwritten.
      try? takeRest(writer)
    }
    takeLedger(writer)
    do { try writer.close(machine) } catch { failure = failure ?? error }
    if let failure { throw failure }
    return machine
  }

  /// What a user has to know of the time stamps, one line each; with --require-hw the reason to fail.
  package var complaints: [String] { source.complaints }

  private mutating func listen(
    _ writer: MachineWriter, _ stopRequested: () -> String?, _ progress: (RecordingProgress) -> Void
  ) throws -> String {
    let start = Instant<Monotonic>.now.nanoseconds
    var flushes = FlushSchedule(start: start)
    // With the first flush, so that what is on disk is accounted for.
    var nextUpdate = start + FlushSchedule.first
    // A reference of its own, so that the rounds may change this recorder.
    let source = source
    return try source.listen(for: options.recorder.duration, stopRequested: stopRequested) { now in
      try pour(writer)
      if flushes.isDue(now) {
        takeLedger(writer)
        try writer.flush()
        let state = state(elapsed: Double(now - start) / 1e9, writer)
        progress(state)
        if let count = options.recorder.count, state.packets >= count { return "count" }
      }
      try clocks.take(.due(now), writer)
      if now >= nextUpdate {
        nextUpdate = now + TapRecorder.updateInterval
        try writer.updateMachine(machine)
      }
      return nil
    }
  }

  /// Records what came before now.
  private mutating func takeRest(_ writer: MachineWriter) throws(RecordingError) {
    machine.stoppedAt = UInt64(Instant<Monotonic>.now.nanoseconds)
    source.settle()
    try pour(writer)
    try clocks.take(.all, writer)
  }

  /// Stamps what the rings hold: all of it, also if some cannot be written.
  private mutating func pour(_ writer: MachineWriter) throws(RecordingError) {
    let read = UInt64(Instant<Monotonic>.now.nanoseconds)
    let stampers = stampers
    var failure: RecordingError?
    source.drain { tapped, frame in
      do throws(RecordingError) { try stampers[Int(tapped.number)].take(frame, read: read, into: writer) } catch {
        failure = failure ?? error
      }
    }
    for stamper in stampers {
      do throws(RecordingError) { try stamper.put(into: writer) } catch { failure = failure ?? error }
    }
    if let failure { throw failure }
  }

  private mutating func takeLedger(_ writer: MachineWriter) {
    _ = source.takeDrops()
    machine.ledger = source.ledger
    machine.changes = source.changes
    let interfaces = source.interfaces
    machine.interfaces = interfaces
    for interface in interfaces { writer.discarded(cpu: Int(interface.number), total: interface.ringDrops) }
  }

  private func state(elapsed: Double, _ writer: MachineWriter) -> RecordingProgress {
    var progress = RecordingProgress()
    progress.elapsed = elapsed
    progress.stamps = machine.ledger.sum(\.emitted).unsigned
    progress.lost = machine.ledger.sum(\.lost).unsigned
    progress.packets = (machine.ledger.map(\.emitted).max() ?? 0).unsigned
    progress.size = writer.size
    return progress
  }
}

/// Turns the frames of one device into records.
private final class DeviceStamper {
  /// Records that are handed to the writer at once.
  private static let batch = 64 << 10

  private let tapped: TappedDevice
  private var stamper: PacketStamper
  private var records: [UInt8] = []

  init(_ tapped: TappedDevice, isNATProof: Bool) {
    self.tapped = tapped
    stamper = PacketStamper(isNATProof: isNATProof)
  }

  /// - Parameter read: now, nanoseconds of CLOCK_MONOTONIC.
  func take(_ frame: RingFrame, read: UInt64, into writer: MachineWriter) throws(RecordingError) {
    let place = tapped.see(frame)
    let about = PacketStamper.Circumstances(
      hook: tapped.hook(place), read: read, time: frame.time, source: frame.source, length: frame.length,
      interface: tapped.number, device: frame.source == .hardware ? tapped.hardwareClock ?? 0 : 0)
    let leftOut = stamper.append(
      unsafe LinkFrame(linkType: tapped.linkType, bytes: frame.bytes, segmentSize: frame.segmentSize ?? 0), about,
      to: &records)
    guard leftOut == nil else {
      tapped.otherFrames += 1
      return
    }
    tapped.count(frame, at: place)
    if records.count >= DeviceStamper.batch { try put(into: writer) }
  }

  func put(into writer: MachineWriter) throws(RecordingError) {
    guard !records.isEmpty else { return }
    defer { records.removeAll(keepingCapacity: true) }
    try writer.append(cpu: Int(tapped.number), records)
  }
}
