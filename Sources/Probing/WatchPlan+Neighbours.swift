// SPDX-License-Identifier: GPL-2.0-or-later
package import Host

extension WatchPlan {
  /// One line for each device that stands below others: what these send and receive passes its hook points, too.
  ///
  /// Of the devices of the stack whose sockets are watched. The host's ends of guests' devices are ports of bridges as a
  /// rule, and the path goes on there.
  package func stackedLines(among known: [NetworkNamespace] = NetworkNamespace.all()) -> [String] {
    let devices = (guestDevices + hostDevices).filter { socketNamespaces.contains($0.namespace) }
    guard !devices.isEmpty else { return [] }
    let places = known.map { (namespace: $0, links: (try? $0.links()) ?? []) }
    return devices.compactMap { device in
      var above: [String] = []
      var master: Link?
      for (namespace, links) in places {
        let isHere = namespace == device.namespace
        if isHere, let index = links.first(where: { $0.index == device.index })?.masterIndex {
          master = links.first { $0.index == index }
        }
        for link in links
        where link.peerIndex == device.index && !WatchPlan.isPeer(link.kind) && !(isHere && link.index == device.index)
        {
          let lower = link.peerNamespaceID.map { try? namespace.namespace(withID: $0, among: known) } ?? namespace
          guard lower == device.namespace else { continue }
          above.append("\(link.name)\(isHere ? "" : "@\(namespace.label)") (\(link.kind))")
        }
      }
      return WatchPlan.stackedLine(device.description, above: above, master: master)
    }
  }

  /// The other end of such a device stands beside it, not below.
  private static func isPeer(_ kind: String) -> Bool { kind == "veth" || kind == "netkit" }

  static func stackedLine(_ device: String, above: [String], master: Link?) -> String? {
    if let master {
      return "\(device) is a port of \(master.name) (\(master.kind.isEmpty ? "master" : master.kind)), which has the "
        + "packets behind it: what is not read here counts as unmatched or not read, never as lost"
    }
    guard !above.isEmpty else { return nil }
    return
      "\(device) has \(above.sorted().joined(separator: ", ")) above it: packets of \(above.count == 1 ? "that" : "those") "
      + "pass its hook points, too, and go another way behind them"
  }
}
