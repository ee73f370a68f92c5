// SPDX-License-Identifier: GPL-2.0-or-later
internal import CNetns
internal import Clocks
internal import Glibc
package import Recording

/// Tells what changes under a recording: devices that are deleted, renamed, moved, taken down or come back, or lose their
/// carrier or the address that is sent from, namespaces that go, CPUs that go offline or come, the wall clock being set, the machine being suspended.
///
/// Make one before the first packet counts, ask ``take()`` in every round of the recording's loop and add what it gives
/// to ``Machine/changes``. Nothing waits, and no namespace is kept alive for it.
///
///     var watch = try SystemWatch(devices.map { WatchedDevice($0, in: namespace, hooks: ["wire-in"]) })
///     while … { machine.changes? += watch.take() }
///
/// Changes of other namespaces than the caller's are heard with CAP_NET_ADMIN and CAP_NET_BROADCAST; without these it
/// looks there ten times a second, and does not see what lasted shorter.
package struct SystemWatch: ~Copyable {
  /// How often it looks at what nobody tells of, nanoseconds.
  private static let lookInterval: Int64 = 100_000_000
  /// Beside what reading takes. Slewing changes CLOCK_MONOTONIC just as much as the wall clock.
  private static let leastStep: Int64 = 1_000

  private struct Space {
    var namespace: NetworkNamespace
    var cookie: UInt64?
    /// What its changes come under: -1 is the caller's own; nil where they are not heard.
    var id: Int32?
    /// False once it is gone.
    var isAlive = true
    var isNamed = true
  }

  private struct Socket: ~Copyable {
    let descriptor: Int32

    init() throws(KernelError) {
      descriptor = lp_watch_open()
      guard descriptor >= 0 else {
        throw KernelError.system("changes of devices cannot be watched (netlink)", descriptor)
      }
    }

    deinit { if descriptor >= 0 { close(descriptor) } }
  }

  private let socket: Socket
  private var spaces: [Space]
  private var links: LinkStates
  private var nextLook: Int64
  private var online: CPUList
  private let hooks: [String]
  private var clock: ClockReading
  private var batch = [lp_link_change](repeating: lp_link_change(), count: 32)

  /// - Parameter devices: what is watched, as it was when its hooks were chosen; empty for the machine alone.
  package init(_ devices: [WatchedDevice]) throws(KernelError) {
    let socket = try Socket()
    let descriptor = socket.descriptor
    var spaces: [Space] = []
    let own = try NetworkNamespace.ofThread()
    for device in devices where !spaces.contains(where: { $0.namespace == device.namespace }) {
      let namespace = device.namespace
      var space = Space(namespace: namespace, cookie: try namespace.cookie())
      if namespace.inode == own.inode {
        space.id = -1
      } else {
        let id = try namespace.withFile { file in lp_watch_add(descriptor, file) }
        space.id = id >= 0 ? id : nil
      }
      spaces.append(space)
    }
    self.socket = socket
    self.spaces = spaces
    clock = ClockReading.now()
    online = SystemWatch.onlineCPUs
    nextLook = clock.monotonic.nanoseconds + SystemWatch.lookInterval
    links = LinkStates(devices)
    hooks = Set(devices.flatMap(\.hooks)).sorted()
    // From here on it is told; what happened before that is to be seen.
    lookAtLinks(UInt64(clock.monotonic.nanoseconds)) { _ in true }
  }

  /// Of devices of the calling thread's namespace; nil where nobody tells (without netlink).
  ///
  /// - Parameters:
  ///   - namespace: as it was asked for, if it was.
  ///   - address: that packets are sent from, where it is to be watched.
  package static func ofThread(
    _ devices: [(name: String, hooks: [String])], in namespace: NetworkNamespace? = nil, address: [UInt8]? = nil
  ) -> SystemWatch? {
    guard let here = namespace ?? (try? NetworkNamespace.ofThread()), let links = try? here.here.links() else {
      return nil
    }
    return try? SystemWatch(
      devices.compactMap { device in
        guard let link = links.first(where: { $0.name == device.name }) else { return nil }
        var watched = WatchedDevice(link, in: here, hooks: device.hooks)
        // One of another device, or of none, is not lost with this one.
        if let address, let all = try? here.here.addresses(),
          all.contains(LinkAddress(index: link.index, bytes: address))
        {
          watched.address = address
        }
        return watched
      })
  }

  /// What it takes to go into other namespaces to look, where their changes are not heard.
  package var needed: Set<Capability> {
    let looked = spaces.filter { $0.id == nil }
    if looked.isEmpty { return [] }
    // A process of another user has the path.
    return looked.contains { $0.namespace.path.hasPrefix("/proc/") } ? [.sysAdmin, .sysPtrace] : [.sysAdmin]
  }

  /// What changed since the last time, in the order in which it did.
  ///
  /// - Parameter isLast: what is looked at now and then is looked at now.
  package mutating func take(isLast: Bool = false) -> [Change] {
    let now = Instant<Monotonic>.now.nanoseconds
    let time = UInt64(now)
    listen(time)
    guard isLast || now >= nextLook else { return links.take() }
    nextLook = now + SystemWatch.lookInterval
    lookAtLinks(time) { $0.id == nil }
    var changes = links.take()
    for place in spaces.indices where spaces[place].isNamed && spaces[place].isAlive {
      guard !spaces[place].namespace.isNamed else { continue }
      spaces[place].isNamed = false
      changes.append(Change(time: time, .unnamed, namespace: spaces[place].namespace.label))
    }
    return changes + lookAtCPUs(time) + lookAtClock()
  }

  private mutating func listen(_ time: UInt64) {
    while true {
      let count = unsafe lp_watch_read(socket.descriptor, &batch, batch.count)
      if count < 0 {
        // Told more than the socket held: what came of it is to be seen.
        if count == -ENOBUFS { lookAtLinks(time) { _ in true } }
        if count != -ENOBUFS { return }
        continue
      }
      for change in batch.prefix(Int(count)) { take(change, time) }
      if count < batch.count { return }
    }
  }

  private mutating func take(_ change: lp_link_change, _ time: UInt64) {
    guard let place = spaces.firstIndex(where: { $0.id == change.nsid && $0.isAlive }) else { return }
    let namespace = spaces[place].namespace
    switch change.what {
    case UInt32(LP_NAMESPACE_GONE.rawValue):
      // Its id may be given to another one.
      spaces[place].isAlive = false
      links.lose(namespace, .namespaceDeleted, at: time)
    case UInt32(LP_LINK_GONE.rawValue):
      links.lose(index: Int(change.link.index), in: namespace, isMoved: change.moved != 0, at: time)
    case UInt32(LP_ADDRESS.rawValue), UInt32(LP_ADDRESS_GONE.rawValue):
      links.see(
        LinkAddress(change), isGone: change.what == UInt32(LP_ADDRESS_GONE.rawValue), in: namespace, at: time)
    default: links.see(Link(change.link), in: namespace, at: time)
    }
  }

  private mutating func lookAtLinks(_ time: UInt64, where isWanted: (Space) -> Bool) {
    for place in spaces.indices where spaces[place].isAlive && isWanted(spaces[place]) {
      let namespace = spaces[place].namespace
      let path = spaces[place].id == -1 ? namespace.here : namespace
      if let found = try? path.links(), (try? path.cookie()) == spaces[place].cookie {
        links.see(all: found, in: namespace, at: time)
        if links.watchesAddresses(in: namespace), let addresses = try? path.addresses() {
          links.see(all: Set(addresses), in: namespace, at: time)
        }
      } else if spaces[place].id == nil {
        spaces[place].isAlive = false
        links.lose(namespace, .unwatched, at: time)
      }
    }
  }

  private mutating func lookAtCPUs(_ time: UInt64) -> [Change] {
    let now = SystemWatch.onlineCPUs
    guard now != online else { return [] }
    defer { online = now }
    func changes(_ cpus: Set<Int>, _ what: Change.Kind) -> [Change] {
      cpus.sorted().map { cpu in
        var change = Change(time: time, what)
        change.cpu = cpu
        return change
      }
    }
    return changes(online.cpus.subtracting(now.cpus), .cpuOffline)
      + changes(now.cpus.subtracting(online.cpus), .cpuOnline)
  }

  private mutating func lookAtClock() -> [Change] {
    let now = ClockReading.now()
    defer { clock = now }
    let (asleep, step) = SystemWatch.steps(from: clock, to: now)
    var changes: [Change] = []
    func tell(_ what: Change.Kind, _ by: Int64) {
      var change = Change(time: UInt64(now.monotonic.nanoseconds), what)
      change.by = by
      // Times across it leave it out, timers and queues of the machine do not.
      if what == .suspended { change.hooks = hooks }
      changes.append(change)
    }
    if asleep > 0 { tell(.suspended, asleep) }
    if step != 0 { tell(.clockSet, step) }
    return changes
  }

  /// For how long the machine slept between two readings, and by how much the wall clock was set forward; 0: not.
  static func steps(from before: ClockReading, to now: ClockReading) -> (asleep: Int64, set: Int64) {
    let passed = now.monotonic.nanoseconds - before.monotonic.nanoseconds
    let tolerance = leastStep + now.window + before.window
    var asleep = now.boottime.nanoseconds - before.boottime.nanoseconds - passed
    if asleep <= tolerance { asleep = 0 }
    // The wall clock goes on while the machine sleeps.
    let step = now.realtime.nanoseconds - before.realtime.nanoseconds - passed - asleep
    return (asleep, step.magnitude > tolerance ? step : 0)
  }

  private static var onlineCPUs: CPUList { CPUList(System.read("/sys/devices/system/cpu/online") ?? "") }
}
