// SPDX-License-Identifier: GPL-2.0-or-later
import Foundation
import Host
import Testing

@testable import Probing

/// KVM guests as /proc shows them.
@Suite struct GuestTests {
  @Test func aLibvirtGuestIsReadInFull() throws {
    let host = try FakeHost()
    try host.libvirtGuest()
    let guests = KVMGuest.all(root: host.root)
    let guest = try #require(guests.first)
    #expect(guests.count == 1)
    #expect(guest.pid == 4100 && guest.name == "web" && guest.descriptor == 11)
    #expect(guest.uuid == "5d3f0000-0000-4000-8000-00000000000a" && guest.vsockCID == 3)
    #expect(guest.taps == [GuestTap(name: "vnet0", queues: 2)] && guest.vhostNetCount == 2 && guest.vcpuCount == 2)
    #expect(guest.macvtaps.isEmpty && guest.vfio.isEmpty && guest.backends == ["tap"])
    #expect(guest.threads.map(\.id) == [4103, 4102, 4104, 4100, 4101])
    #expect(guest.threads.map(\.role) == [.vcpu, .vcpu, .vhost, .main, .io])
    #expect(
      guest.threads[0]
        == GuestThread(
          id: 4103, role: .vcpu, vcpu: 0, name: "CPU 0/KVM", affinity: "2", policy: .fifo, priority: 50, lastCPU: 2))
    #expect(guest.threads[2].name == "vhost-4100" && guest.threads[2].affinity == "1")
  }

  @Test func vhostOfOlderKernelsIsAKernelThread() throws {
    let host = try FakeHost()
    try host.process(700, comm: "qemu-system-x86", arguments: ["qemu-system-x86_64", "-name", "old"])
    try host.descriptor(700, 5, "anon_inode:kvm-vm")
    try host.thread(700, 700, .init(name: "qemu-system-x86"))
    for (pid, name) in [(712, "vhost-700"), (713, "vhost-701"), (714, "vhost-700")] {
      // 714 has a command line: not the kernel's.
      try host.process(pid, comm: name, arguments: pid == 714 ? ["fake"] : [])
      try host.thread(pid, pid, .init(name: name, affinity: "5", policy: 2, priority: 1, lastCPU: 5))
    }
    let guest = try #require(KVMGuest.all(root: host.root).first)
    #expect(guest.threads(.vhost).map(\.id) == [712])
    #expect(guest.threads(.vhost).first?.policy == .rr && guest.threads(.vhost).first?.affinity == "5")
  }

  @Test func vcpusWithoutNamesAreKnownByDebugfsOrByGuestTime() throws {
    let host = try FakeHost()
    try host.process(50, comm: "firecracker", arguments: ["firecracker", "--id", "x"])
    try host.descriptor(50, 7, "anon_inode:kvm-vm")
    try host.descriptor(50, 8, "anon_inode:kvm-vcpu:0")
    try host.thread(50, 50, .init(name: "firecracker"))
    try host.thread(50, 51, .init(name: "fc_api"))
    try host.thread(50, 52, .init(name: "fc) S (x", guestTime: 12))
    let guessed = try #require(KVMGuest.all(root: host.root).first)
    #expect(guessed.name == "firecracker")
    #expect(guessed.threads(.vcpu).map(\.id) == [52] && guessed.threads(.vcpu).first?.vcpu == nil)
    #expect(guessed.threads(.vcpu).first?.name == "fc) S (x")

    try host.counter("50-7", vcpu: 0, offset: "-5", thread: 51)
    let told = try #require(KVMGuest.all(root: host.root).first)
    #expect(told.threads(.vcpu).map(\.id) == [51] && told.threads(.vcpu).first?.vcpu == 0)
  }

  @Test func pathsBesideTapsAreNamed() throws {
    let host = try FakeHost()
    try host.process(
      9, comm: "qemu",
      arguments: [
        "qemu", "-netdev", "vhost-user,id=n,chardev=c", "-nic", "user", "--netdev", #"{"id":"a","type":"af-xdp"}"#,
      ])
    try host.descriptor(9, 3, "anon_inode:kvm-vm")
    try host.descriptor(9, 4, "/dev/tap12")
    try host.descriptor(9, 5, "/dev/tap13")
    try host.descriptor(9, 6, "/dev/vfio/vfio")
    try host.descriptor(9, 7, "/dev/vfio/41")
    try host.descriptor(9, 8, "/dev/net/tun")
    try host.write("sys/class/net/macvtap0/ifindex", "12\n")
    let guest = try #require(KVMGuest.all(root: host.root).first)
    #expect(guest.macvtaps == ["macvtap0", "ifindex 13"] && guest.vfio == ["41"])
    #expect(guest.backends == ["vhost-user", "user", "af-xdp"] && guest.taps.isEmpty)
  }

  @Test func whoeverOnlyAsksKVMIsNoGuest() throws {
    let host = try FakeHost()
    try host.process(1, comm: "libvirtd", arguments: ["libvirtd"])
    try host.descriptor(1, 3, "/dev/kvm")
    try host.write("proc/2/comm", "gone")
    try host.write("proc/self", "")
    #expect(KVMGuest.all(root: host.root).isEmpty)
    #expect(KVMGuest.all(root: host.root + "/nonexistent").isEmpty)
  }

  /// A process that ends while it is read leaves any subset of its files; none may stop the search.
  @Test(arguments: ["comm", "cmdline", "task", "task/4103/stat", "task/4103/status", "fdinfo", "fdinfo/30"])
  func aGuestThatVanishesHalfReadIsTakenAsFarAsItGoes(missing: String) throws {
    let host = try FakeHost()
    try host.libvirtGuest()
    try host.remove("proc/4100/\(missing)")
    let guest = try #require(KVMGuest.all(root: host.root).first)
    #expect(guest.pid == 4100 && guest.threads.count == (missing == "task" ? 0 : missing.hasPrefix("task") ? 4 : 5))
  }

  @Test(arguments: ["", "7", "7 (x", "7 (x)", "7 (x) S 0 0", "7 )x( S " + String(repeating: "0 ", count: 60)])
  func brokenStatisticsLeaveTheThreadOut(stat: String) throws {
    let host = try FakeHost()
    try host.libvirtGuest()
    try host.write("proc/4100/task/4103/stat", stat)
    #expect(KVMGuest.all(root: host.root).first?.threads.contains { $0.id == 4103 } == false)
  }
}

