// SPDX-License-Identifier: GPL-2.0-or-later

/// A thread that works for a guest, and how the host's scheduler treats it.
package struct GuestThread: Sendable, Equatable {
  package enum Role: String, Sendable, Encodable {
    /// Runs the guest's code.
    case vcpu
    /// Moves packets between guest and tap: of the kernel before Linux 6.4, of the monitor's process since then.
    case vhost
    /// The monitor's main loop; QEMU's virtio back end without vhost runs here.
    case main
    /// Another event loop of the monitor.
    case io
  }

  /// Thread id.
  package var id: Int
  package var role: Role
  /// Number of the vCPU; nil for other threads, and where only the order of the threads tells.
  package var vcpu: Int?
  /// As in /proc/…/comm.
  package var name: String
  /// CPUs it may run on, as `0-3,8`.
  package var affinity: String
  package var policy: SchedulingPolicy
  /// 1 (low) to 99 with a real-time policy, else 0.
  package var priority: Int
  /// CPU that it ran on last.
  package var lastCPU: Int
}

/// As in sched(7); numbers are the kernel's.
package enum SchedulingPolicy: Int, Sendable {
  case other = 0
  case fifo = 1
  case rr = 2
  case batch = 3
  case idle = 5
  case deadline = 6
  case ext = 7

  package var name: String { "SCHED_\("\(self)".uppercased())" }
  /// Whether it goes before all that is not real-time.
  package var isRealTime: Bool { self == .fifo || self == .rr || self == .deadline }
}

/// A tap device that a guest's monitor holds open.
package struct GuestTap: Sendable, Equatable {
  package var name: String
  /// Queue pairs: how many times it is open.
  package var queues: Int
}

/// A KVM guest of this host as /proc shows it.
package struct KVMGuest: Sendable, Equatable {
  /// The monitor's (QEMU's) process.
  package var pid: Int
  /// What `-name` says, else the monitor's executable.
  package var name: String
  /// In lower case; nil where the command line names none.
  package var uuid: String?
  package var vsockCID: UInt32?
  /// The monitor's descriptor of the virtual machine: KVM's debugfs calls the guest `PID-DESCRIPTOR`.
  package var descriptor: Int?
  package var vcpuCount: Int
  /// vCPUs by number, then vhost, main and I/O threads by id.
  package var threads: [GuestThread]
  /// By name.
  package var taps: [GuestTap]
  /// macvtap devices, by name (`ifindex 7` where the name is not to be found).
  package var macvtaps: [String]
  /// Open /dev/vhost-net: one a queue pair that the kernel carries.
  package var vhostNetCount: Int
  /// VFIO groups or devices handed to the guest: SR-IOV, passthrough.
  package var vfio: [String]
  /// Network back ends of the command line, as QEMU calls them.
  package var backends: [String]

  package func threads(_ role: GuestThread.Role) -> [GuestThread] { threads.filter { $0.role == role } }
}
