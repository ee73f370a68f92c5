// SPDX-License-Identifier: GPL-2.0-or-later

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

/// The lock (flock) that a recorder holds on `MACHINE/ctf/metadata` from its start to its end.
///
/// Where the file system has no locks nobody can tell, and nothing is taken for locked.
enum RecordingLock {
  /// Whether a recorder (or a repair) holds it; false where there is no such file.
  ///
  /// - Parameter directory: `DIR/MACHINE`.
  static func isHeld(_ directory: String) -> Bool {
    let path = "\(directory)/ctf/metadata"
    guard Files.type(path) == .file, let file = try? File(path, flags: O_NOFOLLOW) else { return false }
    // Shared, so that two who ask do not see each other.
    guard flock(file.descriptor, LOCK_SH | LOCK_NB) != 0 else {
      flock(file.descriptor, LOCK_UN)
      return false
    }
    return errno == EWOULDBLOCK
  }

  static func busy(_ directory: String) -> RecordingError {
    RecordingError(.busy, path: directory, "is being recorded: stop the recorder first")
  }
}
