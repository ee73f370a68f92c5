// SPDX-License-Identifier: GPL-2.0-or-later
import Probing

extension ProbeChoice {
  /// Addresses and ports change between a container's veth pair and the NIC, and on the way to a published port.
  func isNATProof(_ plan: WatchPlan) -> Bool {
    nat ?? (!containers.isEmpty && (!plan.guestTaps.isEmpty || containers.contains { !$0.ports.isEmpty }))
  }

  /// What was found of the containers, a line each, and what follows from it.
  func containerLines(_ plan: WatchPlan, isNATProof: Bool) -> [String] {
    var lines = containers.map { container in
      let namespace = try? container.namespace()
      var line = "container \(container.description): process \(container.pid)"
      if let namespace { line += ", \(plan.pairsText(of: namespace))" }
      if !container.ports.isEmpty {
        line += ", published \(container.ports.map(\.description).joined(separator: " "))"
      }
      return line
    }
    guard !containers.isEmpty else { return [] }
    let nics = plan.guestTaps.isEmpty ? [] : plan.hostDevices.map(\.name)
    if !nics.isEmpty { lines.append("to and from the outside by \(nics.joined(separator: " "))") }
    guard isNATProof, nat == nil else { return lines }
    lines.append(
      "NAT may change addresses and ports on this way: packets are known by the rest (--nat); --no-nat takes them in")
    return lines
  }
}
