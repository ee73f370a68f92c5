// SPDX-License-Identifier: GPL-2.0-or-later
internal import CTimestamp
internal import Clocks
internal import Glibc
package import Probing
package import Recording

/// A device to listen on, and where its packets are.
package struct TapDevice: Sendable, Equatable {
  package var name: String
  /// Nil: what comes in is at `wire-in` and what goes out at `wire-out`, as this machine is what is measured.
  package var hook: HookPoint?

  package init(name: String, hook: HookPoint? = nil) {
    self.name = name
    self.hook = hook
  }

}

package struct TapOptions: Sendable {
  package var filter: Filter?
  /// Hardware stamps or none: of a device that has both directions only what it receives, since a packet socket sees no
  /// hardware stamps of sent packets.
  package var requiresHardware = false
  package var recorder = RecorderOptions()

  package init() {}
}

/// Records what passes devices of this machine, each packet with whose time it has.
package struct TapRecorder: ~Copyable {
  private static let flushInterval: Int64 = 200_000_000
  private static let updateInterval: Int64 = 1_000_000_000

  private let options: TapOptions
  fileprivate var taps: [Tap] = []
  private var clocks: ClockKeeper
  package private(set) var machine: Machine

  /// One device.
  fileprivate final class Tap {
    let device: TapDevice
    let hooks: [HookPoint]
    let number: UInt8
    let rings: [PacketRing]
    let stamping: HardwareStamping
    var interface: TapInterface
    let dropsBefore: UInt64
    let counters: DriverCounters
    /// Packets that came in, and those of them with a hardware stamp.
    var received: (all: UInt64, hardware: UInt64) = (0, 0)
    var stamper = PacketStamper()
    var records: [UInt8] = []
    var seen: [HookPoint: UInt64] = [:]
    var emitted: [HookPoint: UInt64] = [:]
    var lost: [HookPoint: UInt64] = [:]

    init(_ device: TapDevice, number: UInt8, _ options: TapOptions) throws(TapError) {
      self.device = device
      self.number = number
      hooks = device.hook.map { [$0] } ?? (options.requiresHardware ? [.wireIn] : [.wireIn, .wireOut])
      // First: a device that is not there is told as such.
      _ = try PacketRing.index(of: device.name)
      stamping = HardwareStamping(device: device.name, of: .received)
      let isGranted = stamping.refusal == nil
      let isPromiscuous = device.hook != nil
      var rings = [
        try PacketRing(
          device: device.name, filter: options.filter, isGranted ? .received : .both, hardware: isGranted,
          promiscuous: isPromiscuous)
      ]
      if isGranted && !options.requiresHardware {
        rings.append(
          try PacketRing(
            device: device.name, filter: options.filter, .sent, hardware: false, promiscuous: isPromiscuous))
      }
      self.rings = rings
      interface = TapInterface(
        device: device.name, number: number, hooks: hooks, hardware: stamping.refusal ?? "granted")
      dropsBefore = deviceDrops(device.name)
      counters = DriverCounters(device: device.name)
    }
  }

  /// Opens all devices; nothing is recorded yet.
  ///
  /// - Parameter warn: told in one line each what will be missing.
  package init(_ devices: [TapDevice], options: TapOptions, warn: @escaping (String) -> Void) throws(TapError) {
    self.options = options
    for (number, device) in devices.enumerated() {
      taps.append(try Tap(device, number: UInt8(clamping: number), options))
    }
    for tap in taps {
      guard let refusal = tap.stamping.refusal else { continue }
      if options.requiresHardware { throw TapError("\(tap.device.name): \(refusal), and --require-hw asks for them") }
      warn("\(tap.device.name): \(refusal): its packets get the kernel's time")
    }
    machine = Environment.machine(role: "wire", topology: "wire")
    machine.filter = options.filter?.expression
    let granted = taps.filter { $0.stamping.refusal == nil }
    let numbers = Set(granted.compactMap { $0.interface.hardwareClock.flatMap { UInt16(exactly: $0) } })
    clocks = ClockKeeper(side: nil, devices: numbers.sorted(), warn: warn)
    var hooks: [HookPoint: [String]] = [:]
    for tap in taps { for hook in tap.hooks { hooks[hook, default: []].append(tap.device.name) } }
    let points = [HookPoint.wireIn, .wireOut].filter { hooks[$0] != nil }
    machine.hooks = points.map { AttachedHook(name: $0.name, attachedAs: "packet socket", watches: hooks[$0] ?? []) }
    // At one device a packet only passes once: what comes in is not what goes out.
    machine.paths =
      devices.count > 1
      ? [Path(name: "wire", hooks: points.map(\.name))] : points.map { Path(name: $0.name, hooks: [$0.name]) }
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
      // What came while the devices were being opened is no part of it.
      for tap in taps {
        for ring in tap.rings {
          ring.drain { _, _ in }
          _ = ring.drops()
        }
      }
      machine.startedAt = UInt64(Instant<Monotonic>.now.nanoseconds)
      started()
      machine.stoppedBy = try loop(writer, stopRequested, progress)
      machine.stoppedAt = UInt64(Instant<Monotonic>.now.nanoseconds)
      // A block that is not full comes after its time.
      var pause = timespec(tv_sec: 0, tv_nsec: 40_000_000)
      unsafe nanosleep(&pause, nil)
      try pour(writer)
      try clocks.take(.all, writer)
    } catch {
      failure = error
      machine.stoppedBy = (error as? RecordingError)?.kind == .diskFull ? "disk full" : "error"
      machine.stoppedAt = UInt64(Instant<Monotonic>.now.nanoseconds)
    }
    for tap in taps { tap.interface.driverCounters = tap.counters.since }
    takeLedger(writer)
    do { try writer.close(machine) } catch { failure = failure ?? error }
    if let failure { throw failure }
    return machine
  }

  /// What a user has to know of the time stamps, one line each; with --require-hw the reason to fail.
  package var complaints: [String] {
    taps.compactMap { tap in
      let (all, hardware) = tap.received
      guard tap.stamping.refusal == nil, hardware < all else { return nil }
      return hardware == 0
        ? "\(tap.device.name) granted hardware time stamps and delivered none: its \(all) received packets have the kernel's time"
        : "\(tap.device.name) delivered hardware time stamps of \(hardware) of \(all) received packets; the others have the kernel's time"
    }
  }

  private mutating func loop(
    _ writer: MachineWriter, _ stopRequested: () -> String?, _ progress: (RecordingProgress) -> Void
  ) throws -> String {
    let start = Instant<Monotonic>.now.nanoseconds
    var nextFlush = start + TapRecorder.flushInterval
    var nextUpdate = start + TapRecorder.updateInterval
    let rings = taps.flatMap(\.rings)
    var waiting = rings.map { pollfd(fd: $0.descriptor, events: Int16(POLLIN), revents: 0) }
    while true {
      try pour(writer)
      let now = Instant<Monotonic>.now.nanoseconds
      if now >= nextFlush {
        nextFlush = now + TapRecorder.flushInterval
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
      if let reason = stopRequested() { return reason }
      var pause: Int64 = 20
      if let duration = options.recorder.duration {
        if now - start >= duration { return "duration" }
        pause = min(pause, (duration - (now - start)) / 1_000_000 + 1)
      }
      _ = unsafe poll(&waiting, nfds_t(waiting.count), Int32(pause))
      if let gone = waiting.indices.first(where: { waiting[$0].revents & Int16(POLLERR) != 0 }) {
        throw TapError("\(rings[gone].device) is down or gone; what came before is recorded")
      }
    }
  }

  /// Stamps what the rings hold.
  private func pour(_ writer: MachineWriter) throws(RecordingError) {
    for tap in taps {
      let time = UInt64(Instant<Monotonic>.now.nanoseconds)
      try tap.drain(time, into: writer)
    }
  }

  private mutating func takeLedger(_ writer: MachineWriter) {
    machine.ledger = []
    for tap in taps {
      for ring in tap.rings {
        let count = ring.drops()
        tap.interface.ringDrops += count
        // Of a ring for both directions nobody knows which way they went: the first hook point answers for them.
        if let hook = ring.direction == .sent ? tap.hooks.last : tap.hooks.first { tap.lost[hook, default: 0] += count }
      }
      let drops = deviceDrops(tap.device.name)
      tap.interface.deviceDrops = drops > tap.dropsBefore ? drops - tap.dropsBefore : 0
      writer.discarded(cpu: Int(tap.number), total: tap.interface.ringDrops)
      for hook in tap.hooks {
        var row = LedgerRow(hook: hook.name, cpu: Int(tap.number))
        row.emitted = tap.emitted[hook] ?? 0
        row.filtered = (tap.seen[hook] ?? 0) - row.emitted
        row.lost = tap.lost[hook] ?? 0
        row.seen = row.emitted + row.filtered + row.lost
        machine.ledger.append(row)
      }
    }
    machine.interfaces = taps.map(\.interface)
  }

  private func state(elapsed: Double, _ writer: MachineWriter) -> RecordingProgress {
    var progress = RecordingProgress()
    progress.elapsed = elapsed
    progress.stamps = machine.ledger.reduce(0) { $0 + $1.emitted }
    progress.lost = machine.ledger.reduce(0) { $0 + $1.lost }
    progress.packets = machine.ledger.map(\.emitted).max() ?? 0
    progress.size = writer.size
    return progress
  }
}

