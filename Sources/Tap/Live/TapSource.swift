// SPDX-License-Identifier: GPL-2.0-or-later
internal import CTimestamp
internal import Clocks
internal import Glibc
internal import Probing
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

  /// Whether this network namespace has a device of that name.
  package static func exists(_ name: String) -> Bool { unsafe lp_device_index(name) >= 0 }
}

/// A device that is listened on, and the account of its packets.
final class TappedDevice {
  let device: TapDevice
  let number: UInt8
  let stamping: HardwareStamping
  fileprivate var ring: PacketRing
  private var interface: TapInterface
  private let dropsBefore: UInt64
  private var ringDrops: UInt64 = 0
  /// By place of the hook point in ``TapDevice/hooks``.
  private var counts: [(seen: UInt64, emitted: UInt64)]
  /// Packets by ``WireClock/rawValue``.
  private var clocks = [UInt64](repeating: 0, count: WireClock.allCases.count)
  var otherFrames: UInt64 = 0

  fileprivate init(
    _ device: TapDevice, number: UInt8, filter: Filter?, captured: UInt32, hardware: Bool
  ) throws(TapError) {
    self.device = device
    self.number = number
    // The ring first: a device that is not there is told as such.
    ring = try PacketRing(
      device: device.name, filter: filter, captured: captured, hardware: hardware, promiscuous: device.hook != nil)
    stamping = hardware ? HardwareStamping(device: device.name) : HardwareStamping(leaving: device.name)
    var driver: [CChar] = Array(repeating: 0, count: 32)
    _ = unsafe driver.withUnsafeMutableBufferPointer { unsafe lp_device_driver(device.name, $0.baseAddress) }
    var found = lp_timestamping()
    let hasClock = unsafe lp_timestamping_of(device.name, &found) == 0 && found.phc_index >= 0
    interface = TapInterface(
      number: number, name: device.name, hooks: device.hooks.map(\.name),
      driver: String(decoding: driver.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self),
      hardwareClock: hasClock ? Int(found.phc_index) : nil, hardware: stamping.refusal ?? "granted")
    counts = device.hooks.map { _ in (0, 0) }
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
  func count(_ source: WireClock, at place: Int) {
    counts[place].emitted += 1
    clocks[Int(source.rawValue)] += 1
  }

  /// Asks the ring what it dropped since the last time.
  fileprivate func takeDrops() -> Bool {
    let drops = ring.drops()
    ringDrops += drops
    return drops > 0
  }

  fileprivate var rows: [LedgerRow] {
    zip(device.hooks, counts).map { hook, count in
      var row = LedgerRow(hook: hook.name, cpu: Int(number))
      row.emitted = count.emitted
      row.filtered = count.seen - count.emitted
      // Nobody knows which way the dropped ones went: the first hook point answers for them.
      row.lost = hook == device.hooks.first ? ringDrops : 0
      row.seen = row.emitted + row.filtered + row.lost
      return row
    }
  }

  fileprivate var described: TapInterface {
    var interface = interface
    for clock in WireClock.allCases where clocks[Int(clock.rawValue)] > 0 {
      interface.clocks[clock.name] = clocks[Int(clock.rawValue)]
    }
    interface.ringDrops = ringDrops
    let drops = deviceDrops(device.name)
    interface.deviceDrops = drops > dropsBefore ? drops - dropsBefore : 0
    interface.otherFrames = otherFrames
    return interface
  }
}

/// The packets of devices of this machine as they come, and the account of them.
final class TapSource {
  let devices: [TappedDevice]

