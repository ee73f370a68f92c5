// SPDX-License-Identifier: GPL-2.0-or-later
import Foundation
import Glibc

/// Where the lab finds what it is made of.
package struct LabOptions: Sendable {
  /// `tcg` (emulation) or `kvm`.
  package var accelerator = "tcg"
  package var qemu = "qemu-system-x86_64"
  /// The program under test, its BPF object and its topologies.
  package var latprobe: String
  package var object: String
  package var probes: String
  /// `lab/init/init`.
  package var initScript: String
  /// Kernels, kept between runs.
  package var store: String
  /// Further programs of this machine to put into both machines, by name.
  package var programs = ["ip", "tc", "sockperf", "iperf3", "chrt", "taskset", "sysctl"]

  /// The files of a source tree that was built.
  package init(tree: String, latprobe: String) {
    self.latprobe = latprobe
    object = "\(tree)/build/bpf/latprobe.bpf.o"
    probes = "\(tree)/probes"
    initScript = "\(tree)/lab/init/init"
    store = "\(tree)/build/lab"
  }
}

/// A host under QEMU with a guest nested in it, and a network namespace of this machine as the world outside:
///
///     outside: nic0 10.77.0.1  --  host: eth0, bridge br0 10.77.0.2, tap0  --  guest: eth0 10.77.0.3
///
/// Needs root for the namespace and its tap. Gone when released.
package final class VirtualLab {
  package static let guestCID = 42
  package let namespace: String
  /// Consoles of both machines, QEMU's messages, and what commands outside said.
  package let folder: String
  package let host: Machine
  package let guest: Machine
  private let qemu: Command
  private var background: [Command] = []

  /// Builds the images and boots both machines, until both obey.
  package init(_ scenario: Scenario, _ options: LabOptions) throws {
    let start = Date()
    namespace = "lab-\(getpid())-\(UInt32.random(in: 0..<0xffff))"
    folder = FileManager.default.temporaryDirectory.appendingPathComponent(namespace).path
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    var started: Command?
    do {
      let images = try Images(scenario, options, folder: folder)
      try VirtualLab.makeOutside(namespace)
      let command = try Command(
        ["ip", "netns", "exec", namespace] + VirtualLab.hostMachine(scenario, options, images, folder),
        in: URL(fileURLWithPath: folder))
      started = command
      host = try Machine(name: "host", socket: "\(folder)/host.sock")
      guest = try Machine(name: "guest", socket: "\(folder)/guest.sock")
      qemu = command
      try host.run("true", limit: 60)
      try prepareHost(scenario)
      try host.run(VirtualLab.guestMachine(scenario) + " >/tmp/qemu.log 2>&1 &")
      do { try guest.run("true", limit: 60) } catch {
        let log = try host.attempt("cat /tmp/qemu.log /tmp/guest.console", limit: 10).output
        throw LabError("\(error); its console: \(String(decoding: log.suffix(5000), as: UTF8.self))")
      }
      try prepareGuest(scenario)
    } catch {
      let console = (try? String(contentsOfFile: "\(folder)/host.console", encoding: .utf8)) ?? ""
      started?.signal(SIGKILL)
      VirtualLab.remove(namespace, folder)
      throw LabError(
        "after \(Int(Date().timeIntervalSince(start))) s: \(error); the host's console: \(console.suffix(1500))")
    }
  }

  deinit {
    for command in background { command.signal(SIGTERM) }
    qemu.signal(SIGKILL)
    for command in background + [qemu] { _ = try? command.wait(limit: 5) }
    VirtualLab.remove(namespace, folder)
  }

  private static func remove(_ namespace: String, _ folder: String) {
    _ = try? Shell.run("ip", "netns", "delete", namespace)
    try? FileManager.default.removeItem(atPath: folder)
  }

  private static func makeOutside(_ namespace: String) throws {
    try Shell.run("ip", "netns", "add", namespace)
    for line in [
      "tuntap add nic0 mode tap vnet_hdr", "link set nic0 addrgenmode none", "link set lo up", "link set nic0 up",
      "address add 10.77.0.1/24 dev nic0", "neighbour add 10.77.0.3 lladdr 52:54:00:77:00:03 dev nic0",
    ] {
      try Shell.run(["ip", "-n", namespace] + line.split(separator: " ").map(String.init))
    }
  }

  private static func hostMachine(
    _ scenario: Scenario, _ options: LabOptions, _ images: Images, _ folder: String
  ) -> [String] {
    let accelerator =
      options.accelerator == "kvm"
      ? ["-accel", "kvm", "-cpu", "host"] : ["-accel", "tcg,thread=multi", "-cpu", "max,+svm"]
    let ports = ["host", "guest"].enumerated().flatMap { index, name in
      [
        "-chardev", "socket,id=c\(index),path=\(folder)/\(name).sock,server=on,wait=on", "-device",
        "virtserialport,chardev=c\(index),name=\(name == "host" ? "lab.control" : "lab.guest")",
      ]
    }
    return [options.qemu] + accelerator + [
      "-smp", "\(scenario.host.cpus ?? 1)", "-m", "\(scenario.host.memory ?? 2048)", "-nodefaults", "-display", "none",
      "-no-reboot", "-serial", "file:\(folder)/host.console",
      "-netdev", "tap,id=n,ifname=nic0,script=no,downscript=no",
      "-device",
      "\(scenario.host.nic ?? "virtio-net-pci"),netdev=n,mac=52:54:00:77:00:02,romfile="
        + (scenario.host.nicOptions.map { ",\($0)" } ?? ""),
      "-device", "virtio-serial-pci",
    ] + ports + [
      "-kernel", images.hostKernel.image, "-initrd", images.hostArchive,
      "-append", "console=ttyS0 quiet panic=-1 tsc=reliable",
    ]
  }

  private static func guestMachine(_ scenario: Scenario) -> String {
    let guest = scenario.guest
    let queues = guest.queues ?? 1
    let several = queues > 1 ? ",queues=\(queues)" : ""
    return [
      "qemu-system-x86_64 -name guest=lab-guest -accel kvm -cpu host,migratable=off -smp \(guest.cpus ?? 1)",
      "-m \(guest.memory ?? 512) -nodefaults -display none -no-reboot -serial file:/tmp/guest.console",
      "-uuid 6c617470-726f-4265-8c61-622d67756573",
      "-netdev tap,id=n,ifname=tap0,script=no,downscript=no,vhost=\(guest.vhost ?? true ? "on" : "off")\(several)",
      "-device virtio-net-pci,netdev=n,mac=52:54:00:77:00:03,romfile=\(queues > 1 ? ",mq=on,vectors=\(2 * queues + 2)" : "")",
      "-device virtio-serial-pci",
      "-chardev socket,id=c,host=127.0.0.1,port=4444,server=on,wait=on",
      "-device virtserialport,chardev=c,name=lab.control",
      "-chardev socket,id=a,path=/run/latprobe.sock,server=on,wait=off",
      "-device virtserialport,chardev=a,name=latprobe",
      "-device vhost-vsock-pci,guest-cid=\(guestCID)",
      "-kernel /guest/vmlinuz -initrd /guest/initrd -append 'console=ttyS0 quiet panic=-1'",
    ].joined(separator: " ")
  }

  private func prepareHost(_ scenario: Scenario) throws {
    let several = (scenario.guest.queues ?? 1) > 1 ? " multi_queue" : ""
    for line in [
      "link add br0 type bridge", "link set br0 addrgenmode none", "link set eth0 addrgenmode none",
      "link set eth0 master br0", "link set eth0 up", "link set br0 up", "address add 10.77.0.2/24 dev br0",
      "tuntap add tap0 mode tap vnet_hdr\(several)", "link set tap0 addrgenmode none", "link set tap0 master br0",
      "link set tap0 up",
    ] {
      try host.run("ip " + line)
    }
    for line in scenario.host.tuning ?? [] { try host.run(line) }
  }

  private func prepareGuest(_ scenario: Scenario) throws {
    for line in [
      "link set eth0 addrgenmode none", "link set eth0 up", "address add 10.77.0.3/24 dev eth0",
    ] {
      try guest.run("ip " + line)
    }
    for line in scenario.guest.tuning ?? [] { try guest.run(line) }
    // Neighbours and the bridge's table are learnt before anything is recorded.
    try guest.wait(for: "ping -c 1 -W 2 10.77.0.1")
  }

  /// Starts a command in the namespace outside; ended with the lab.
  package func startOutside(_ arguments: [String]) throws -> Command {
    let command = try Command(["ip", "netns", "exec", namespace] + arguments, in: URL(fileURLWithPath: folder))
    background.append(command)
    return command
  }

  /// Runs a shell command in the namespace outside to its end; returns its output.
  @discardableResult
  package func runOutside(_ line: String, limit: Double = 120) throws -> String {
    try Shell.run("ip", "netns", "exec", namespace, "sh", "-c", line, limit: limit)
  }
}

