// SPDX-License-Identifier: GPL-2.0-or-later
internal import CTimestamp
internal import Glibc
internal import Host
package import Recording
package import Topology

/// One line of `latprobe doctor`.
package struct Finding: Sendable, Encodable {
  package enum State: String, Sendable, Encodable {
    case ok = "OK"
    case warning
    case missing
  }

  package var topic: String
  package var state: State
  package var detail: String
  /// What to do; nil where nothing is to be done.
  package var remedy: String?
  /// Of the five causes of millisecond delays, the one this line is about: see ``DelayCause``.
  package var cause: Int?
  /// The guest this line introduces.
  package var guest: Guest?

  package init(_ topic: String, _ state: State, _ detail: String, remedy: String? = nil) {
    self.topic = topic
    self.state = state
    self.detail = detail
    self.remedy = remedy
  }
}

/// Looks at all that a trustworthy recording on this machine depends on.
package enum Doctor {
  /// - Parameter facts: nil where the kernel's BTF cannot be read.
  package static func examine(topologies: [ResolvedTopology], facts: KernelFacts?) -> [Finding] {
    var findings = [privileges, btf(facts)]
    if let facts { findings += Rung.allCases.map { rung($0, facts) } }
    findings += topologies.map(hooks)
    findings += [clockSource, counter, governor, idle, isolation]
    findings += networkDevices()
    findings += virtualMachines()
    return findings
  }

  private static var privileges: Finding {
    if let complaint = Capability.complaint {
      let parts = complaint.split(separator: ";", maxSplits: 1).map(String.init)
      return Finding("privileges", .missing, parts[0], remedy: parts.last?.trimmed)
    }
    return Finding("privileges", .ok, "CAP_BPF and CAP_PERFMON (or CAP_SYS_ADMIN) are held")
  }

  private static func btf(_ facts: KernelFacts?) -> Finding {
    guard let facts, !facts.tracepoints.isEmpty else {
      return Finding(
        "BTF", .missing, "cannot be read here (/sys/kernel/btf/vmlinux): nothing can be recorded",
        remedy: "mount sysfs on /sys, or use a kernel built with CONFIG_DEBUG_INFO_BTF=y")
    }
    return Finding(
      "BTF", .ok, "kernel \(facts.release): \(facts.tracepoints.count) tracepoints, \(facts.functions.count) functions")
  }

  private static func rung(_ rung: Rung, _ facts: KernelFacts) -> Finding {
    let topic = "programs \(rung.rawValue)"
    switch facts.status(of: rung) {
    case .ok: return Finding(topic, .ok, "load and attach")
    case .refused(let reason):
      return Finding(
        topic, .warning, "refused (\(reason)); the hook points that need it are absent",
        remedy: Capability.missingForProbes.isEmpty
          ? "the kernel's lockdown or hypervisor forbids it; nothing to do where 'hooks' finds another way"
          : "run with sudo")
    case .unsupported(let reason):
      return Finding(topic, .warning, reason, remedy: "nothing to do where 'hooks' finds another way")
    }
  }

  private static func hooks(_ resolved: ResolvedTopology) -> Finding {
    let name = resolved.topology.name
    let absent = resolved.hooks.filter { !$0.isAttached && !$0.isOptional }.map(\.point.name)
    let attached = resolved.attachedHooks.map(\.point.name).joined(separator: " ")
    if absent.isEmpty { return Finding("hooks \(name)", .ok, attached) }
    return Finding(
      "hooks \(name)", attached.isEmpty ? .missing : .warning, "absent: \(absent.joined(separator: " "))",
      remedy: "'latprobe hooks \(name)' says why")
  }

  private static var clockSource: Finding {
    guard let source = Environment.clockSource else {
      return Finding("clock source", .missing, "cannot be read", remedy: "mount /sys")
    }
    let good = ["tsc", "kvm-clock", "arch_sys_counter"].contains(source)
    return Finding(
      "clock source", good ? .ok : .warning, source,
      remedy: good ? nil : "reading \(source) is slow and coarse; boot with tsc=reliable if the processor's TSC is")
  }

  private static var counter: Finding {
    let flags = System.read("/proc/cpuinfo")?.split(separator: "\n").first { $0.hasPrefix("flags") } ?? ""
    let words = Set(flags.split(separator: " "))
    if lp_timestamp_counter() == 0 { return Finding("time stamp counter", .warning, "none that latprobe knows") }
    let constant = words.contains("constant_tsc") && words.contains("nonstop_tsc")
    return Finding(
      "time stamp counter", constant || flags.isEmpty ? .ok : .warning,
      constant ? "constant, runs in idle states" : "may change with frequency or stop in idle states",
      remedy: constant || flags.isEmpty ? nil : "do not use it to align clocks")
  }

  private static var governor: Finding {
    let governors = Environment.governors()
    if governors.isEmpty { return Finding("CPU governor", .ok, "the kernel does not scale frequencies here") }
    let good = governors == ["performance"]
    return Finding(
      "CPU governor", good ? .ok : .warning, governors.joined(separator: " "),
      remedy: good ? nil : "frequency changes cost up to milliseconds: 'cpupower frequency-set -g performance'")
  }

  private static var idle: Finding {
    let states = Environment.idleStates
    let deep = states.filter { !["POLL", "C1", "haltpoll idle"].contains($0) }
    if deep.isEmpty { return Finding("C-states", .ok, states.isEmpty ? "none" : states.joined(separator: " ")) }
    return Finding(
      "C-states", .warning, "waking up from \(deep.joined(separator: " ")) delays packets",
      remedy: "hold /dev/cpu_dma_latency at 0, or 'cpupower idle-set -D 1', while measuring")
  }

  private static var isolation: Finding {
    let isolated = System.read("/sys/devices/system/cpu/isolated") ?? ""
    return isolated.isEmpty
      ? Finding("isolated CPUs", .ok, "none; interrupts and other tasks share the CPUs of what is measured")
      : Finding("isolated CPUs", .ok, isolated)
  }

  /// Time stamping and interrupt affinity of the devices of this namespace.
  private static func networkDevices() -> [Finding] {
    guard let links = try? NetworkNamespace.current().links() else { return [] }
    let interrupts = System.read("/proc/interrupts")?.split(separator: "\n") ?? []
    return links.filter { $0.isUp && $0.name != "lo" && $0.kind != "bridge" }.flatMap { link in
      [timestamping(link), affinity(link, interrupts)].compactMap(\.self)
    }
  }

  private static func timestamping(_ link: Link) -> Finding {
    let topic = "time stamps \(link.name)"
    var info = lp_timestamping()
    let result = unsafe lp_timestamping_of(link.name, &info)
    if result < 0 {
      return Finding(topic, .warning, "cannot be asked: \(unsafe String(cString: strerror(-result)))")
    }
    let clock = info.phc_index >= 0 ? "/dev/ptp\(info.phc_index)" : "no hardware clock"
    let hardware = info.hardware_transmit != 0 && info.hardware_receive != 0 && info.phc_index >= 0
    if hardware {
      return Finding(
        topic, .ok,
        "hardware, transmit and receive; \(clock)" + (info.receive_all != 0 ? "" : "; only PTP frames on receive"))
    }
    let kinds = [info.software_transmit != 0 ? "transmit" : nil, info.software_receive != 0 ? "receive" : nil]
    let software = kinds.compactMap(\.self).joined(separator: " and ")
    return Finding(
      topic, .warning, "software \(software.isEmpty ? "none" : software); \(clock)",
      remedy: "times at the wire need a NIC with hardware stamps")
  }

  private static func affinity(_ link: Link, _ interrupts: [Substring]) -> Finding? {
    let numbers = HostSettings.interrupts(of: link.name, interrupts)
    guard !numbers.isEmpty else { return nil }
    let list = numbers.map { number in
      "\(number)→\(System.read("/proc/irq/\(number)/smp_affinity_list") ?? "?")"
    }
    return Finding("interrupts \(link.name)", .ok, "IRQ→CPUs \(list.joined(separator: " "))")
  }
}

extension StringProtocol {
  fileprivate var trimmed: String {
    var text = Substring(self)
    while text.first == " " { text.removeFirst() }
    while text.last == " " { text.removeLast() }
    return String(text)
  }
}
