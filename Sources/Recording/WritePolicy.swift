// SPDX-License-Identifier: GPL-2.0-or-later
internal import Synchronization

#if canImport(Glibc)
  package import Glibc
#elseif canImport(Musl)
  package import Musl
#endif

/// Flags that Swift's Glibc leaves out (fcntl.h); they are the same on all of Linux that Swift runs on.
enum OpenFlag {
  /// O_PATH: a descriptor to go on from, without any right to read.
  static let path: Int32 = 0o10_000_000
  /// AT_EMPTY_PATH: the descriptor's own file.
  static let emptyPath: Int32 = 0x1000
}

/// The user for whom sudo runs this: what root makes then belongs to them.
package struct Invoker: Sendable {
  package let user: uid_t
  package let group: gid_t

  private static let isIgnored = Atomic(false)

  /// Nil where this is not root, or not by sudo.
  package static var current: Invoker? { isIgnored.load(ordering: .relaxed) ? nil : caller }

  /// What this process makes from now on stays root's.
  package static func ignore() { isIgnored.store(true, ordering: .relaxed) }

  private static let caller: Invoker? = {
    guard geteuid() == 0, let user = number("SUDO_UID"), let group = number("SUDO_GID"), user != 0 else { return nil }
    return Invoker(user: user, group: group)
  }()

  private static func number(_ name: String) -> UInt32? {
    guard let text = unsafe getenv(name) else { return nil }
    return UInt32(unsafe String(cString: text))
  }
}

/// Who may read what is written, and where root writes.
package enum WritePolicy {
  private static let isShared = Atomic(false)
  private static let allowsForeign = Atomic(false)

  /// Whether root also writes into folders that another user can change.
  package static var isForeignAllowed: Bool { allowsForeign.load(ordering: .relaxed) }

  /// For all that this process writes from now on.
  ///
  /// - Parameters:
  ///   - shared: others may read it, as far as the umask lets them; else nobody may.
  ///   - foreign: root also writes into folders that another user can change.
  package static func set(shared: Bool, foreign: Bool) {
    isShared.store(shared, ordering: .relaxed)
    allowsForeign.store(foreign, ordering: .relaxed)
  }

  static var fileMode: mode_t { isShared.load(ordering: .relaxed) ? 0o666 : 0o600 }
  static var folderMode: mode_t { isShared.load(ordering: .relaxed) ? 0o777 : 0o700 }

  /// Whether root does as this user's folders and links say.
  static func trusts(_ user: uid_t) -> Bool {
    let own = geteuid()
    return own != 0 || user == own || user == Invoker.current?.user || allowsForeign.load(ordering: .relaxed)
  }

  /// Whether no other user can exchange what lies in the folder.
  private static func trusts(_ status: stat) -> Bool {
    // In a sticky folder others cannot touch what is ours.
    if geteuid() != 0 || allowsForeign.load(ordering: .relaxed) || status.st_mode & S_ISVTX != 0 { return true }
    let groups = [0, getegid(), Invoker.current?.group ?? 0]
    let isOthers = status.st_mode & 0o002 != 0 || status.st_mode & 0o020 != 0 && !groups.contains(status.st_gid)
    return trusts(status.st_uid) && !isOthers
  }

  /// Throws where root should not write into an open folder.
  static func require(_ descriptor: Int32, _ path: String) throws(RecordingError) {
    var status = stat()
    guard unsafe fstat(descriptor, &status) == 0 else { throw Files.failure("cannot look at it", path) }
    guard !trusts(status) else { return }
    let reason =
      trusts(status.st_uid)
      ? "others may write in it" : "it belongs to another user (uid \(status.st_uid))"
    throw RecordingError(
      .foreign, path: path.isEmpty ? "." : path,
      "\(reason), who could exchange what root writes there: choose a folder of your own, or take the risk with --foreign"
    )
  }

  /// Throws where root would replace another user's file in a folder that both may write in.
  static func requireReplaceable(_ name: String, in folder: borrowing Folder) throws(RecordingError) {
    var status = stat()
    guard unsafe fstatat(folder.descriptor, name, &status, AT_SYMLINK_NOFOLLOW) == 0, !trusts(status.st_uid) else {
      return
    }
    throw RecordingError(
      .foreign, path: folder.path(of: name), "belongs to another user and is not replaced: choose another folder")
  }

  /// What root has made belongs to the user who called it by sudo.
  static func handOver(_ descriptor: Int32) {
    guard let invoker = Invoker.current else { return }
    var status = stat()
    guard unsafe fstat(descriptor, &status) == 0, status.st_uid == 0 else { return }
    // A file system that knows no owners is no reason to stop.
    _ = unsafe fchownat(descriptor, "", invoker.user, invoker.group, OpenFlag.emptyPath)
  }
}
