// SPDX-License-Identifier: GPL-2.0-or-later
import Foundation
import Recording
import Testing
import Topology

@testable import Host
@testable import Probing

/// What ties a host's clock to its guests', as it reaches the disk.
@Suite struct ClockKeeperTests {
  private final class Complaints {
    var lines: [String] = []
  }

  /// Records with the keeper alone, and reads back.
  private func record(
    _ host: FakeHost, side: Topology.Side?, _ body: (ClockKeeper, MachineWriter, Complaints) throws -> Void
  ) throws -> (recording: MachineRecording, complaints: [String]) {
    let complaints = Complaints()
    var machine = Machine(name: "host-x", role: "host", hostname: "x", bootID: "b", topology: "t")
    machine.stoppedBy = "duration"
    let session = Session(id: "s", members: [machine.name], labels: [:], commandLine: [], createdAt: 0)
    let directory = "\(host.root)/out"
    try Session.prepare(directory: directory, force: false)
    try session.write(to: directory)
    let writer = try MachineWriter(directory: directory, machine: machine, session: session, utcOffset: 0)
    let keeper = ClockKeeper(side: side, guests: KVMGuest.all(root: host.root), root: host.root) {
      complaints.lines.append($0)
    }
    try body(keeper, writer, complaints)
    try writer.close(machine)
    let recorded = try RecordedSession.load(paths: [directory])
    return (try #require(recorded.machines.first), complaints.lines)
  }

  @Test func countersAreReadAtStartEverySecondAndAtTheEnd() throws {
    let host = try FakeHost()
    try host.libvirtGuest()
    try host.counter("4100-11", vcpu: 0, offset: "-100", ratio: "5", bits: "48")
    try host.counter("4100-11", vcpu: 1, offset: "-101")
    let (recording, complaints) = try record(host, side: .host) { keeper, writer, _ in
      try writer.append(cpu: 0, keeper.take(.all))
      for tenth in 0..<20 { try writer.append(cpu: 0, keeper.take(.due(Int64(tenth) * 100_000_000))) }
      // The guest is resumed elsewhere in time.
      try host.counter("4100-11", vcpu: 1, offset: "900")
      try writer.append(cpu: 0, keeper.take(.all))
    }
    #expect(complaints.isEmpty)
    let counters = recording.guestCounters
    #expect(counters.count == 2 * 4 && counters.allSatisfy { $0.guest == 4100 && $0.time > 0 })
    #expect(counters.filter { $0.vcpu == 0 }.map(\.offset) == [-100, -100, -100, -100])
    #expect(counters.filter { $0.vcpu == 1 }.map(\.offset) == [-101, -101, -101, 900])
    #expect(counters.filter { $0.vcpu == 0 }.allSatisfy { $0.ratio == 5 && $0.fractionBits == 48 })
    #expect(counters.filter { $0.vcpu == 1 }.allSatisfy { $0.ratio == 0 && $0.fractionBits == 0 })
    #expect(recording.clockSamples.count == 22 && recording.clockCrosses.isEmpty)
  }

  @Test func aGuestThatEndsLeavesWhatWasReadAndIsToldOnce() throws {
    let host = try FakeHost()
    try host.libvirtGuest()
    try host.counter("4100-11", vcpu: 0, offset: "1")
    let (recording, complaints) = try record(host, side: .host) { keeper, writer, _ in
      try writer.append(cpu: 0, keeper.take(.all))
      try host.remove("sys/kernel/debug/kvm/4100-11")
      for _ in 0..<3 { try writer.append(cpu: 0, keeper.take(.all)) }
    }
    #expect(recording.guestCounters.map(\.offset) == [1])
    #expect(complaints == ["web (4100) has left KVM's debugfs: it was migrated away or stopped"])
  }

  @Test func missingDebugfsIsOneWarningWithTheRemedy() throws {
    let host = try FakeHost()
    try host.libvirtGuest()
    let (recording, complaints) = try record(host, side: .host) { keeper, writer, _ in
      for _ in 0..<3 { try writer.append(cpu: 0, keeper.take(.all)) }
    }
    #expect(complaints.count == 1 && recording.guestCounters.isEmpty && recording.clockSamples.count == 3)
    let line = try #require(complaints.first)
    #expect(!line.contains("\n") && line.contains("sys/kernel/debug"))
    #expect(line.contains(System.isRoot ? "mount -t debugfs none /sys/kernel/debug" : "sudo"))

    try host.counter("1-1", vcpu: 0, offset: "1")
    let guests = KVMGuest.all(root: host.root)
    #expect(KVMDebug(root: host.root).complaint(about: guests)?.contains("no tsc-offset of web (4100)") == true)
  }

  @Test func aGuestIsToldToLoadTheHostsClock() throws {
    let source = "sys/devices/system/clocksource/clocksource0/current_clocksource"
    for (clock, device, expected) in [("kvm-clock", "", "modprobe ptp_kvm"), ("tsc", "", ""), ("tsc", "ptp_vmw", "")] {
      let host = try FakeHost()
      try host.write(source, "\(clock)\n")
      if !device.isEmpty { try host.write("sys/class/ptp/ptp0/clock_name", "\(device)\n") }
      let (recording, complaints) = try record(host, side: .guest) { keeper, writer, _ in
        try writer.append(cpu: 0, keeper.take(.all))
      }
      #expect(recording.clockCrosses.isEmpty && complaints.count == (expected.isEmpty ? 0 : 1))
      #expect(complaints.allSatisfy { $0.contains(expected) })
    }
  }

  @Test func theKVMClockIsFoundAmongOthers() throws {
    let host = try FakeHost()
    #expect(PTPClock.kvm(root: host.root) == nil)
    try host.write("sys/class/ptp/ptp0/clock_name", "igb\n")
    try host.write("sys/class/ptp/ptp12/clock_name", "KVM virtual PTP\n")
    try host.write("sys/class/ptp/ptpx/clock_name", "KVM virtual PTP\n")
    #expect(PTPClock.kvm(root: host.root) == 12)
  }

  @Test func aDeviceThatIsNoClockIsSaidOnceForEachWay() throws {
    let clock = try PTPClock(path: "/dev/null", number: 7)
    #expect(clock.read() == nil && clock.read() == nil)
    let lines = clock.takeComplaints()
    #expect(lines.count == 3 && lines.allSatisfy { $0.hasPrefix("/dev/null: no ") && !$0.contains("\n") })
    #expect(lines[0].contains("precise") && lines[0].hasSuffix("extended is tried"))
    #expect(lines[2].contains("basic") && lines[2].hasSuffix("no help to align clocks"))
    #expect(clock.takeComplaints().isEmpty)
    #expect(throws: KernelError.self) { _ = try PTPClock(path: "/nonexistent/ptp3", number: 3) }
  }

  @Test func theRecordedFormTellsWhoCarriesThePackets() throws {
    let host = try FakeHost()
    try host.libvirtGuest()
    var guest = try #require(KVMGuest.all(root: host.root).first)
    let recorded = guest.recorded
    #expect(recorded.backend == "vhost-net" && recorded.taps == ["vnet0"] && recorded.vsockCID == 3)
    #expect(recorded.threads.map(\.kind) == ["vcpu", "vcpu", "vhost", "io", "io"])
    #expect(recorded.threads[0].policy == "SCHED_FIFO" && recorded.threads[0].priority == 50)
    #expect(recorded.threads[2].policy == "SCHED_OTHER" && recorded.threads[2].cpus == "1")
    guest.vhostNetCount = 1
    #expect(guest.recorded.backend == "vhost-net qemu")
    guest.vhostNetCount = 0
    guest.vfio = ["3"]
    #expect(guest.recorded.backend == "qemu vfio")
    guest.taps = []
    guest.vfio = []
    guest.backends = ["vhost-user"]
    #expect(guest.recorded.backend == "vhost-user")
  }
}
