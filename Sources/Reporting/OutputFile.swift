// SPDX-License-Identifier: GPL-2.0-or-later
import Glibc

/// What went wrong with a file: one clear line.
package struct FileError: Error, Equatable, CustomStringConvertible {
  package var description: String

  package init(_ description: String) { self.description = description }

  init(_ operation: String, _ path: String, errno code: Int32) {
    let reason = unsafe String(cString: strerror(code))
    let remedy =
      switch code {
      case ENOSPC, EDQUOT: "free some space or choose another output directory"
      case EACCES, EPERM, EROFS: "choose a directory that you may write to"
      case ENOTDIR, EEXIST: "a file stands where a directory is needed: choose another output directory"
      default: "check the path"
      }
    description = "cannot \(operation) \(Text.plain(path)): \(reason); \(remedy)"
  }
}

/// A file written in large chunks beside its final place and moved there when it is complete: a full disk leaves
/// an error and the old file (or none), never half a file.
///
/// Call ``finish()``; a file dropped before that is removed.
struct OutputFile: ~Copyable {
  private static let chunk = 1 << 20
  private let path: String
  private let descriptor: Int32
  private var buffer: [UInt8] = []
  private var isDone = false

  private var temporaryPath: String { path + ".part" }

  /// - Throws: ``FileError`` if the file cannot be created.
  init(path: String) throws(FileError) {
    self.path = path
    let opened = unsafe open(path + ".part", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o644)
    guard opened >= 0 else { throw FileError("create", path, errno: errno) }
    descriptor = opened
    buffer.reserveCapacity(OutputFile.chunk + 4096)
  }

  deinit {
    if !isDone {
      _ = close(descriptor)
      _ = unsafe unlink(temporaryPath)
    }
  }

  mutating func append(_ bytes: [UInt8]) { buffer.append(contentsOf: bytes) }
  mutating func append(_ text: String) { buffer.append(contentsOf: text.utf8) }
  mutating func append(_ byte: UInt8) { buffer.append(byte) }

  /// Decimal digits without a detour over String: rows come by the ten million.
  mutating func append(_ number: Int64) {
    if number < 0 { buffer.append(UInt8(ascii: "-")) }
    append(number.magnitude)
  }

  mutating func append(_ number: UInt64) {
    var rest = number
    let start = buffer.count
    repeat {
      let (quotient, digit) = rest.quotientAndRemainder(dividingBy: 10)
      buffer.append(UInt8(ascii: "0") + UInt8(digit))
      rest = quotient
    } while rest > 0
    var (low, high) = (start, buffer.count - 1)
    while low < high {
      buffer.swapAt(low, high)
      low += 1
      high -= 1
    }
  }

  /// Call after each row: writes once a chunk is full.
  mutating func endRow() throws(FileError) {
    buffer.append(UInt8(ascii: "\n"))
    if buffer.count >= OutputFile.chunk { try flush() }
  }

  private mutating func flush() throws(FileError) {
    var offset = 0
    while offset < buffer.count {
      let written = unsafe buffer.withUnsafeBytes { bytes in
        unsafe Glibc.write(descriptor, bytes.baseAddress?.advanced(by: offset), bytes.count - offset)
      }
      if written < 0 {
        if errno == EINTR { continue }
        throw FileError("write", path, errno: errno)
      }
      offset += written
    }
    buffer.removeAll(keepingCapacity: true)
  }

  /// Writes the rest and moves the file to its place.
  consuming func finish() throws(FileError) {
    try flush()
    isDone = true
    // Some file systems report a full disk only here.
    guard close(descriptor) == 0 else {
      let code = errno
      _ = unsafe unlink(temporaryPath)
      throw FileError("write", path, errno: code)
    }
    guard unsafe rename(temporaryPath, path) == 0 else {
      let code = errno
      _ = unsafe unlink(temporaryPath)
      throw FileError("write", path, errno: code)
    }
  }

  static func write(_ text: String, to path: String) throws(FileError) {
    var file = try OutputFile(path: path)
    file.append(text)
    try file.finish()
  }

  /// Removes a file, if there is one.
  static func remove(_ path: String) throws(FileError) {
    guard unsafe unlink(path) == 0 || errno == ENOENT else { throw FileError("remove", path, errno: errno) }
  }

  /// Makes a directory and those above it.
  static func makeDirectory(_ path: String) throws(FileError) {
    var status = stat()
    if unsafe stat(path, &status) == 0, status.st_mode & S_IFMT == S_IFDIR { return }
    if let slash = path.lastIndex(of: "/"), slash > path.startIndex {
      try makeDirectory(String(path[..<slash]))
    }
    if unsafe mkdir(path, 0o755) != 0 {
      let code = errno
      // "a/" was made on the way down as "a".
      if code == EEXIST, unsafe stat(path, &status) == 0, status.st_mode & S_IFMT == S_IFDIR { return }
      throw FileError("create directory", path, errno: code)
    }
  }
}
