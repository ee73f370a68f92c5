// SPDX-License-Identifier: GPL-2.0-or-later
import Foundation
import Glibc
import Host
import Testing

@testable import Probing

/// Containers as the runtimes' state files tell of them, each file in its runtime's layout.
@Suite struct ContainerTests {
  private let host: FakeHost
  /// Running processes that stand for containers.
  private let own = Int(getpid())
  private let parent = Int(getppid())

  init() throws { host = try FakeHost() }

  private static func id(_ letter: Character) -> String { String(repeating: letter, count: 64) }

  private func process(_ pid: Int) throws { try host.write("proc/\(pid)/stat", "\(pid) (sh) S 1\n") }

  private func docker(_ id: String, _ name: String, pid: Int, running: Bool = true, ports: String = "{}") throws {
    try host.write(
      "var/lib/docker/containers/\(id)/config.v2.json",
      """
      {"StreamConfig":{},"State":{"Running":\(running),"Paused":false,"Restarting":false,"OOMKilled":false,"Pid":\(pid),
      "ExitCode":0,"StartedAt":"2026-11-02T10:00:00.1Z"},"ID":"\(id)","Created":"2026-11-02T10:00:00Z","Path":"nginx",
      "NetworkSettings":{"Bridge":"","SandboxID":"aa","Ports":\(ports),"SandboxKey":"/var/run/docker/netns/aa"},
      "Name":"/\(name)","Driver":"overlay2"}
      """)
  }

