// SPDX-License-Identifier: GPL-2.0-or-later

/// `session.json`: what belongs together in one run.
package struct Session: Codable, Sendable, Equatable {
  package static let currentFormat = 1

  package var format: Int
  /// A UUID; recordings with the same one are one session.
  package var id: String
  /// Names of the folders that hold one machine each.
  package var members: [String]
  package var labels: [String: String]
  package var commandLine: [String]
  /// Seconds since the Unix epoch, UTC.
  package var createdAt: Double

  enum CodingKeys: String, CodingKey {
    case format, id, members, labels
    case commandLine = "command_line"
    case createdAt = "created_at_s"
  }

  package init(id: String, members: [String], labels: [String: String], commandLine: [String], createdAt: Double) {
    self.format = Session.currentFormat
    self.id = id
    self.members = members
    self.labels = labels
    self.commandLine = commandLine
    self.createdAt = createdAt
  }
}

/// An ordered list of hook points; `direction` in every output is its name.
package struct Path: Codable, Sendable, Equatable {
  package var name: String
  package var hooks: [String]

  package init(name: String, hooks: [String]) {
    self.name = name
    self.hooks = hooks
  }
}

/// One hook point as it was attached, or why it is absent.
package struct AttachedHook: Codable, Sendable, Equatable {
  package var name: String
  /// ``attachedAs`` of a sender's socket.
  package static let bySocket = "socket"

  /// For example `tp_btf:net_dev_queue`; null where the hook is absent.
  package var attachedAs: String?
  /// Why the hook, or a part of it, is absent; null where all of it is attached.
  package var absentBecause: String?
  /// Devices or sockets it watches, for people: `eth0@ns-a (host: va)`.
  package var watches: [String]
  /// The same devices for programs, `NAMESPACE:INDEX`: inode number of the network namespace and index of the device, which
  /// are unique on a kernel. Null in older recordings.
  package var devices: [String]?

  enum CodingKeys: String, CodingKey {
    case name, watches, devices
    case attachedAs = "attached_as"
    case absentBecause = "absent_because"
  }

  package init(
    name: String, attachedAs: String?, absentBecause: String? = nil, watches: [String] = [], devices: [String]? = nil
  ) {
    self.name = name
    self.attachedAs = attachedAs
    self.absentBecause = absentBecause
    self.watches = watches
    self.devices = devices
  }
}

/// One row of the loss ledger: a hook point on a CPU.
/// `seen = filtered + sampledOut + emitted + lost + unbound`.
package struct LedgerRow: Codable, Sendable, Equatable {
  package var hook: String
  package var cpu: Int
  package var seen: Count
  package var filtered: Count
  package var sampledOut: Count
  package var emitted: Count
  /// The buffer was full.
  package var lost: Count
  /// A socket hook that could not be tied to a packet.
  package var unbound: Count

  enum CodingKeys: String, CodingKey {
    case hook, cpu, seen, filtered, emitted, lost, unbound
    case sampledOut = "sampled_out"
  }

  package init(
    hook: String, cpu: Int, seen: UInt64 = 0, filtered: UInt64 = 0, sampledOut: UInt64 = 0,
    emitted: UInt64 = 0, lost: UInt64 = 0, unbound: UInt64 = 0
  ) {
    self.hook = hook
    self.cpu = cpu
    self.seen = Count(seen)
    self.filtered = Count(filtered)
    self.sampledOut = Count(sampledOut)
    self.emitted = Count(emitted)
    self.lost = Count(lost)
    self.unbound = Count(unbound)
  }

  /// A count of it is more than can be told.
  package var isCapped: Bool { [seen, filtered, sampledOut, emitted, lost, unbound].contains(where: \.isCapped) }

  /// Adds another row's counts.
  package mutating func add(_ other: LedgerRow) {
    seen += other.seen
    filtered += other.filtered
    sampledOut += other.sampledOut
    emitted += other.emitted
    lost += other.lost
    unbound += other.unbound
  }
}

