// SPDX-License-Identifier: GPL-2.0-or-later
internal import CTraffic
internal import Clocks
internal import Glibc
package import Probing
package import Recording
internal import Tap

package struct SenderOptions: Sendable {
  /// Whose time the packets get.
  package enum Clock: String, Sendable, CaseIterable {
    /// The device's own clock, when it sends the packet.
    case hardware
    /// CLOCK_REALTIME, when the driver has the packet.
    case kernel
    /// CLOCK_REALTIME, before the packet is handed to the stack.
    case user
  }

  /// Nil: the device's if it has one, else the kernel's.
  package var clock: Clock?
  /// Bytes of UDP payload.
  package var size = TestPacket.smallest
  /// Packets a second.
  package var rate = 100.0
  package var recorder = RecorderOptions()

  package init() {}
}

/// Sends STAMP test packets on a schedule, and records when each has left.
package struct Sender: ~Copyable {
  private static let flushInterval: Int64 = 200_000_000
  private static let updateInterval: Int64 = 1_000_000_000
  /// Stamps that have not come in this time after the last packet never will: drivers give up after a second.
  private static let patience: Int64 = 1_100_000_000

  private let options: SenderOptions
  private let clock: SenderOptions.Clock
  private let stamping: HardwareStamping
  private let linkType: LinkType
  private let counters: DriverCounters
  private var socket: UDPSocket
  private var clocks: ClockKeeper
  private var interface: TapInterface
  private var stamper = PacketStamper()
  private var records: [UInt8] = []
  package private(set) var machine: Machine
  /// Packets that the stack took.
  package private(set) var sent: UInt64 = 0
  /// Packets whose stamp came.
  package private(set) var stamped: UInt64 = 0
  /// Packets that the stack refused, and why it did last.
  private var refused: (count: UInt64, error: Int32) = (0, 0)
  /// Time stamps that never came; known at the end.
  private var missing: UInt64 = 0
  /// Packets that were due before the end and not sent by then.
  private var overdue: UInt64 = 0
  /// How long after its time the latest packet was sent, nanoseconds.
  package private(set) var latest: Int64 = 0

  /// Opens the socket; nothing is sent yet.
  ///
  /// - Parameter warn: told in one line each what will be missing.
  package init(to peer: Peer, options: SenderOptions, warn: @escaping (String) -> Void) throws(TrafficError) {
    let device = try peer.device()
    let isEthernet = unsafe lp_device_is_ethernet(device)
    guard isEthernet >= 0 else {
      throw TrafficError("\(device): frames of this kind of device cannot be read; send by another one")
    }
    let wantsHardware = options.clock == nil || options.clock == .hardware
    let stamping = wantsHardware ? HardwareStamping(device: device, of: .sent) : HardwareStamping(unasked: device)
    let refusal = stamping.refusal
    if wantsHardware, let refusal {
      if options.clock == .hardware {
        throw TrafficError("\(device): \(refusal); leave --timestamps out to go by the kernel's time")
      }
      warn("\(device): \(refusal): packets get the kernel's time")
    }
    let clock = refusal == nil ? .hardware : options.clock ?? .kernel
    let way: TransmitClock =
      switch clock {
      case .hardware: .hardware
      case .kernel: .kernel
      case .user: .queue
      }
    socket = try UDPSocket(to: peer, stampedBy: way)
    self.options = options
    self.clock = clock
    self.stamping = stamping
    linkType = isEthernet == 1 ? .ethernet : .raw
    counters = DriverCounters(device: device)
    interface = TapInterface(device: device, hooks: [.wireOut], hardware: refusal ?? "granted")
    let clockNumber = clock == .hardware ? interface.hardwareClock.flatMap { UInt16(exactly: $0) } : nil
    clocks = ClockKeeper(side: nil, devices: clockNumber.map { [$0] } ?? [], warn: warn)
    machine = Environment.machine(role: "wire", topology: "wire")
    // A tap on this machine may be part of the session.
    machine.name = MachineName.make(role: "send", hostname: machine.hostname)
    machine.hooks = [
      AttachedHook(
        name: HookPoint.wireOut.name, attachedAs: "socket", watches: [device], devices: TapDevice.ids([device]))
    ]
    machine.paths = [Path(name: HookPoint.wireOut.name, hooks: [HookPoint.wireOut.name])]
    machine.settings["traffic"] = "STAMP to \(peer.name), \(options.rate) packets/s of \(options.size) bytes"
  }

  /// Sends until the duration or count is reached, or `stopRequested` says why to stop.
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
      machine.startedAt = UInt64(Instant<Monotonic>.now.nanoseconds)
      machine.stoppedBy = try loop(writer, stopRequested, progress)
      machine.stoppedAt = UInt64(Instant<Monotonic>.now.nanoseconds)
      try waitForStamps(writer)
      try clocks.take(.all, writer)
    } catch {
      failure = error
      machine.stoppedBy = (error as? RecordingError)?.kind == .diskFull ? "disk full" : "error"
      machine.stoppedAt = UInt64(Instant<Monotonic>.now.nanoseconds)
    }
    missing = sent > stamped ? sent - stamped : 0
    interface.driverCounters = counters.since
    takeLedger()
    writer.discarded(cpu: 0, total: missing)
    do { try writer.close(machine) } catch { failure = failure ?? error }
    if let failure { throw failure }
    return machine
  }

  /// Whether none of the time stamps came that the device had granted.
  package var deliveredNothing: Bool { sent > 0 && stamped == 0 }

  /// What a user has to know of the packets and their stamps, one line each.
  package var complaints: [String] {
    var lines: [String] = []
    if overdue > 0 {
      lines.append("\(overdue) packets that were due were not sent in time: give a lower --rate")
    }
    if refused.count > 0 {
      let reason = unsafe String(cString: strerror(refused.error))
      lines.append("\(refused.count) packets were not sent: \(reason)")
    }
    guard missing > 0 else { return lines }
    let counts = (interface.driverCounters ?? [:]).filter { $0.value > 0 }.sorted { $0.key < $1.key }
      .map { "\($0.key) \($0.value)" }
    let driver = counts.isEmpty ? "" : " (\(counts.joined(separator: ", ")))"
    lines.append(
      deliveredNothing && clock == .hardware
        ? "\(interface.name) granted hardware time stamps and delivered none for its \(sent) packets\(driver)"
        : "\(missing) of \(sent) packets have no time stamp\(driver): they were dropped before the device, came too fast for it, "
          + "or the stamp was lost")
    return lines
  }

  private mutating func loop(
    _ writer: MachineWriter, _ stopRequested: () -> String?, _ progress: (RecordingProgress) -> Void
  ) throws -> String {
    let schedule = Schedule(start: .now, rate: options.rate)
    let start = schedule.start.nanoseconds
    let end = options.recorder.duration.map { start + $0 }
    let planned = end.map { schedule.count(until: Instant(nanoseconds: $0)) } ?? .max
    var number: UInt64 = 0
    var nextFlush = start + Sender.flushInterval
    var nextUpdate = start + Sender.updateInterval
    while true {
      let now = Instant<Monotonic>.now.nanoseconds
      if now >= nextFlush {
        nextFlush = now + Sender.flushInterval
        takeLedger()
        try writer.flush()
        progress(state(elapsed: Double(now - start) / 1e9, writer))
      }
      try clocks.take(.due(now), writer)
      if now >= nextUpdate {
        nextUpdate = now + Sender.updateInterval
        try writer.updateMachine(machine)
      }
      if let reason = stopRequested() { return reason }
      if let count = options.recorder.count, number >= count { return "count" }
      if let end, now >= end {
        overdue = planned - number
        return "duration"
      }
      let due = number < planned ? schedule.time(of: number).nanoseconds : end ?? .max
      // Awake now and then, to fetch stamps and to hear signals.
      Schedule.sleep(until: Instant(nanoseconds: min(due, now + 50_000_000)))
      let late = Instant<Monotonic>.now.nanoseconds - due
      if number < planned, late >= 0 {
        try send(number)
        number += 1
        latest = max(latest, late)
      }
      socket.discardReceived()
      try fetch(writer)
    }
  }

  private mutating func send(_ number: UInt64) throws(TrafficError) {
    let packet = TestPacket(
      sequence: UInt32(truncatingIfNeeded: number), time: Instant<Realtime>.now.nanoseconds)
    let error = socket.send(packet.bytes(size: options.size))
    if error == EMSGSIZE {
      throw TrafficError(
        "\(options.size) bytes and their headers do not fit into a packet of \(interface.name): give --size less")
    }
    if error == 0 { sent += 1 } else { refused = (refused.count + 1, error) }
  }

  /// Writes the stamps that are there.
  private mutating func fetch(_ writer: MachineWriter) throws {
    while let stamp = try socket.nextStamp() {
      var packet = CapturedPacket(
        time: stamp.time, interface: 0, linkType: linkType, length: stamp.packet.count, bytes: stamp.packet,
        source: stamp.clock == .hardware ? .hardware : .kernel)
      if clock == .user {
        guard let time = packet.testPacket?.time else { continue }
        (packet.time, packet.source) = (time, .reader)
      }
      let isStamped = stamper.append(
        packet, hook: .wireOut, time: UInt64(Instant<Monotonic>.now.nanoseconds),
        device: stamp.clock == .hardware ? UInt16(clamping: interface.hardwareClock ?? 0) : 0, to: &records)
      guard isStamped else { continue }
      stamped += 1
      interface.clocks[packet.source.name, default: 0] += 1
    }
    try writer.append(cpu: 0, records)
    records.removeAll(keepingCapacity: true)
  }

  private mutating func waitForStamps(_ writer: MachineWriter) throws {
    let end = Instant<Monotonic>.now.nanoseconds + Sender.patience
    while stamped < sent, case let rest = (end - Instant<Monotonic>.now.nanoseconds) / 1_000_000, rest > 0 {
      socket.wait(milliseconds: Int32(min(rest, 50)))
      socket.discardReceived()
      try fetch(writer)
    }
  }

  private mutating func takeLedger() {
    machine.ledger = [
      LedgerRow(hook: HookPoint.wireOut.name, cpu: 0, seen: stamped + missing, emitted: stamped, lost: missing)
    ]
    machine.interfaces = [interface]
  }

  private borrowing func state(elapsed: Double, _ writer: MachineWriter) -> RecordingProgress {
    var progress = RecordingProgress()
    progress.elapsed = elapsed
    progress.stamps = stamped
    progress.packets = sent
    progress.size = writer.size
    return progress
  }
}

extension CapturedPacket {
  /// The STAMP packet in a UDP packet without IPv6 extension headers.
  fileprivate var testPacket: TestPacket? {
    guard let offset = ipOffset else { return nil }
    let header = bytes[offset] >> 4 == 4 ? Int(bytes[offset] & 15) * 4 : 40
    return TestPacket(payload: bytes.dropFirst(offset + header + 8))
  }
}
