// SPDX-License-Identifier: GPL-2.0-or-later
package import Host

/// One of the five causes of millisecond delays in KVM guests' networking, and whether a host's settings leave it open.
///
/// The causes are those that a study of KVM with vhost-net found by tracing; "open" means that nothing in the settings
/// keeps the delay from happening, not that it happens. Pure.
package struct DelayCause: Sendable, Equatable {
  /// 1 to 5.
  package var number: Int
  /// A few words.
  package var name: String
  package var isOpen: Bool
  /// What in the settings says so.
  package var reason: String
  package var remedy: String

  /// 1: bursts fill the NIC's queue (txh1-txh2).
  package static func congestion(_ nics: [NICSettings]) -> DelayCause {
    let slow = nics.filter { ($0.speed ?? 0) < 10_000 }
    let speeds = (slow.isEmpty ? nics : slow).map { "\($0.name) \($0.speed.map { "\($0) Mbit/s" } ?? "speed unknown")" }
    return DelayCause(
      number: 1, name: "NIC congestion", isOpen: nics.isEmpty || !slow.isEmpty,
      reason: nics.isEmpty ? noNIC : speeds.joined(separator: ", "),
      remedy: nics.isEmpty
        ? bridgeIt
        : "a NIC of 10 Gbit/s or more takes a burst in microseconds; or pace senders ('tc qdisc … fq maxrate')")
  }

  /// 2: a CPU changes its frequency (txg1-txg2, txg2-txh0, rxh1-rxg0).
  package static func frequency(governors: [String]) -> DelayCause {
    DelayCause(
      number: 2, name: "CPU frequency changes", isOpen: !governors.isEmpty && governors != ["performance"],
      reason: governors.isEmpty
        ? "the kernel does not scale frequencies here" : "governor \(governors.joined(separator: " "))",
      remedy: "'cpupower frequency-set -g performance'")
  }

  /// 3: a vCPU's thread is stopped for a moment (txg1-txg2, rxh1-rxg0).
  package static func stoppedVCPU(_ guest: KVMGuest, among guests: [KVMGuest], isolated: CPUList) -> DelayCause {
    let vcpus = guest.threads(.vcpu)
    let open = disturbed(vcpus, among: guests, isolated)
    return DelayCause(
      number: 3, name: "vCPU stopped", isOpen: vcpus.isEmpty || !open.isEmpty,
      reason: vcpus.isEmpty ? "no vCPU thread is known" : open.isEmpty ? undisturbed : describe(open),
      remedy: "real-time scheduling ('chrt -f -p 1 TID', libvirt <vcpusched>), or isolated CPUs of its own "
        + "('taskset -cp CPU TID', libvirt <vcpupin>)")
  }

  /// 4: whoever carries the packets competes with other threads (txg2-txh0, rxh1-rxg0).
  package static func carrier(_ guest: KVMGuest, among guests: [KVMGuest], isolated: CPUList) -> DelayCause {
    let vhost = guest.threads(.vhost)
    // Without vhost QEMU's main loop copies the packets.
    let carriers = vhost.isEmpty ? guest.threads(.main) : vhost
    let open = disturbed(carriers, among: guests, isolated)
    return DelayCause(
      number: 4, name: vhost.isEmpty ? "QEMU's main loop competes" : "vhost competes",
      isOpen: carriers.isEmpty || !open.isEmpty,
      reason: carriers.isEmpty ? "no thread is known" : open.isEmpty ? undisturbed : describe(open),
      remedy: "an isolated CPU of its own (isolcpus=, then 'taskset -cp CPU TID')"
        + (vhost.isEmpty ? "; vhost=on takes packets out of QEMU's main loop" : ""))
  }

  /// 5: the NIC's softirq waits for others, or keeps the guest's threads waiting (rxh1-rxg0).
  package static func softirqs(_ guest: KVMGuest, _ nics: [NICSettings]) -> DelayCause {
    let threads = guest.threads.filter { $0.role == .vcpu || $0.role == .vhost }
    let working = threads.reduce(CPUList()) { $0.union(CPUList($1.affinity)) }
    let open = nics.compactMap { nic -> String? in
      if !nic.pollers.isEmpty && nic.pollers.allSatisfy(\.isRealTime) { return nil }
      guard let cpus = nic.interruptCPUs else { return "where \(nic.name)'s interrupts run is not known" }
      let shared = cpus.intersection(working)
      return shared.isEmpty ? nil : "\(nic.name)'s interrupts may run on CPUs \(shared), where the guest's threads run"
    }
    return DelayCause(
      number: 5, name: "softirq competition", isOpen: nics.isEmpty || !open.isEmpty,
      reason: nics.isEmpty
        ? noNIC : open.isEmpty ? "the NIC's receive work is kept apart" : open.joined(separator: "; "),
      remedy: nics.isEmpty
        ? bridgeIt
        : "other CPUs for the NIC's interrupts (/proc/irq/N/smp_affinity_list), or threaded NAPI with real-time "
          + "priority ('echo 1 > /sys/class/net/X/threaded', 'chrt -f -p 1 TID'); in the guest: doctor there")
  }

  private static let noNIC = "no NIC is known behind the guest's taps"
  private static let bridgeIt = "make the NIC and the guest's tap ports of one bridge"
  private static let undisturbed = "real-time, or alone on isolated CPUs"

  /// Threads that another one may keep from running: neither alone on isolated CPUs, nor real-time where no other of
  /// the guests' threads is.
  private static func disturbed(
    _ threads: [GuestThread], among guests: [KVMGuest], _ isolated: CPUList
  ) -> [GuestThread] {
    let all = guests.flatMap(\.threads)
    return threads.filter { thread in
      let cpus = CPUList(thread.affinity)
      let sharing = all.filter { $0.id != thread.id && !CPUList($0.affinity).intersection(cpus).isEmpty }
      let isAlone = !cpus.isEmpty && cpus.isSubset(of: isolated) && sharing.isEmpty
      return !(isAlone || (thread.policy.isRealTime && !sharing.contains { $0.policy.isRealTime }))
    }
  }

  private static func describe(_ threads: [GuestThread]) -> String {
    guard let first = threads.first else { return "" }
    let more = threads.count > 1 ? ", and \(threads.count - 1) more" : ""
    return "\(first.name) (\(first.id)) is \(first.scheduling) on CPUs \(first.affinity)\(more)"
  }
}

extension GuestThread {
  /// `SCHED_FIFO 50`; the priority only where it means something.
  package var scheduling: String { priority > 0 ? "\(policy.name) \(priority)" : policy.name }
}
