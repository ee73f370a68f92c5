// SPDX-License-Identifier: GPL-2.0-or-later
import Foundation
import Host
import Recording
import Testing

@testable import Probing

/// Settings in, open causes out.
@Suite struct DelayCauseTests {
  private func thread(
    _ id: Int, _ role: GuestThread.Role, _ cpus: String, _ policy: SchedulingPolicy = .other
  ) -> GuestThread {
    GuestThread(
      id: id, role: role, vcpu: role == .vcpu ? id : nil, name: "\(role)-\(id)", affinity: cpus, policy: policy,
      priority: policy.isRealTime ? 5 : 0, lastCPU: 0)
  }

  private func guest(_ pid: Int, _ threads: [GuestThread]) -> KVMGuest {
    KVMGuest(
      pid: pid, name: "g\(pid)", uuid: nil, vsockCID: nil, descriptor: nil, vcpuCount: 1, threads: threads,
      taps: [GuestTap(name: "tap\(pid)", queues: 1)], macvtaps: [], vhostNetCount: 1, vfio: [], backends: ["tap"])
  }

  private func nic(_ speed: Int?, _ cpus: String?, pollers: [SchedulingPolicy] = []) -> NICSettings {
    NICSettings(name: "eth0", speed: speed, pollers: pollers, interruptCPUs: cpus.map { CPUList($0) })
  }

  @Test func aFastNICClosesTheFirst() {
    #expect(DelayCause.congestion([nic(1000, nil)]).isOpen)
    #expect(DelayCause.congestion([nic(1000, nil)]).reason == "eth0 1000 Mbit/s")
    #expect(DelayCause.congestion([nic(nil, nil)]).reason == "eth0 speed unknown")
    #expect(!DelayCause.congestion([nic(10_000, nil)]).isOpen)
    #expect(DelayCause.congestion([nic(10_000, nil), nic(100, nil)]).isOpen)
    #expect(DelayCause.congestion([]).isOpen)
  }

  @Test func onlyThePerformanceGovernorClosesTheSecond() {
    #expect(!DelayCause.frequency(governors: []).isOpen)
    #expect(!DelayCause.frequency(governors: ["performance"]).isOpen)
    #expect(DelayCause.frequency(governors: ["performance", "schedutil"]).isOpen)
    #expect(DelayCause.frequency(governors: ["schedutil"]).remedy.contains("cpupower"))
  }

  @Test(arguments: [
    // vCPU's CPUs and policy, the vhost thread's, isolated CPUs, whether the third and the fourth are open.
    ("0-3", SchedulingPolicy.other, "0-3", SchedulingPolicy.other, "", true, true),
    ("0-3", .fifo, "0-3", .other, "", false, true),
    ("0-3", .fifo, "0-3", .fifo, "", true, true),
    ("2", .other, "3", .other, "2-3", false, false),
    ("2", .other, "3", .other, "2", false, true),
    ("2", .other, "2", .other, "2-3", true, true),
    ("2", .rr, "3", .deadline, "", false, false),
    ("2", .batch, "1", .idle, "", true, true),
    ("", .other, "", .other, "2", true, true),
  ])
  func threadsAreLeftAloneByPriorityOrPlace(
    vcpu: String, vcpuPolicy: SchedulingPolicy, vhost: String, vhostPolicy: SchedulingPolicy, isolated: String,
    third: Bool, fourth: Bool
  ) {
    let guest = guest(1, [thread(1, .vcpu, vcpu, vcpuPolicy), thread(2, .vhost, vhost, vhostPolicy)])
    let isolated = CPUList(isolated)
    #expect(DelayCause.stoppedVCPU(guest, among: [guest], isolated: isolated).isOpen == third)
    #expect(DelayCause.carrier(guest, among: [guest], isolated: isolated).isOpen == fourth)
  }

  @Test func anotherGuestsThreadsDisturbToo() {
    let first = guest(1, [thread(1, .vcpu, "2"), thread(2, .vhost, "3")])
    let second = guest(2, [thread(3, .vcpu, "3"), thread(4, .io, "0-2")])
    let isolated = CPUList("2-3")
    let vhost = DelayCause.carrier(first, among: [first, second], isolated: isolated)
    #expect(vhost.isOpen && vhost.reason == "vhost-2 (2) is SCHED_OTHER on CPUs 3")
    #expect(DelayCause.stoppedVCPU(first, among: [first, second], isolated: isolated).isOpen)
    let crowd = guest(3, [thread(5, .vcpu, "0"), thread(6, .vcpu, "0"), thread(7, .vcpu, "0")])
    #expect(DelayCause.stoppedVCPU(crowd, among: [crowd], isolated: isolated).reason.hasSuffix(", and 2 more"))
  }

