// SPDX-License-Identifier: GPL-2.0-or-later
internal import Clocks
internal import Glibc
internal import Host
internal import Pairing
package import Recording

/// A device to listen on, and where its packets are.
package struct TapInput: Sendable, Equatable {
  package var name: String
  /// Nil: what comes in is at `wire-in` and what goes out at `wire-out`, as this machine is what is measured.
  package var hook: HookPoint?

  package init(name: String, hook: HookPoint? = nil) {
    self.name = name
    self.hook = hook
  }
}

/// A device that is listened on, and the account of its packets.
final class TappedDevice {
  let device: TapInput
  let number: UInt8
  let hooks: [HookPoint]
  let linkType: LinkType
  let stamping: HardwareStamping
  fileprivate let rings: [PacketRing]
  private var interface: TapInterface
  private let counters: DriverCounters
  private let dropsBefore: UInt64
  /// By place of the hook point in ``hooks``.
  private var counts: [(seen: UInt64, emitted: UInt64, lost: UInt64)]
  /// Packets by ``WireClock/rawValue``.
  private var clocks = [UInt64](repeating: 0, count: WireClock.allCases.count)
  /// Packets that came in and were taken or left out, and those of them with a hardware stamp.
  private var received: (all: UInt64, hardware: UInt64) = (0, 0)
  var otherFrames: UInt64 = 0
  private(set) var leftOut: UInt64 = 0

  fileprivate init(
    _ device: TapInput, number: UInt8, filter: (plain: Filter, tagged: Filter)?, captured: UInt32, hardware: Bool,
    mustBeHardware: Bool
  ) throws(TapError) {
    self.device = device
    self.number = number
    // First: a device that is not there is told as such.
    _ = try PacketRing.index(of: device.name)
    let linkType = try LinkType(tapped: device.name)
    self.linkType = linkType
    let filter = try filter.map { (filter) throws(TapError) in
      try filter.plain.of(linkType, device: device.name, tagged: filter.tagged)
    }
    stamping =
      hardware ? HardwareStamping(device: device.name, of: .received) : HardwareStamping(unasked: device.name)
    let isGranted = stamping.refusal == nil
    hooks = device.hook.map { [$0] } ?? (isGranted && mustBeHardware ? [.wireIn] : [.wireIn, .wireOut])
    func ring(_ direction: PacketRing.Direction) throws(TapError) -> PacketRing {
      try PacketRing(
        device: device.name, filter: filter, direction, captured: captured,
        hardware: isGranted && direction == .received, promiscuous: device.hook != nil)
    }
    rings =
      !isGranted ? [try ring(.both)] : mustBeHardware ? [try ring(.received)] : [try ring(.received), try ring(.sent)]
    interface = TapInterface(
      device: device.name, number: number, hooks: hooks, hardware: stamping.refusal ?? TapInterface.granted)
    counts = hooks.map { _ in (0, 0, 0) }
    counters = DriverCounters(device: device.name)
    dropsBefore = deviceDrops(device.name)
  }

  var hardwareClock: UInt16? { interface.hardwareClock.flatMap { UInt16(exactly: $0) } }

  /// Counts a frame as seen; returns the place of its hook point, for ``count(_:at:)``.
  func see(_ frame: borrowing RingFrame) -> Int {
    let place = frame.isOutgoing && device.hook == nil ? 1 : 0
    counts[place].seen += 1
    return place
  }

  func hook(_ place: Int) -> HookPoint { device.hook ?? (place == 0 ? .wireIn : .wireOut) }

  /// Counts a frame as taken: what is seen and not taken is filtered.
  func count(_ frame: borrowing RingFrame, at place: Int) {
    counts[place].emitted += 1
    clocks[Int(frame.source.rawValue)] += 1
    guard !frame.isOutgoing else { return }
    received.all += 1
    if frame.source == .hardware { received.hardware += 1 }
  }

  /// Counts a frame as left out for want of a hardware stamp.
  func leaveOut(_ frame: borrowing RingFrame) {
    leftOut += 1
    if !frame.isOutgoing { received.all += 1 }
  }

