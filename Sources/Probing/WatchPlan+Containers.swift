// SPDX-License-Identifier: GPL-2.0-or-later
package import Host
internal import Topology

extension WatchPlan {
  /// Whether a topology follows containers to the NIC: both ends of their veth pairs and what lies behind, on one kernel.
  static func isOfContainers(_ topology: Topology) -> Bool {
    let watched = Set(topology.hooks.map(\.watch))
    return topology.sides == [.host] && watched.contains(.guestDevice) && watched.contains(.guestTap)
  }

  /// The inner ends are the guests' devices, the outer ones their taps.
  ///
  /// - Parameter devices: the NICs; empty: where the default routes lead, from the namespaces of the outer ends.
  static func containers(
    _ namespaces: [NetworkNamespace], nics devices: [String], topology: Topology
  ) throws(KernelError) -> WatchPlan {
    guard !namespaces.isEmpty else {
      throw KernelError("topology \(topology.name) is of containers: name them with --container or --netns")
    }
    var plan = try pairs(namespaces: namespaces, devices: [])
    plan.guestTaps = plan.hostDevices
    plan.hostDevices = []
    var outside: [NetworkNamespace] = []
    for tap in plan.guestTaps where !outside.contains(tap.namespace) { outside.append(tap.namespace) }
    for namespace in outside {
      let links = try namespace.links()
      let names = devices.isEmpty ? try namespace.defaultRouteDevices() : devices
      for name in names { plan.hostDevices += nics(name, links).map { Device($0, in: namespace) } }
    }
    plan.hostDevices.removeAll { plan.guestTaps.contains($0) }
    guard plan.hostDevices.isEmpty else { return plan }
    let missing =
      devices.isEmpty ? "no default route tells" : "there is no device \(devices.joined(separator: " ")) to tell"
    throw KernelError(
      "\(missing) by which NIC the containers' packets leave \(outside.map(\.label).joined(separator: ", ")): "
        + "name it with --dev, or take --topology veth, which ends at the host's side of the containers")
  }

  /// The device of this name; of a bridge the NICs that are its ports.
  private static func nics(_ name: String, _ links: [Link]) -> [Link] {
    guard let link = links.first(where: { $0.name == name }) else { return [] }
    guard link.kind == "bridge" else { return [link] }
    return links.filter { $0.masterIndex == link.index && $0.kind.isEmpty }
  }

  /// Which pairs of devices a container's packets pass, for people: `eth0@web ↔ veth1a2b@host (bridge docker0)`.
  package func pairsText(of namespace: NetworkNamespace) -> String {
    let outer = guestTaps.isEmpty ? hostDevices : guestTaps
    return zip(guestDevices, outer).filter { $0.0.namespace == namespace }.map { inner, outer in
      let links = (try? outer.namespace.links()) ?? []
      let master = links.first { $0.index == outer.index }?.masterIndex
      let bridge = master.flatMap { index in links.first { $0.index == index } }
      return "\(inner.name) ↔ \(outer.name)"
        + (bridge.map { " (\($0.kind.isEmpty ? "master" : $0.kind) \($0.name))" } ?? "")
    }.joined(separator: ", ")
  }
}