extension TapRecorder.Tap {
  /// Stamps the frames at hand; `time` is now.
  fileprivate func drain(_ time: UInt64, into writer: MachineWriter) throws(RecordingError) {
    let clock = UInt16(clamping: interface.hardwareClock ?? 0)
    for ring in rings {
      try ring.drain { (packet, isOutgoing) throws(RecordingError) in
        var packet = packet
        packet.interface = Int(number)
        let hook = self.device.hook ?? (isOutgoing ? .wireOut : .wireIn)
        guard hooks.contains(hook) else { return }
        seen[hook, default: 0] += 1
        let isStamped = stamper.append(
          packet, hook: hook, time: time, device: packet.source == .hardware ? clock : 0, to: &records)
        guard isStamped else {
          interface.otherFrames += 1
          return
        }
        emitted[hook, default: 0] += 1
        interface.clocks[packet.source.name, default: 0] += 1
        if !isOutgoing {
          received.all += 1
          received.hardware += packet.source == .hardware ? 1 : 0
        }
        if records.count >= 64 << 10 { try put(writer) }
      }
    }
    try put(writer)
  }

  private func put(_ writer: MachineWriter) throws(RecordingError) {
    try writer.append(cpu: Int(number), records)
    records.removeAll(keepingCapacity: true)
  }
}
