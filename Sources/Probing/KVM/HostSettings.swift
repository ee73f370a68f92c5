// SPDX-License-Identifier: GPL-2.0-or-later
package import Host

/// A NIC as far as it decides how long packets wait.
package struct NICSettings: Sendable, Equatable {
  package var name: String
  /// Mbit/s; nil where the driver does not say, as virtual NICs do.
  package var speed: Int?
  /// Policies of the kernel threads that do its receive work; empty where softirqs do it.
  package var pollers: [SchedulingPolicy]
  /// Where its interrupts may run; nil where none is known.
  package var interruptCPUs: CPUList?
}

/// Settings of a KVM host that decide how long its guests' packets wait.
package struct HostSettings: Sendable, Equatable {
  /// Governors in use, sorted; empty where the kernel does not scale frequencies.
  package var governors: [String]
  /// `isolcpus=`.
  package var isolated: CPUList
  /// How long KVM polls before a halted vCPU's thread sleeps, in nanoseconds; nil where KVM is not loaded.
  package var haltPoll: UInt64?
  /// Which devices these are is the caller's to say.
  package var nics: [NICSettings]

  package init(
    governors: [String] = [], isolated: CPUList = CPUList(), haltPoll: UInt64? = nil, nics: [NICSettings] = []
  ) {
    self.governors = governors
    self.isolated = isolated
    self.haltPoll = haltPoll
    self.nics = nics
  }

  /// - Parameters:
  ///   - devices: names of NICs.
  ///   - root: where /proc and /sys are; empty for the machine's own.
  package static func read(devices: [String], root: String = "") -> HostSettings {
    let interrupts = System.read("\(root)/proc/interrupts")?.split(separator: "\n") ?? []
    return HostSettings(
      governors: Environment.governors(root: root),
      isolated: CPUList(System.read("\(root)/sys/devices/system/cpu/isolated") ?? ""),
      haltPoll: System.read("\(root)/sys/module/kvm/parameters/halt_poll_ns").flatMap { UInt64($0) },
      nics: devices.map { nic($0, interrupts, root) })
  }

  private static func nic(_ name: String, _ interrupts: [Substring], _ root: String) -> NICSettings {
    let path = "\(root)/sys/class/net/\(name)"
    let lists = HostSettings.interrupts(of: name, interrupts, root: root).map { number in
      CPUList(System.read("\(root)/proc/irq/\(number)/smp_affinity_list") ?? "")
    }
    return NICSettings(
      name: name, speed: System.read("\(path)/speed").flatMap { Int($0) }.flatMap { $0 > 0 ? $0 : nil },
      pollers: System.read("\(path)/threaded") == "1" ? pollers(of: name, root) : [],
      interruptCPUs: lists.isEmpty ? nil : lists.reduce(CPUList()) { $0.union($1) })
  }

  /// Kernel threads `napi/DEVICE-N`; the kernel cuts their names.
  private static func pollers(of device: String, _ root: String) -> [SchedulingPolicy] {
    let files = ProcessFiles(root: root)
    let prefix = String("napi/\(device)-".prefix(15))
    return files.processes.filter { files.comm($0)?.hasPrefix(prefix) == true }
      .compactMap { files.thread($0, $0)?.policy }
  }

  /// Numbers of a device's interrupts.
  ///
  /// - Parameter lines: of /proc/interrupts.
  static func interrupts(of device: String, _ lines: [Substring], root: String = "") -> [String] {
    // A virtio device's interrupts bear the name of the bus device.
    let bus = System.link("\(root)/sys/class/net/\(device)/device")?.split(separator: "/").last
    return lines.filter { line in
      line.split { " ,:".contains($0) }.contains { word in
        word == device || word.hasPrefix("\(device)-") || bus.map { word.hasPrefix("\($0)-") } == true
      }
    }.compactMap { line in line.split(separator: ":").first.map { String($0.filter { !$0.isWhitespace }) } }
  }
}
