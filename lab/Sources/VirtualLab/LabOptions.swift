// SPDX-License-Identifier: GPL-2.0-or-later
import Foundation
import Glibc

/// Where the lab finds what it is made of.
package struct LabOptions: Sendable {
  /// `tcg` (emulation) or `kvm`.
  package var accelerator = "tcg"
  /// On the PATH, or a path; where the one on the PATH has not the NIC that a scenario asks for, Debian's backports are
  /// looked at.
  package var qemu = LabOptions.installedQEMU
  private static let installedQEMU = "qemu-system-x86_64"
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

  /// Finds a QEMU for a scenario; throws if this machine cannot run it: before anything is made, and saying what to do.
  mutating func prepare(for scenario: Scenario) throws {
    guard geteuid() == 0 else { throw LabError("needs root for a network namespace and a tap: run it with sudo") }
    guard FileManager.default.fileExists(atPath: "/dev/net/tun") else {
      throw LabError("/dev/net/tun is missing: run 'modprobe tun', or give it to this container")
    }
    for file in [latprobe, object] where !FileManager.default.fileExists(atPath: file) {
      throw LabError("\(file) is missing: run 'make', or name another program with --latprobe")
    }
    if accelerator == "kvm" { try LabOptions.checkKVM() }
    try checkQEMU(scenario.host.model)
    try FreeSpace.require(512, in: FileManager.default.temporaryDirectory.path, "free some, or set TMPDIR")
  }

  private mutating func checkQEMU(_ nic: String) throws {
    let version: String
    do { version = try Shell.run(qemu, "--version") } catch let error as LabError {
      throw LabError("\(error); run 'make deps', or name a QEMU in LATPROBE_QEMU")
    }
    if try has(nic) { return }
    let number = version.firstMatch(of: /version ([0-9.]+)/).map { String($0.1) } ?? "of unknown version"
    let since = nic == "igb" ? ", which came with 8.0" : ""
    let failure = "\(qemu) \(number) has no NIC \(nic)\(since): name another QEMU in LATPROBE_QEMU"
    guard qemu == LabOptions.installedQEMU else { throw LabError(failure) }
    do { qemu = try BackportedQEMU.get(store: store) } catch let error as LabError {
      throw LabError("\(failure) (\(error))")
    }
    guard try has(nic) else { throw LabError(failure) }
  }

  private func has(_ nic: String) throws -> Bool {
    try Shell.run(qemu, "-device", "\(nic),help").contains("\(nic) options")
  }

  private static func checkKVM() throws {
    let descriptor = unsafe open("/dev/kvm", O_RDWR | O_CLOEXEC)
    guard descriptor >= 0 else {
      let reason = unsafe String(cString: strerror(errno))
      throw LabError("--accel kvm: /dev/kvm: \(reason): this machine has no KVM for the lab; emulate, with --accel tcg")
    }
    close(descriptor)
    let nested = ["amd", "intel"].contains {
      let value = try? String(contentsOfFile: "/sys/module/kvm_\($0)/parameters/nested", encoding: .utf8)
      return ["1\n", "Y\n"].contains(value)
    }
    guard nested else {
      throw LabError(
        "--accel kvm: the KVM of this machine does not nest: load kvm_amd or kvm_intel with nested=1, or emulate, "
          + "with --accel tcg")
    }
  }
}

enum FreeSpace {
  /// - Parameter advice: what to do otherwise.
  static func require(_ mebibytes: Int, in folder: String, _ advice: String) throws {
    var found = statvfs()
    guard unsafe statvfs(folder, &found) == 0 else { return }
    let free = (Int(found.f_bavail) * Int(found.f_frsize)) >> 20
    guard free >= mebibytes else {
      throw LabError("\(folder) has \(free) MiB free, and the lab needs \(mebibytes): \(advice)")
    }
  }
}
