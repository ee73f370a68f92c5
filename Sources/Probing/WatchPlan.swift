// SPDX-License-Identifier: GPL-2.0-or-later
package import Host
internal import Recording
package import Topology

/// Which devices and sockets are guests' and which are the host's.
package struct WatchPlan: Sendable, Equatable {
  package struct Device: Sendable, Equatable {
    package var name: String
    package var index: Int
    package var namespace: NetworkNamespace
    /// As in ``Link/kind``.
    package var kind: String
    package var isEthernet: Bool
    package var isUp: Bool
    package var hasCarrier: Bool

    /// Whether its driver ever says that a frame has left; veth and loopback hand the buffer itself to the receiver, devices
    /// that stand above others to those.
    package var hasCompletions: Bool { name != "lo" && !WatchPlan.handOn.contains(kind) }

    package var description: String { "\(name)@\(namespace.label)" }
    /// As in ``AttachedHook/devices``.
    package var id: String { "\(namespace.inode):\(index)" }
  }

  package var guestDevices: [Device]
  package var hostDevices: [Device]
  /// The host's ends of guests' devices.
  package var guestTaps: [Device] = []
  /// Namespaces whose sockets are watched.
  package var socketNamespaces: [NetworkNamespace]

  /// Kinds of devices whose driver gives the buffer itself to another device.
  private static let handOn: Set = [
    "veth", "netkit", "bridge", "openvswitch", "bond", "team", "vlan", "macvlan", "macvtap", "ipvlan", "ipvtap",
    "macsec",
    "vrf", "hsr", "ifb", "vxlan", "geneve", "gre", "gretap", "ip6gre", "ip6gretap", "erspan", "ipip", "ip6tnl", "sit",
    "vti",
    "xfrm", "wireguard",
  ]

  /// All that hold something that is watched.
  package var namespaces: Set<NetworkNamespace> {
    Set((guestDevices + hostDevices + guestTaps).map(\.namespace) + socketNamespaces)
  }

  package func devices(_ watch: Topology.Watch) -> [Device] {
    switch watch {
    case .guestDevice: guestDevices
    case .hostDevice: hostDevices
    case .guestTap: guestTaps
    case .guestSocket: []
    }
  }

  /// What a hook point watches, for people.
  package func watches(_ watch: Topology.Watch) -> [String] {
    watch == .guestSocket
      ? socketNamespaces.map { "sockets of \($0.label)" } : devices(watch).map(\.description)
  }

  /// Its devices, each with the hook points that what happens to it touches: those there, and of its namespace's sockets.
  package func watched(by hooks: [ResolvedHook]) -> [WatchedDevice] {
    var found: [WatchedDevice] = []
    for device in guestDevices + hostDevices + guestTaps where !found.contains(where: { $0.isSame(as: device) }) {
      let touched = hooks.filter { hook in
        hook.watch == .guestSocket
          ? socketNamespaces.contains(device.namespace) : devices(hook.watch).contains(device)
      }
      found.append(WatchedDevice(device, hooks: touched.map(\.point.name)))
    }
    return found
  }

  /// Why a hook point has nothing to see on these devices, whatever the kernel offers; nil where it has.
  package func obstacle(to hook: ResolvedHook) -> String? {
    guard hook.probes.contains(where: { $0.symbol == "consume_skb" }) else { return nil }
    let without = devices(hook.watch).filter { !$0.hasCompletions }
    return without.isEmpty
      ? nil
      : "\(without.map(\.name).joined(separator: " ")): the driver hands the buffer on, it never completes a frame"
  }

  /// - Parameters:
  ///   - namespaces: `--netns`: with veth pairs the guests' namespaces, else the one that holds the devices.
  ///   - devices: `--dev`; empty: all veth devices there, or the only device that fits.
  ///   - taps: `--tap`; empty: the only tap there is. Of use on the host of a virtual machine alone.
  ///   - side: `--side`; a topology that spans two machines needs it.
  ///   - containers: further namespaces, those of `--container`.
  package static func make(
    topology: Topology, namespaces names: [String], devices: [String], taps: [String] = [], side: Topology.Side? = nil,
    containers: [NetworkNamespace] = []
  ) throws(KernelError) -> WatchPlan {
    var namespaces = containers
    for name in names { namespaces.append(try NetworkNamespace.named(name)) }
    let watched = Set(topology.hooks.map(\.watch))
    if isOfContainers(topology) {
      return try WatchPlan.containers(namespaces, nics: devices, topology: topology)
    }
    if watched.contains(.guestTap) {
      return try virtualMachine(topology, side, namespaces: namespaces, devices: devices, taps: taps)
    }
    guard taps.isEmpty else {
      throw KernelError("topology \(topology.name) has no hook point on a tap: leave --tap out, or name it with --dev")
    }
    if watched.contains(.guestDevice) && watched.contains(.hostDevice) {
      return try pairs(namespaces: namespaces, devices: devices)
    }
    return try plain(namespaces: namespaces, devices: devices, guest: watched.contains(.guestDevice))
  }

  /// veth: one end of each pair is the guest's, the other the host's.
  static func pairs(
    namespaces: [NetworkNamespace], devices: [String]
  ) throws(KernelError) -> WatchPlan {
    let known = NetworkNamespace.all()
    let fromGuests = !namespaces.isEmpty
    var plan = WatchPlan(guestDevices: [], hostDevices: [], socketNamespaces: [])
    for namespace in fromGuests ? namespaces : [try NetworkNamespace.current()] {
      for link in try chosen(in: namespace, devices, veth: true) {
        guard link.kind == "veth", let peerIndex = link.peerIndex else {
          throw KernelError("\(link.name) in \(namespace.label) is no end of a veth pair, which this topology needs")
        }
        guard let id = link.peerNamespaceID else {
          throw KernelError(
            "both ends of \(link.name) are in one namespace; move one end into the guest's")
        }
        guard let peerNamespace = try namespace.namespace(withID: id, among: known) else {
          throw KernelError(
            "the other end of \(link.name)@\(namespace.label) is in a namespace that has no name and no process; "
              + "give it a name with 'ip netns attach'")
        }
        guard let peer = try peerNamespace.links().first(where: { $0.index == peerIndex }) else {
          throw KernelError("the other end of \(link.name)@\(namespace.label) is gone")
        }
        let near = Device(link, in: namespace)
        let far = Device(peer, in: peerNamespace)
        plan.guestDevices.append(fromGuests ? near : far)
        plan.hostDevices.append(fromGuests ? far : near)
      }
    }
    let twice = plan.guestDevices.first { plan.hostDevices.contains($0) }
    if let twice {
      throw KernelError(
        "\(twice.description) would be guest and host at once; name only the guests with --netns")
    }
    for device in plan.guestDevices where !plan.socketNamespaces.contains(device.namespace) {
      plan.socketNamespaces.append(device.namespace)
    }
    return plan
  }

  /// One stack: its devices and the sockets of the same namespace.
  static func plain(
    namespaces: [NetworkNamespace], devices: [String], guest: Bool
  ) throws(KernelError) -> WatchPlan {
    var plan = WatchPlan(guestDevices: [], hostDevices: [], socketNamespaces: [])
    for namespace in namespaces.isEmpty ? [try NetworkNamespace.current()] : namespaces {
      for link in try chosen(in: namespace, devices, veth: false) {
        let device = Device(link, in: namespace)
        if guest { plan.guestDevices.append(device) } else { plan.hostDevices.append(device) }
      }
      plan.socketNamespaces.append(namespace)
    }
    return plan
  }

  private static func chosen(
    in namespace: NetworkNamespace, _ devices: [String], veth: Bool
  ) throws(KernelError) -> [Link] {
    if !devices.isEmpty {
      var links: [Link] = []
      for name in devices { links.append(try namespace.link(named: name)) }
      return links
    }
    let links = try namespace.links()
    // Without --dev: all there are of a kind, or just one.
    if veth {
      let found = links.filter { $0.kind == "veth" }
      if !found.isEmpty { return found }
      throw KernelError(
        "no veth device in \(namespace.label); name the guests with --netns, or the host's ends with --dev")
    }
    return [try only(links, of: namespace, option: "--dev", what: "device") { $0.name != "lo" }]
  }

  /// The one device that is up and fits.
  static func only(
    _ links: [Link], of namespace: NetworkNamespace, option: String, what: String, where fits: (Link) -> Bool
  ) throws(KernelError) -> Link {
    let found = links.filter { $0.isUp && fits($0) }
    if let link = found.first, found.count == 1 { return link }
    let candidates = found.isEmpty ? links : found
    throw KernelError(
      (found.isEmpty ? "no \(what) in \(namespace.label) that is up? " : "which \(what) of \(namespace.label)? ")
        + "Name it with \(option); "
        + "there are \(candidates.map(\.name).joined(separator: " "))")
  }
}

extension WatchedDevice {
  fileprivate init(_ device: WatchPlan.Device, hooks: [String]) {
    self.init(
      Link(index: device.index, name: device.name, isUp: device.isUp, hasCarrier: device.hasCarrier),
      in: device.namespace, hooks: hooks)
  }

  fileprivate func isSame(as device: WatchPlan.Device) -> Bool {
    index == device.index && namespace == device.namespace
  }
}

extension WatchPlan.Device {
  init(_ link: Link, in namespace: NetworkNamespace) {
    self.init(
      name: link.name, index: link.index, namespace: namespace, kind: link.kind, isEthernet: link.isEthernet,
      isUp: link.isUp, hasCarrier: link.hasCarrier)
  }
}
