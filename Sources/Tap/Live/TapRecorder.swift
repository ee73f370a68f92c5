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

  var hooks: [HookPoint] { hook.map { [$0] } ?? [.wireIn, .wireOut] }
}

package struct TapOptions: Sendable {
  package var filter: Filter?
  /// Hardware stamps or none.
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
    let number: UInt8
    var ring: PacketRing
    let stamping: HardwareStamping
    var interface: TapInterface
    let dropsBefore: UInt64
    var stamper = PacketStamper()
    var records: [UInt8] = []
    var seen: [HookPoint: UInt64] = [:]
    var emitted: [HookPoint: UInt64] = [:]

    init(_ device: TapDevice, number: UInt8, filter: Filter?) throws(TapError) {
      self.device = device
      self.number = number
      // The ring first: a device that is not there is told as such.
      ring = try PacketRing(
        device: device.name, filter: filter, hardware: true, promiscuous: device.hook != nil)
      stamping = HardwareStamping(device: device.name)
      var driver: [CChar] = Array(repeating: 0, count: 32)
      _ = unsafe driver.withUnsafeMutableBufferPointer { unsafe lp_device_driver(device.name, $0.baseAddress) }
      var found = lp_timestamping()
      let hasClock = unsafe lp_timestamping_of(device.name, &found) == 0 && found.phc_index >= 0
      interface = TapInterface(
        number: number, name: device.name, hooks: device.hooks.map(\.name),
        driver: String(decoding: driver.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self),
        hardwareClock: hasClock ? Int(found.phc_index) : nil, hardware: stamping.refusal ?? "granted")
      dropsBefore = deviceDrops(device.name)
    }
  }

  /// Opens all devices; nothing is recorded yet.
  ///
  /// - Parameter warn: told in one line each what will be missing.
  package init(_ devices: [TapDevice], options: TapOptions, warn: @escaping (String) -> Void) throws(TapError) {
    self.options = options
    for (number, device) in devices.enumerated() {
      taps.append(try Tap(device, number: UInt8(clamping: number), filter: options.filter))
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
    let namespace = (try? NetworkNamespace.named("/proc/thread-self/ns/net"))?.inode
    let points = [HookPoint.wireIn, .wireOut].filter { point in taps.contains { $0.device.hooks.contains(point) } }
    machine.hooks = points.map { point in
      let names = taps.map(\.device).filter { $0.hooks.contains(point) }.map(\.name)
      return AttachedHook(
        name: point.name, attachedAs: "packet socket", watches: names,
        devices: namespace.map { inode in names.map { "\(inode):\(unsafe lp_device_index($0))" } })
    }
    // At one device a packet only passes once: what comes in is not what goes out.
    machine.paths =
      devices.count > 1
      ? [Path(name: "wire", hooks: points.map(\.name))] : points.map { Path(name: $0.name, hooks: [$0.name]) }
  }

  /// Records until the duration or count is reached, or `stopRequested` says why to stop.
  ///
  /// - Returns: the machine as written last.
  package mutating func run(
    session: Session, directory: String, stopRequested: () -> String?, progress: (RecordingProgress) -> Void
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
        tap.ring.drain { _, _ in }
        _ = tap.ring.drops()
      }
      machine.startedAt = UInt64(Instant<Monotonic>.now.nanoseconds)
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
    takeLedger(writer)
    do { try writer.close(machine) } catch { failure = failure ?? error }
    if let failure { throw failure }
    return machine
  }

  /// What a user has to know of the time stamps, one line each; with --require-hw the reason to fail.
  package var complaints: [String] {
    (machine.interfaces ?? []).compactMap { interface in
      let stamped = interface.clocks.values.reduce(0, +)
      let hardware = interface.clocks[WireClock.hardware.name] ?? 0
      guard interface.hardware == "granted", stamped > 0, hardware < stamped else { return nil }
      return hardware == 0
        ? "\(interface.name) granted hardware time stamps and delivered none: its \(stamped) packets have the kernel's time"
        : "\(interface.name) delivered hardware time stamps of \(hardware) of \(stamped) packets; the others have the kernel's time"
    }
  }

  private mutating func loop(
    _ writer: MachineWriter, _ stopRequested: () -> String?, _ progress: (RecordingProgress) -> Void
  ) throws -> String {
    let start = Instant<Monotonic>.now.nanoseconds
    var nextFlush = start + TapRecorder.flushInterval
    var nextUpdate = start + TapRecorder.updateInterval
    var waiting = taps.map { pollfd(fd: $0.ring.descriptor, events: Int16(POLLIN), revents: 0) }
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
        throw TapError("\(taps[gone].device.name) is down or gone; what came before is recorded")
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
      tap.interface.ringDrops += tap.ring.drops()
      let drops = deviceDrops(tap.device.name)
      tap.interface.deviceDrops = drops > tap.dropsBefore ? drops - tap.dropsBefore : 0
      writer.discarded(cpu: Int(tap.number), total: tap.interface.ringDrops)
      for hook in tap.device.hooks {
        var row = LedgerRow(hook: hook.name, cpu: Int(tap.number))
        row.emitted = tap.emitted[hook] ?? 0
        row.filtered = (tap.seen[hook] ?? 0) - row.emitted
        // Nobody knows which way the dropped ones went: the first hook point answers for them.
        row.lost = hook == tap.device.hooks.first ? tap.interface.ringDrops : 0
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
    try ring.drain { (packet, isOutgoing) throws(RecordingError) in
      var packet = packet
      packet.interface = Int(number)
      let hook = self.device.hook ?? (isOutgoing ? .wireOut : .wireIn)
      seen[hook, default: 0] += 1
      let isStamped = stamper.append(
        packet, hook: hook, time: time, device: packet.source == .hardware ? clock : 0, to: &records)
      guard isStamped else {
        interface.otherFrames += 1
        return
      }
      emitted[hook, default: 0] += 1
      interface.clocks[packet.source.name, default: 0] += 1
      if records.count >= 64 << 10 { try put(writer) }
    }
    try put(writer)
  }

  private func put(_ writer: MachineWriter) throws(RecordingError) {
    try writer.append(cpu: Int(number), records)
    records.removeAll(keepingCapacity: true)
  }
}
