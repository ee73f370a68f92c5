// SPDX-License-Identifier: GPL-2.0-or-later
import Foundation

/// What the machines of a scenario start from: kernels, initial file trees, and one disk with all programs for both.
struct Images {
  let hostKernel: Kernel
  let hostArchive: String
  let disk: String

  init(_ scenario: Scenario, _ options: LabOptions, folder: String) throws {
    hostKernel = try Kernel.get(series: scenario.host.kernel, flavour: scenario.host.build, store: options.store)
    disk = "\(folder)/disk"
    try Images.makeDisk(disk, options, forGuest: scenario.guest != nil, in: "\(folder)/tree")
    try FileManager.default.removeItem(atPath: "\(folder)/tree")

    let common = ["virtio_pci", "virtio_blk", "virtio_net", "virtio_console", "ext4", "sch_tbf"]
    let host = try Images.machine("host", "\(folder)/host", options)
    let nic = scenario.host.model
    var modules = common + (nic == "virtio-net-pci" ? [] : [nic])
    if let machine = scenario.guest {
      let kernel = try Kernel.get(
        series: machine.kernel, flavour: machine.flavour ?? "cloud-amd64", store: options.store)
      let guest = try Images.machine("guest", "\(folder)/guest", options)
      try guest.addModules(common + ["ptp_kvm", "vmw_vsock_virtio_transport"], of: kernel)
      try guest.pack(to: "\(folder)/guest.cpio")
      try FileManager.default.removeItem(atPath: "\(folder)/guest")
      modules += [Images.hypervisor(options), "tun", "vhost_net", "vhost_vsock", "bridge"]
      try host.place(kernel.image, at: "/guest/vmlinuz")
      try host.place("\(folder)/guest.cpio", at: "/guest/initrd")
    } else {
      modules += ["dummy", "sch_fq", "sch_etf"]
    }
    try host.addModules(modules, of: hostKernel)
    hostArchive = "\(folder)/host.cpio"
    try host.pack(to: hostArchive)
    try FileManager.default.removeItem(atPath: "\(folder)/host")
  }

  /// Programs and libraries; the host of a guest also needs QEMU, and on a disk it costs the guest nothing.
  private static func makeDisk(
    _ file: String, _ options: LabOptions, forGuest: Bool, in folder: String
  ) throws {
    var tree = try FileTree(root: folder)
    // Without symbols; strip would write through the link that `addProgram` makes.
    let program = "/opt/latprobe/bin/latprobe"
    try FileManager.default.createDirectory(
      atPath: folder + "/opt/latprobe/bin", withIntermediateDirectories: true)
    try Shell.run("strip", "-o", folder + program, options.latprobe)
    try tree.addProgram(options.latprobe, at: program)
    try tree.place(options.object, at: "/opt/latprobe/lib/latprobe/latprobe.bpf.o")
    for name in try FileManager.default.contentsOfDirectory(atPath: options.probes) {
      try tree.place("\(options.probes)/\(name)", at: "/opt/latprobe/share/latprobe/probes/\(name)")
    }
    for name in options.programs + (forGuest ? ["qemu-system-x86_64"] : []) {
      // At /usr/bin wherever it was: QEMU looks for its BIOS relative to itself.
      try tree.addProgram(FileTree.find(name))
    }
    try FileManager.default.createSymbolicLink(atPath: folder + "/usr/bin/latprobe", withDestinationPath: program)
    for file in forGuest ? ["bios-256k.bin", "linuxboot_dma.bin", "kvmvapic.bin"] : [] {
      let found = ["/usr/share/seabios", "/usr/share/qemu"].map { "\($0)/\(file)" }
        .first(where: FileManager.default.fileExists)
      guard let found else { throw LabError("QEMU's \(file) is missing: run 'make deps'") }
      try tree.place(found, at: "/usr/share/qemu/\(file)")
    }
    try tree.makeDisk(file)
  }

  /// What a machine needs before it has its disk.
  private static func machine(_ name: String, _ root: String, _ options: LabOptions) throws -> FileTree {
    let tree = try FileTree(root: root)
    for folder in ["proc", "sys", "dev", "tmp", "run", "root", "opt", "usr", "disk"] {
      try FileManager.default.createDirectory(atPath: "\(root)/\(folder)", withIntermediateDirectories: true)
    }
    for link in ["bin", "sbin", "lib", "lib64"] {
      try FileManager.default.createSymbolicLink(atPath: "\(root)/\(link)", withDestinationPath: "usr/\(link)")
    }
    try tree.write(name, to: "/name")
    try tree.write("root:x:0:0:root:/root:/bin/sh\n", to: "/etc/passwd")
    try tree.write("root:x:0:\n", to: "/etc/group")
    try tree.place(options.initScript, at: "/init")
    let busybox = try FileTree.find("busybox")
    // `ldd` has nothing to list for a static program, and says so by its status.
    if (try? Shell.run("ldd", busybox)) != nil {
      throw LabError("\(busybox) needs libraries: install busybox-static ('make deps')")
    }
    try tree.place(busybox, at: "/busybox/busybox")
    return tree
  }

  /// KVM's module for the processor that the host sees: QEMU's emulated one has AMD's extension.
  private static func hypervisor(_ options: LabOptions) -> String {
    guard options.accelerator == "kvm", let text = try? String(contentsOfFile: "/proc/cpuinfo", encoding: .utf8),
      text.contains("vmx")
    else { return "kvm_amd" }
    return "kvm_intel"
  }
}

extension Scenario.Host {
  /// QEMU's name of the NIC.
  var model: String { nic ?? "virtio-net-pci" }
  /// Debian's build of the kernel: the cloud one has no driver for emulated hardware.
  var build: String { flavour ?? (model == "virtio-net-pci" ? "cloud-amd64" : "amd64") }
}
