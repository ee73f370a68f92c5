// SPDX-License-Identifier: GPL-2.0-or-later
internal import Clocks
package import Collecting
internal import Glibc
internal import Host
internal import Pairing
package import Recording
internal import Stamping

/// Sends probe frames through a cable from one port of this machine to another, both ways, and records the stamps of both.
package struct Calibrator: ~Copyable {
  /// From frame to frame, the two directions in turn: a device with room for one stamp can hand it over meanwhile, and no
  /// direction finds what the other one's frame has just warmed.
  private static let spacing: Int64 = 1_000_000
  /// The last frames are waited for, longer than ``Calibration/patience`` and a ring's block.
  private static let patience = 3 * Calibration.patience
  private static let pollInterval: Int64 = 2_000_000

  private var ports: [Port] = []
  private let count: UInt64
  private let clocks: ClockKeeper
  /// CLOCK_MONOTONIC, nanoseconds: when the next frame is due, or, where all are sent, when none is waited for any more.
  private var next: Int64 = 0
  /// Place in ``ports`` of the one that sends next.
  private var turn = 0
  /// All frames are sent; the last ones are waited for.
  private var isWaiting = false
  package var machine: Machine

  private final class Port {
    let number: UInt8
    let rings: [PacketRing]
    private let receiving: HardwareStamping
    private let sending: HardwareStamping
    var sender: FrameSender
    var interface: TapInterface
    private var stamper = PacketStamper()
    var records: [UInt8] = []
    private(set) var emitted: [HookPoint: UInt64] = [:]
    /// Of each of ``rings``, since the start.
    private(set) var lost: [UInt64] = [0, 0]

    init(_ device: String, to other: String, number: UInt8, filter: Filter) throws(TapError) {
      self.number = number
      guard try LinkType(tapped: device) == .ethernet else {
        throw TapError("\(device) has no Ethernet: a calibration needs two ports that a cable joins")
      }
      receiving = HardwareStamping(device: device, of: .received)
      sending = HardwareStamping(device: device, of: .sent)
      let isGranted = receiving.refusal == nil
      func ring(_ direction: PacketRing.Direction) throws(TapError) -> PacketRing {
        try PacketRing(
          device: device, filter: filter, direction, captured: PacketRing.headers,
          hardware: isGranted && direction == .received, promiscuous: false)
      }
      rings = [try ring(.received), try ring(.sent)]
      sender = try FrameSender(
        device: device, to: other, port: 50_000 + UInt16(number), hardware: sending.refusal == nil)
      let refusals = [receiving.refusal, sending.refusal].compactMap { $0 }
      interface = TapInterface(
        device: device, number: number, hooks: [.wireIn, .wireOut], hardware: refusals.first ?? TapInterface.granted)
    }

    /// Why some of its frames will have no hardware stamps; nil if both directions are granted.
    var refusal: String? { receiving.refusal ?? sending.refusal }

    /// N of /dev/ptpN, if any direction is granted.
    var clock: UInt16? {
      receiving.refusal == nil || sending.refusal == nil
        ? interface.hardwareClock.flatMap { UInt16(exactly: $0) } : nil
    }

    func takeDrops() {
      for (place, ring) in rings.enumerated() { lost[place] += ring.drops() }
      interface.ringDrops = lost.map { Count($0) }.sum()
    }

    func forgetFlows() { stamper.forgetFlows() }

    func take(_ frame: LinkFrame, _ time: Int64, _ source: WireClock, _ hook: HookPoint, length: Int, read: UInt64) {
      let about = PacketStamper.Circumstances(
        hook: hook, read: read, time: time, source: source, length: length, interface: number,
        device: source == .hardware ? clock ?? 0 : 0)
      guard stamper.append(frame, about, to: &records) == nil else { return }
      emitted[hook, default: 0] += 1
      interface.clocks[source.name, default: 0] += 1
    }
  }

  /// - Parameters:
  ///   - devices: the two ports that the cable joins.
  ///   - count: frames in each direction.
  ///   - requiresHardware: fail where a port does not grant hardware stamps.
  package init(
    _ devices: [String], count: UInt64, requiresHardware: Bool, warn: @escaping (String) -> Void
  ) throws {
    self.count = count
    let filter = try Filter(FrameSender.filter)
    for (number, device) in devices.enumerated() {
      ports.append(try Port(device, to: devices[1 - number], number: UInt8(number), filter: filter))
    }
    for port in ports {
      guard let refusal = port.refusal else { continue }
      if requiresHardware { throw TapError("\(port.interface.name): \(refusal), and --require-hw asks for them") }
      warn("\(port.interface.name): \(refusal): the constant will be one of the software path, at this load")
    }
    machine = Environment.machine(role: "wire", topology: "wire")
    machine.hooks = [HookPoint.wireIn, .wireOut].map {
      AttachedHook(name: $0.name, attachedAs: "packet socket", watches: devices, devices: Link.ids(devices))
    }
    machine.paths = [Path(name: "wire", hooks: [HookPoint.wireIn.name, HookPoint.wireOut.name])]
    machine.filter = FrameSender.filter
    clocks = ClockKeeper(devices: Set(ports.compactMap(\.clock)).sorted(), warn: warn)
  }

  /// Sends all frames, or until `stopRequested` says why to stop; returns the machine as written last.
  package mutating func run(
    session: Session, directory: String, stopRequested: () -> String?
  ) throws -> Machine {
    let collector = try Collector(machine: machine, session: session, directory: directory, clocks: clocks)
    return try collector.collect(&self, stopRequested: stopRequested)
  }
}

