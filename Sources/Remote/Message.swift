// SPDX-License-Identifier: GPL-2.0-or-later
package import Recording

/// What a host asks an agent to record: all that it may choose.
package struct RecordRequest: Sendable, Equatable {
  package static let filterLimit = 4096

  /// UUID of the session.
  package var session: String
  /// Name of one of the agent's own topologies, and SHA-256 of the host's file of that name: they must be equal.
  package var topology: String
  package var topologyDigest: [UInt8]
  /// Devices in the agent's namespace; empty: the agent's choice.
  package var devices: [String]
  /// pcap syntax; empty: none.
  package var filter: String
  package var oneIn: UInt32
  package var sampleByFlow: Bool
  package var isNATProof: Bool
  /// Bytes of each CPU's ring buffer; 0: the agent's choice.
  package var bufferSize: UInt32
  /// Bytes on disk; 0: the agent's choice. The agent's own bound holds in any case.
  package var maxSize: UInt64
  /// Folder names that other machines of the session have.
  package var taken: [String]

  package init(session: String, topology: String, topologyDigest: [UInt8]) {
    self.session = session
    self.topology = topology
    self.topologyDigest = topologyDigest
    devices = []
    filter = ""
    oneIn = 1
    sampleByFlow = false
    isNATProof = false
    bufferSize = 0
    maxSize = 0
    taken = []
  }
}

/// What an agent says once its programs are loaded.
package struct PreparedRecording: Sendable, Equatable {
  /// The folder's name.
  package var machine: String
  package var hostname: String
  package var bootID: String
  /// Hook points that are attached, for people.
  package var hooks: [String]
  package var warnings: [String]

  package init(machine: String, hostname: String, bootID: String, hooks: [String], warnings: [String]) {
    self.machine = machine
    self.hostname = hostname
    self.bootID = bootID
    self.hooks = hooks
    self.warnings = warnings
  }
}

package struct RemoteProgress: Sendable, Equatable {
  package var stamps: Count = 0
  package var lost: Count = 0
  /// Bytes on disk.
  package var size: Count = 0

  package init() {}
}

/// Everything that is said after the handshake.
package enum Message: Equatable {
  // From the host.
  case prepare(RecordRequest)
  case start
  case ping(id: UInt64)
  case stop
  case pull
  /// The recording is safe on the host's disk: the agent may delete its own.
  case acknowledge

  // From the agent.
  case prepared(PreparedRecording)
  case started
  /// Times are CLOCK_MONOTONIC_RAW of the agent's machine, nanoseconds.
  case pong(id: UInt64, received: Int64, sent: Int64)
  case progress(RemoteProgress)
  /// - Parameter directory: where the agent has it until it is acknowledged.
  case stopped(reason: String, directory: String)
  case file(RecordingFile, size: UInt64)
  case data([UInt8])
  case sent(files: UInt32, bytes: UInt64)
  case deleted

  // From either: the reason in one line; nothing follows.
  case failed(String)
}
