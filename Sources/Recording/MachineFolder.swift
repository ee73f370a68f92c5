// SPDX-License-Identifier: GPL-2.0-or-later
#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

/// `DIR/MACHINE` of a recorder: new, and locked while this lives, so that a repair keeps away.
struct MachineFolder: ~Copyable {
  static let streamsName = "ctf"

  let folder: Folder
  /// `DIR/MACHINE/ctf`.
  let streams: Folder
  private let metadata: File

  /// - Parameter bytes: of `ctf/metadata`.
  init(directory: String, name: String, metadata bytes: [UInt8]) throws(RecordingError) {
    let parent = try Folder(directory)
    guard parent.type(name) == nil else {
      throw RecordingError(
        .exists, path: parent.path(of: name), "exists already: choose another -o, or another machine name")
    }
    let folder = try parent.makeFolder(name)
    do throws(RecordingError) {
      let streams = try folder.makeFolder(MachineFolder.streamsName)
      let path = streams.path(of: "metadata")
      try streams.makeFile("metadata").write(all: bytes, path)
      metadata = try streams.openFile("metadata")
      self.streams = streams
    } catch {
      MachineFolder.remove(folder, name, from: parent)
      throw error
    }
    self.folder = folder
    // Whoever asks for the lock has it for a moment only. Where the file system has none, recording goes on.
    flock(metadata.descriptor, LOCK_EX)
  }

  func unlock() { flock(metadata.descriptor, LOCK_UN) }

  /// A start that failed leaves nothing in the way of the next one.
  func remove(from directory: String) {
    guard let parent = try? Folder(directory) else { return }
    MachineFolder.remove(folder, Files.name(of: folder.path), from: parent)
  }

  private static func remove(_ folder: borrowing Folder, _ name: String, from parent: borrowing Folder) {
    if let streams = try? folder.openFolder(streamsName) { try? streams.remove("metadata") }
    try? folder.removeFolder(streamsName)
    try? parent.removeFolder(name)
  }

  /// No `session.json` is left that stands alone.
  static func removeLoneSession(_ directory: String, _ session: Session) {
    guard let parent = try? Folder(directory), (try? parent.names()) == [Session.fileName],
      (try? Session.load(from: directory))?.id == session.id
    else { return }
    try? parent.remove(Session.fileName)
  }
}