extension Calibrator: Producer {
  package mutating func start() { next = Instant<Monotonic>.now.nanoseconds }

  package mutating func poll(_ now: Int64, into outlet: Outlet) throws -> Round {
    if now >= next {
      guard try send() else { return .ended("count") }
    }
    pour(into: outlet)
    return .idle
  }

  package mutating func wait(until time: Int64) {
    let now = Instant<Monotonic>.now.nanoseconds
    Pause.sleep(until: min(time, next, now + Calibrator.pollInterval))
  }

  package mutating func stop() {}

  /// Where a port has gone down, what came before is in the rings still.
  package mutating func finish(into outlet: Outlet) {
    let end = Instant<Monotonic>.now.nanoseconds + (isComplete ? 0 : Calibrator.patience)
    repeat {
      pour(into: outlet)
      Pause.sleep(until: min(end, Instant<Monotonic>.now.nanoseconds + Calibrator.pollInterval))
    } while Instant<Monotonic>.now.nanoseconds < end
    pour(into: outlet)
  }

  package mutating func takeAccount(_ account: Account) {
    guard account != .update else { return }
    takeLedger()
  }

  package mutating func forgetFlows() {
    for port in ports { port.forgetFlows() }
  }

  private var isComplete: Bool { ports.allSatisfy { $0.sender.count >= count } }

  /// Sends the frame that is due, or waits for the last ones; false where nothing is to be waited for any more.
  private mutating func send() throws -> Bool {
    if isComplete {
      guard !isWaiting else { return false }
      isWaiting = true
      next = Instant<Monotonic>.now.nanoseconds + Calibrator.patience
      return true
    }
    while ports[turn].sender.count >= count { turn = (turn + 1) % ports.count }
    try ports[turn].sender.send()
    turn = (turn + 1) % ports.count
    next = max(next + Calibrator.spacing, Instant<Monotonic>.now.nanoseconds)
    return true
  }

  private func pour(into outlet: Outlet) {
    for port in ports {
      let now = UInt64(Instant<Monotonic>.now.nanoseconds)
      for ring in port.rings {
        ring.drain { frame in
          port.take(
            unsafe LinkFrame(linkType: .ethernet, bytes: frame.bytes), frame.time, frame.source,
            frame.isOutgoing ? .wireOut : .wireIn, length: frame.length, read: now)
        }
      }
      for (frame, time) in port.sender.stamps() {
        unsafe frame.withUnsafeBufferPointer { bytes in
          port.take(
            unsafe LinkFrame(linkType: .ethernet, bytes: bytes), time, .hardware, .wireOut, length: bytes.count,
            read: now)
        }
      }
      outlet.append(cpu: Int(port.number), port.records)
      port.records.removeAll(keepingCapacity: true)
    }
  }

  private mutating func takeLedger() {
    machine.ledger = []
    for port in ports {
      port.takeDrops()
      let clocks = port.interface.clocks
      if port.refusal == nil, !clocks.isEmpty, clocks[WireClock.hardware.name] == nil {
        port.interface.hardware = TapInterface.notDelivered
      } else if port.refusal == nil {
        port.interface.hardware = TapInterface.granted
      }
      for (hook, lost) in zip([HookPoint.wireIn, .wireOut], port.lost) {
        var row = LedgerRow(hook: hook.name, cpu: Int(port.number))
        row.emitted = Count(port.emitted[hook] ?? 0)
        row.lost = Count(lost)
        row.seen = row.emitted + row.lost
        machine.ledger.append(row)
      }
    }
    machine.interfaces = ports.map(\.interface)
  }
}
