// SPDX-License-Identifier: GPL-2.0-or-later
#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

/// An open folder to write in: whatever becomes of its path meanwhile, what is made in it by name lies in it.
///
/// A program that runs as root writes where others may write too, and none of them must be able to turn it against a third.
/// So a path is gone through once, component by component and by descriptor; what is made in the folder is new, and no link
/// in it is followed. Root refuses what another user could exchange behind its back (``WritePolicy``).
package struct Folder: ~Copyable {
  /// Which folders the path may lead through where root writes.
  package enum Parents {
    /// Such as no other user can change. Then the path may be opened again later.
    case trusted
    /// Any, but links of others are not followed: only the folder itself must be trusted, and its descriptor is all that is
    /// used from then on.
    case any
  }

  /// For messages.
  package let path: String
  let descriptor: Int32
  /// Paths of the folders that were made on the way, the outermost first.
  let made: [String]

  /// - Parameter making: makes it where there is none, and those above it.
  package init(_ path: String, making: Bool = false, below parents: Parents = .trusted) throws(RecordingError) {
    var walk = try FolderWalk(path, making: making, parents: parents)
    while try walk.step() {}
    descriptor = try walk.openEnd()
    made = walk.made
    self.path = path
  }

  /// Whether there is anything at the path.
  package static func isThere(_ path: String) throws(RecordingError) -> Bool { try Files.target(path) != nil }

  private init(path: String, descriptor: Int32) {
    self.path = path
    self.descriptor = descriptor
    made = []
  }

  deinit { close(descriptor) }

  package func path(of name: String) -> String { path.hasSuffix("/") ? path + name : "\(path)/\(name)" }

  // MARK: - Folders in it

  /// A new folder.
  package func makeFolder(_ name: String) throws(RecordingError) -> Folder {
    guard unsafe mkdirat(descriptor, name, WritePolicy.folderMode) == 0 else {
      throw Files.failure("cannot create the directory", path(of: name))
    }
    guard let folder = try openFolder(name) else {
      throw Files.failure("cannot create the directory", path(of: name), number: ENOENT)
    }
    WritePolicy.handOver(folder.descriptor)
    return folder
  }

  /// Nil where there is none; a link is none.
  package func openFolder(_ name: String) throws(RecordingError) -> Folder? {
    let opened = unsafe openat(descriptor, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
    guard opened >= 0 else {
      if errno == ENOENT { return nil }
      throw Files.failure("cannot open", path(of: name))
    }
    let folder = Folder(path: path(of: name), descriptor: opened)
    try WritePolicy.require(opened, folder.path)
    return folder
  }

  /// The one that is there, or a new one.
  package func folder(_ name: String) throws(RecordingError) -> Folder {
    if let folder = try openFolder(name) { return folder }
    return try makeFolder(name)
  }

  func removeFolder(_ name: String) throws(RecordingError) {
    guard unsafe unlinkat(descriptor, name, AT_REMOVEDIR) == 0 || errno == ENOENT else {
      throw Files.failure("cannot remove the directory", path(of: name))
    }
  }

  // MARK: - Files in it

  /// A new file to write.
  func makeFile(_ name: String, flags: Int32 = O_WRONLY) throws(RecordingError) -> File {
    let opened = unsafe openat(
      descriptor, name, flags | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, WritePolicy.fileMode)
    guard opened >= 0 else { throw Files.failure("cannot create", path(of: name)) }
    WritePolicy.handOver(opened)
    return File(descriptor: opened)
  }

  /// A file that is there; links are not followed, and nothing waits for the other end of a pipe.
  func openFile(_ name: String, flags: Int32 = O_RDONLY) throws(RecordingError) -> File {
    let opened = unsafe openat(descriptor, name, flags | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | O_NOCTTY)
    guard opened >= 0 else { throw Files.failure("cannot open", path(of: name)) }
    return File(descriptor: opened)
  }

  /// A file without a name: it goes with its descriptor, at whatever moment the program is killed.
  ///
  /// A file system that knows no such files, as NFS, has it under a name for a moment.
  func makeNamelessFile() throws(RecordingError) -> File {
    // O_TMPFILE, a macro that is not imported.
    let nameless = O_DIRECTORY | 0o20_000_000
    let opened = unsafe openat(descriptor, ".", nameless | O_RDWR | O_EXCL | O_CLOEXEC, WritePolicy.fileMode)
    if opened >= 0 {
      WritePolicy.handOver(opened)
      return File(descriptor: opened)
    }
    let name = ".latprobe-\(getpid())-\(UInt64.random(in: 0...UInt64.max))"
    let file = try makeFile(name, flags: O_RDWR)
    try remove(name)
    return file
  }

  /// Replaces `name`: readers see the old content or the new one, never a part.
  func replace(_ name: String, _ bytes: [UInt8]) throws(RecordingError) {
    let file = try NewFile(in: self, name)
    try file.write(bytes)
    try file.finish()
  }

  /// Whatever the name is of, but a folder; nothing where there is nothing.
  package func remove(_ name: String) throws(RecordingError) {
    guard unsafe unlinkat(descriptor, name, 0) == 0 || errno == ENOENT else {
      throw Files.failure("cannot remove", path(of: name))
    }
  }

  /// Moves an entry from here to `folder`, where there must be nothing of that name.
  func move(_ name: String, to newName: String, in folder: borrowing Folder) throws(RecordingError) {
    guard folder.type(newName) == nil else {
      throw RecordingError(.exists, path: folder.path(of: newName), "exists already")
    }
    guard unsafe renameat(descriptor, name, folder.descriptor, newName) == 0 else {
      throw Files.failure("cannot rename to \(newName)", path(of: name))
    }
  }

  /// Nil where there is nothing; links are not followed.
  func type(_ name: String) -> Files.EntryType? {
    var status = stat()
    guard unsafe fstatat(descriptor, name, &status, AT_SYMLINK_NOFOLLOW) == 0 else { return nil }
    return Files.kind(status)
  }

  /// Names in it, sorted, without `.` and `..`.
  package func names() throws(RecordingError) -> [String] {
    let opened = unsafe openat(descriptor, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    guard opened >= 0, let directory = unsafe fdopendir(opened) else { throw Files.failure("cannot list", path) }
    defer { unsafe closedir(directory) }
    return unsafe Files.names(directory)
  }
}

/// A file that gets its name once it is whole: a full disk leaves an error and the old file (or none), never half a file.
///
/// Call ``finish()``; dropped before that, it goes.
package struct NewFile: ~Copyable {
  package let path: String
  private let name: String
  private let temporaryName: String
  private let folder: Int32
  private let descriptor: Int32
  private let call: WriteCall
  private var isOpen = true
  private var isTemporary = true

  /// - Parameter temporaryName: default: `.NAME.tmp`, which nobody takes for the file.
  package init(
    in folder: borrowing Folder, _ name: String, temporaryName: String? = nil, call: @escaping WriteCall = systemWrite
  ) throws(RecordingError) {
    let temporary = temporaryName ?? ".\(name).tmp"
    for place in [name, temporary] { try WritePolicy.requireReplaceable(place, in: folder) }
    // What an interrupted run left, or somebody put there.
    try folder.remove(temporary)
    let file = try folder.makeFile(temporary)
    path = folder.path(of: name)
    self.name = name
    self.temporaryName = temporary
    self.call = call
    descriptor = file.release()
    self.folder = fcntl(folder.descriptor, F_DUPFD_CLOEXEC, 0)
  }

  deinit {
    if isOpen { close(descriptor) }
    if isTemporary { unsafe unlinkat(folder, temporaryName, 0) }
    close(folder)
  }

  package func write(_ bytes: [UInt8]) throws(RecordingError) {
    try unsafe bytes.withUnsafeBufferPointer { (buffer) throws(RecordingError) in
      try unsafe Files.write(descriptor, UnsafeRawBufferPointer(buffer), path, call: call)
    }
  }

  /// So many zeros, which take no room where the file system knows holes.
  func skip(_ count: Int) throws(RecordingError) {
    let end = lseek(descriptor, off_t(count), SEEK_CUR)
    guard end >= 0, ftruncate(descriptor, end) == 0 else { throw Files.failure("cannot write", path) }
  }

  /// - Parameter onlyNew: an error where there is one of that name, instead of replacing it.
  package consuming func finish(onlyNew: Bool = false) throws(RecordingError) { try finish(in: folder, onlyNew) }

  /// As ``finish(onlyNew:)``, in another folder of the same file system.
  consuming func finish(in other: borrowing Folder) throws(RecordingError) { try finish(in: other.descriptor, false) }

  private mutating func finish(in target: Int32, _ onlyNew: Bool) throws(RecordingError) {
    isOpen = false
    // Some file systems report a full disk only here.
    guard close(descriptor) == 0 else { throw Files.failure("cannot write", path) }
    if onlyNew {
      guard unsafe linkat(folder, temporaryName, target, name, 0) != 0 else { return }
      // EPERM and the like: a file system without hard links.
      var status = stat()
      let isThere = errno == EEXIST
      if unsafe isThere || fstatat(target, name, &status, AT_SYMLINK_NOFOLLOW) == 0 {
        throw RecordingError(.exists, path: path, "is there already: another latprobe has just begun there")
      }
    }
    guard unsafe renameat(folder, temporaryName, target, name) == 0 else {
      throw Files.failure("cannot rename to it", path)
    }
    isTemporary = false
  }
}
