// SPDX-License-Identifier: GPL-2.0-or-later
internal import CTraffic
internal import Clocks
package import Collecting
internal import Glibc
package import Host
internal import Pairing
package import Recording
internal import Stamping
package import TestPackets
package import Timing

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
  package var pace = Pace(rate: 100)
  package var tuning = ThreadTuning()
  /// The reflector has this machine's clock: it runs under the same kernel.
  package var isSameClock = false
  /// The reflector numbers its answers by itself.
  package var isStateful = false
  /// There is a reflector: it is an error if nothing is answered.
  package var expectsAnswers = true
  /// Authenticated packets.
  package var key: TestKey?
  package var recorder = RecorderOptions()
  /// The namespace that is sent from, as it was asked for; nil: where the thread is.
  package var namespace: NetworkNamespace?
  /// Nanoseconds that packets are handed over early, for the device's queue to send them on time (SO_TXTIME).
  package var lead: Int64?

  package init() {}
}

/// Sends STAMP test packets on a schedule, and records when each has left.
package struct Sender: ~Copyable {
  /// Stamps that have not come in this time after the last packet never will: drivers give up after a second. Answers
  /// neither.
  private static let patience: Int64 = 1_100_000_000
  /// Where the kernel says when answers came, what comes back may wait for so long: waking up for each packet would take
  /// more of a processor than sending it.
  private static let takeInterval: Int64 = 10_000_000
  /// Stamps, and answers, that are taken at once.
  private static let takeLimit = 1000

  let options: SenderOptions
  private let warn: (String) -> Void
  let clock: SenderOptions.Clock
  private let stamping: HardwareStamping
  private let receiving: HardwareStamping
  /// Whose times round trips are of: both ends of one have them.
  package let basis: SenderOptions.Clock
  /// Tells this run from others of the same ports.
  private let id = UInt16.random(in: 1...(.max))
  let peer: Destination
  private var sources: StampSources
  var way: WayWatch
  private var watch: SystemWatch?
  private let counters: DriverCounters
  let departure: DepartureTimes?
  var socket: UDPSocket
  private let clocks: ClockKeeper
  private(set) var interface: TapInterface
  private var stamper = PacketStamper()
  private var records: [UInt8] = []
  private var thread: PacedThread?
  /// What the thread has to warn of is told.
  private var hasWarned = false
  /// CLOCK_MONOTONIC, nanoseconds.
  private var startedAt: Int64 = 0
  package var machine: Machine
  var trips: RoundTrips
  /// What the sending thread has counted.
  var state = PacedThread.State()
  /// Packets whose stamp came.
  package private(set) var stamped: UInt64 = 0
  /// Time stamps that never came; known at the end.
  private(set) var missing: UInt64 = 0

  /// Opens the socket; nothing is sent yet.
  ///
  /// - Parameter warn: told in one line each what will be missing.
  package init(to peer: Destination, options: SenderOptions, warn: @escaping (String) -> Void) throws(TrafficError) {
    let device = try peer.device()
    let linkType = try Sender.linkType(device)
    let wantsHardware = options.clock == nil || options.clock == .hardware
    let stamping = wantsHardware ? HardwareStamping(device: device, of: .sent) : HardwareStamping(unasked: device)
    let refusal = stamping.refusal
    if wantsHardware, let refusal {
      if options.clock == .hardware {
        throw TrafficError("\(device): \(refusal); leave --timestamps out to go by the kernel's time")
      }
      // Of a device without such a clock nobody expects its time.
      if HardwareStamping.hasClock(device) { warn("\(device): \(refusal): packets get the kernel's time") }
    }
    let clock = refusal == nil ? .hardware : options.clock ?? .kernel
    let stampedBy: TransmitClock =
      switch clock {
      case .hardware: .hardware
      case .kernel: .kernel
      case .user: .queue
      }
    let departure: DepartureTimes? =
      if let lead = options.lead { try DepartureTimes(device: device, lead: lead) } else { nil }
    let socket = try UDPSocket(to: peer, stampedBy: stampedBy)
    try departure?.apply(to: socket, options.pace, size: options.size)
    if let warning = departure?.warning(options.pace) { warn(warning) }
    self.socket = socket
    self.departure = departure
    let receiving =
      clock == .hardware ? HardwareStamping(device: device, of: .received) : HardwareStamping(unasked: device)
    if clock == .hardware, let refusal = receiving.refusal {
      warn("\(device): \(refusal): round trips are by this program's time")
    }
    basis = clock == .hardware && receiving.refusal != nil ? .user : clock
    trips = RoundTrips(
      isByKernel: basis == .kernel, isSameClock: options.isSameClock, isStateful: options.isStateful,
      lead: options.lead ?? 0)
    self.receiving = receiving
    self.options = options
    self.warn = warn
    self.clock = clock
    self.stamping = stamping
    self.peer = peer
    sources = StampSources(device: device, linkType: linkType)
    self.way = WayWatch(peer: peer, device: device)
    watch = SystemWatch.ofThread(
      [(device, [HookPoint.wireOut.name])], in: options.namespace, address: self.socket.source)
    counters = DriverCounters(device: device)
    interface = TapInterface(device: device, hooks: [.wireOut], hardware: refusal ?? TapInterface.granted)
    let clockNumber = clock == .hardware ? interface.hardwareClock.flatMap { UInt16(exactly: $0) } : nil
    clocks = ClockKeeper(devices: clockNumber.map { [$0] } ?? [], warn: warn)
    machine = Environment.machine(role: "wire", topology: "wire")
    // A tap on this machine may be part of the session.
    machine.name = MachineName.make(role: "send", hostname: machine.hostname)
    machine.hooks = [
      AttachedHook(
        name: HookPoint.wireOut.name, attachedAs: AttachedHook.bySocket, watches: [device],
        devices: Link.ids([device]))
    ]
    machine.paths = [Path(name: HookPoint.wireOut.name, hooks: [HookPoint.wireOut.name])]
    machine.settings["traffic"] =
      "STAMP to \(peer.name), \(options.pace.rate) packets/s of \(options.size) bytes, \(options.pace.text); round trips by \(basis.rawValue) time"
      + (departure.map { "; sent by \($0.discipline), handed over \($0.lead) ns early" } ?? "")
  }

  private static func linkType(_ device: String) throws(TrafficError) -> LinkType {
    do throws(KernelError) { return try LinkType(device: device) } catch { throw TrafficError("\(error)") }
  }

  /// Sends until the duration or count is reached, or `stopRequested` says why to stop.
  ///
  /// - Returns: the machine as written last.
  package mutating func run(
    session: Session, directory: String, stopRequested: () -> String?, progress: (RecordingProgress) -> Void
  ) throws -> Machine {
    // How long and how many is the sending thread's matter.
    var options = options.recorder
    (options.duration, options.count) = (nil, nil)
    let collector = try Collector(
      machine: machine, session: session, directory: directory, clocks: clocks, options: options)
    return try collector.collect(&self, stopRequested: stopRequested, progress: progress)
  }

  /// Packets that the stack took.
  package var sent: UInt64 { state.sent }

  /// Takes what has been sent, and what has come back, and hands it over.
  ///
  /// - Returns: whether there is more that came back.
  @discardableResult
  private mutating func take(_ thread: PacedThread, into outlet: Outlet) throws -> Bool {
    let clocks = ClockReading.now()
    let clockOffset = clocks.realtime.nanoseconds - clocks.monotonic.nanoseconds
    var answers: [(Answer, monotonic: Int64)] = []
    while answers.count < Sender.takeLimit, let answer = socket.nextAnswer() {
      answers.append((answer, Instant<Monotonic>.now.nanoseconds))
    }
    var stamps: [TransmitStamp] = []
    while stamps.count < Sender.takeLimit, let stamp = try socket.nextStamp() { stamps.append(stamp) }
    // Last: whatever came back is of a packet that is here by now.
    for packet in thread.take() {
      trips.sent(packet, left: basis == .user ? packet.actual : nil, isHandedEarly: departure != nil)
    }
    for stamp in stamps { take(stamp, clockOffset) }
    for (answer, monotonic) in answers { take(answer, at: monotonic, clockOffset) }
    for found in trips.takePairs() { records += found.pair.bytes(at: found.time) }
    outlet.append(cpu: 0, records)
    records.removeAll(keepingCapacity: true)
    return answers.count == Sender.takeLimit || stamps.count == Sender.takeLimit
  }

  /// - Parameter clockOffset: CLOCK_REALTIME less CLOCK_MONOTONIC.
  private mutating func take(_ answer: Answer, at monotonic: Int64, _ clockOffset: Int64) {
    guard let reflection = Reflection(payload: answer.payload, ofRequest: options.size, key: options.key),
      // Reflectors of RFC 5357 do not hand it back.
      reflection.session == id || reflection.session == 0
    else { return trips.malformedAnswer() }
    var arrival = RoundTrips.Arrival(
      time: monotonic, monotonic: monotonic, real: monotonic + clockOffset, read: monotonic)
    if basis != .user {
      arrival.time = answer.isHardware == (basis == .hardware) ? answer.time : nil
      if basis == .kernel, let time = arrival.time { arrival.monotonic = time - clockOffset }
    }
    trips.came(reflection, arrival)
  }

  /// - Parameter clockOffset: CLOCK_REALTIME less CLOCK_MONOTONIC.
  private mutating func take(_ stamp: TransmitStamp, _ clockOffset: Int64) {
    var packet = CapturedPacket(
      time: stamp.time, interface: 0, linkType: sources.linkType(of: stamp.device), length: stamp.packet.count,
      bytes: stamp.packet, source: stamp.clock == .hardware ? .hardware : .kernel)
    let found = packet.testPacket(size: options.size, isAuthenticated: options.key != nil, session: id)
    // In a tunnel that encrypts, it is known by how many were sent before it, unless some were refused.
    guard let sequence = found?.packet.sequence ?? (state.refused.count == 0 ? stamp.number : nil),
      trips.isFirstStamp(of: sequence)
    else { return }
    if clock == .user {
      guard let sent = found?.packet else { return }
      (packet.time, packet.source) = (sent.time, .reader)
    }
    let leftOut = stamper.append(
      packet, hook: .wireOut, time: UInt64(Instant<Monotonic>.now.nanoseconds),
      device: stamp.clock == .hardware ? UInt16(clamping: interface.hardwareClock ?? 0) : 0, to: &records)
    guard leftOut == nil else { return }
    stamped += 1
    interface.clocks[packet.source.name, default: 0] += 1
    sources.count(stamp.device, isInTunnel: found?.isInTunnel ?? true)
    if basis != .user { trips.left(sequence, at: stamp.time) }
    if departure != nil, stamp.clock == .kernel { trips.departed(sequence, at: stamp.time - clockOffset) }
  }

  /// Writes down what has changed. A clock that was set, and a machine that slept, count as steps beside it.
  private mutating func follow(isLast: Bool = false) {
    for change in watch?.take(isLast: isLast) ?? [] {
      if change.what == .clockSet || change.what == .suspended { trips.clockSteps += 1 }
      // The steps have lines of their own.
      guard change.what != .clockSet else { continue }
      machine.changes = (machine.changes ?? []) + [change]
      warn("\(change)")
    }
  }
}