  @Test func docker() throws {
    let ports = #"{"80/tcp":[{"HostIp":"0.0.0.0","HostPort":"8080"},{"HostIp":"::","HostPort":"8080"}],"53/udp":null}"#
    try docker(Self.id("a"), "web", pid: 100, ports: ports)
    try docker(Self.id("b"), "stopped", pid: 0, running: false)
    // Its process is gone: what a crash leaves.
    try docker(Self.id("c"), "dead", pid: 300)
    try process(100)
    let containers = Container.all(root: host.root)
    #expect(
      containers == [
        Container(
          runtime: "docker", id: Self.id("a"), name: "web", pid: 100,
          ports: [Container.Port(host: 8080, container: 80, proto: "tcp")])
      ])
    #expect(containers.first?.description == "web (docker aaaaaaaaaaaa)")
    #expect(containers.first?.ports.first?.description == "8080→80/tcp")
  }

  @Test func dockerElsewhereAndItsTaskBelowContainerd() throws {
    try host.write("etc/docker/daemon.json", #"{"data-root": "/srv/docker"}"#)
    try host.write(
      "srv/docker/containers/\(Self.id("d"))/config.v2.json",
      #"{"ID":"\#(Self.id("d"))","Name":"/db","State":{"Running":true,"Pid":100}}"#)
    let task = "run/containerd/io.containerd.runtime.v2.task/moby/\(Self.id("d"))"
    try host.write("\(task)/init.pid", "100")
    try host.write("\(task)/config.json", "{}")
    try process(100)
    let containers = Container.all(root: host.root)
    #expect(containers.map(\.runtime) == ["docker"])
    #expect(containers.map(\.name) == ["db"])
  }

  @Test func podmanWithPortsOfItsNetwork() throws {
    let id = Self.id("e")
    try host.write("run/containers/storage/overlay-containers/\(id)/userdata/pidfile", "100\n")
    try host.write(
      "var/lib/containers/storage/overlay-containers/containers.json",
      #"[{"id":"\#(id)","names":["shop"],"image":"","layer":"9","metadata":"{}"},{"id":"other"}]"#)
    try host.write(
      "var/lib/containers/storage/overlay-containers/\(id)/userdata/config.json",
      #"{"ociVersion":"1.0.2","annotations":{"io.container.manager":"libpod","io.kubernetes.cri-o.TTY":"false"}}"#)
    try host.write(
      "var/lib/cni/results/podman-\(id)-eth0",
      #"{"kind":"cniCacheV1","containerId":"\#(id)","capabilityArgs":{"portMappings":[{"hostPort":18080,"containerPort":80,"protocol":"tcp"}]}}"#
    )
    try process(100)
    let container = try #require(Container.all(root: host.root).first)
    #expect(container.runtime == "podman" && container.name == "shop" && container.pid == 100)
    #expect(container.ports.map(\.description) == ["18080→80/tcp"])
  }

  /// A pod of containerd's CRI, and one of CRI-O: by pod, namespace/pod, pod/container, uid and sandbox.
  @Test func pods() throws {
    let task = "run/containerd/io.containerd.runtime.v2.task/k8s.io/\(Self.id("1"))"
    try host.write("\(task)/init.pid", "\(own)")
    try host.write(
      "\(task)/config.json",
      """
      {"annotations":{"io.kubernetes.cri.container-type":"container","io.kubernetes.cri.container-name":"nginx",
      "io.kubernetes.cri.sandbox-id":"\(Self.id("2"))","io.kubernetes.cri.sandbox-name":"web-7d9",
      "io.kubernetes.cri.sandbox-namespace":"shop","io.kubernetes.cri.sandbox-uid":"5d3f"}}
      """)
    let crio = "run/containers/storage/overlay-containers/\(Self.id("3"))/userdata"
    try host.write("\(crio)/pidfile", "\(parent)")
    try host.write(
      "\(crio)/config.json",
      """
      {"annotations":{"io.container.manager":"cri-o","io.kubernetes.container.name":"redis",
      "io.kubernetes.pod.name":"cache-0","io.kubernetes.pod.namespace":"shop","io.kubernetes.pod.uid":"77aa"}}
      """)
    for pid in [own, parent] { try process(pid) }
    let containers = Container.all(root: host.root)
    #expect(containers.map(\.runtime) == ["cri-o", "containerd"])
    for name in ["web-7d9", "shop/web-7d9", "web-7d9/nginx", "nginx", "5d3f", Self.id("2"), "111"] {
      #expect(try Container.named([name], among: containers).map(\.pid) == [own], "\(name)")
    }
    for name in ["cache-0", "shop/cache-0", "redis", "77aa"] {
      #expect(try Container.named([name], among: containers).map(\.pid) == [parent], "\(name)")
    }
  }

  @Test func nerdctlRuncAndCrun() throws {
    let task = "run/containerd/io.containerd.runtime.v2.task/default/\(Self.id("4"))"
    try host.write("\(task)/init.pid", "100")
    try host.write(
      "\(task)/config.json",
      #"{"annotations":{"nerdctl/name":"mail","nerdctl/ports":"[{\"HostPort\":25,\"ContainerPort\":2525,\"Protocol\":\"tcp\",\"HostIP\":\"0.0.0.0\"}]"}}"#
    )
    try host.write("run/runc/box/state.json", #"{"id":"box","init_process_pid":200,"init_process_start":7}"#)
    try host.write("run/crun/cell/status", #"{"pid":300,"bundle":"/b"}"#)
    for pid in [100, 200, 300] { try process(pid) }
    let containers = Container.all(root: host.root)
    #expect(containers.map(\.description) == ["mail (containerd 444444444444)", "box (runc)", "cell (crun)"])
    #expect(containers.first?.ports.map(\.description) == ["25→2525/tcp"])
  }

  @Test func namesThatAreNotThereOrNotOne() throws {
    let containers = [
      Container(runtime: "docker", id: "abc1", name: "web", pid: own),
      Container(runtime: "podman", id: "abc2", name: "web", pid: 1 << 30),
      Container(runtime: "podman", id: "dd", name: "db", pid: own),
    ]
    func error(_ name: String) throws -> String {
      try #require(throws: KernelError.self) { try Container.named([name], among: containers) }.description
    }
    #expect(
      try error("mail") == "no container 'mail' runs; there are web (docker abc1), web (podman abc2), db (podman dd)")
    #expect(try error("web") == "'web' could be web (docker abc1), web (podman abc2): give the id")
    #expect(try error("abc").contains("could be"))
    #expect(try Container.named(["abc1", "db", "web"].dropLast(), among: containers).count == 1)
    let none = try #require(throws: KernelError.self) { try Container.named(["x"], among: []) }
    #expect(none.description.contains("docker, podman, cri-o, containerd, runc or crun"))
  }

  /// State files are other people's: what is no state is passed over.
  @Test func damagedState() throws {
    try host.write("var/lib/docker/containers/x/config.v2.json", "{\"ID\": 5, \"State\": []}")
    try host.write("var/lib/docker/containers/y/config.v2.json", "not JSON")
    try host.write("run/runc/z/state.json", #"{"id":"z","init_process_pid":"12"}"#)
    try host.write("run/crun/z/status", "")
    try host.write("run/containerd/io.containerd.runtime.v2.task/k8s.io/z/init.pid", "-5")
    try host.write("run/containers/storage/overlay-containers/z/userdata/pidfile", "1")
    try host.write("var/lib/containers/storage/overlay-containers/containers.json", "[[]]")
    #expect(Container.all(root: host.root).isEmpty)
  }
}
