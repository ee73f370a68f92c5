// SPDX-License-Identifier: GPL-2.0-or-later
import Foundation
import Recording
import Synchronization
import Testing

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

/// What comes from another machine survives a crash of this one before it is acknowledged.
@Suite struct ImportTests {
  /// Takes over a small recording of `guest-a` into `parent`.
  private func take(into parent: Scratch, sync: @escaping SyncCall) throws {
    let guest = try Scratch()
    try writeSmall(guest, name: "guest-a")
    let export = try RecordingExport(directory: "\(guest.path)/guest-a")
    let incoming = try RecordingImport(
      directory: parent.path, machine: "guest-a", session: sampleSession().id, bootID: "boot", limit: 1 << 20,
      sync: sync)
    for entry in export.entries {
      try incoming.begin(entry.file, size: UInt64(entry.size))
      try export.read(entry, piece: 1000) { try incoming.append($0) }
    }
    try incoming.finish()
  }

  /// Where a descriptor leads, below `scratch`.
  private static func name(_ descriptor: Int32, below path: String) -> String {
    let target = (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/fd/\(descriptor)")) ?? "?"
    return target.replacing(path, with: "")
  }

  @Test func filesAndFoldersAreSynced() throws {
    let scratch = try Scratch()
    let path = scratch.path
    let synced = Mutex<[String]>([])
    try take(into: scratch) { descriptor in
      synced.withLock { $0.append(ImportTests.name(descriptor, below: path)) }
      return systemSync(descriptor)
    }
    let part = "/.guest-a.part"
    #expect(
      synced.withLock { $0 } == [
        "\(part)/machine.json", "\(part)/ctf/metadata", "\(part)/ctf/stream_0_0", "\(part)/ctf/stream_1_0",
        "\(part)/ctf", part, "",
      ])
    #expect(try scratch.list("") == ["guest-a"])
  }

  @Test func aFolderThatCannotBeSyncedIsNoRecording() throws {
    let scratch = try Scratch()
    let path = scratch.path
    let failure = try error {
      try take(into: scratch) { descriptor in
        guard ImportTests.name(descriptor, below: path).hasSuffix("/ctf") else { return systemSync(descriptor) }
        errno = EIO
        return -1
      }
    }
    #expect(failure.path.hasSuffix("/ctf") && failure.errno == EIO)
    #expect(try scratch.list("").isEmpty)
  }
}
