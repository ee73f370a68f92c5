// SPDX-License-Identifier: GPL-2.0-or-later
package import Recording

/// How a recording stands while it runs.
package struct RecordingProgress: Sendable {
  /// Seconds since the hooks were switched on.
  package var elapsed: Double = 0
  package var stamps: UInt64 = 0
  package var lost: UInt64 = 0
  /// The most packets that one hook point has stamped.
  package var packets: UInt64 = 0
  /// Bytes on disk.
  package var size = 0

  package init() {}
}

/// When a recording stops by itself, and how it looks on disk.
package struct RecorderOptions: Sendable {
  /// Nanoseconds; nil: until a signal.
  package var duration: Int64?
  /// Packets at the hook point that stamps the most.
  package var count: UInt64?
  package var writer = MachineWriter.Options()

  package init() {}
}