  /// Asks the rings what they dropped since the last time; whether they did.
  fileprivate func takeDrops() -> Bool {
    var all: UInt64 = 0
    for ring in rings {
      let drops = ring.drops()
      all += drops
      // Of a ring for both directions nobody knows which way they went: the first hook point answers for them.
      counts[ring.direction == .sent ? counts.count - 1 : 0].lost += drops
    }
    interface.ringDrops += Count(all)
    return all > 0
  }

  /// Reads what the driver counted; slow with some.
  fileprivate func takeDriverCounters() { interface.driverCounters = counters.since?.mapValues { Count($0) } }

  /// What a user has to know of the time stamps; nil if all are as they were granted.
  fileprivate var complaint: String? {
    let (all, hardware) = received
    guard stamping.refusal == nil, hardware < all else { return nil }
    return hardware == 0
      ? "\(device.name) granted hardware time stamps and delivered none: its \(all) received packets have the kernel's time"
      : "\(device.name) delivered hardware time stamps of \(hardware) of \(all) received packets; the others have the kernel's time"
  }

  fileprivate var rows: [LedgerRow] {
    zip(hooks, counts).map { hook, count in
      var row = LedgerRow(hook: hook.name, cpu: Int(number))
      row.emitted = Count(count.emitted)
      row.filtered = Count(count.seen - count.emitted)
      row.lost = Count(count.lost)
      row.seen = row.emitted + row.filtered + row.lost
      return row
    }
  }

  fileprivate var described: TapInterface {
    var interface = interface
    for clock in WireClock.allCases where clocks[Int(clock.rawValue)] > 0 {
      interface.clocks[clock.name] = Count(clocks[Int(clock.rawValue)])
    }
    let drops = deviceDrops(device.name)
    interface.deviceDrops = drops > dropsBefore ? Count(drops - dropsBefore) : 0
    interface.otherFrames = Count(otherFrames)
    if stamping.refusal == nil, received.all > 0, received.hardware == 0 {
      interface.hardware = TapInterface.notDelivered
    }
    return interface
  }
}

/// The packets of devices of this machine as they come, and the account of them.
final class TapSource {
  let devices: [TappedDevice]
  /// What happened to the devices, the clock and the machine meanwhile.
  private(set) var changes: [Change] = []
  private var watch: SystemWatch?
  private let warn: (String) -> Void

  /// Opens all devices.
  ///
  /// - Parameters:
  ///   - captured: bytes to keep of a packet (``PacketRing``).
  ///   - hardware: ask the devices for hardware stamps.
  ///   - mustBeHardware: fail where a device refuses them.
  ///   - namespace: that the devices are in, as it was asked for; nil: where the thread is.
  ///   - warn: told in one line each what will be missing, and what changes without ending a device.
  init(
    _ devices: [TapInput], filter: Filter?, captured: UInt32, hardware: Bool, mustBeHardware: Bool,
    namespace: NetworkNamespace?, warn: @escaping (String) -> Void
  ) throws(TapError) {
    // Drivers take the tags of received frames out of them, and leave those of sent ones in.
    if let filter, filter.expression.contains(/\bvlan\b/) {
      throw TapError(
        "filter '\(filter.expression)': 'vlan' would match in one direction only; tap the VLAN's own device")
    }
    let filters = filter.map { filter in
      do throws(FilterError) { return (plain: filter, tagged: try filter.throughTags()) } catch {
        warn(
          "--filter is not asked behind VLAN tags: for that libpcap would need more than \(Filter.compileSeconds) s or "
            + "\(Filter.mostSteps) steps; packets that still carry a tag are left out")
        return (plain: filter, tagged: filter)
      }
    }
    var opened: [TappedDevice] = []
    for (number, device) in devices.enumerated() {
      opened.append(
        try TappedDevice(
          device, number: UInt8(clamping: number), filter: filters, captured: captured, hardware: hardware,
          mustBeHardware: mustBeHardware))
    }
    self.devices = opened
    // A device that goes down ends its ring in any case.
    watch = SystemWatch.ofThread(opened.map { ($0.device.name, $0.hooks.map(\.name)) }, in: namespace)
    self.warn = warn
    guard hardware else { return }
    for tapped in opened {
      guard let refusal = tapped.stamping.refusal else { continue }
      if mustBeHardware { throw TapError("\(tapped.device.name): \(refusal), and --require-hw asks for them") }
      // Of a device without such a clock nobody expects its time.
      if tapped.hardwareClock != nil { warn("\(tapped.device.name): \(refusal): its packets get the kernel's time") }
    }
  }

