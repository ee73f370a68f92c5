// SPDX-License-Identifier: GPL-2.0-or-later
internal import Host
internal import Topology

extension WatchPlan {
  /// A virtual machine: inside it one stack; on its host the guest's tap and the NIC.
  static func virtualMachine(
    _ topology: Topology, _ side: Topology.Side?, namespaces: [NetworkNamespace], devices: [String], taps: [String]
  ) throws(KernelError) -> WatchPlan {
    switch side {
    case .host: return try host(namespaces: namespaces, devices: devices, taps: taps)
    case .guest:
      guard taps.isEmpty else {
        throw KernelError("--tap is for the host: a guest's device has its tap there; name the guest's own with --dev")
      }
      return try plain(namespaces: namespaces, devices: devices, guest: true)
    case nil:
      throw KernelError(
        "topology \(topology.name) spans two machines: say which one this is, --side host or --side guest")
    }
  }

  private static func host(
    namespaces: [NetworkNamespace], devices: [String], taps: [String]
  ) throws(KernelError) -> WatchPlan {
    let namespaces = namespaces.isEmpty ? [try NetworkNamespace.current()] : namespaces
    var plan = WatchPlan(guestDevices: [], hostDevices: [], socketNamespaces: [])
    plan.guestTaps = try find(taps, in: namespaces, option: "--tap", what: "tap") { $0.kind == "tun" }
    // A NIC, real or of a virtual machine that is a host itself, is of no kind that software made.
    plan.hostDevices = try find(devices, in: namespaces, option: "--dev", what: "NIC") {
      $0.kind.isEmpty && $0.name != "lo"
    }
    if let twice = plan.guestTaps.first(where: { plan.hostDevices.contains($0) }) {
      throw KernelError("\(twice.description) would be tap and NIC at once; --tap names the guest's, --dev the NIC")
    }
    return plan
  }

  /// Those of these names; without names the only one that fits.
  private static func find(
    _ names: [String], in namespaces: [NetworkNamespace], option: String, what: String, where fits: (Link) -> Bool
  ) throws(KernelError) -> [Device] {
    guard !names.isEmpty else {
      return try namespaces.map { (namespace) throws(KernelError) in
        Device(try only(try namespace.links(), of: namespace, option: option, what: what, where: fits), in: namespace)
      }
    }
    var found: [Device] = []
    for name in names {
      var device: Device?
      for namespace in namespaces where device == nil {
        device = try namespace.links().first { $0.name == name }.map { Device($0, in: namespace) }
      }
      guard let device else {
        throw KernelError(
          "no device '\(name)' in \(namespaces.map(\.label).joined(separator: ", ")); \(option) names the \(what)")
      }
      found.append(device)
    }
    return found
  }
}
