// SPDX-License-Identifier: GPL-2.0-or-later

/// The recordings of one run, from one directory or several (host and guest).
package struct RecordedSession: Sendable {
  package var session: Session
  /// In the order of ``Session/members``, then by name.
  package var machines: [MachineRecording]
  /// What is missing from the session, one clear line each; each machine has its own `damage`.
  package var damage: [String]
  /// Those of ``damage`` about machines that were left out.
  package var leftOut: [String]

  package init(session: Session, machines: [MachineRecording]) {
    self.session = session
    self.machines = machines
    damage = []
    leftOut = []
  }

  /// Opens directories that hold `session.json`, or single folders of machines within them; stamps stay on disk.
  ///
  /// All must be of one session; members and labels are joined, a folder given twice is read once.
  package static func open(paths: [String]) throws(RecordingError) -> RecordedSession {
    try read(paths: paths, MachineRecording.open)
  }

  /// The same with all stamps held.
  package static func load(paths: [String]) throws(RecordingError) -> RecordedSession {
    try read(paths: paths, MachineRecording.load)
  }

  private static func read(
    paths: [String], _ readMachine: (_ directory: String) throws(RecordingError) -> MachineRecording
  ) throws(RecordingError) -> RecordedSession {
    var merged: (session: Session, path: String)?
    var expected: [String] = []
    var folders: [(name: String, path: String)] = []
    var known: Set<String> = []
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
      for folder in found.folders where known.insert(folder).inserted {
        folders.append((Files.name(of: folder), folder))
      }
    }
    guard let session = merged?.session else {
      throw RecordingError(.invalid, path: ".", "no recording was given")
    }
    var result = RecordedSession(session: session, machines: [])
    var named: [String: String] = [:]
    var failure: RecordingError?
    for folder in session.ordered(folders) {
      if let other = named.updateValue(folder.path, forKey: folder.name) {
        throw RecordingError(
          .differentSessions, path: folder.path,
          "and \(other) both claim to be \(folder.name) of one session: give one of them")
      }
      do throws(RecordingError) {
        result.machines.append(try readMachine(folder.path))
      } catch {
        // One machine's damage is no reason to say nothing of the others.
        guard error.kind == .damaged else { throw error }
        failure = failure ?? error
        result.leftOut.append("\(error): \(folder.name) is left out")
      }
    }
    if result.machines.isEmpty, let failure { throw failure }
    result.damage = result.leftOut
    let missing = expected.filter { named.updateValue("", forKey: $0) == nil }
    for name in missing.prefix(RecordedSession.missingTold) {
      result.damage.append(
        "\(paths.joined(separator: " ")): the recording of \(name) is missing: give its directory too")
    }
    if missing.count > RecordedSession.missingTold {
      result.damage.append("\(missing.count - RecordedSession.missingTold) more recordings are missing")
    }
    return result
  }

  static let absent = "does not exist: give the directory that `latprobe record -o` wrote"

  /// Of members that are missing; the others are counted.
  private static let missingTold = 100

  /// Folders of machines in `path` (real paths), and the members that should be there.
  private static func locate(
    _ path: String
  ) throws(RecordingError) -> (session: Session, folders: [String], expected: [String]) {
    guard let real = try Files.resolve(path) else {
      throw RecordingError(.notARecording, path: path, RecordedSession.absent)
    }
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
    var known = Set(members)
    members += other.members.filter { known.insert($0).inserted }
    labels.merge(other.labels) { mine, _ in mine }
  }

  /// In the order of ``members``, then by name.
  fileprivate func ordered(_ folders: [(name: String, path: String)]) -> [(name: String, path: String)] {
    let ranks = Dictionary(members.enumerated().map { ($1, $0) }, uniquingKeysWith: { first, _ in first })
    func rank(_ name: String) -> (Int, String) { (ranks[name] ?? members.count, name) }
    return folders.sorted { rank($0.name) < rank($1.name) }
  }
}
