// SPDX-License-Identifier: GPL-2.0-or-later

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

/// One thing that a repair did to a file, or has to say of it.
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
    /// Something that is not latprobe's lies among the streams and stays.
    case leftForeign
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
    case .leftForeign: "\(path): is no file of latprobe and stays; \(StreamFile.foreignRemedy)"
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
  let type = try Files.target(directory)
  guard type != nil else { throw RecordingError(.notARecording, path: directory, RecordedSession.absent) }
  guard type == .directory else {
    throw RecordingError(
      .notARecording, path: directory, "is not a directory: give the one that `latprobe record -o` wrote")
  }
  if try RecordedSession.isMachine(directory) { return try Repair.machine(directory) }
  let machines = try RecordedSession.machineFolders(directory)
  guard !machines.isEmpty else {
    throw RecordingError(
      .notARecording, path: directory, "is not a latprobe recording: give the directory that `latprobe record -o` wrote"
    )
  }
  var actions = try Repair.leftover(RecordingRemoval.sessionLeftover, in: Folder(directory))
  for machine in machines { actions += try Repair.machine(machine) }
  return actions
}

enum Repair {
  static let folderName = "damaged"
  static let temporaryName = ".repair.tmp"
  /// linux/fs.h; glibc hides SEEK_DATA and SEEK_HOLE.
  private static let (seekData, seekHole): (Int32, Int32) = (3, 4)

  static func machine(_ directory: String) throws(RecordingError) -> [RepairAction] {
    let folder = try Folder(directory)
    let uuid = try Metadata.identify("\(directory)/\(MachineFolder.streamsName)/metadata")
    guard let streams = try folder.openFolder(MachineFolder.streamsName) else { return [] }
    let lock = try streams.openFile("metadata")
    if flock(lock.descriptor, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK {
      throw RecordingLock.busy(directory)
    }
    // By hand: a child that another thread is just about to start would hold the lock a moment longer.
    defer { flock(lock.descriptor, LOCK_UN) }
    var actions: [RepairAction] = []
    for name in [Ballast.fileName, ".\(Machine.fileName).tmp", temporaryName] {
      actions += try leftover(name, in: folder)
    }
    var foreign: [String] = []
    for stream in try StreamFile.list(streams.path, foreign: &foreign) {
      actions += try repair(stream, uuid: uuid, folder, streams)
    }
    return actions + foreign.map { RepairAction(kind: .leftForeign, path: $0, offset: 0, bytes: 0) }
  }

  static func leftover(_ name: String, in folder: borrowing Folder) throws(RecordingError) -> [RepairAction] {
    guard folder.type(name) == .file else { return [] }
    let path = folder.path(of: name)
    let size = try folder.openFile(name).size(path)
    try folder.remove(name)
    return [RepairAction(kind: .removedLeftover, path: path, offset: 0, bytes: size)]
  }

  private static func repair(
    _ stream: StreamFile, uuid: TraceID, _ folder: borrowing Folder, _ streams: borrowing Folder
  ) throws(RecordingError) -> [RepairAction] {
    let name = Files.name(of: stream.path)
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
      let place = try save(name, range, of: streams, in: folder.folder(folderName))
      actions.append(
        RepairAction(kind: .movedDamage(to: place), path: stream.path, offset: range.lowerBound, bytes: range.count))
    }
    if sound.isEmpty {
      try streams.remove(name)
      actions.append(RepairAction(kind: .removedStream, path: stream.path, offset: 0, bytes: tail?.count ?? 0))
      return actions
    }
    if let tail {
      actions.append(
        RepairAction(kind: .trimmedTail, path: stream.path, offset: tail.lowerBound, bytes: tail.count))
    }
    if let tail, damaged.isEmpty, try trim(name, to: tail.lowerBound, in: streams) { return actions }
    if !actions.isEmpty { try rewrite(name, keeping: sound, of: streams, beside: folder) }
    return actions
  }

  /// Cuts off the end, unless the file has another name too: then it may be another user's.
  private static func trim(_ name: String, to size: Int, in streams: borrowing Folder) throws(RecordingError) -> Bool {
    let path = streams.path(of: name)
    let file = try streams.openFile(name, flags: O_WRONLY)
    var (status, folder) = (stat(), stat())
    guard unsafe fstat(file.descriptor, &status) == 0, unsafe fstat(streams.descriptor, &folder) == 0 else {
      throw Files.failure("cannot look at it", path)
    }
    guard status.st_nlink == 1, status.st_uid == folder.st_uid, status.st_mode & S_IFMT == S_IFREG else { return false }
    try file.truncate(to: size, path)
    return true
  }

  /// Copies a damaged part to a file of its own; returns its path.
  private static func save(
    _ name: String, _ range: Range<Int>, of streams: borrowing Folder, in folder: borrowing Folder
  ) throws(RecordingError) -> String {
    var target = "\(name)_\(range.lowerBound)"
    var number = 2
    while folder.type(target) != nil {
      target = "\(name)_\(range.lowerBound)_\(number)"
      number += 1
    }
    let file = try NewFile(in: folder, target)
    try copy(streams.openFile(name), streams.path(of: name), range, to: file)
    try file.finish()
    return folder.path(of: target)
  }

  /// Replaces the stream by its sound packets alone, whole or not at all.
  private static func rewrite(
    _ name: String, keeping sound: [Range<Int>], of streams: borrowing Folder, beside folder: borrowing Folder
  ) throws(RecordingError) {
    let source = try streams.openFile(name)
    let file = try NewFile(in: folder, name, temporaryName: temporaryName)
    for range in sound { try copy(source, streams.path(of: name), range, to: file) }
    try file.finish(in: streams)
  }

  private static func copy(
    _ source: borrowing File, _ path: String, _ range: Range<Int>, to file: borrowing NewFile
  ) throws(RecordingError) {
    var chunk = [UInt8](repeating: 0, count: min(range.count, 1 << 20))
    var offset = range.lowerBound
    while offset < range.upperBound {
      let descriptor = source.descriptor
      // A hole stays one: a file of 8 EiB takes no room, and would fill the disk.
      let data = lseek(descriptor, off_t(offset), seekData)
      if data > offset || data < 0 && errno == ENXIO {
        let next = data < 0 ? range.upperBound : min(Int(data), range.upperBound)
        try file.skip(next - offset)
        offset = next
        continue
      }
      let hole = lseek(descriptor, off_t(offset), seekHole)
      let end = hole > offset ? min(Int(hole), range.upperBound) : range.upperBound
      let wanted = min(chunk.count, end - offset)
      let count = unsafe chunk.withUnsafeMutableBytes {
        unsafe pread(descriptor, $0.baseAddress, wanted, off_t(offset))
      }
      guard count > 0 else { throw Files.failure("cannot read", path, number: count == 0 ? EIO : errno) }
      try file.write(Array(chunk.prefix(count)))
      offset += count
    }
  }
}