/// Command lines of monitors, friendly and not.
@Suite struct QEMUCommandLineTests {
  private func line(_ arguments: String...) -> QEMUCommandLine {
    QEMUCommandLine(arguments.flatMap { Array($0.utf8) + [0] })
  }

  @Test func namesAreReadInAllTheirForms() {
    #expect(line("q", "-name", "plain").name == "plain")
    #expect(line("q", "--name", "guest=g,process=p").name == "g")
    #expect(line("q", "-name", "plain,debug-threads=on").name == "plain")
    #expect(line("q", "-name", "guest=a,,b,debug-threads=on").name == "a,b")
    #expect(line("q", "-name", "debug-threads=on").name == nil)
    #expect(line("q", "-name").name == nil)
    #expect(line("q", "-name", "guest=\u{1b}[31mx\ny\u{202e}").name == "[31mxy")
    #expect(line("q", "-name", "\n").name == nil)
  }

  @Test func identifiersAreCheckedForForm() {
    let uuid = "00000000-1111-2222-3333-444444444444"
    #expect(line("q", "-uuid", uuid).uuid == uuid)
    #expect(line("q", "-smbios", "type=1,uuid=\(uuid)").uuid == uuid)
    #expect(line("q", "-uuid", "nonsense").uuid == nil)
    #expect(line("q", "-device", "vhost-vsock-pci,guest-cid=42").vsockCID == 42)
    #expect(line("q", "-device", #"{"driver": "vhost-vsock-pci", "guest-cid": 42}"#).vsockCID == 42)
    #expect(line("q", "-device", "vhost-vsock-pci,guest-cid=-1").vsockCID == nil)
    #expect(line("q", "-device", "vhost-vsock-pci,guest-cid=99999999999").vsockCID == nil)
  }

  @Test func hostileLinesAreBounded() {
    let long = [UInt8](repeating: UInt8(ascii: "a"), count: 2 << 20)
    #expect(QEMUCommandLine(long) == QEMUCommandLine([]))
    #expect(QEMUCommandLine(Array("-name\0".utf8) + long).name?.count == 128)
    #expect(QEMUCommandLine([UInt8](repeating: 0, count: 2 << 20)) == QEMUCommandLine([]))
    // What stands behind the limit is not looked at.
    #expect(QEMUCommandLine(long + Array("\0-name\0late\0".utf8)).name == nil)
    for text in [#"{""#, #"{"a"#, #"{"a":"\"#, #"{"a":{"guest-cid":"#, "{:::\"\"", ",,,", "=,=,="] {
      #expect(line("q", "-device", text, "-name", text).vsockCID == nil)
    }
    let bytes = Array("-name\0{}\":,=\\ device\u{e9}".utf8)
    for seed in 0..<200 {
      var state = UInt64(seed)
      let noise = (0..<300).map { _ -> UInt8 in
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        return bytes[Int(state >> 33) % bytes.count]
      }
      let name = QEMUCommandLine(noise).name
      #expect(name?.contains("\0") != true && name?.isEmpty != true)
    }
  }
}

