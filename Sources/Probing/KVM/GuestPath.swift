// SPDX-License-Identifier: GPL-2.0-or-later
package import Host

/// The way a guest's packets take through its host, as far as devices and command line tell. Pure.
package struct GuestPath: Sendable, Equatable {
  /// Devices behind the bridges that the guest's taps are ports of: the NICs.
  package var uplinks: [Link]
  /// Ways that latprobe cannot follow, one line each; the packets that take them leave no host stamps.
  package var unfollowed: [String]

  /// - Parameter links: the devices of the namespace where the guest's taps are.
  package init(_ guest: KVMGuest, links: [Link]) {
    uplinks = GuestPath.uplinks(of: guest.taps.map(\.name), links: links)
    unfollowed = guest.macvtaps.map { "macvtap \($0)" }
    for tap in guest.taps {
      guard let master = GuestPath.master(of: tap.name, links), master.kind == "openvswitch" else { continue }
      unfollowed.append("Open vSwitch datapath \(master.name) behind \(tap.name)")
    }
    if guest.backends.contains("vhost-user") { unfollowed.append("vhost-user (a switch outside the kernel)") }
    if guest.backends.contains("af-xdp") { unfollowed.append("AF_XDP (past the host's stack)") }
    if guest.backends.contains("vhost-vdpa") { unfollowed.append("vDPA (the NIC's own virtqueues)") }
    unfollowed += guest.vfio.map { "VFIO \($0) (SR-IOV or passthrough: past the host)" }
    for backend in ["user", "passt", "stream", "dgram", "socket", "l2tpv3"] where guest.backends.contains(backend) {
      unfollowed.append("QEMU's \(backend) network (no device of the host)")
    }
  }

  /// What the bridges of these taps lead to: ports that are neither taps nor ends of veth pairs, in order of index.
  package static func uplinks(of taps: [String], links: [Link]) -> [Link] {
    let bridges = Set(taps.compactMap { master(of: $0, links)?.index })
    return links.filter { link in
      link.masterIndex.map(bridges.contains) == true && !["tun", "veth", "macvtap", "vxlan"].contains(link.kind)
    }.sorted { $0.index < $1.index }
  }

  private static func master(of device: String, _ links: [Link]) -> Link? {
    guard let index = links.first(where: { $0.name == device })?.masterIndex else { return nil }
    return links.first { $0.index == index }
  }
}
