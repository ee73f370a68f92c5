// SPDX-License-Identifier: GPL-2.0-or-later

/// A virtual machine that ran on the recording host.
package struct Guest: Codable, Sendable, Equatable {
  /// A thread that works for the guest, and where it may run.
  package struct Thread: Codable, Sendable, Equatable {
    /// `vcpu`, `vhost`, `io` (QEMU's own loops) or `other`.
    package var kind: String
    package var id: Int
    package var name: String
    /// Number of the virtual CPU; null for other threads.
    package var vcpu: Int?
    /// CPUs it may run on, as the kernel writes lists: `0-3,8`.
    package var cpus: String
    /// Scheduling policy: `SCHED_OTHER`, `SCHED_FIFO` and so on.
    package var policy: String
    /// Real-time priority, 0 for the others.
    package var priority: Int

    package init(
      kind: String, id: Int, name: String, vcpu: Int? = nil, cpus: String, policy: String, priority: Int
    ) {
      self.kind = kind
      self.id = id
      self.name = name
      self.vcpu = vcpu
      self.cpus = cpus
      self.policy = policy
      self.priority = priority
    }
  }

  /// Process id of the virtual machine (QEMU) on the host.
  package var pid: Int
  package var name: String
  /// The guest sees it as its `product_uuid`; null if it was given none.
  package var uuid: String?
  /// Null without a vsock device.
  package var vsockCID: UInt32?
  /// Boot id of the guest's kernel, where the guest told it.
  package var bootID: String?
  /// Devices on the host that are the other end of the guest's.
  package var taps: [String]
  /// `vhost-net`, `qemu` (its own virtio backend), `vhost-user`, `vfio`, several joined by a space, or empty.
  package var backend: String
  package var threads: [Thread]

  enum CodingKeys: String, CodingKey {
    case pid, name, uuid, taps, backend, threads
    case vsockCID = "vsock_cid"
    case bootID = "boot_id"
  }

  package init(pid: Int, name: String) {
    self.pid = pid
    self.name = name
    uuid = nil
    vsockCID = nil
    bootID = nil
    taps = []
    backend = ""
    threads = []
  }
}

/// A machine with which the recording one exchanged messages about time.
package struct Peer: Codable, Sendable, Equatable {
  /// As in ``ClockExchange/peer``.
  package var number: UInt32
  /// Name of its folder in the session.
  package var machine: String
  package var bootID: String
  /// How it was reached: `vsock:3`.
  package var url: String

  enum CodingKeys: String, CodingKey {
    case number, machine, url
    case bootID = "boot_id"
  }

  package init(number: UInt32, machine: String, bootID: String, url: String) {
    self.number = number
    self.machine = machine
    self.bootID = bootID
    self.url = url
  }
}