extension Sender: Producer {
  package mutating func start() {
    var plan = PacedThread.Plan(pace: options.pace, size: options.size, session: id)
    (plan.tuning, plan.key, plan.departure) = (options.tuning, options.key, departure)
    (plan.duration, plan.count) = (options.recorder.duration, options.recorder.count)
    startedAt = Instant<Monotonic>.now.nanoseconds
    thread = PacedThread(plan, to: socket.sending)
  }

  package mutating func poll(_ now: Int64, into outlet: Outlet) throws -> Round {
    guard let thread else { return .idle }
    follow()
    // Before packets are taken: after the last one has been.
    let counted = thread.state
    if !hasWarned, !counted.warnings.isEmpty {
      hasWarned = true
      counted.warnings.forEach(warn)
    }
    let isMoreThere = try take(thread, into: outlet)
    if let reason = counted.stoppedBy { return .ended(reason) }
    return isMoreThere ? .more : .idle
  }

  package mutating func wait(until time: Int64) {
    if basis == .kernel {
      Pause.sleep(until: min(time, Instant<Monotonic>.now.nanoseconds + Sender.takeInterval))
    } else {
      // Awake now and then, to hear signals and of the end.
      socket.wait(until: Instant(nanoseconds: time))
    }
  }

  /// The socket stays open until the thread has ended.
  package mutating func stop() throws {
    guard let thread else { return }
    thread.finish()
    state = thread.state
    if isTooLong {
      throw TrafficError(
        "\(options.size) bytes and their headers do not fit into a packet of \(interface.name): give --size less")
    }
  }

