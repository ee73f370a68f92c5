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
package struct TapRecorder {
  private let options: TapOptions
  private let source: TapSource
  /// One for each device.
  private let stampers: [DeviceStamper]
  private let clocks: ClockKeeper
  package var machine: Machine

  /// Opens all devices; nothing is recorded yet.
  ///
  /// - Parameter warn: told in one line each what will be missing.
  package init(_ devices: [TapInput], options: TapOptions, warn: @escaping (String) -> Void) throws(TapError) {
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
    let collector = try Collector(
      machine: machine, session: session, directory: directory, clocks: clocks, options: options.recorder)
    return try collector.collect(&self, started: started, stopRequested: stopRequested, progress: progress)
  }

  /// What a user has to know of the time stamps, one line each; with --require-hw the reason to fail.
  package var complaints: [String] { source.complaints }
}

extension TapRecorder: Producer {
  package mutating func start() {
    source.start()
    machine.startedAt = UInt64(Instant<Monotonic>.now.nanoseconds)
  }

  package mutating func poll(_ now: Int64, into outlet: Outlet) throws -> Round {
    try source.check()
    pour(into: outlet)
    return .idle
  }

  package mutating func wait(until time: Int64) throws { try source.wait(until: time) }

  package mutating func stop() {}

  package mutating func finish(into outlet: Outlet) {
    source.settle()
    pour(into: outlet)
  }

  package mutating func takeAccount(_ account: Account) {
    guard account != .update else { return }
    _ = source.takeDrops()
    machine.ledger = source.ledger
    machine.changes = source.changes
    machine.interfaces = source.interfaces
  }

  package mutating func forgetFlows() {
    for stamper in stampers { stamper.forgetFlows() }
  }

  /// Stamps what the rings hold.
  private func pour(into outlet: Outlet) {
    let read = UInt64(Instant<Monotonic>.now.nanoseconds)
    source.drain { tapped, frame in stampers[Int(tapped.number)].take(frame, read: read, into: outlet) }
    for stamper in stampers { stamper.put(into: outlet) }
  }
}

/// Turns the frames of one device into records.
private final class DeviceStamper {
  /// Records that are handed over at once.
  private static let batch = 64 << 10

  private let tapped: TappedDevice
  private var stamper: PacketStamper
  private var records: [UInt8] = []

  init(_ tapped: TappedDevice, isNATProof: Bool) {
    self.tapped = tapped
    stamper = PacketStamper(isNATProof: isNATProof)
  }

  /// - Parameter read: now, nanoseconds of CLOCK_MONOTONIC.
  func take(_ frame: RingFrame, read: UInt64, into outlet: Outlet) {
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
    if records.count >= DeviceStamper.batch { put(into: outlet) }
  }

  func put(into outlet: Outlet) {
    outlet.append(cpu: Int(tapped.number), records)
    records.removeAll(keepingCapacity: true)
  }

  func forgetFlows() { stamper.forgetFlows() }
}
