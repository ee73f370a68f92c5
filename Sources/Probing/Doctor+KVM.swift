// SPDX-License-Identifier: GPL-2.0-or-later
package import Host
internal import Recording
internal import Wording

extension Doctor {
  /// The KVM guests of this host, and this machine as a guest.
  static func virtualMachines() -> [Finding] {
    let guests = KVMGuest.all()
    let links = (try? NetworkNamespace.current().links()) ?? []
    let nics = Set(guests.flatMap { GuestPath($0, links: links).uplinks.map(\.name) }).sorted()
    let settings = HostSettings.read(devices: nics)
    return guestSide() + hostSide(guests, links, settings)
  }

  /// What a host's settings mean for its guests. Pure.
  ///
  /// - Parameter links: devices of the namespace that holds the guests' taps.
  package static func hostSide(_ guests: [KVMGuest], _ links: [Link], _ settings: HostSettings) -> [Finding] {
    guard !guests.isEmpty else {
      // KVM's module is there, but nobody may look at others' processes.
      if settings.haltPoll == nil || System.isRoot { return [] }
      return [Finding("guests", .warning, "none of this user's; others' are not seen", remedy: "run with sudo")]
    }
    var findings = [haltPolling(settings.haltPoll), finding(.frequency(governors: settings.governors), "host")]
    for guest in guests {
      let path = GuestPath(guest, links: links)
      let nics = settings.nics.filter { nic in path.uplinks.contains { $0.name == nic.name } }
      let name = "guest \(guest.name.prefix(24))"
      findings.append(introduction(guest, path, name))
      for role in [GuestThread.Role.vcpu, .vhost, .main, .io] where !guest.threads(role).isEmpty {
        findings.append(Finding("\(name) \(role.rawValue)", .ok, placement(guest.threads(role))))
      }
      findings += unfollowed(path, name)
      findings += [
        .congestion(nics), .stoppedVCPU(guest, among: guests, isolated: settings.isolated),
        .carrier(guest, among: guests, isolated: settings.isolated), .softirqs(guest, nics),
      ].map { finding($0, name) }
    }
    return findings
  }

  /// A line for each way of the guest's packets that cannot be followed.
  package static func unfollowed(_ path: GuestPath, _ topic: String) -> [Finding] {
    path.unfollowed.map { way in
      Finding(
        "\(topic) path", .warning, "\(way): its packets cannot be followed yet",
        remedy: "a tap in a bridge can be: topology kvm-vhost with vhost-net, kvm-user without")
    }
  }

  private static func introduction(_ guest: KVMGuest, _ path: GuestPath, _ topic: String) -> Finding {
    var parts = ["process \(guest.pid)", "\(guest.vcpuCount) vCPUs"]
    if !guest.carriers.isEmpty { parts.append(guest.carriers.joined(separator: " and ")) }
    parts += guest.taps.map { $0.queues > 1 ? "tap \($0.name) (\($0.queues) queues)" : "tap \($0.name)" }
    parts += path.uplinks.map { "NIC \($0.name)" }
    if let cid = guest.vsockCID { parts.append("vsock \(cid)") }
    var finding = Finding(topic, .ok, parts.joined(separator: ", "))
    finding.guest = guest.recorded
    return finding
  }

  private static func placement(_ threads: [GuestThread]) -> String {
    threads.map { thread in
      let name = thread.vcpu.map { "\($0): " } ?? (thread.role == .io ? "\(thread.name): " : "")
      return "\(name)thread \(thread.id) on CPUs \(thread.affinity) (last \(thread.lastCPU)), \(thread.scheduling)"
    }.joined(separator: "; ")
  }

  private static func finding(_ cause: DelayCause, _ topic: String) -> Finding {
    var finding = Finding(
      "\(topic) cause \(cause.number)", cause.isOpen ? .warning : .ok, "\(cause.name): \(cause.reason)",
      remedy: cause.isOpen ? cause.remedy : nil)
    finding.cause = cause.number
    return finding
  }

  private static func haltPolling(_ nanoseconds: UInt64?) -> Finding {
    guard let nanoseconds else { return Finding("halt polling", .ok, "unknown: KVM's parameters cannot be read") }
    if nanoseconds > 0 {
      let length = Words.duration(nanoseconds)
      return Finding("halt polling", .ok, "KVM polls up to \(length) before a halted vCPU's thread sleeps")
    }
    return Finding(
      "halt polling", .warning, "off: a halted vCPU's thread sleeps at once, and each packet has to wake it",
      remedy: "'echo 200000 > /sys/module/kvm/parameters/halt_poll_ns'")
  }

  /// This machine as a KVM guest; nothing where it is none.
  ///
  /// - Parameter root: where /sys is; empty for the machine's own.
  package static func guestSide(root: String = "") -> [Finding] {
    let sources = System.read("\(root)/sys/devices/system/clocksource/clocksource0/available_clocksource") ?? ""
    guard sources.split(separator: " ").contains("kvm-clock") else { return [] }
    let clock =
      PTPClock.kvm(root: root).map { Finding("host's clock", .ok, "/dev/ptp\($0)") }
      ?? Finding("host's clock", .warning, "not to be seen from this guest", remedy: "'modprobe ptp_kvm'")
    let driver = System.read("\(root)/sys/devices/system/cpu/cpuidle/current_driver") ?? "none"
    let limit = System.read("\(root)/sys/module/haltpoll/parameters/guest_halt_poll_ns") ?? "0"
    if driver == "haltpoll", limit != "0" {
      return [clock, Finding("guest's halt polling", .ok, "up to \(limit) ns before an idle vCPU halts")]
    }
    let remedy =
      driver == "haltpoll"
      ? "'echo 200000 > /sys/module/haltpoll/parameters/guest_halt_poll_ns'" : "'modprobe cpuidle-haltpoll force=1'"
    return [
      clock,
      Finding(
        "guest's halt polling", .warning,
        "none (cpuidle driver \(driver), limit \(limit) ns): an idle vCPU halts at once",
        remedy: "\(remedy) trades CPU time for shorter wake-ups"),
    ]
  }
}
