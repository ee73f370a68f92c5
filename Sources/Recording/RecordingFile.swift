// SPDX-License-Identifier: GPL-2.0-or-later

/// A file in a machine's folder, as far as a recording goes from one machine to another.
package enum RecordingFile: Sendable, Hashable {
  case machine
  case metadata
  case stream(cpu: UInt16, sequence: UInt32)

  /// Below the machine's folder.
  package var path: String {
    switch self {
    case .machine: name
    case .metadata, .stream: "\(MachineFolder.streamsName)/\(name)"
    }
  }

  /// In its folder, the machine's or that of the streams.
  var name: String {
    switch self {
    case .machine: Machine.fileName
    case .metadata: "metadata"
    case .stream(let cpu, let sequence): Format.streamName(cpu: Int(cpu), sequence: Int(sequence))
    }
  }

  var isInStreams: Bool { self != .machine }

  /// Bytes that such a file never exceeds; nil for no limit of its own.
  var limit: Int? {
    switch self {
    case .machine: JSONFile.limit
    case .metadata: Format.metadataLimit
    case .stream: nil
    }
  }
}

/// Ids of sessions: a new UUID, or a name that people chose.
package enum SessionID {
  /// As safe as a machine's name, since it goes into files and messages.
  package static func isValid(_ text: String) -> Bool { MachineName.isSafe(text) }
}
