// SPDX-License-Identifier: GPL-2.0-or-later

/// Capabilities of this process that latprobe needs (linux/capability.h).
package enum Capability: Int, CaseIterable, Sendable {
  case chown = 0
  case dacOverride = 1
  case dacReadSearch = 2
  case netBroadcast = 11
  case netAdmin = 12
  case sysPtrace = 19
  case sysAdmin = 21
  case sysNice = 23
  case perfmon = 38
  case bpf = 39

  package var name: String {
    switch self {
    case .chown: "CAP_CHOWN"
    case .dacOverride: "CAP_DAC_OVERRIDE"
    case .dacReadSearch: "CAP_DAC_READ_SEARCH"
    case .netBroadcast: "CAP_NET_BROADCAST"
    case .netAdmin: "CAP_NET_ADMIN"
    case .sysPtrace: "CAP_SYS_PTRACE"
    case .sysAdmin: "CAP_SYS_ADMIN"
    case .sysNice: "CAP_SYS_NICE"
    case .perfmon: "CAP_PERFMON"
    case .bpf: "CAP_BPF"
    }
  }

  package static var held: Set<Capability> {
    let line = System.read("/proc/self/status")?.split(separator: "\n").first { $0.hasPrefix("CapEff:") }
    guard let text = line?.split(separator: "\t").last, let mask = UInt64(text, radix: 16) else { return [] }
    return Set(allCases.filter { mask & 1 << UInt64($0.rawValue) != 0 })
  }

  /// What is missing to load and attach programs; empty if nothing is. CAP_SYS_ADMIN stands for the others.
  package static var missingForProbes: [Capability] {
    let held = held
    if held.contains(.sysAdmin) { return [] }
    return [.bpf, .perfmon].filter { !held.contains($0) }
  }

  /// One line, or nil if all is there.
  package static var complaint: String? {
    let missing = missingForProbes
    guard !missing.isEmpty else { return nil }
    let executable = System.link("/proc/self/exe") ?? "latprobe"
    let names = missing.map(\.name).joined(separator: " and ")
    return "\(names) missing: attaching BPF programs needs them; run with sudo, or grant them once with "
      + "'sudo setcap cap_bpf,cap_perfmon,cap_sys_admin+ep \(executable)' (cap_sys_admin is for entering namespaces)"
  }
}