  @Test func withoutVhostTheMainLoopCarries() {
    let plain = guest(1, [thread(1, .vcpu, "2"), thread(2, .main, "0-1")])
    let cause = DelayCause.carrier(plain, among: [plain], isolated: CPUList())
    #expect(cause.isOpen && cause.name == "QEMU's main loop competes" && cause.remedy.contains("vhost=on"))
    let unknown = guest(1, [])
    #expect(DelayCause.carrier(unknown, among: [unknown], isolated: CPUList()).isOpen)
    #expect(DelayCause.stoppedVCPU(unknown, among: [unknown], isolated: CPUList()).reason == "no vCPU thread is known")
  }

  @Test func interruptsElsewhereOrRealTimePollersCloseTheFifth() {
    let guest = guest(1, [thread(1, .vcpu, "2"), thread(2, .vhost, "3"), thread(3, .main, "0-3")])
    #expect(!DelayCause.softirqs(guest, [nic(1, "0-1")]).isOpen)
    let shared = DelayCause.softirqs(guest, [nic(1, "1-2")])
    #expect(shared.isOpen && shared.reason == "eth0's interrupts may run on CPUs 2, where the guest's threads run")
    #expect(DelayCause.softirqs(guest, [nic(1, nil)]).isOpen)
    #expect(DelayCause.softirqs(guest, []).isOpen)
    #expect(!DelayCause.softirqs(guest, [nic(1, "1-2", pollers: [.fifo, .rr])]).isOpen)
    #expect(DelayCause.softirqs(guest, [nic(1, "1-2", pollers: [.fifo, .other])]).isOpen)
  }

  @Test func everyGuestHasItsSection() throws {
    var slow = guest(1, [thread(1, .vcpu, "0-3"), thread(2, .vhost, "0-3"), thread(3, .main, "0-3")])
    slow.macvtaps = ["macvtap0"]
    let fast = guest(2, [thread(11, .vcpu, "2", .fifo), thread(12, .vhost, "3", .fifo)])
    let links = [
      Link(index: 1, name: "br0", kind: "bridge", isUp: true, isEthernet: true),
      Link(index: 2, name: "eth0", kind: "", isUp: true, isEthernet: true, masterIndex: 1),
      Link(index: 3, name: "tap2", kind: "tun", isUp: true, isEthernet: true, masterIndex: 1),
      Link(index: 4, name: "tap1", kind: "tun", isUp: true, isEthernet: true, masterIndex: 1),
    ]
    let settings = HostSettings(governors: ["performance"], haltPoll: 0, nics: [nic(25_000, "0-1")])
    let findings = Doctor.hostSide([slow, fast], links, settings)
    func states(_ topic: String) -> [Finding.State?] {
      (1...5).map { number in
        findings.first { $0.cause == number && ($0.topic.hasPrefix(topic) || $0.topic.hasPrefix("host")) }?.state
      }
    }
    #expect(states("guest g1") == [.ok, .ok, .warning, .warning, .warning])
    #expect(states("guest g2") == [.ok, .ok, .ok, .ok, .ok])
    #expect(findings.allSatisfy { ($0.state == .ok) == ($0.remedy == nil) && !$0.detail.contains("\n") })
    #expect(findings.first?.detail.hasPrefix("off") == true)
    #expect(findings.compactMap(\.guest).map(\.pid) == [1, 2])
    #expect(findings.contains { $0.topic == "guest g1 path" && $0.detail.contains("macvtap macvtap0") })
    #expect(findings.contains { $0.topic == "guest g2 vhost" && $0.detail.contains("thread 12 on CPUs 3") })
    #expect(Doctor.hostSide([], links, HostSettings()).isEmpty)
  }