  /// Opens all devices.
  ///
  /// - Parameters:
  ///   - captured: bytes to keep of a packet (``PacketRing``).
  ///   - hardware: ask the devices for hardware stamps.
  ///   - mustBeHardware: fail where a device refuses them.
  ///   - warn: told in one line each what will be missing.
  init(
    _ devices: [TapDevice], filter: Filter?, captured: UInt32, hardware: Bool, mustBeHardware: Bool,
    warn: (String) -> Void
  ) throws(TapError) {
    var opened: [TappedDevice] = []
    for (number, device) in devices.enumerated() {
      opened.append(
        try TappedDevice(
          device, number: UInt8(clamping: number), filter: filter, captured: captured, hardware: hardware))
    }
    self.devices = opened
    guard hardware else { return }
    for tapped in opened {
      guard let refusal = tapped.stamping.refusal else { continue }
      if mustBeHardware { throw TapError("\(tapped.device.name): \(refusal), and --require-hw asks for them") }
      warn("\(tapped.device.name): \(refusal): its packets get the kernel's time")
    }
  }

  /// Clocks of the devices that granted hardware stamps, as N of /dev/ptpN.
  var hardwareClocks: [UInt16] {
    Set(devices.filter { $0.stamping.refusal == nil }.compactMap(\.hardwareClock)).sorted()
  }

  /// Hook points that the devices' packets are at, in order of the path.
  var hooks: [AttachedHook] {
    [HookPoint.wireIn, .wireOut].compactMap { hook in
      let names = devices.filter { $0.device.hooks.contains(hook) }.map(\.device.name)
      return names.isEmpty ? nil : AttachedHook(name: hook.name, attachedAs: "packet socket", watches: names)
    }
  }

  /// Forgets what came while the devices were being opened.
  func start() {
    for tapped in devices {
      tapped.ring.drain { _ in }
      _ = tapped.ring.drops()
    }
  }

  /// Hands over what the rings hold, device by device.
  func drain<Failure: Error>(
    _ take: (TappedDevice, RingFrame) throws(Failure) -> Void
  ) throws(Failure) {
    for tapped in devices {
      try tapped.ring.drain { (frame) throws(Failure) in try take(tapped, frame) }
    }
  }

  /// Enters what the rings dropped since the last call; whether they did.
  func takeDrops() -> Bool { devices.reduce(false) { $1.takeDrops() || $0 } }

  var ledger: [LedgerRow] { devices.flatMap(\.rows) }
  var interfaces: [TapInterface] { devices.map(\.described) }

  /// Waits for packets and calls `round`, again and again, until there is a reason to stop, which is returned.
  ///
  /// - Parameters:
  ///   - duration: nanoseconds; nil for no end.
  ///   - round: gets CLOCK_MONOTONIC's time; may have a reason too.
  func listen(
    for duration: Int64?, stopRequested: () -> String?, round: (_ now: Int64) throws -> String?
  ) throws -> String {
    let start = Instant<Monotonic>.now.nanoseconds
    var waiting = devices.map { pollfd(fd: $0.ring.descriptor, events: Int16(POLLIN), revents: 0) }
    while true {
      let now = Instant<Monotonic>.now.nanoseconds
      if let reason = try round(now) { return reason }
      if let reason = stopRequested() { return reason }
      var pause: Int64 = 20
      if let duration {
        if now - start >= duration { return "duration" }
        pause = min(pause, (duration - (now - start)) / 1_000_000 + 1)
      }
      _ = unsafe poll(&waiting, nfds_t(waiting.count), Int32(pause))
      if let gone = waiting.indices.first(where: { waiting[$0].revents & Int16(POLLERR) != 0 }) {
        throw TapError("\(devices[gone].device.name) is down or gone; what came before is kept")
      }
    }
  }

  /// Sleeps until the kernel has handed over the blocks that are not full.
  func settle() {
    var pause = timespec(tv_sec: 0, tv_nsec: 40_000_000)
    unsafe nanosleep(&pause, nil)
  }
}

extension TapInterface {
  /// What a user has to know of the time stamps; nil if all are as they were granted.
  package var complaint: String? {
    let stamped = clocks.values.reduce(0, +)
    let fromHardware = clocks[WireClock.hardware.name] ?? 0
    guard hardware == "granted", stamped > 0, fromHardware < stamped else { return nil }
    return fromHardware == 0
      ? "\(name) granted hardware time stamps and delivered none: its \(stamped) packets have the kernel's time"
      : "\(name) delivered hardware time stamps of \(fromHardware) of \(stamped) packets; the others have the kernel's time"
  }
}
