// SPDX-License-Identifier: GPL-2.0-or-later
#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

/// `DIR` of a recorder from before its start to its end: of two that start on one `DIR`, one is told so.
///
/// The lock lies on the folder itself and ends with the process, so that no killed start is in the way of the next one.
/// A start that fails leaves no folder that it has made.
package struct RecordingPlace: ~Copyable {
  package let path: String
  private let folder: Folder
  private let force: Bool

  /// To be made before anything else is begun.
  ///
  /// - Parameter force: a recording that is there may go (``begin(_:)``).
  package init(_ path: String, force: Bool) throws(RecordingError) {
    if let type = try Files.target(path), type != .directory {
      throw RecordingError(.exists, path: path, "exists and is not a directory: choose another -o")
    }
    let folder = try Folder(path, making: true)
    // Where the file system has no locks, session.json decides: it is made only where there is none.
    if flock(folder.descriptor, LOCK_EX | LOCK_NB) != 0, errno == EWOULDBLOCK {
      throw RecordingError(.busy, path: path, "another latprobe is starting or recording there: choose another -o")
    }
    try Session.check(folder, force: force)
    self.path = path
    self.folder = folder
    self.force = force
  }

  /// Nil for nil.
  package static func named(_ path: String?, force: Bool) throws(RecordingError) -> RecordingPlace? {
    guard let path else { return nil }
    return try RecordingPlace(path, force: force)
  }

  deinit {
    // What holds a recording stays: only empty folders go.
    for path in folder.made.reversed() { unsafe rmdir(path) }
  }

  /// Removes the recording that is there, and writes the new one's `session.json`.
  package func begin(_ session: Session) throws(RecordingError) {
    // Another may have been removed with a start that failed just after it was opened here.
    var (held, named) = (stat(), stat())
    guard unsafe fstat(folder.descriptor, &held) == 0, unsafe stat(path, &named) == 0, held.st_ino == named.st_ino,
      held.st_dev == named.st_dev
    else { throw RecordingError(.busy, path: path, "was removed or exchanged while this began: begin again") }
    try Session.prepare(directory: path, force: force)
    try session.write(to: path)
  }
}
