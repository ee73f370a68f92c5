// SPDX-License-Identifier: GPL-2.0-or-later

/// Why a recording could not be written or read: one line with what, where and what to do.
package struct RecordingError: Error, Sendable, Equatable, CustomStringConvertible {
  package enum Kind: Sendable, Equatable {
    /// No space, quota or file size left (ENOSPC, EDQUOT, EFBIG); what was written before stays readable.
    case diskFull
    /// Another failed file operation.
    case file
    /// The output directory holds something already.
    case exists
    /// The path is no recording, or a part of one is missing.
    case notARecording
    /// Written by a newer latprobe.
    case newerFormat
    /// The file's content makes no sense.
    case damaged
    /// Recordings that do not belong together.
    case differentSessions
    /// The caller's arguments or records make no sense.
    case invalid
    /// Another latprobe is writing it.
    case busy
    /// Root does not write where another user could exchange what it writes.
    case foreign
  }

  package var kind: Kind
  package var path: String
  /// The system's error number, where one was behind it.
  package var errno: Int32?
  /// What happened and what to do, without the path.
  package var message: String

  package init(_ kind: Kind, path: String, errno: Int32? = nil, _ message: String) {
    self.kind = kind
    self.path = path
    self.errno = errno
    self.message = message
  }

  package var description: String { "\(path): \(message)" }

  /// The same where nothing was recorded yet.
  var beforeAnything: RecordingError {
    guard kind == .diskFull, let errno else { return self }
    return RecordingError(
      kind, path: path, errno: errno,
      "no room for a recording (errno \(errno)): nothing is recorded; free space, or record elsewhere")
  }

  static func newer(_ path: String, format: Int, reads: Int) -> RecordingError {
    RecordingError(
      .newerFormat, path: path,
      "written by a newer latprobe (format \(format), this one reads \(reads)): update latprobe")
  }
}