  /// Takes what changed; nil, or what ended a device.
  private func follow(isLast: Bool = false) -> Change? {
    guard let found = watch?.take(isLast: isLast) else { return nil }
    changes += found
    // A machine that slept goes on, and says so.
    let end = found.first { $0.isGap && $0.device != nil }
    if end == nil { for change in found { warn("\(change)") } }
    return end
  }

  /// A device is closed before it is deleted, moved or renamed, which comes at once.
  private func ended(by change: Change) -> Change {
    guard change.what == .down else { return change }
    TapSource.pause()
    return follow() ?? change
  }

  private static func pause() {
    var pause = timespec(tv_sec: 0, tv_nsec: 40_000_000)
    unsafe nanosleep(&pause, nil)
  }

  /// Clocks of the devices that granted hardware stamps, as N of /dev/ptpN.
  var hardwareClocks: [UInt16] {
    Set(devices.filter { $0.stamping.refusal == nil }.compactMap(\.hardwareClock)).sorted()
  }

  /// Hook points that the devices' packets are at, in order of the path.
  var hooks: [AttachedHook] {
    [HookPoint.wireIn, .wireOut].compactMap { hook in
      let names = devices.filter { $0.hooks.contains(hook) }.map(\.device.name)
      guard !names.isEmpty else { return nil }
      return AttachedHook(
        name: hook.name, attachedAs: "packet socket", watches: names, devices: Link.ids(names))
    }
  }

  /// Forgets what came while the devices were being opened.
  func start() {
    for ring in devices.flatMap(\.rings) {
      ring.drain { _ in }
      _ = ring.drops()
    }
  }

  /// Hands over what the rings hold, device by device.
  func drain<Failure: Error>(
    _ take: (TappedDevice, RingFrame) throws(Failure) -> Void
  ) throws(Failure) {
    for tapped in devices {
      for ring in tapped.rings { try ring.drain { (frame) throws(Failure) in try take(tapped, frame) } }
    }
  }

  /// Enters what the rings dropped since the last call; whether they did.
  func takeDrops() -> Bool { devices.reduce(false) { $1.takeDrops() || $0 } }

  var ledger: [LedgerRow] { devices.flatMap(\.rows) }
  var interfaces: [TapInterface] { devices.map(\.described) }
  /// What a user has to know of the time stamps, one line each.
  var complaints: [String] { devices.compactMap(\.complaint) }

  /// - Throws: what ended a device.
  func check() throws(TapError) {
    guard let change = follow().map(ended(by:)) else { return }
    let device = change.device ?? ""
    throw TapError(
      change.what == .renamed
        ? "\(change); what came before is kept" : "\(device) is down or gone (\(change)); what came before is kept")
  }

  /// Waits for packets, until this time of CLOCK_MONOTONIC, nanoseconds, at most.
  func wait(until time: Int64) throws(TapError) {
    let rings = devices.flatMap(\.rings)
    var waiting = rings.map { pollfd(fd: $0.descriptor, events: Int16(POLLIN), revents: 0) }
    let rest = max(0, time - Instant<Monotonic>.now.nanoseconds)
    _ = unsafe poll(&waiting, nfds_t(waiting.count), Int32(rest / 1_000_000) + 1)
    if let gone = waiting.indices.first(where: { waiting[$0].revents & Int16(POLLERR) != 0 }) {
      TapSource.pause()
      let change = follow().map { " (\($0))" } ?? ""
      throw TapError("\(rings[gone].device) is down or gone\(change); what came before is kept")
    }
  }

  /// Sleeps until the kernel has handed over the blocks that are not full, and asks the drivers what they counted: the
  /// end, but for a last ``drain(_:)``.
  func settle() {
    for tapped in devices { tapped.takeDriverCounters() }
    TapSource.pause()
    _ = follow(isLast: true)
  }
}
