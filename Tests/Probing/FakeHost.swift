// SPDX-License-Identifier: GPL-2.0-or-later
import Foundation

/// A folder that stands for `/`, with as much of /proc, /sys and debugfs as a test puts there. Removed with the object.
final class FakeHost {
  let folder: URL
  var root: String { folder.path }

  init() throws {
    folder = FileManager.default.temporaryDirectory.appendingPathComponent("latprobe-host-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
  }

  deinit { try? FileManager.default.removeItem(at: folder) }

  func write(_ path: String, _ text: String) throws { try write(path, Data(text.utf8)) }

  func write(_ path: String, _ data: Data) throws {
    let url = folder.appendingPathComponent(path)
    try FileManager.default.createDirectory(at: url.deletingLastPathComponent(), withIntermediateDirectories: true)
    try data.write(to: url)
  }

  func remove(_ path: String) throws { try FileManager.default.removeItem(at: folder.appendingPathComponent(path)) }

  /// A process's descriptor; `tap` is the device that fdinfo names.
  func descriptor(_ pid: Int, _ number: Int, _ target: String, tap: String? = nil) throws {
    let link = folder.appendingPathComponent("proc/\(pid)/fd/\(number)")
    try FileManager.default.createDirectory(at: link.deletingLastPathComponent(), withIntermediateDirectories: true)
    try FileManager.default.createSymbolicLink(atPath: link.path, withDestinationPath: target)
    let bound = tap.map { "iff:\t\($0)\n" } ?? ""
    try write("proc/\(pid)/fdinfo/\(number)", "pos:\t0\nflags:\t02104002\nmnt_id:\t22\nino:\t1\n\(bound)")
  }

  struct Thread {
    var name: String
    var affinity = "0-3"
    /// Kernel's number.
    var policy = 0
    var priority = 0
    var lastCPU = 0
    /// Clock ticks.
    var guestTime = 0
  }

  /// stat and status of a thread, in the kernel's layout.
  func thread(_ pid: Int, _ id: Int, _ thread: Thread) throws {
    // Fields 3 to 52; 39 to 43: processor rt_priority policy delayacct_blkio_ticks guest_time.
    var fields = ["S"] + [String](repeating: "0", count: 49)
    fields[39 - 3] = "\(thread.lastCPU)"
    fields[40 - 3] = "\(thread.priority)"
    fields[41 - 3] = "\(thread.policy)"
    fields[42 - 3] = "7"
    fields[43 - 3] = "\(thread.guestTime)"
    let path = "proc/\(pid)/task/\(id)"
    try write("\(path)/stat", "\(id) (\(thread.name)) \(fields.joined(separator: " "))\n")
    try write("\(path)/status", "Name:\t\(thread.name)\nCpus_allowed:\tf\nCpus_allowed_list:\t\(thread.affinity)\n")
  }

  /// A process and its command line.
  func process(_ pid: Int, comm: String, arguments: [String]) throws {
    try write("proc/\(pid)/comm", "\(comm)\n")
    try write("proc/\(pid)/cmdline", arguments.map { $0 + "\0" }.joined())
  }

  /// A QEMU with two vCPUs, a tap of two queues and vhost, named as libvirt does; Linux 6.12: vhost is its thread.
  func libvirtGuest(pid: Int = 4100, name: String = "web") throws {
    try process(
      pid, comm: "qemu-system-x86",
      arguments: [
        "/usr/bin/qemu-system-x86_64", "-name", "guest=\(name),debug-threads=on", "-uuid",
        "5D3F0000-0000-4000-8000-00000000000A", "-netdev",
        #"{"type":"tap","fds":"30:31","vhost":true,"vhostfds":"32:33","id":"hostnet0"}"#, "-device",
        #"{"driver":"vhost-vsock-pci","id":"vsock0","guest-cid":3,"vhostfd":"28","bus":"pci.6"}"#,
      ])
    try descriptor(pid, 9, "/dev/kvm")
    try descriptor(pid, 11, "anon_inode:kvm-vm")
    try descriptor(pid, 20, "anon_inode:kvm-vcpu:0")
    try descriptor(pid, 21, "anon_inode:kvm-vcpu:1")
    try descriptor(pid, 28, "/dev/vhost-vsock")
    try descriptor(pid, 30, "/dev/net/tun", tap: "vnet0")
    try descriptor(pid, 31, "/dev/net/tun", tap: "vnet0")
    try descriptor(pid, 32, "/dev/vhost-net")
    try descriptor(pid, 33, "/dev/vhost-net")
    try thread(pid, pid, Thread(name: "qemu-system-x86"))
    try thread(pid, pid + 1, Thread(name: "IO mon_iothread"))
    try thread(pid, pid + 2, Thread(name: "CPU 1/KVM", affinity: "3", lastCPU: 3, guestTime: 90))
    try thread(pid, pid + 3, Thread(name: "CPU 0/KVM", affinity: "2", policy: 1, priority: 50, lastCPU: 2))
    try thread(pid, pid + 4, Thread(name: "vhost-\(pid)", affinity: "1", lastCPU: 1))
    try thread(pid, pid + 5, Thread(name: "worker"))
  }

  /// KVM's debugfs entry of one vCPU; nil leaves a file out.
  func counter(
    _ guest: String, vcpu: Int, offset: String?, ratio: String? = nil, bits: String? = nil, thread: Int? = nil
  ) throws {
    let path = "sys/kernel/debug/kvm/\(guest)/vcpu\(vcpu)"
    try write("\(path)/guest_mode", "0\n")
    if let offset { try write("\(path)/tsc-offset", "\(offset)\n") }
    if let ratio { try write("\(path)/tsc-scaling-ratio", "\(ratio)\n") }
    if let bits { try write("\(path)/tsc-scaling-ratio-frac-bits", "\(bits)\n") }
    if let thread { try write("\(path)/pid", "\(thread)\n") }
  }
}
