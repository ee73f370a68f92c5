// SPDX-License-Identifier: GPL-2.0-or-later
package import Recording

/// What a report says of the machine that recorded.
package enum Environment {
  /// A description of this machine; hooks, filter and the like are the caller's to fill in.
  package static func machine(role: String, topology: String) -> Machine {
    let hostname = System.hostname
    var machine = Machine(
      name: MachineName.make(role: role, hostname: hostname), role: role, hostname: hostname,
      bootID: System.read("/proc/sys/kernel/random/boot_id") ?? "", topology: topology)
    machine.kernel = System.release
    machine.architecture = System.architecture
    machine.clockSource = clockSource ?? ""
    machine.cpuModel = cpuModel ?? ""
    machine.cpus = System.onlineCPUs
    machine.settings = settings
    return machine
  }

  package static var clockSource: String? {
    System.read("/sys/devices/system/clocksource/clocksource0/current_clocksource")
  }

  /// As in /proc/cpuinfo.
  package static var cpuModel: String? {
    System.read("/proc/cpuinfo")?.split(separator: "\n").first { $0.hasPrefix("model name") }?
      .split(separator: ":", maxSplits: 1).last.map { String($0.drop { $0 == " " }) }
  }

  /// Governors in use, sorted; empty where the kernel does not scale frequencies.
  ///
  /// - Parameter root: where /sys is; empty for the machine's own.
  package static func governors(root: String = "") -> [String] {
    let path = "\(root)/sys/devices/system/cpu/cpufreq"
    return Set(System.list(path).compactMap { System.read("\(path)/\($0)/scaling_governor") }).sorted()
  }

  /// C-states that are not disabled, of CPU 0.
  package static var idleStates: [String] {
    let root = "/sys/devices/system/cpu/cpu0/cpuidle"
    return System.list(root).filter { System.read("\(root)/\($0)/disable") == "0" }
      .compactMap { System.read("\(root)/\($0)/name") }
  }

  private static var settings: [String: String] {
    var settings: [String: String] = [:]
    let governors = governors()
    settings["governor"] = governors.isEmpty ? "none" : governors.joined(separator: " ")
    settings["idle_states"] = idleStates.isEmpty ? "none" : idleStates.joined(separator: " ")
    settings["kernel_command_line"] = System.read("/proc/cmdline")
    settings["online_cpus"] = System.read("/sys/devices/system/cpu/online")
    settings["isolated_cpus"] = System.read("/sys/devices/system/cpu/isolated")
    settings["product_uuid"] = System.read("/sys/class/dmi/id/product_uuid")?.lowercased()
    settings["halt_poll_ns"] = System.read("/sys/module/kvm/parameters/halt_poll_ns")
    settings["nested"] =
      ["kvm_intel", "kvm_amd"].lazy
      .compactMap { System.read("/sys/module/\($0)/parameters/nested") }.first
    settings["bpf_jit"] = System.read("/proc/sys/net/core/bpf_jit_enable")
    return settings.filter { !$0.value.isEmpty }
  }
}
