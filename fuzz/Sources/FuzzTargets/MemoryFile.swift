// SPDX-License-Identifier: GPL-2.0-or-later
internal import CFuzzer
internal import Glibc

/// Bytes as a file without a name, gone with its owner.
final class MemoryFile {
  private let descriptor: Int32

  var path: String { "/proc/self/fd/\(descriptor)" }

  init(_ bytes: [UInt8]) {
    descriptor = unsafe lp_memory_file(bytes, bytes.count)
    precondition(descriptor >= 0, "no file in memory")
  }

  deinit { close(descriptor) }
}
