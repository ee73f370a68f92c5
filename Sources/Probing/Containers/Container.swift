// SPDX-License-Identifier: GPL-2.0-or-later
package import Host

/// A running container, as its runtime's state files tell of it.
package struct Container: Sendable, Equatable {
  /// A port of the host that leads to one of the container's, by DNAT or a proxy.
  package struct Port: Sendable, Equatable, CustomStringConvertible {
    package var host: Int
    package var container: Int
    package var proto: String
    package var description: String { "\(host)→\(container)/\(proto)" }
  }

  /// `docker`, `podman`, `cri-o`, `containerd`, `runc` or `crun`.
  package var runtime: String
  package var id: String
  /// What it is called; the id where it has no name.
  package var name: String
  /// All that it answers to, besides its id: names, of a pod's container the pod's name and uid too.
  package var aliases: [String] = []
  /// Its first process.
  package var pid: Int
  package var ports: [Port] = []

  /// `web (docker 3f2a9c01b7de)`.
  package var description: String {
    let short = id.utf8.count == 64 ? String(id.prefix(12)) : id
    return name == id ? "\(short) (\(runtime))" : "\(name) (\(runtime) \(short))"
  }

  /// Its network namespace, under its name.
  package func namespace() throws(KernelError) -> NetworkNamespace {
    guard let namespace = NetworkNamespace.of(process: pid, label: name) else {
      throw KernelError(
        "the network namespace of container \(description) cannot be read: it ended, or sudo is needed")
    }
    guard namespace.inode != NetworkNamespace.of(process: 1, label: "")?.inode else {
      throw KernelError(
        "container \(description) has the host's network: there is no veth pair to follow; see --topology host-nic")
    }
    return namespace
  }

  /// The containers of these names, each once.
  ///
  /// - Parameter names: of a container, `POD/CONTAINER`, a pod or its uid; or the beginning of an id.
  package static func named(
    _ names: [String], among containers: [Container]
  ) throws(KernelError) -> [Container] {
    var chosen: [Container] = []
    for name in names {
      let container = try named(name, among: containers)
      if !chosen.contains(where: { $0.pid == container.pid }) { chosen.append(container) }
    }
    return chosen
  }

  private static func named(_ name: String, among containers: [Container]) throws(KernelError) -> Container {
    let exact = containers.filter { $0.id == name || $0.name == name || $0.aliases.contains(name) }
    let found = exact.isEmpty && name.count >= 3 ? containers.filter { $0.id.hasPrefix(name) } : exact
    // Those of one pod share its network: any of them stands for it.
    let namespaces = Set(found.map { NetworkNamespace.of(process: $0.pid, label: "")?.inode })
    if let first = found.first, found.count == 1 || namespaces.count == 1 && !namespaces.contains(nil) { return first }
    if !found.isEmpty {
      throw KernelError(
        "'\(name)' could be \(found.map(\.description).joined(separator: ", ")): give the id")
    }
    guard !containers.isEmpty else {
      throw KernelError(
        "no container runs that the state files of docker, podman, cri-o, containerd, runc or crun know"
          + (System.isRoot ? "; --netns takes a process id of any" : ": reading them needs root"))
    }
    throw KernelError(
      "no container '\(name)' runs; there are "
        + containers.prefix(12).map(\.description).joined(separator: ", ") + (containers.count > 12 ? ", …" : ""))
  }
}
