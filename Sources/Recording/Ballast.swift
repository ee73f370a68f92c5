// SPDX-License-Identifier: GPL-2.0-or-later

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

/// Disk space held back beside the streams, so that the last `machine.json` can be written on a full disk.
struct Ballast {
  static let fileName = ".ballast"
  let size: Int

  /// The JSON's worst case: a ledger row for each hook and CPU, some 240 bytes as printed.
  init(machine: Machine) {
    let rows = HookPoint.allCases.count * min(max(machine.cpus, 1), 8192)
    size = (64 << 10) + rows * 240
  }

  func create(in folder: borrowing Folder) throws(RecordingError) {
    // Random bytes: a file system that compresses or finds holes must hold real blocks too.
    var bytes = [UInt8](repeating: 0, count: size)
    var state: UInt64 = 0x9E37_79B9_7F4A_7C15
    for i in bytes.indices {
      state ^= state << 13
      state ^= state >> 7
      state ^= state << 17
      bytes[i] = UInt8(truncatingIfNeeded: state)
    }
    let path = folder.path(of: Ballast.fileName)
    let file = try folder.makeFile(Ballast.fileName)
    try file.write(all: bytes, path)
    // Delayed allocation reserves space only; blocks must be there.
    guard fsync(file.descriptor) == 0 else { throw Files.failure("cannot write", path) }
  }

  func remove(from folder: borrowing Folder) { try? folder.remove(Ballast.fileName) }
}
