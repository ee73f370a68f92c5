// SPDX-License-Identifier: GPL-2.0-or-later
import Host
internal import Pairing
internal import Probing
internal import Reporting
internal import Topology
internal import Traffic

extension FuzzTarget {
  static let texts = [
    FuzzTarget("topology", "a topology file") { _ = try? Topology(yaml: text($0), file: "fuzz") },
    FuzzTarget("rule", "a pairing rule") { _ = try? PairingRule(yaml: text($0), file: "fuzz") },
    FuzzTarget("policy", "a gate's policy") { _ = try? Policy(yaml: text($0), name: "fuzz") },
    FuzzTarget("requirement", "a gate's requirement") { _ = try? Requirement(parsing: text($0)) },
    FuzzTarget("filter", "a filter in pcap syntax, translated to eBPF") { bytes in
      guard let filter = try? Filter(text(bytes)) else { return }
      _ = try? FilterTranslation.body(of: filter)
    },
    FuzzTarget("line", "small texts of users and of the kernel: addresses, lists of CPUs, QEMU's command line") {
      bytes in
      _ = AddressRange(text(bytes))
      _ = CPUList(text(bytes))
      _ = QEMUCommandLine(bytes)
    },
  ]

  private static func text(_ bytes: [UInt8]) -> String { String(decoding: bytes, as: UTF8.self) }
}
