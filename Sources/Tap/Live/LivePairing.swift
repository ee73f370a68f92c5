// SPDX-License-Identifier: GPL-2.0-or-later
internal import Clocks
package import Host
package import Pairing
package import Recording

package struct LivePairingOptions: Sendable {
  package var filter: Filter?
  /// Times of the devices' hardware clock, not of the kernel.
  package var requiresHardware = false
  /// The namespace that the devices are in, as it was asked for; nil: where the thread is.
  package var namespace: NetworkNamespace?
  /// Nanoseconds; nil: until a signal.
  package var duration: Int64?
  /// Stop once there are so many pairs.
  package var count: UInt64?

  package init() {}
}

package struct LivePairingProgress: Sendable {
  /// Seconds since the start.
  package var elapsed: Double = 0
  package var packets: UInt64 = 0
  package var pairs: UInt64 = 0
  package var unanswered: UInt64 = 0
  package var lost: UInt64 = 0

  package init() {}
}

/// Pairs requests and answers that pass devices of this machine, as they come.
///
/// All times are of one clock: CLOCK_REALTIME as the kernel stamps, or the one hardware clock of all devices.
package struct LivePairing: ~Copyable {
  private static let reportInterval: Int64 = 200_000_000
  /// The longest that nobody looks at the rings.
  private static let interval: Int64 = 20_000_000

  /// Why the pairing ended early; what came before is paired.
  package private(set) var failure: (any Error)?
  private let options: LivePairingOptions
  private let source: TapSource
  private var collector: PairCollector
  private var order = PacketOrder()

  /// Opens all devices; nothing is paired yet.
  ///
  /// - Parameters:
  ///   - spill: takes all pairs where there are more than its limit; nil: they are held.
  ///   - warn: told in one line each what will be missing.
  package init(
    _ devices: [TapInput], pairer: Pairer, options: LivePairingOptions, spill: PairSpill? = nil,
    warn: @escaping (String) -> Void
  ) throws(TapError) {
    let plain = devices.first { $0.hook == nil }
    if options.requiresHardware, let plain {
      throw TapError(
        "\(plain.name): a packet socket gets hardware time stamps of received packets alone, so that request and answer "
          + "would have two clocks: tap both directions beside the path, wire-in=IF wire-out=IF, or leave out --require-hw"
      )
    }
    let source = try TapSource(
      devices, filter: options.filter, captured: PacketRing.wholePackets, hardware: options.requiresHardware,
      mustBeHardware: true, namespace: options.namespace, warn: warn)
    if options.requiresHardware,
      let complaint = LivePairing.complaint(about: source.devices.map { ($0.device.name, $0.hardwareClock) })
    {
      throw TapError(complaint)
    }
    self.options = options
    self.source = source
    collector = PairCollector(pairer, spill: spill)
  }

  /// Why hardware stamps of these devices are not known to be of one clock; nil if they are.
  static func complaint(about devices: [(name: String, clock: UInt16?)]) -> String? {
    if let unknown = devices.first(where: { $0.clock == nil }) {
      return "\(unknown.name) does not say which hardware clock it has: request and answer must be of one"
    }
    guard Set(devices.map(\.clock)).count > 1 else { return nil }
    let names = devices.map(\.name).joined(separator: " ")
    return "\(names) have different hardware clocks: request and answer must be of one"
  }

  /// Pairs until the duration or count is reached, or `stopRequested` says why to stop.
  ///
  /// - Parameter started: called when every packet from then on is looked at.
  package mutating func run(
    session: String, started: () -> Void, stopRequested: () -> String?, progress: (LivePairingProgress) -> Void
  ) -> MachineRecording {
    var reason = "error"
    do {
      source.start()
      started()
      reason = try listen(stopRequested, progress)
    } catch {
      failure = error
    }
    source.settle()
    pour(.max)
    collector.take()
    var machine = Environment.machine(role: "wire", topology: "wire")
    machine.takeCaptureClock(session: session)
    machine.filter = options.filter?.expression
    machine.hooks = source.hooks
    machine.ledger = source.ledger
    // What is paired has times of CLOCK_REALTIME, and a line of its own where that was set.
    let clock = ClockReading.now()
    let ahead = options.requiresHardware ? 0 : clock.realtime.nanoseconds - clock.monotonic.nanoseconds
    machine.changes = source.changes.filter { $0.what != .clockSet }.map { change in
      var change = change
      change.time = UInt64(clamping: Int64(clamping: change.time).addingReportingOverflow(ahead).partialValue)
      return change
    }
    machine.interfaces = source.interfaces
    let leftOut = source.devices.reduce(0) { $0 + $1.leftOut }
    var recording = collector.finish(machine, stoppedBy: reason, leftOut: leftOut)
    failure = failure ?? collector.failure
    let steps = source.changes.count { $0.what == .clockSet }
    if steps > 0, !options.requiresHardware {
      recording.machine.pairing?.packets[PairingAccount.clockSteps] = Count(steps)
    }
    for interface in source.interfaces { recording.discardedByCPU[Int(interface.number)] = interface.ringDrops }
    if let failure { recording.damage = ["\(failure)"] }
    return recording
  }

  /// What a user has to know of the time stamps, one line each.
  package var complaints: [String] { source.complaints }

  private mutating func listen(
    _ stopRequested: () -> String?, _ progress: (LivePairingProgress) -> Void
  ) throws -> String {
    let start = Instant<Monotonic>.now.nanoseconds
    var nextReport = start + LivePairing.reportInterval
    while true {
      let now = Instant<Monotonic>.now.nanoseconds
      try source.check()
      pour(now)
      if now >= nextReport {
        nextReport = now + LivePairing.reportInterval
        collector.take()
        if let failure = collector.failure { throw failure }
        let state = state(elapsed: Double(now - start) / 1e9)
        progress(state)
        if let count = options.count, state.pairs >= count { return "count" }
      }
      if let reason = stopRequested() { return reason }
      var next = now + LivePairing.interval
      if let duration = options.duration {
        if now - start >= duration { return "duration" }
        next = min(next, start + duration)
      }
      try source.wait(until: next)
    }
  }

  /// Takes what the rings hold, and pairs what can no longer be preceded.
  private mutating func pour(_ now: Int64) {
    let needsHardware = options.requiresHardware
    source.drain { tapped, frame in
      let place = tapped.see(frame)
      // On a loopback device each packet comes in that went out.
      if frame.isLoopback && frame.isOutgoing { return }
      if needsHardware && frame.source != .hardware { return tapped.leaveOut(frame) }
      tapped.count(frame, at: place)
      order.add(
        PairingPacket(
          time: frame.time, linkType: tapped.linkType.number, length: frame.length,
          bytes: unsafe Array(frame.bytes), interface: Int(tapped.number), vlan: frame.vlan,
          segmentSize: frame.segmentSize))
    }
    order.endRound(Instant<Monotonic>.now.nanoseconds, isGap: source.takeDrops())
    guard let due = order.due(now) else { return }
    if due.hasGap { collector.pairer.miss() }
    for packet in due.packets { collector.pairer.take(packet) }
    if due.hasGap { collector.pairer.miss() }
  }

  private func state(elapsed: Double) -> LivePairingProgress {
    let tallies = collector.pairer.ledger.protocols.map(\.tally)
    var progress = LivePairingProgress()
    progress.elapsed = elapsed
    progress.pairs = UInt64(collector.count)
    progress.unanswered = tallies.reduce(0) { $0 + UInt64($1.unanswered) }
    let ledger = source.ledger
    progress.packets = ledger.sum(\.emitted).unsigned
    progress.lost = ledger.sum(\.lost).unsigned
    return progress
  }
}
