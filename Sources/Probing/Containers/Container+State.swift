// SPDX-License-Identifier: GPL-2.0-or-later
internal import Foundation
internal import Host

/// Where runtimes keep what they know of running containers. Read only; no daemon is asked.
extension Container {
  private static let fileLimit = 4 << 20
  private static let countLimit = 10_000

  /// All that run, in the order of the runtimes below, each once.
  ///
  /// - Parameter root: where /run, /var and /proc are; empty for the machine's own.
  package static func all(root: String = "") -> [Container] {
    var found: [Container] = []
    let ports = networkPorts(root)
    for container in docker(root) + storage(root) + containerd(root) + lowLevel(root) {
      // Docker's lie below containerd and runc, too: who knows more comes first.
      guard !found.contains(where: { $0.id == container.id || $0.pid == container.pid }) else { continue }
      guard container.pid > 1, System.read("\(root)/proc/\(container.pid)/stat", limit: 4096) != nil else { continue }
      found.append(container)
      for port in ports[container.id] ?? [] { found[found.count - 1].add(port) }
    }
    return found
  }

  /// Ports of the host by container, as CNI keeps them with each network's result: Podman's and Kubernetes'.
  private static func networkPorts(_ root: String) -> [String: [Port]] {
    directories("\(root)/var/lib/cni/results").reduce(into: [:]) { result, path in
      guard let cache = object(path), let id = cache["containerId"] as? String,
        let arguments = cache["capabilityArgs"] as? [String: Any],
        let mappings = arguments["portMappings"] as? [[String: Any]]
      else { return }
      for mapping in mappings {
        guard let outer = mapping["hostPort"] as? Int, let inner = mapping["containerPort"] as? Int else { continue }
        result[id, default: []].append(
          Port(host: outer, container: inner, proto: (mapping["protocol"] as? String ?? "tcp").lowercased()))
      }
    }
  }

  // MARK: - Docker

  /// `config.v2.json` of each container below the data root.
  private static func docker(_ root: String) -> [Container] {
    let settings = object("\(root)/etc/docker/daemon.json")
    let data = settings?["data-root"] as? String ?? "/var/lib/docker"
    return directories("\(root)\(data)/containers").compactMap { path in
      guard let config = object("\(path)/config.v2.json"), let id = config["ID"] as? String,
        let state = config["State"] as? [String: Any], state["Running"] as? Bool == true, let pid = state["Pid"] as? Int
      else { return nil }
      let name = (config["Name"] as? String).map { $0.hasPrefix("/") ? String($0.dropFirst()) : $0 }
      var container = Container(runtime: "docker", id: id, name: name ?? id, pid: pid)
      let network = config["NetworkSettings"] as? [String: Any]
      for (key, bindings) in (network?["Ports"] as? [String: Any] ?? [:]).sorted(by: { $0.key < $1.key }) {
        // `80/tcp`: one binding for IPv4 and one for IPv6.
        let parts = key.split(separator: "/")
        for binding in bindings as? [[String: Any]] ?? [] {
          guard parts.count == 2, let inner = Int(parts[0]),
            let outer = (binding["HostPort"] as? String).flatMap({ Int($0) })
          else { continue }
          container.add(Port(host: outer, container: inner, proto: String(parts[1])))
        }
      }
      return container
    }
  }

  // MARK: - containers/storage: Podman and CRI-O

  /// `userdata/pidfile` of each running container below /run, its names from `containers.json`, and the runtime
  /// specification beside it.
  private static func storage(_ root: String) -> [Container] {
    let (run, data) = ("\(root)/run/containers/storage", "\(root)/var/lib/containers/storage")
    return System.list(run).filter { $0.hasSuffix("-containers") }.flatMap { driver in
      let names = names(in: "\(data)/\(driver)")
      return System.list("\(run)/\(driver)").prefix(countLimit).compactMap { id -> Container? in
        let folder = "\(run)/\(driver)/\(id)/userdata"
        guard let pid = System.read("\(folder)/pidfile", limit: 64).flatMap({ Int($0) }) else { return nil }
        let annotations =
          annotations("\(folder)/config.json") ?? annotations("\(data)/\(driver)/\(id)/userdata/config.json") ?? [:]
        let isCRIO = annotations["io.container.manager"] == "cri-o"
        var container = Container(
          runtime: isCRIO ? "cri-o" : "podman", id: id, name: names[id]?.first ?? id, aliases: names[id] ?? [], pid: pid
        )
        container.add(annotations)
        return container
      }
    }
  }

