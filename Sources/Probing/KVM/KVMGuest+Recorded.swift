// SPDX-License-Identifier: GPL-2.0-or-later
package import Recording

extension KVMGuest {
  /// Who carries the guest's packets: `vhost-net`, `qemu` (its own virtio back end), `vhost-user`, `vfio`, …
  package var carriers: [String] {
    var carriers: [String] = []
    if vhostNetCount > 0 { carriers.append("vhost-net") }
    if vhostNetCount < taps.reduce(macvtaps.count, { $0 + $1.queues }) || backends.contains("user") {
      carriers.append("qemu")
    }
    carriers += ["vhost-user", "af-xdp", "vhost-vdpa"].filter { backends.contains($0) }
    if !vfio.isEmpty { carriers.append("vfio") }
    return carriers
  }

  /// The form in which `machine.json` holds it.
  package var recorded: Guest {
    var guest = Guest(pid: pid, name: name)
    guest.uuid = uuid
    guest.vsockCID = vsockCID
    guest.taps = taps.map(\.name) + macvtaps
    guest.backend = carriers.joined(separator: " ")
    guest.threads = threads.map { thread in
      Guest.Thread(
        kind: thread.role == .main ? "io" : thread.role.rawValue, id: thread.id, name: thread.name, vcpu: thread.vcpu,
        cpus: thread.affinity, policy: thread.policy.name, priority: thread.priority)
    }
    return guest
  }
}