/// `machine.json`: what a machine looked like while it recorded, and what the recording lost.
/// Times are nanoseconds of the machine's CLOCK_MONOTONIC; since 1970 in a recording of capture files.
package struct Machine: Codable, Sendable, Equatable {
  package static let fileName = "machine.json"
  package static let currentFormat = 1

  package struct Sampling: Codable, Sendable, Equatable {
    /// One packet (or flow) in `oneIn` is stamped.
    package var oneIn: UInt32
    /// `packet` or `flow`: what the choice is made for; TCP `flow` unless `nat`.
    package var udpBy: String
    package var tcpBy: String

    enum CodingKeys: String, CodingKey {
      case oneIn = "one_in"
      case udpBy = "udp_by"
      case tcpBy = "tcp_by"
    }

    package init(oneIn: UInt32, udpBy: String, tcpBy: String) {
      self.oneIn = oneIn
      self.udpBy = udpBy
      self.tcpBy = tcpBy
    }
  }

  /// Streams deleted by rotation, so that nobody takes the rest for the whole.
  package struct Rotation: Codable, Sendable, Equatable {
    package var deletedStreams: Count
    package var deletedEvents: Count
    package var deletedBytes: Count
    /// `events_discarded` of the deleted streams: ledger losses that the streams no longer show.
    package var deletedDiscarded: Count

    enum CodingKeys: String, CodingKey {
      case deletedStreams = "deleted_streams"
      case deletedEvents = "deleted_events"
      case deletedBytes = "deleted_bytes"
      case deletedDiscarded = "deleted_discarded"
    }

    package init(
      deletedStreams: Count = 0, deletedEvents: Count = 0, deletedBytes: Count = 0, deletedDiscarded: Count = 0
    ) {
      self.deletedStreams = deletedStreams
      self.deletedEvents = deletedEvents
      self.deletedBytes = deletedBytes
      self.deletedDiscarded = deletedDiscarded
    }
  }

  package var format: Int
  /// The folder's name: role and host name, safe and unique.
  package var name: String
  /// `guest`, `host`, `both` or `wire`.
  package var role: String
  package var hostname: String
  /// Machines with the same boot id share one clock.
  package var bootID: String
  package var kernel: String
  package var architecture: String
  package var clockSource: String
  package var cpuModel: String
  package var cpus: Int
  /// Governor, C-states, driver and NIC settings and the like, for the environment section of a report.
  package var settings: [String: String]
  package var topology: String
  package var hooks: [AttachedHook]
  package var paths: [Path]
  /// Segments the topology names beyond neighbours on a path, as `a-b`.
  package var segments: [String]
  /// What lies between two hook points, for people, by segment: `txg1-txg2`: `qdisc`. Null in older recordings.
  package var segmentNames: [String: String]?
  /// pcap syntax, null for none.
  package var filter: String?
  package var sampling: Sampling
  package static let natProof = "nat-proof"
  /// `full`, or `nat-proof` where addresses and ports are left out of the key.
  package var identity: String
  /// Measured cost of one stamp on this machine; null if it was not measured.
  package var stampCost: Double?
  /// The same by hook point, of those at devices whose programs say it; null in older recordings and where it was not measured.
  package var stampCosts: [String: Double]?
  /// Virtual machines of this host; null in recordings of format 1.
  package var guests: [Guest]?
  /// Machines with which clock exchanges were made; null in recordings of format 1.
  package var peers: [Peer]?
  /// Capture files that the stamps are from; null where a kernel recorded.
  package var captures: [Capture]?
  /// What a tap listened on; null in other recordings.
  package var interfaces: [TapInterface]?
  /// What was paired of a capture; null in other recordings.
  package var pairing: PairingAccount?
  package var startedAt: UInt64
  /// Null while the recording runs, or if it was cut off.
  package var stoppedAt: UInt64?
  /// `duration`, `count`, `signal`, `disk full`, … ; null like `stoppedAt`.
  package var stoppedBy: String?
  package var ledger: [LedgerRow]
  /// Per hook point: how often the kernel skipped the program because it was running already.
  package var missed: [String: Count]
  package var rotation: Rotation
  /// What happened to devices, namespaces, CPUs and clocks meanwhile, in order of time; null in older recordings.
  package var changes: [Change]?
  /// Why and where the kernel threw packets away; null where nobody asked it (older recordings, taps).
  package var drops: [DropPlace]?
  /// Packets thrown away of which that is not recorded: the buffer was full, or the program skipped.
  package var dropsLost: UInt64?
  /// Events drained from the kernel that a full disk kept out of the streams; the ledger counts them as emitted.
  package var unwritten: Count
  /// Events in the streams when they were closed; null while the recording runs, if it was cut off, and in older ones.
  package var events: Count?
  /// Values of ``stoppedBy``.
  package static let diskFull = "disk full"
  package static let error = "error"

  /// What ``stoppedBy`` says of a recording that a failure ended.
  package static func end(by failure: any Error) -> String {
    (failure as? RecordingError)?.kind == .diskFull ? diskFull : error
  }

  /// Its recorder was at work when it was read; not in the file.
  package var isBeingRecorded = false
  /// The disk was full or writing failed: what the hooks handed over last is not on disk.
  package var endedByFailure: Bool { unwritten > 0 || stoppedBy == Machine.diskFull || stoppedBy == Machine.error }

  enum CodingKeys: String, CodingKey {
    case format, name, role, hostname, kernel, architecture, cpus, settings, topology, hooks, paths, segments
    case filter, sampling, identity, guests, peers, captures, interfaces, pairing, ledger, missed, rotation, unwritten
    case events, changes, drops
    case dropsLost = "drops_lost"
    case bootID = "boot_id"
    case clockSource = "clock_source"
    case cpuModel = "cpu_model"
    case stampCost = "stamp_cost_ns"
    case stampCosts = "stamp_costs_ns"
    case segmentNames = "segment_names"
    case startedAt = "started_at_ns"
    case stoppedAt = "stopped_at_ns"
    case stoppedBy = "stopped_by"
  }

  package init(name: String, role: String, hostname: String, bootID: String, topology: String) {
    self.format = Machine.currentFormat
    self.name = name
    self.role = role
    self.hostname = hostname
    self.bootID = bootID
    self.topology = topology
    kernel = ""
    architecture = ""
    clockSource = ""
    cpuModel = ""
    cpus = 0
    settings = [:]
    hooks = []
    paths = []
    segments = []
    segmentNames = nil
    filter = nil
    sampling = Sampling(oneIn: 1, udpBy: "packet", tcpBy: "flow")
    identity = "full"
    stampCost = nil
    stampCosts = nil
    guests = []
    peers = []
    captures = nil
    interfaces = nil
    pairing = nil
    startedAt = 0
    stoppedAt = nil
    stoppedBy = nil
    ledger = []
    missed = [:]
    rotation = Rotation()
    changes = []
    drops = nil
    dropsLost = nil
    unwritten = 0
    events = nil
  }
}