/// The kernels and initial file trees of both machines.
private struct Images {
  let hostKernel: Kernel
  let hostArchive: String

  init(_ scenario: Scenario, _ options: LabOptions, folder: String) throws {
    let hostFlavour =
      scenario.host.flavour ?? (scenario.host.nic ?? "virtio-net-pci" == "virtio-net-pci" ? "cloud-amd64" : "amd64")
    hostKernel = try Kernel.get(series: scenario.host.kernel, flavour: hostFlavour, store: options.store)
    let guestKernel = try Kernel.get(
      series: scenario.guest.kernel, flavour: scenario.guest.flavour ?? "cloud-amd64", store: options.store)

    let guestRoot = "\(folder)/guest"
    var guest = try Image(root: guestRoot, name: "guest", initScript: options.initScript)
    try guest.addCommon(options)
    try guest.addModules(
      ["virtio_pci", "virtio_net", "virtio_console", "ptp_kvm", "vmw_vsock_virtio_transport", "sch_tbf"],
      of: guestKernel)
    try guest.pack(to: "\(folder)/guest.cpio")

    var host = try Image(root: "\(folder)/host", name: "host", initScript: options.initScript)
    try host.addCommon(options)
    try host.addProgram(Image.find("qemu-system-x86_64"), as: "/usr/bin/qemu-system-x86_64")
    for file in ["bios-256k.bin", "linuxboot_dma.bin", "kvmvapic.bin"] {
      for folder in ["/usr/share/seabios", "/usr/share/qemu"]
      where FileManager.default.fileExists(atPath: "\(folder)/\(file)") {
        try host.copy("\(folder)/\(file)", to: "/usr/share/qemu/\(file)")
      }
    }
    let nic = scenario.host.nic ?? "virtio-net-pci"
    try host.addModules(
      [
        "virtio_pci", "virtio_net", "virtio_console", hypervisor(options), "tun", "vhost_net", "vhost_vsock",
        "bridge", "sch_tbf",
      ]
        + (nic == "virtio-net-pci" ? [] : [nic]), of: hostKernel)
    try host.copy(guestKernel.image, to: "/guest/vmlinuz")
    try host.copy("\(folder)/guest.cpio", to: "/guest/initrd")
    hostArchive = "\(folder)/host.cpio"
    try host.pack(to: hostArchive)
    for name in ["guest", "host"] { try FileManager.default.removeItem(atPath: "\(folder)/\(name)") }
  }
}

/// KVM's module for the processor that the host sees: QEMU's emulated one has AMD's extension.
private func hypervisor(_ options: LabOptions) -> String {
  guard options.accelerator == "kvm", let text = try? String(contentsOfFile: "/proc/cpuinfo", encoding: .utf8),
    text.contains("vmx")
  else { return "kvm_amd" }
  return "kvm_intel"
}

extension Image {
  /// latprobe and the programs of a workload.
  fileprivate mutating func addCommon(_ options: LabOptions) throws {
    try addProgram(options.latprobe, as: "/opt/latprobe/bin/latprobe")
    try Shell.run("strip", "\(root)/opt/latprobe/bin/latprobe")
    try copy(options.object, to: "/opt/latprobe/lib/latprobe/latprobe.bpf.o")
    try copy(options.probes, to: "/opt/latprobe/share/latprobe/probes")
    try FileManager.default.createSymbolicLink(
      atPath: "\(root)/usr/bin/latprobe", withDestinationPath: "/opt/latprobe/bin/latprobe")
    for name in options.programs { try addProgram(Image.find(name)) }
  }
}
