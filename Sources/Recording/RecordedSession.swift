// SPDX-License-Identifier: GPL-2.0-or-later

/// The recordings of one run, from one directory or several (host and guest).
package struct RecordedSession: Sendable {
  package var session: Session
  /// In the order of ``Session/members``, then by name.
  package var machines: [MachineRecording]
  /// What is missing from the session, one clear line each; each machine has its own `damage`.
  package var damage: [String]

  package init(session: Session, machines: [MachineRecording]) {
    self.session = session
    self.machines = machines
    damage = []
  }

  /// Loads directories that hold `session.json`, or single folders of machines within them.
  ///
  /// All must be of one session; members and labels are joined, a folder given twice is loaded once.
  package static func load(paths: [String]) throws(RecordingError) -> RecordedSession {
    var merged: (session: Session, path: String)?
    var expected: [String] = []
    var folders: [(name: String, path: String)] = []
    for path in paths {
      let found = try locate(path)
      if let first = merged, first.session.id != found.session.id {
        throw RecordingError(
          .differentSessions, path: path,
          "is session \(found.session.id), but \(first.path) is session \(first.session.id): give recordings of one session; sides recorded by hand get one by `record --session ID`"
        )
      }
      if merged == nil { merged = (found.session, path) }
      merged?.session.join(found.session)
      expected += found.expected
      for folder in found.folders where !folders.contains(where: { $0.path == folder }) {
        folders.append((Files.name(of: folder), folder))
      }
    }
    guard let session = merged?.session else {
      throw RecordingError(.invalid, path: ".", "no recording was given")
    }
    var result = RecordedSession(session: session, machines: [])
    for folder in folders.sorted(by: { session.rank($0.name) < session.rank($1.name) }) {
      if let other = folders.first(where: { $0.name == folder.name && $0.path != folder.path }) {
        throw RecordingError(
          .differentSessions, path: folder.path,
          "and \(other.path) both claim to be \(folder.name) of one session: give one of them")
      }
      result.machines.append(try MachineRecording.load(directory: folder.path))
    }
    var missing = expected.filter { name in !folders.contains { $0.name == name } }
    missing = missing.enumerated().filter { missing.firstIndex(of: $1) == $0 }.map(\.element)
    for name in missing {
      result.damage.append(
        "\(paths.joined(separator: " ")): the recording of \(name) is missing: give its directory too")
    }
    return result
  }

  /// Folders of machines in `path` (real paths), and the members that should be there.
  private static func locate(
    _ path: String
  ) throws(RecordingError) -> (session: Session, folders: [String], expected: [String]) {
    guard let real = try Files.resolve(path) else { throw RecordingError(.notARecording, path: path, "does not exist") }
    guard try Files.target(real) == .directory else {
      throw RecordingError(
        .notARecording, path: path, "is not a directory: give the one that `latprobe record -o` wrote")
    }
    if try Files.target("\(real)/\(Session.fileName)") == nil, try isMachine(real) {
      let parent = Files.parent(of: real)
      guard try Files.target("\(parent)/\(Session.fileName)") != nil else {
        throw RecordingError(
          .notARecording, path: path,
          "is a machine's folder, but \(parent) has no \(Session.fileName): keep it beside the folder")
      }
      return (try Session.load(from: parent), [real], [])
    }
    let session: Session
    do throws(RecordingError) {
      session = try Session.load(from: real)
    } catch {
      var error = error
      if error.path == real { error.path = path }
      throw error
    }
    let folders = try machineFolders(real)
    guard !folders.isEmpty else {
      throw RecordingError(.notARecording, path: path, "holds no machine's recording beside \(Session.fileName)")
    }
    return (session, folders, session.members)
  }

  /// Folders in `directory` that hold a machine, complete or not.
  static func machineFolders(_ directory: String) throws(RecordingError) -> [String] {
    // A hidden folder is a guest's recording that has not come whole.
    var folders: [String] = []
    for name in try Files.list(directory) where !name.hasPrefix(".") {
      let path = "\(directory)/\(name)"
      if try Files.target(path) == .directory, try isMachine(path) { folders.append(path) }
    }
    return folders
  }

  static func isMachine(_ path: String) throws(RecordingError) -> Bool {
    if try Files.target("\(path)/\(Machine.fileName)") != nil { return true }
    return try Files.target("\(path)/ctf") == .directory
  }
}

extension Session {
  /// Adds the members and labels of another part of the same session; what is there stays.
  fileprivate mutating func join(_ other: Session) {
    members += other.members.filter { !members.contains($0) }
    labels.merge(other.labels) { mine, _ in mine }
  }

  fileprivate func rank(_ name: String) -> (Int, String) {
    (members.firstIndex(of: name) ?? members.count, name)
  }
}
