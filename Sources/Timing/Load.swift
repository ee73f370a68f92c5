// SPDX-License-Identifier: GPL-2.0-or-later
internal import Foundation
internal import Glibc
internal import Synchronization

/// What keeps the machine busy while timers are measured.
package enum LoadKind: String, CaseIterable, Sendable {
  case idle
  /// A thread on each CPU that never waits.
  case cpu
  /// Two threads that write files and wait for the disk.
  case io
}

/// A load that this process makes itself; ends when released.
package final class Load: Sendable {
  /// Bytes that one thread's file grows to before it is written anew.
  static let fileSize = 16 << 20
  private static let writers = 2

  private let shared: Shared

  private final class Shared: Sendable {
    let isEnded = Atomic<Bool>(false)
    let running = Atomic<Int>(0)
    /// Bytes written, or rounds done: that there was a load.
    let work = Atomic<UInt64>(0)
    let failure = Mutex<String?>(nil)
  }

  /// - Parameter directory: where the files of ``LoadKind/io`` are; they lose their names at once.
  /// - Throws: ``LoadError``
  package init(_ kind: LoadKind, directory: String) throws(LoadError) {
    shared = Shared()
    switch kind {
    case .idle: break
    case .cpu: for _ in 0..<ProcessInfo.processInfo.activeProcessorCount { start(Load.spin) }
    case .io:
      for _ in 0..<Load.writers {
        var path = Array("\(directory)/latprobe-XXXXXX".utf8CString)
        let file = unsafe mkstemp(&path)
        guard file >= 0 else {
          throw LoadError("\(directory): no file for the I/O load there: \(unsafe String(cString: strerror(errno)))")
        }
        unsafe unlink(path)
        start { shared in
          Load.write(file, shared)
          close(file)
        }
      }
    }
  }

  deinit {
    shared.isEnded.store(true, ordering: .relaxed)
    // A write that waits for the disk ends in its own time; the next measurement is not to see it.
    while shared.running.load(ordering: .relaxed) > 0 { usleep(1000) }
  }

  /// Why it ended early: the disk is full, for instance.
  package var failure: String? { shared.failure.withLock { $0 } }
  /// How much was done, in units of its own.
  package var work: UInt64 { shared.work.load(ordering: .relaxed) }

  private func start(_ body: @escaping @Sendable (Shared) -> Void) {
    let shared = shared
    shared.running.add(1, ordering: .relaxed)
    Thread {
      body(shared)
      shared.running.subtract(1, ordering: .relaxed)
    }.start()
  }

  private static let spin: @Sendable (Shared) -> Void = { shared in
    while !shared.isEnded.load(ordering: .relaxed) { shared.work.add(1, ordering: .relaxed) }
  }

  private static func write(_ file: Int32, _ shared: Shared) {
    let block = [UInt8](repeating: 0x5a, count: 64 << 10)
    var offset = 0
    while !shared.isEnded.load(ordering: .relaxed) {
      let count = unsafe block.withUnsafeBytes { unsafe pwrite(file, $0.baseAddress, $0.count, offset) }
      guard count > 0, offset % (1 << 20) != 0 || fdatasync(file) == 0 else {
        let reason = unsafe String(cString: strerror(errno))
        shared.failure.withLock { $0 = "the I/O load ended: \(reason)" }
        return
      }
      shared.work.add(UInt64(count), ordering: .relaxed)
      offset = (offset + count) % Load.fileSize
    }
  }
}

package struct LoadError: Error, CustomStringConvertible {
  package let description: String

  init(_ description: String) { self.description = description }
}