  private static func names(in folder: String) -> [String: [String]] {
    let content = System.bytes("\(folder)/containers.json", limit: 16 << 20)
    let list = (try? JSONSerialization.jsonObject(with: Data(content))) as? [[String: Any]] ?? []
    return list.reduce(into: [:]) { result, entry in
      if let id = entry["id"] as? String { result[id] = entry["names"] as? [String] }
    }
  }

  // MARK: - containerd, and below it

  /// Bundles of running tasks: Kubernetes', nerdctl's, Docker's (`moby`) where its own files cannot be read.
  private static func containerd(_ root: String) -> [Container] {
    ["\(root)/run/containerd", "\(root)/run/docker/containerd/daemon", "\(root)/run/k3s/containerd"].flatMap { state in
      directories("\(state)/io.containerd.runtime.v2.task").flatMap { directories($0) }.compactMap { bundle in
        guard let pid = System.read("\(bundle)/init.pid", limit: 64).flatMap({ Int($0) }) else { return nil }
        let id = bundle.split(separator: "/").last.map(String.init) ?? ""
        var container = Container(runtime: "containerd", id: id, name: id, pid: pid)
        container.add(annotations("\(bundle)/config.json") ?? [:])
        return container
      }
    }
  }

  /// `runc` and `crun` used by themselves: their states have no other name than the id.
  private static func lowLevel(_ root: String) -> [Container] {
    let runc = directories("\(root)/run/runc").compactMap { path -> Container? in
      guard let state = object("\(path)/state.json"), let pid = state["init_process_pid"] as? Int,
        let id = state["id"] as? String
      else { return nil }
      return Container(runtime: "runc", id: id, name: id, pid: pid)
    }
    let crun = directories("\(root)/run/crun").compactMap { path -> Container? in
      guard let state = object("\(path)/status"), let pid = state["pid"] as? Int,
        let id = path.split(separator: "/").last.map(String.init)
      else { return nil }
      return Container(runtime: "crun", id: id, name: id, pid: pid)
    }
    return runc + crun
  }

  // MARK: - Names and ports in annotations of the runtime specification

  private mutating func add(_ annotations: [String: String]) {
    func first(_ keys: String...) -> String? { keys.lazy.compactMap { annotations[$0] }.first { !$0.isEmpty } }
    let own = first("io.kubernetes.cri.container-name", "io.kubernetes.container.name", "nerdctl/name")
    let pod = first("io.kubernetes.cri.sandbox-name", "io.kubernetes.pod.name")
    let space = first("io.kubernetes.cri.sandbox-namespace", "io.kubernetes.pod.namespace")
    let uid = first("io.kubernetes.cri.sandbox-uid", "io.kubernetes.pod.uid")
    if let pod {
      name = own.map { "\(pod)/\($0)" } ?? pod
      aliases += [pod, name] + [space.map { "\($0)/\(pod)" }, uid, own].compactMap { $0 }
      if let sandbox = first("io.kubernetes.cri.sandbox-id", "io.kubernetes.cri-o.SandboxID") {
        aliases.append(sandbox)
      }
    } else if let own {
      name = own
      aliases.append(own)
    }
    let list = annotations["nerdctl/ports"].map { Data($0.utf8) }
    let ports = list.flatMap { (try? JSONSerialization.jsonObject(with: $0)) as? [[String: Any]] } ?? []
    for entry in ports {
      guard let outer = entry["HostPort"] as? Int, let inner = entry["ContainerPort"] as? Int else { continue }
      add(Port(host: outer, container: inner, proto: entry["Protocol"] as? String ?? "tcp"))
    }
  }

  private mutating func add(_ port: Port) {
    if port.host > 0, !ports.contains(port) { ports.append(port) }
  }

  // MARK: - Files

  private static func annotations(_ path: String) -> [String: String]? {
    (object(path)?["annotations"] as? [String: Any])?.compactMapValues { $0 as? String }
  }

  private static func object(_ path: String) -> [String: Any]? {
    let bytes = System.bytes(path, limit: fileLimit)
    return bytes.isEmpty ? nil : (try? JSONSerialization.jsonObject(with: Data(bytes))) as? [String: Any]
  }

  private static func directories(_ path: String) -> [String] {
    System.list(path).prefix(countLimit).map { "\(path)/\($0)" }
  }
}