  private var isTooLong: Bool { state.refused.error == EMSGSIZE }

  /// Waits for stamps and answers that are still to come.
  package mutating func finish(into outlet: Outlet) throws {
    guard let thread else { return }
    try take(thread, into: outlet)
    let end = Instant<Monotonic>.now.nanoseconds + Sender.patience + (departure?.lead ?? 0)
    while !isTooLong, stamped < sent || options.expectsAnswers && trips.isWaiting,
      case let now = Instant<Monotonic>.now.nanoseconds, now < end
    {
      socket.wait(until: Instant(nanoseconds: min(now + 50_000_000, end)))
      try take(thread, into: outlet)
    }
    trips.finish()
    follow(isLast: true)
  }

  package mutating func takeAccount(_ account: Account) {
    switch account {
    case .flush:
      if let thread { state = thread.state }
      way.look(after: Double(Instant<Monotonic>.now.nanoseconds - startedAt) / 1e9)
    case .update: return
    case .end:
      missing = sent > stamped ? sent - stamped : 0
      interface.driverCounters = counters.since?.mapValues { Count($0) }
      if clock == .hardware, deliveredNothing { interface.hardware = TapInterface.notDelivered }
    }
    takeLedger()
  }

  package mutating func forgetFlows() { stamper.forgetFlows() }

  package var progress: RecordingProgress {
    var progress = RecordingProgress()
    (progress.stamps, progress.packets) = (stamped, sent)
    return progress
  }

  private mutating func takeLedger() {
    (state.droppedLate, state.ownDrops) = (socket.droppedLate, socket.drops)
    machine.ledger = [
      LedgerRow(hook: HookPoint.wireOut.name, cpu: 0, seen: stamped + missing, emitted: stamped, lost: missing)
    ]
    machine.interfaces = [interface]
    machine.pairing = trips.pairing
    trips.wayChanges = way.changes.count
    machine.pairing?.protocols = trips.tallies(state)
    machine.settings["one_way"] = trips.oneWayText
    machine.settings["round_trips"] = basis.rawValue
    // Whose a time is before the send call is clear.
    machine.settings["stamps"] = clock == .user ? nil : sources.text
    machine.settings["way"] = way.text
    machine.settings["silence"] = sent > 0 && trips.answered == 0 && options.expectsAnswers ? silence.reason : nil
  }
}
