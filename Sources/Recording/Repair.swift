// SPDX-License-Identifier: GPL-2.0-or-later

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

/// One thing that a repair did to a file.
package struct RepairAction: Sendable, Equatable, CustomStringConvertible {
  package enum Kind: Sendable, Equatable {
    /// The torn last packet was cut off.
    case trimmedTail
    /// A stream without any whole packet was removed.
    case removedStream
    /// Packets that make no sense were moved out of the stream.
    case movedDamage(to: String)
    /// Something an interrupted recorder or repair left beside the streams was removed.
    case removedLeftover
  }

  package var kind: Kind
  package var path: String
  /// Offset in the file as it was, and bytes taken out.
  package var offset: Int
  package var bytes: Int

  package init(kind: Kind, path: String, offset: Int, bytes: Int) {
    self.kind = kind
    self.path = path
    self.offset = offset
    self.bytes = bytes
  }

  package var description: String {
    switch kind {
    case .trimmedTail: "\(path): cut off a torn packet of \(bytes) bytes at offset \(offset)"
    case .removedStream: "\(path): removed, it held no whole packet (\(bytes) bytes)"
    case .movedDamage(let to): "\(path): moved \(bytes) damaged bytes at offset \(offset) to \(to)"
    case .removedLeftover: "\(path): removed, an interrupted run left it (\(bytes) bytes)"
    }
  }
}

/// Makes a recording readable for CTF readers that refuse what ``MachineRecording`` steps over.
///
/// A torn tail is cut off: it is less than a packet. Whatever else is damaged is moved to
/// `MACHINE/damaged/` before it leaves its stream. Whole packets stay as they are, byte for byte.
///
/// - Parameter directory: `DIR` or `DIR/MACHINE`.
/// - Returns: what was done; nothing where nothing was to do.
package func repair(directory: String) throws(RecordingError) -> [RepairAction] {
  guard try Files.target(directory) == .directory else {
    throw RecordingError(.notARecording, path: directory, "is not a directory: give a recording's")
  }
  if try RecordedSession.isMachine(directory) { return try Repair.machine(directory) }
  let machines = try RecordedSession.machineFolders(directory)
  guard !machines.isEmpty else {
    throw RecordingError(.notARecording, path: directory, "holds no latprobe recording")
  }
  var actions = try Repair.leftover("\(directory)/.\(Session.fileName).tmp")
  for machine in machines { actions += try Repair.machine(machine) }
  return actions
}

enum Repair {
  static let folderName = "damaged"
  static let temporaryName = ".repair.tmp"

  static func machine(_ directory: String) throws(RecordingError) -> [RepairAction] {
    let metadata = "\(directory)/ctf/metadata"
    let uuid = try Metadata.identify(metadata)
    let lock = try File(metadata, flags: O_RDONLY)
    if flock(lock.descriptor, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK {
      throw RecordingLock.busy(directory)
    }
    // By hand: a child that another thread is just about to start would hold the lock a moment longer.
    defer { flock(lock.descriptor, LOCK_UN) }
    var actions: [RepairAction] = []
    for name in [Ballast.fileName, ".\(Machine.fileName).tmp", temporaryName] {
      actions += try leftover("\(directory)/\(name)")
    }
    var foreign: [String] = []
    for stream in try StreamFile.list("\(directory)/ctf", foreign: &foreign) {
      actions += try repair(stream, uuid: uuid, directory)
    }
    return actions
  }

  static func leftover(_ path: String) throws(RecordingError) -> [RepairAction] {
    guard Files.type(path) == .file else { return [] }
    let size = try File(path, flags: O_RDONLY | O_NOFOLLOW).size(path)
    try Files.remove(path)
    return [RepairAction(kind: .removedLeftover, path: path, offset: 0, bytes: size)]
  }

  private static func repair(
    _ stream: StreamFile, uuid: TraceID, _ directory: String
  ) throws(RecordingError) -> [RepairAction] {
    let reader = try StreamReader(stream.path, cpu: stream.cpu, uuid: uuid)
    var sound: [Range<Int>] = []
    var damaged: [Range<Int>] = []
    var tail: Range<Int>?
    while let step = try reader.next() {
      switch step {
      case .packet(_, let range): sound.append(range)
      case .damaged(_, let range), .unreadable(_, let range): damaged.append(range)
      case .torn(let range): tail = range
      }
    }
    var actions: [RepairAction] = []
    for range in damaged {
      let place = try save(stream.path, range, in: "\(directory)/\(folderName)")
      actions.append(
        RepairAction(kind: .movedDamage(to: place), path: stream.path, offset: range.lowerBound, bytes: range.count))
    }
    if sound.isEmpty {
      try Files.remove(stream.path)
      actions.append(RepairAction(kind: .removedStream, path: stream.path, offset: 0, bytes: tail?.count ?? 0))
      return actions
    }
    if let tail {
      actions.append(
        RepairAction(kind: .trimmedTail, path: stream.path, offset: tail.lowerBound, bytes: tail.count))
    }
    if !damaged.isEmpty {
      try rewrite(stream.path, keeping: sound, temporary: "\(directory)/\(temporaryName)")
    } else if let tail {
      try File(stream.path, flags: O_WRONLY | O_NOFOLLOW).truncate(to: tail.lowerBound, stream.path)
    }
    return actions
  }

  /// Copies a damaged part to a file of its own; returns its path.
  private static func save(_ path: String, _ range: Range<Int>, in folder: String) throws(RecordingError) -> String {
    if Files.type(folder) != .directory { try Files.makeDirectory(folder) }
    let name = "\(folder)/\(Files.name(of: path))_\(range.lowerBound)"
    var target = name
    var number = 2
    while Files.type(target) != nil {
      target = "\(name)_\(number)"
      number += 1
    }
    let source = try File(path, flags: O_RDONLY | O_NOFOLLOW)
    do throws(RecordingError) {
      let file = try File(target, flags: O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW)
      try copy(source, path, range, to: file, target)
    } catch {
      try? Files.remove(target)
      throw error
    }
    return target
  }

  /// Replaces the stream by its sound packets alone, whole or not at all.
  private static func rewrite(
    _ path: String, keeping sound: [Range<Int>], temporary: String
  ) throws(RecordingError) {
    let source = try File(path, flags: O_RDONLY | O_NOFOLLOW)
    do throws(RecordingError) {
      let file = try File(temporary, flags: O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW)
      for range in sound { try copy(source, path, range, to: file, temporary) }
    } catch {
      try? Files.remove(temporary)
      throw error
    }
    try Files.move(temporary, to: path)
  }

  private static func copy(
    _ source: borrowing File, _ path: String, _ range: Range<Int>, to file: borrowing File, _ target: String
  ) throws(RecordingError) {
    var chunk = [UInt8](repeating: 0, count: min(range.count, 1 << 20))
    var offset = range.lowerBound
    while offset < range.upperBound {
      let wanted = min(chunk.count, range.upperBound - offset)
      let descriptor = source.descriptor
      let count = unsafe chunk.withUnsafeMutableBytes {
        unsafe pread(descriptor, $0.baseAddress, wanted, off_t(offset))
      }
      guard count > 0 else { throw Files.failure("cannot read", path, number: count == 0 ? EIO : errno) }
      try file.write(all: Array(chunk.prefix(count)), target)
      offset += count
    }
  }
}
