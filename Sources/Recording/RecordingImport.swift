// SPDX-License-Identifier: GPL-2.0-or-later
#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

/// A machine's folder as it arrives from another machine, which is not trusted.
///
/// Files are written below a hidden folder of their own (`DIR/.MACHINE.part`, new, so that no link can lie in it) under
/// names that are made here from numbers. ``finish()`` looks at what has come and gives the folder its name; without it
/// everything goes when this is released.
package final class RecordingImport {
  /// Files of one recording; rotation keeps real ones far below.
  static let fileLimit = 100_000

  /// Bytes that have come.
  package private(set) var size = 0
  private let parent: Folder
  private let folder: Folder
  private let streams: Folder
  private let target: String
  private let machine: String
  private let session: String
  private let bootID: String
  private let limit: Int
  private let sync: SyncCall
  /// Bytes announced of streams.
  private var streamSize = 0
  private var files: Set<RecordingFile> = []
  private var path = ""
  private var rest = 0
  private var isFinished = false
  private var open: File?

  /// - Parameters:
  ///   - parent: `DIR`, with `session.json`.
  ///   - machine: name of the folder, and what `machine.json` must say.
  ///   - session: id that the recording must carry.
  ///   - bootID: what `machine.json` must say: the clock exchanges were made with this kernel.
  ///   - limit: bytes of the streams; `machine.json` and `metadata` have bounds of their own.
  package init(
    directory parent: String, machine: String, session: String, bootID: String, limit: Int,
    sync: @escaping SyncCall = systemSync
  ) throws(RecordingError) {
    guard MachineName.isSafe(machine) else {
      throw RecordingError(.invalid, path: parent, "\"\(machine)\" cannot be a machine's folder name")
    }
    let folder = try Folder(parent)
    target = folder.path(of: machine)
    guard folder.type(machine) == nil else {
      throw RecordingError(.exists, path: target, "exists already: two machines of a session need two names")
    }
    self.folder = try folder.makeFolder(RecordingImport.partName(machine))
    streams = try self.folder.makeFolder(MachineFolder.streamsName)
    self.parent = folder
    self.machine = machine
    self.session = session
    self.bootID = bootID
    self.limit = limit
    self.sync = sync
  }

  /// Of the folder while it is coming.
  static func partName(_ machine: String) -> String { ".\(machine).part" }

  deinit {
    open = nil
    if !isFinished { remove() }
  }

  /// Begins the next file; the one before must be whole.
  package func begin(_ file: RecordingFile, size bytes: UInt64) throws(RecordingError) {
    try endFile()
    path = folder.path(of: file.path)
    guard files.count < RecordingImport.fileLimit, files.insert(file).inserted else {
      throw RecordingError(.invalid, path: path, "comes twice, or is one file too many")
    }
    let room = file.limit ?? limit - streamSize
    guard bytes <= UInt64(room) else {
      throw RecordingError(
        .invalid, path: path, "\(bytes) bytes would exceed the bound by which \(room) are left; see --max-size")
    }
    rest = Int(bytes)
    if file.limit == nil { streamSize += rest }
    if file.isInStreams { open = try streams.makeFile(file.name) } else { open = try folder.makeFile(file.name) }
  }

  package func append(_ bytes: [UInt8]) throws(RecordingError) {
    guard bytes.count <= rest, let file = open.take() else {
      throw RecordingError(.invalid, path: path, "more bytes came than were announced")
    }
    try file.write(all: bytes, path)
    open = consume file
    rest -= bytes.count
    size += bytes.count
  }

  /// Checks the recording and gives the folder its name.
  ///
  /// - Returns: what `machine.json` says.
  @discardableResult
  package func finish() throws(RecordingError) -> Machine {
    try endFile()
    guard files.isSuperset(of: [.machine, .metadata]) else {
      throw RecordingError(.damaged, path: target, "came without machine.json or metadata")
    }
    let described = try JSONFile.decode(
      Machine.self, folder.path(of: Machine.fileName), reads: Machine.currentFormat)
    guard described.name == machine else {
      throw RecordingError(.invalid, path: target, "calls itself another name in machine.json")
    }
    guard described.bootID == bootID else {
      throw RecordingError(.invalid, path: target, "was made by another kernel (boot id) than the one that prepared it")
    }
    let metadata = streams.path(of: "metadata")
    _ = try Metadata.identify(metadata)
    guard try Metadata.value("session_id", metadata) == session else {
      throw RecordingError(.differentSessions, path: target, "is of another session than \(session)")
    }
    try sync(streams)
    try sync(folder)
    try parent.move(RecordingImport.partName(machine), to: machine, in: parent)
    isFinished = true
    try sync(parent)
    return described
  }

  /// What is acknowledged must survive a crash of this machine.
  private func endFile() throws(RecordingError) {
    guard let file = open.take() else { return }
    guard rest == 0 else { throw RecordingError(.damaged, path: path, "ends \(rest) bytes early") }
    guard sync(file.descriptor) == 0 else { throw Files.failure("cannot write", path) }
  }

  /// The names in it; EINVAL: a file system without this.
  private func sync(_ folder: borrowing Folder) throws(RecordingError) {
    guard sync(folder.descriptor) == 0 || errno == EINVAL else { throw Files.failure("cannot write", folder.path) }
  }

  private func remove() {
    for file in files {
      if file.isInStreams { try? streams.remove(file.name) } else { try? folder.remove(file.name) }
    }
    try? folder.removeFolder(MachineFolder.streamsName)
    try? parent.removeFolder(RecordingImport.partName(machine))
  }
}
