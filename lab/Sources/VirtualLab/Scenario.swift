// SPDX-License-Identifier: GPL-2.0-or-later

/// One run of the lab as data; `lab/README.md` describes the file.
package struct Scenario: Sendable, Codable, Equatable {
  package struct Host: Sendable, Codable, Equatable {
    /// Series of the Debian kernel: `6.1` or `6.12`.
    package var kernel: String
    /// Debian's build of it: `cloud-amd64`, `amd64` or `rt-amd64`.
    package var flavour: String?
    package var cpus: Int?
    /// MiB.
    package var memory: Int?
    /// QEMU's model of the NIC: `virtio-net-pci`, `e1000e` or `igb`.
    package var nic: String?
    /// Appended to the NIC's `-device` argument: `tx=timer,x-txtimer=3000000`.
    package var nicOptions: String?
    /// Two more NICs of the model, eth1 and eth2, that a cable joins.
    package var loop: Bool?
    /// Shell commands, run before the guest starts.
    package var tuning: [String]?

    package enum CodingKeys: String, CodingKey, CaseIterable {
      case kernel, flavour, cpus, memory, nic, loop, tuning
      case nicOptions = "nic_options"
    }
  }

  package struct Guest: Sendable, Codable, Equatable {
    package var kernel: String
    package var flavour: String?
    package var cpus: Int?
    package var memory: Int?
    /// False: QEMU's own virtio backend.
    package var vhost: Bool?
    /// Pairs of virtio-net queues.
    package var queues: Int?
    /// Shell commands, run when the guest is up.
    package var tuning: [String]?

    package enum CodingKeys: String, CodingKey, CaseIterable {
      case kernel, flavour, cpus, memory, vhost, queues, tuning
    }
  }

  package struct Recording: Sendable, Codable, Equatable {
    package var topology: String
    package var filter: String?
    /// Further arguments of `latprobe record` on both sides.
    package var options: [String]?

    package enum CodingKeys: String, CodingKey, CaseIterable { case topology, filter, options }
  }

  /// A shell command of the workload.
  package struct Step: Sendable, Codable, Equatable {
    /// `outside` (a namespace of this machine), `host` or `guest`.
    package var at: Place
    package var run: String
    /// Goes on while the next step runs, and is ended with the workload.
    package var background: Bool?

    package enum CodingKeys: String, CodingKey, CaseIterable { case at, run, background }
  }

  package enum Place: String, Sendable, Codable, CaseIterable { case outside, host, guest }

  package var format: Int
  package var name: String
  package var summary: String
  package var host: Host
  /// Nil: the host alone, its NIC with the address 10.77.0.2.
  package var guest: Guest?
  package var recording: Recording
  package var workload: [Step]

  package enum CodingKeys: String, CodingKey, CaseIterable {
    case format, name, summary, host, guest, recording, workload
  }
}
