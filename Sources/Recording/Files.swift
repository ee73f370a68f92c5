// SPDX-License-Identifier: GPL-2.0-or-later
#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

/// An open file; closed with its owner.
struct File: ~Copyable {
  let descriptor: Int32

  /// To read, by path; nothing waits for the other end of a pipe. What is written is made in a ``Folder``.
  init(_ path: String, flags: Int32 = 0) throws(RecordingError) {
    descriptor = unsafe open(path, O_RDONLY | flags | O_CLOEXEC | O_NONBLOCK | O_NOCTTY)
    if descriptor < 0 { throw Files.failure("cannot open", path) }
  }

  init(descriptor: Int32) { self.descriptor = descriptor }

  deinit { close(descriptor) }

  /// The descriptor, to be closed by the caller.
  consuming func release() -> Int32 {
    let descriptor = descriptor
    discard self
    return descriptor
  }

  /// Size in bytes.
  func size(_ path: String) throws(RecordingError) -> Int {
    var status = stat()
    guard unsafe fstat(descriptor, &status) == 0 else { throw Files.failure("cannot stat", path) }
    return Int(status.st_size)
  }

  /// Fills `buffer` from `offset`, or as much of it as the file has; returns the number of bytes.
  func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int, _ path: String) throws(RecordingError) -> Int {
    var done = 0
    while done < buffer.count {
      let rest = unsafe UnsafeMutableRawBufferPointer(rebasing: buffer[done...])
      let count = unsafe pread(descriptor, rest.baseAddress, rest.count, off_t(offset + done))
      if count < 0 && errno == EINTR { continue }
      if count < 0 { throw Files.failure("cannot read", path) }
      if count == 0 { break }
      done += count
    }
    return done
  }

  /// Writes all of `buffer`, normally in one call.
  func write(_ buffer: UnsafeRawBufferPointer, _ path: String, call: WriteCall = systemWrite) throws(RecordingError) {
    try unsafe Files.write(descriptor, buffer, path, call: call)
  }

  func write(all bytes: [UInt8], _ path: String) throws(RecordingError) {
    try unsafe bytes.withUnsafeBufferPointer { (buffer) throws(RecordingError) in
      try unsafe write(UnsafeRawBufferPointer(buffer), path)
    }
  }

  func truncate(to size: Int, _ path: String) throws(RecordingError) {
    guard ftruncate(descriptor, off_t(size)) == 0 else { throw Files.failure("cannot truncate", path) }
  }
}

/// write(2): returns the bytes written, or −1 with `errno` set. A test puts a full disk in its place.
package typealias WriteCall = @Sendable (Int32, RawSpan) -> Int

package let systemWrite: WriteCall = { descriptor, bytes in
  unsafe bytes.withUnsafeBytes { unsafe write(descriptor, $0.baseAddress, $0.count) }
}

/// fsync(2): 0, or −1 with `errno` set. A test looks at what is synced.
package typealias SyncCall = @Sendable (Int32) -> Int32

package let systemSync: SyncCall = { fsync($0) }

/// Plain file operations with one-line errors.
enum Files {
  enum EntryType { case directory, file, other }

  static func failure(_ what: String, _ path: String, number: Int32 = errno) -> RecordingError {
    let reason = unsafe String(cString: strerror(number))
    switch number {
    case ENOSPC, EDQUOT, EFBIG:
      return RecordingError(
        .diskFull, path: path, errno: number,
        "\(what): \(reason) (errno \(number)); what was recorded before is complete and readable: "
          + "free space, record elsewhere, or bound it with --max-size")
    case EACCES, EPERM, EROFS:
      return RecordingError(
        .file, path: path, errno: number,
        "\(what): \(reason) (errno \(number)); check the permissions, or choose another user or directory")
    default:
      return RecordingError(.file, path: path, errno: number, "\(what): \(reason) (errno \(number))")
    }
  }

  /// Nil where there is nothing; symbolic links are not followed.
  static func type(_ path: String) -> EntryType? {
    var status = stat()
    guard unsafe lstat(path, &status) == 0 else { return nil }
    return kind(status)
  }

  /// As ``type(_:)``, but follows symbolic links; what may not be looked at is an error, not nothing.
  static func target(_ path: String) throws(RecordingError) -> EntryType? {
    var status = stat()
    guard unsafe stat(path, &status) == 0 else {
      if errno == ENOENT || errno == ENOTDIR { return nil }
      throw failure("cannot look at it", path)
    }
    return kind(status)
  }

  static func kind(_ status: stat) -> EntryType {
    switch status.st_mode & S_IFMT {
    case S_IFDIR: .directory
    case S_IFREG: .file
    default: .other
    }
  }

  /// Names in a directory, sorted, without `.` and `..`.
  static func list(_ path: String) throws(RecordingError) -> [String] {
    guard let directory = unsafe opendir(path) else { throw failure("cannot list", path) }
    defer { unsafe closedir(directory) }
    return unsafe names(directory)
  }

  static func names(_ directory: OpaquePointer) -> [String] {
    var names: [String] = []
    while let entry = unsafe readdir(directory) {
      let name = unsafe withUnsafePointer(to: &entry.pointee.d_name) {
        unsafe $0.withMemoryRebound(to: CChar.self, capacity: 256) { unsafe String(cString: $0) }
      }
      if name != "." && name != ".." { names.append(name) }
    }
    return names.sorted()
  }

  /// Writes all of `buffer`, normally in one call.
  static func write(
    _ descriptor: Int32, _ buffer: UnsafeRawBufferPointer, _ path: String, call: WriteCall
  ) throws(RecordingError) {
    var done = 0
    while done < buffer.count {
      let rest = unsafe UnsafeRawBufferPointer(rebasing: buffer[done...])
      let count = unsafe call(descriptor, rest.bytes)
      if count < 0 && errno == EINTR { continue }
      if count <= 0 { throw failure("cannot write", path, number: count == 0 ? EIO : errno) }
      done += count
    }
  }

  static func parent(of path: String) -> String {
    var parts = path.split(separator: "/", omittingEmptySubsequences: true)
    let isAbsolute = path.hasPrefix("/")
    if parts.isEmpty { return path }
    parts.removeLast()
    if parts.isEmpty { return isAbsolute ? "/" : "." }
    return (isAbsolute ? "/" : "") + parts.joined(separator: "/")
  }

  static func name(of path: String) -> String { path.split(separator: "/").last.map(String.init) ?? path }

  /// The path without symbolic links and dots; nil where there is nothing.
  static func resolve(_ path: String) throws(RecordingError) -> String? {
    guard let resolved = unsafe realpath(path, nil) else {
      if errno == ENOENT || errno == ENOTDIR { return nil }
      throw failure("cannot look at it", path)
    }
    defer { unsafe free(resolved) }
    return unsafe String(cString: resolved)
  }

  /// At most `limit` bytes, so that a hostile file cannot take all memory.
  static func read(_ path: String, limit: Int) throws(RecordingError) -> [UInt8] {
    if let type = try target(path), type != .file {
      throw RecordingError(.damaged, path: path, "is not a regular file")
    }
    let file = try File(path)
    let size = try file.size(path)
    guard size <= limit else {
      throw RecordingError(.damaged, path: path, "has \(size) bytes, more than any latprobe writes (\(limit))")
    }
    var bytes = [UInt8](repeating: 0, count: size)
    let count = try unsafe bytes.withUnsafeMutableBufferPointer { (buffer) throws(RecordingError) in
      try unsafe file.read(into: UnsafeMutableRawBufferPointer(buffer), at: 0, path)
    }
    return Array(bytes.prefix(count))
  }
}
