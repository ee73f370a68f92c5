// SPDX-License-Identifier: GPL-2.0-or-later
import Foundation

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