  @Test func settingsAreReadAsTheKernelWritesThem() throws {
    let host = try FakeHost()
    #expect(HostSettings.read(devices: ["eth0"], root: host.root).nics == [nic(nil, nil)])
    try host.write("sys/devices/system/cpu/cpufreq/policy0/scaling_governor", "schedutil\n")
    try host.write("sys/devices/system/cpu/cpufreq/policy1/scaling_governor", "performance\n")
    try host.write("sys/devices/system/cpu/isolated", "2-3\n")
    try host.write("sys/module/kvm/parameters/halt_poll_ns", "200000\n")
    try host.write("sys/class/net/eth0/speed", "25000\n")
    try host.write("sys/class/net/eth1/speed", "-1\n")
    try host.write("sys/class/net/eth0/threaded", "1\n")
    try host.write(
      "proc/interrupts",
      """
                 CPU0       CPU1
        30:          1          0   PCI-MSI 1-edge      eth0-TxRx-0
       131:          0          5   PCI-MSI 2-edge      eth0-TxRx-1
        32:          0          5   PCI-MSI 3-edge      eth01-rx, other
        33:          9          0   IO-APIC 9-edge      eth1, usb1
      """)
    for (number, cpus) in [("30", "0"), ("131", "1"), ("32", "7"), ("33", "4-5")] {
      try host.write("proc/irq/\(number)/smp_affinity_list", "\(cpus)\n")
    }
    try host.process(70, comm: "napi/eth0-8193", arguments: [])
    try host.thread(70, 70, .init(name: "napi/eth0-8193", policy: 1, priority: 50))
    let settings = HostSettings.read(devices: ["eth0", "eth1"], root: host.root)
    #expect(settings.governors == ["performance", "schedutil"] && settings.isolated == CPUList("2,3"))
    #expect(settings.haltPoll == 200_000)
    #expect(settings.nics.first == nic(25_000, "0-1", pollers: [.fifo]))
    #expect(
      settings.nics.last == NICSettings(name: "eth1", speed: nil, pollers: [], interruptCPUs: CPUList("4-5")))
  }

  @Test func aGuestIsToldOfTheHostsClockAndOfPolling() throws {
    let host = try FakeHost()
    #expect(Doctor.guestSide(root: host.root).isEmpty)
    let source = "sys/devices/system/clocksource/clocksource0/available_clocksource"
    try host.write(source, "tsc kvm-clock acpi_pm\n")
    #expect(Doctor.guestSide(root: host.root).map(\.state) == [.warning, .warning])
    try host.write("sys/class/ptp/ptp1/clock_name", "KVM virtual PTP\n")
    try host.write("sys/devices/system/cpu/cpuidle/current_driver", "haltpoll\n")
    try host.write("sys/module/haltpoll/parameters/guest_halt_poll_ns", "200000\n")
    #expect(
      Doctor.guestSide(root: host.root).map(\.detail) == ["/dev/ptp1", "up to 200000 ns before an idle vCPU halts"])
    try host.write("sys/module/haltpoll/parameters/guest_halt_poll_ns", "0\n")
    #expect(Doctor.guestSide(root: host.root).last?.state == .warning)
  }
}

/// CPU lists of the kernel.
@Suite struct CPUListTests {
  @Test(arguments: [
    ("0-3,8", "0-3,8"), ("", ""), ("7", "7"), ("1,0,2", "0-2"), ("3-1", ""), ("x,5,-2,4-", "5"), ("0-99999999999", ""),
    ("0-9000", ""), ("1-2-3,6", "6"), (" 1 - 2 ", "1-2"),
  ])
  func textRoundTrips(text: String, expected: String) { #expect(CPUList(text).description == expected) }
}

/// docs/schema/doctor.schema.json.
@Suite struct DoctorSchemaTests {
  @Test func everyPropertyIsDescribed() throws {
    var finding = Finding("t", .warning, "d", remedy: "r")
    finding.cause = 3
    finding.guest = Guest(pid: 1, name: "g")
    let written = try JSONSerialization.jsonObject(with: JSONEncoder().encode(finding)) as? [String: Any]
    let file = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
      .deletingLastPathComponent().appending(path: "docs/schema/doctor.schema.json")
    let schema = try JSONSerialization.jsonObject(with: Data(contentsOf: file)) as? [String: Any]
    let properties = (schema?["items"] as? [String: Any])?["properties"] as? [String: Any]
    #expect(try Set(#require(written).keys) == Set(#require(properties).keys))
  }
}
