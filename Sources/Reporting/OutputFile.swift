// SPDX-License-Identifier: GPL-2.0-or-later
import Glibc
import Recording

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

extension FileError {
  init(_ operation: String, _ path: String, _ error: RecordingError) {
    if let code = error.errno { self.init(operation, path, errno: code) } else { self.init(error.description) }
  }
}

extension Folder {
  /// For a report: also below a folder of another user, as only its descriptor is used.
  static func forOutput(_ path: String, below parents: Parents = .any) throws(FileError) -> Folder {
    do throws(RecordingError) { return try Folder(path, making: true, below: parents) } catch {
      throw FileError("create directory", path, error)
    }
  }

  func outputFolder(_ name: String) throws(FileError) -> Folder {
    do throws(RecordingError) { return try folder(name) } catch {
      throw FileError("create directory", path(of: name), error)
    }
  }

  func removeOutput(_ name: String) throws(FileError) {
    do throws(RecordingError) { try remove(name) } catch { throw FileError("remove", path(of: name), error) }
  }

  func write(_ text: String, to name: String) throws(FileError) {
    var file = try OutputFile(in: self, name)
    file.append(text)
    try file.finish()
  }
}

/// A file written in large chunks that takes its place when it is complete (``NewFile``).
struct OutputFile: ~Copyable {
  private static let chunk = 1 << 20
  private let path: String
  private let file: NewFile
  private var buffer: [UInt8] = []

  /// - Throws: ``FileError`` if the file cannot be created.
  init(in folder: borrowing Folder, _ name: String, call: @escaping WriteCall = systemWrite) throws(FileError) {
    let path = folder.path(of: name)
    do throws(RecordingError) { file = try NewFile(in: folder, name, call: call) } catch {
      throw FileError("create", path, error)
    }
    self.path = path
    buffer.reserveCapacity(OutputFile.chunk + 4096)
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
    do throws(RecordingError) { try file.write(buffer) } catch { throw FileError("write", path, error) }
    buffer.removeAll(keepingCapacity: true)
  }

  /// Writes the rest and moves the file to its place.
  consuming func finish() throws(FileError) {
    try flush()
    let path = path
    do throws(RecordingError) { try file.finish() } catch { throw FileError("write", path, error) }
  }
}