/// What `--guest-name` takes.
@Suite struct GuestSelectionTests {
  private func host() throws -> FakeHost {
    let host = try FakeHost()
    try host.libvirtGuest(pid: 4100, name: "web")
    try host.libvirtGuest(pid: 5100, name: "db")
    try host.libvirtGuest(pid: 6100, name: "db")
    return host
  }

  private func line(_ wanted: String, _ host: FakeHost) throws -> String {
    let error = try #require(throws: KernelError.self) {
      _ = try KVMGuest.named(wanted, among: KVMGuest.all(root: host.root), root: host.root)
    }
    #expect(!error.description.contains("\n"))
    return error.description
  }

  @Test func aNameAProcessOrALibvirtDomainIsOneGuest() throws {
    let host = try host()
    let guests = KVMGuest.all(root: host.root)
    #expect(try KVMGuest.named("web", among: guests, root: host.root).pid == 4100)
    #expect(try KVMGuest.named("6100", among: guests, root: host.root).pid == 6100)
    try host.write("run/libvirt/qemu/shop.pid", "5100\n")
    #expect(try KVMGuest.named("shop", among: guests, root: host.root).pid == 5100)
  }

  @Test func whatIsNotOneGuestIsExplained() throws {
    let host = try host()
    #expect(try line("db", host).hasSuffix("2 KVM guests answer to 'db'; give one's process id: 5100 6100"))
    #expect(try line("mail", host).contains("no KVM guest 'mail'"))
    #expect(try line("mail", host).contains("web (4100), db (5100), db (6100)"))
    try host.write("run/libvirt/qemu/gone.pid", "77")
    #expect(try line("gone", host).contains("process 77, which is no KVM guest"))
    #expect(try line("../../x\n", host).contains("no KVM guest '../../x'"))
    #expect(try line("", FakeHost()).contains("none"))
  }
}

/// KVM's debugfs.
@Suite struct KVMDebugTests {
  @Test func countersAreReadAsTheKernelWritesThem() throws {
    let host = try FakeHost()
    try host.libvirtGuest()
    #expect(!KVMDebug(root: host.root).isReadable)
    try host.counter("4100-11", vcpu: 0, offset: "-9223372036854775808")
    try host.counter("4100-11", vcpu: 10, offset: "17", ratio: "281474976710656", bits: "48")
    try host.counter("4100-11", vcpu: 2, offset: "9223372036854775807", ratio: "18446744073709551615", bits: "32")
    try host.counter("4100-11", vcpu: 3, offset: nil)
    try host.counter("4100-11", vcpu: 4, offset: "many")
    try host.counter("4100-11", vcpu: 5, offset: "1", ratio: "2", bits: "64")
    try host.counter("4100-12", vcpu: 0, offset: "99")
    let debug = KVMDebug(root: host.root)
    #expect(debug.isReadable)
    let guest = try #require(KVMGuest.all(root: host.root).first)
    #expect(
      debug.counters(of: guest) == [
        VCPUCounter(vcpu: 0, offset: .min, ratio: 0, fractionBits: 0),
        VCPUCounter(vcpu: 2, offset: .max, ratio: .max, fractionBits: 32),
        VCPUCounter(vcpu: 5, offset: 1, ratio: 0, fractionBits: 0),
        VCPUCounter(vcpu: 10, offset: 17, ratio: 1 << 48, fractionBits: 48),
      ])
  }

  @Test func aGuestWhoseDescriptorIsUnknownIsFoundIfThereIsOne() throws {
    let host = try FakeHost()
    try host.libvirtGuest()
    var guest = try #require(KVMGuest.all(root: host.root).first)
    guest.descriptor = nil
    try host.counter("4100-8", vcpu: 0, offset: "1")
    try host.counter("41000-8", vcpu: 0, offset: "2")
    #expect(KVMDebug(root: host.root).counters(of: guest).map(\.offset) == [1])
    try host.counter("4100-9", vcpu: 0, offset: "3")
    #expect(KVMDebug(root: host.root).counters(of: guest).isEmpty)
  }
}
