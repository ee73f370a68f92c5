// SPDX-License-Identifier: GPL-2.0-or-later
package import Host

extension KVMGuest {
  /// The guest that a user means.
  ///
  /// - Parameters:
  ///   - wanted: a process id, a name as in `-name` (a libvirt domain's), a UUID, or the name of a libvirt pid file.
  ///   - root: where /run is; empty for the machine's own.
  package static func named(
    _ wanted: String, among guests: [KVMGuest], root: String = ""
  ) throws(KernelError) -> KVMGuest {
    let shown = QEMUCommandLine.printable(wanted) ?? ""
    var found = guests.filter {
      $0.name == wanted || String($0.pid) == wanted || $0.uuid.map { $0 == wanted.lowercased() } == true
    }
    if found.isEmpty, let pid = libvirtProcess(wanted, root) {
      found = guests.filter { $0.pid == pid }
      if found.isEmpty {
        throw KernelError("libvirt's domain '\(shown)' is process \(pid), which is no KVM guest; is it running?")
      }
    }
    switch found.count {
    case 1: return found[0]
    case 0: throw KernelError("no KVM guest '\(shown)' on this host; " + overview(guests))
    default:
      let list = found.map { "\($0.pid)" }.joined(separator: " ")
      throw KernelError("\(found.count) KVM guests answer to '\(shown)'; give one's process id: \(list)")
    }
  }

  private static func overview(_ guests: [KVMGuest]) -> String {
    if !guests.isEmpty {
      let list = guests.prefix(20).map { "\($0.name) (\($0.pid))" }.joined(separator: ", ")
      return "there are \(list)" + (guests.count > 20 ? ", …" : "")
    }
    return System.isRoot ? "there is none at all" : "none is seen; other users' guests need root: run with sudo"
  }

  private static func libvirtProcess(_ domain: String, _ root: String) -> Int? {
    guard !domain.isEmpty, !domain.contains("/"), !domain.hasPrefix(".") else { return nil }
    return System.read("\(root)/run/libvirt/qemu/\(domain).pid", limit: 64).flatMap { Int($0) }
  }
}
