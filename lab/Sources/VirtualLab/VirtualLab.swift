// SPDX-License-Identifier: GPL-2.0-or-later
import Foundation

/// A host under QEMU with a guest nested in it, and a network namespace of this machine as the world outside:
///
///     outside: nic0 10.77.0.1  --  host: eth0, bridge br0 10.77.0.2, tap0  --  guest: eth0 10.77.0.3
///
/// Without a guest there is no bridge: eth0 has 10.77.0.2.
///
/// Needs root for the namespace and its tap. Gone when released, or when the thread ends that made it.
package final class VirtualLab {
  package static let guestCID = 42
  package let host: Machine
  private let nested: Machine?
  /// Holds the consoles, QEMU's messages, and what commands outside said.
  private let stage: Stage

  /// As `init`, and up to twice more if a machine hung or crashed on the way, which emulation does now and then.
  package static func boot(
    _ scenario: Scenario, _ options: LabOptions, onRetry report: (LabError) -> Void
  ) throws -> VirtualLab {
    try again(onRetry: report) { try VirtualLab(scenario, options) }
  }

  /// Does `body`, and up to twice more where a machine hung or crashed in it. Emulation does that now and then, and it
  /// is no fault of what runs in the machine; three times in a row may well be one.
  package static func again<Result>(onRetry report: (LabError) -> Void, _ body: () throws -> Result) throws -> Result {
    for _ in 1...2 {
      do { return try body() } catch let error as LabError where error.hung { report(error) }
    }
    return try body()
  }

  package var guest: Machine {
    get throws {
      guard let nested else { throw LabError("the scenario has no guest") }
      return nested
    }
  }

  /// Builds the images and boots the machines, until they obey.
  package init(_ scenario: Scenario, _ options: LabOptions) throws {
    var options = options
    try options.prepare(for: scenario)
    stage = try Stage()
    let images = try Images(scenario, options, folder: stage.folder)
    try stage.makeTap()
    let qemu = try stage.start(VirtualLab.hostMachine(scenario, options, images, stage.folder))
    host = try Machine(name: "host", socket: "\(stage.folder)/host.sock", of: qemu)
    nested =
      scenario.guest == nil ? nil : try Machine(name: "guest", socket: "\(stage.folder)/guest.sock", of: qemu)
    let console = "\(stage.folder)/host.console"
    let wordsOfHost = {
      ("the host's console", (try? String(contentsOfFile: console, encoding: .utf8)) ?? "")
    }
    host.lastWords = wordsOfHost
    try host.boot()
    try prepareHost(scenario)
    guard let nested, let guest = scenario.guest else { return }
    nested.lastWords = { [host] in
      guard qemu.isRunning,
        let log = try? host.attempt("cat /tmp/guest.console /tmp/qemu.log", limit: 10).output
      else { return wordsOfHost() }
      return ("the guest's console and QEMU's log", String(decoding: log, as: UTF8.self))
    }
    try host.run(VirtualLab.guestMachine(guest) + " >/tmp/qemu.log 2>&1 &")
    try nested.boot()
    try prepare(nested, guest)
  }

  private static func hostMachine(
    _ scenario: Scenario, _ options: LabOptions, _ images: Images, _ folder: String
  ) -> [String] {
    let accelerator =
      options.accelerator == "kvm"
      ? ["-accel", "kvm", "-cpu", "host"] : ["-accel", "tcg,thread=multi", "-cpu", "max,+svm"]
    let ports = (scenario.guest == nil ? ["host"] : ["host", "guest"]).enumerated().flatMap { index, name in
      [
        "-chardev", "socket,id=c\(index),path=\(folder)/\(name).sock,server=on,wait=on", "-device",
        "virtserialport,chardev=c\(index),name=\(name == "host" ? "lab.control" : "lab.guest")",
      ]
    }
    // Of a QEMU that is not installed: beside it, or what the installed one has.
    let prefix = URL(fileURLWithPath: options.qemu).deletingLastPathComponent().deletingLastPathComponent().path
    let firmware =
      options.qemu.contains("/")
      ? [prefix, "/usr"].flatMap { ["\($0)/share/seabios", "\($0)/share/qemu"] }.flatMap { ["-L", $0] } : []
    return [options.qemu] + firmware + accelerator + [
      "-smp", "\(scenario.host.cpus ?? 1)", "-m", "\(scenario.host.memory ?? 2048)", "-nodefaults", "-display", "none",
      "-no-reboot", "-serial", "file:\(folder)/host.console",
      "-netdev", "tap,id=n,ifname=nic0,script=no,downscript=no",
      "-device",
      "\(scenario.host.model),netdev=n,mac=52:54:00:77:00:02,romfile="
        + (scenario.host.nicOptions.map { ",\($0)" } ?? ""),
    ] + (scenario.host.loop == true ? loop(of: scenario.host.model) : []) + [
      "-drive", "file=\(images.disk),format=raw,if=virtio,readonly=on",
      "-device", "virtio-serial-pci",
    ] + ports + [
      "-kernel", images.hostKernel.image, "-initrd", images.hostArchive,
      "-append", "console=ttyS0 quiet panic=-1 tsc=reliable",
    ]
  }

  private static func loop(of model: String) -> [String] {
    [1, 2].flatMap {
      [
        "-netdev", "hubport,id=l\($0),hubid=1", "-device",
        "\(model),netdev=l\($0),mac=52:54:00:77:01:0\($0),romfile=",
      ]
    }
  }

  private static func guestMachine(_ guest: Scenario.Guest) -> String {
    let queues = guest.queues ?? 1
    let several = queues > 1 ? ",queues=\(queues)" : ""
    return [
      "qemu-system-x86_64 -name guest=lab-guest -accel kvm -cpu host,migratable=off -smp \(guest.cpus ?? 1)",
      "-m \(guest.memory ?? 512) -nodefaults -display none -no-reboot -serial file:/tmp/guest.console",
      "-uuid 6c617470-726f-4265-8c61-622d67756573",
      "-netdev tap,id=n,ifname=tap0,script=no,downscript=no,vhost=\(guest.vhost ?? true ? "on" : "off")\(several)",
      "-device virtio-net-pci,netdev=n,mac=52:54:00:77:00:03,romfile=\(queues > 1 ? ",mq=on,vectors=\(2 * queues + 2)" : "")",
      "-drive file=/dev/vda,format=raw,if=virtio,readonly=on",
      "-device virtio-serial-pci",
      "-chardev socket,id=c,host=127.0.0.1,port=4444,server=on,wait=on",
      "-device virtserialport,chardev=c,name=lab.control",
      "-chardev socket,id=a,path=/run/latprobe.sock,server=on,wait=off",
      "-device virtserialport,chardev=a,name=latprobe",
      "-device vhost-vsock-pci,guest-cid=\(guestCID)", "-monitor tcp:127.0.0.1:4445,server=on,wait=off",
      "-kernel /guest/vmlinuz -initrd /guest/initrd -append 'console=ttyS0 quiet panic=-1'",
    ].joined(separator: " ")
  }

  private func prepareHost(_ scenario: Scenario) throws {
    guard let guest = scenario.guest else { return try prepareHostAlone(scenario) }
    let several = (guest.queues ?? 1) > 1 ? " multi_queue" : ""
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

  private func prepareHostAlone(_ scenario: Scenario) throws {
    try VirtualLab.giveAddress("10.77.0.2/24", to: host)
    for line in scenario.host.tuning ?? [] { try host.run(line) }
    try host.wait(for: "ping -c 1 -W 2 10.77.0.1")
  }

  private func prepare(_ machine: Machine, _ guest: Scenario.Guest) throws {
    try VirtualLab.giveAddress("10.77.0.3/24", to: machine)
    for line in guest.tuning ?? [] { try machine.run(line) }
    // Neighbours and the bridge's table are learnt before anything is recorded.
    try machine.wait(for: "ping -c 1 -W 2 10.77.0.1")
  }

  private static func giveAddress(_ address: String, to machine: Machine) throws {
    for line in ["link set eth0 addrgenmode none", "link set eth0 up", "address add \(address) dev eth0"] {
      try machine.run("ip " + line)
    }
  }

  /// Starts a command in the namespace outside; killed with the lab.
  package func startOutside(_ arguments: [String]) throws -> Command { try stage.start(arguments) }

  /// Runs a shell command in the namespace outside to its end; returns its output.
  @discardableResult
  package func runOutside(_ line: String, limit: Double = 120) throws -> String {
    try stage.run(["sh", "-c", line], limit: limit)
  }
}
