// SPDX-License-Identifier: GPL-2.0-or-later
import Synchronization

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

/// Where numbers go that are too many to be held, and how many that is.
///
/// Where the disk fails all further ones are 0, and ``failure`` says so: whoever computes asks for it once, at the end.
package final class Scratch: Sendable {
  /// Values that one column holds, and the bytes that all of them hold together before each holds a part only.
  package let limit: Int
  package let memory: Int
  /// Values that are read and written at once: a multiple of 64.
  package let partSize: Int
  private let directory: String
  private let write: WriteCall
  private let held = Atomic(0)
  private let error = Mutex<RecordingError?>(nil)

  /// Nothing is on disk before it must be.
  package init(
    in directory: String = Scratch.temporaryDirectory, limit: Int = 1 << 20, write: @escaping WriteCall = systemWrite
  ) {
    self.directory = directory
    self.limit = limit
    self.write = write
    memory = 64 * limit
    partSize = max(64, limit / 64 & ~63)
  }

  /// A folder on a disk: /tmp may lie in memory.
  package static var temporaryDirectory: String {
    guard let name = unsafe getenv("TMPDIR"), unsafe name.pointee != 0 else { return "/var/tmp" }
    return unsafe String(cString: name)
  }

  package var failure: RecordingError? { error.withLock { $0 } }

  /// Throws what the disk failed with, if it did.
  package func check() throws(RecordingError) {
    if let failure { throw failure }
  }

  /// Keeps the first failure.
  package func fail(_ failure: RecordingError) { error.withLock { $0 = $0 ?? failure } }

  /// Asks to hold some more bytes; false where there is no room.
  package func hold(_ bytes: Int) -> Bool { held.add(bytes, ordering: .relaxed).newValue <= memory }

  /// Says that bytes are held no more.
  package func release(_ bytes: Int) { held.subtract(bytes, ordering: .relaxed) }

  /// A file for values; nil where there can be none.
  package func makeSpill() -> Spill? {
    guard failure == nil else { return nil }
    do throws(RecordingError) { return try Spill(in: directory, write: write) } catch {
      fail(error)
      return nil
    }
  }
}
