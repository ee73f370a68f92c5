// SPDX-License-Identifier: GPL-2.0-or-later

/// Removes exactly the files that latprobe writes.
struct RecordingRemoval {
  /// What a start that was killed while it wrote `session.json` leaves.
  static let sessionLeftover = ".\(Session.fileName).tmp"

  /// A folder, by the names that lead to it, and the names of its files.
  private struct Content {
    let folders: [String]
    var files: [String] = []
  }

  private let directory: String
  private var contents: [Content] = []

  /// Looks at everything before anything is removed.
  init(_ directory: String) throws(RecordingError) {
    self.directory = directory
    let folder = try Folder(directory)
    // A recorder that was killed may have left a machine's folder without anything that tells what it is.
    let members = (try? Session.load(from: directory))?.members.filter(MachineName.isSafe) ?? []
    let own = Set(members + members.map(RecordingImport.partName))
    for name in try folder.names() where folder.type(name) == .directory {
      guard let machine = try folder.openFolder(name) else { continue }
      let isOther = try !RecordingRemoval.isMachine(machine)
      if isOther, !own.contains(name) { continue }
      if RecordingLock.isHeld(machine.path) { throw RecordingLock.busy(machine.path) }
      try collect(machine, name)
    }
  }

  func remove() throws(RecordingError) {
    let folder = try Folder(directory)
    // A folder comes after those that it lies in.
    for content in contents.reversed() {
      if content.folders.count == 1 {
        try remove(content, from: folder)
      } else if let machine = try folder.openFolder(content.folders[0]) {
        try remove(content, from: machine)
      }
    }
    try folder.remove(RecordingRemoval.sessionLeftover)
    // Last, so that an interrupted removal can be repeated.
    try folder.remove(Session.fileName)
  }

  private func remove(_ content: Content, from outer: borrowing Folder) throws(RecordingError) {
    let name = content.folders[content.folders.count - 1]
    guard let folder = try outer.openFolder(name) else { return }
    for file in content.files { try folder.remove(file) }
    try outer.removeFolder(name)
  }

  private static func isMachine(_ folder: borrowing Folder) throws(RecordingError) -> Bool {
    if folder.type(Machine.fileName) == .file { return true }
    return try folder.openFolder(MachineFolder.streamsName)?.type("metadata") == .file
  }

  private mutating func collect(_ machine: borrowing Folder, _ machineName: String) throws(RecordingError) {
    var content = Content(folders: [machineName])
    var inner: [Content] = []
    for name in try machine.names() {
      switch (name, machine.type(name)) {
      case (Machine.fileName, .file), (".\(Machine.fileName).tmp", .file), (Ballast.fileName, .file),
        (Repair.temporaryName, .file):
        content.files.append(name)
      case (MachineFolder.streamsName, .directory), (Repair.folderName, .directory):
        guard let folder = try machine.openFolder(name) else { continue }
        let files = try folder.names()
        for file in files {
          let isOurs = file == "metadata" || file.hasPrefix("stream_")
          guard isOurs, folder.type(file) == .file else { throw RecordingRemoval.foreign(folder.path(of: file)) }
        }
        inner.append(Content(folders: [machineName, name], files: files))
      default: throw RecordingRemoval.foreign(machine.path(of: name))
      }
    }
    contents.append(content)
    contents += inner
  }

  private static func foreign(_ path: String) -> RecordingError {
    RecordingError(
      .exists, path: path, "was not written by latprobe, so --force removes nothing: move it away, or choose another -o"
    )
  }
}
