// SPDX-License-Identifier: GPL-2.0-or-later
#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

/// The way to a folder, a component a step; each is looked at by descriptor before the next one is.
struct FolderWalk: ~Copyable {
  /// As many as the kernel follows.
  private static let mostLinks = 40

  /// Paths of the folders that were made, the outermost first.
  private(set) var made: [String] = []
  private let path: String
  private let making: Bool
  private let parents: Folder.Parents
  /// Where the walk is.
  private var place: Int32
  private var name: String
  /// What is left, the next one last.
  private var rest: [String]
  private var links = 0

  init(_ path: String, making: Bool, parents: Folder.Parents) throws(RecordingError) {
    guard !path.isEmpty else { throw Files.failure("cannot open", path, number: ENOENT) }
    let start = path.hasPrefix("/") ? "/" : "."
    let opened = unsafe open(start, OpenFlag.path | O_DIRECTORY | O_CLOEXEC)
    guard opened >= 0 else { throw Files.failure("cannot open", path) }
    place = opened
    self.path = path
    self.making = making
    self.parents = parents
    name = start == "/" ? "/" : ""
    rest = path.split(separator: "/").reversed().map(String.init)
  }

  deinit { if place >= 0 { close(place) } }

  /// - Returns: false at the end.
  mutating func step() throws(RecordingError) -> Bool {
    guard let next = rest.popLast() else { return false }
    if next == "." { return true }
    if parents == .trusted { try WritePolicy.require(place, nameSoFar) }
    var status = stat()
    if unsafe fstatat(place, next, &status, AT_SYMLINK_NOFOLLOW) != 0 {
      guard errno == ENOENT, making else { throw Files.failure("cannot open", path) }
      guard unsafe mkdirat(place, next, WritePolicy.folderMode) == 0 else {
        // Another process was quicker.
        if errno == EEXIST {
          rest.append(next)
          return true
        }
        throw Files.failure("cannot create the directory", path)
      }
      made.append(name + next)
      try enter(next)
      WritePolicy.handOver(place)
    } else if status.st_mode & S_IFMT == S_IFLNK {
      try follow(next, status)
    } else {
      try enter(next)
    }
    return true
  }

  private mutating func enter(_ next: String) throws(RecordingError) {
    let opened = unsafe openat(place, next, OpenFlag.path | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
    guard opened >= 0 else { throw Files.failure("cannot create the directory", path) }
    close(place)
    place = opened
    name += "\(next)/"
  }

  private var nameSoFar: String { name.count > 1 ? String(name.dropLast()) : name }

  /// For root only a link that no other user has made.
  private mutating func follow(_ next: String, _ status: stat) throws(RecordingError) {
    try WritePolicy.require(place, nameSoFar)
    guard WritePolicy.trusts(status.st_uid), links < FolderWalk.mostLinks else {
      throw RecordingError(
        .foreign, path: path,
        "is not gone through: \(name + next) is a link of another user's; name the folder that it leads to")
    }
    links += 1
    var buffer = [UInt8](repeating: 0, count: Int(PATH_MAX))
    let (from, size) = (place, buffer.count)
    let count = unsafe buffer.withUnsafeMutableBytes { bytes in
      guard let base = bytes.baseAddress else { return 0 }
      return unsafe readlinkat(from, next, base.assumingMemoryBound(to: CChar.self), size)
    }
    guard count > 0, count < size else { throw Files.failure("cannot look at it", path) }
    let target = String(decoding: buffer[..<count], as: UTF8.self)
    rest += target.split(separator: "/").reversed().map(String.init)
    guard target.hasPrefix("/") else { return }
    close(place)
    name = "/"
    place = unsafe open("/", OpenFlag.path | O_DIRECTORY | O_CLOEXEC)
    guard place >= 0 else { throw Files.failure("cannot open", path) }
  }

  /// The folder at the end, to write in.
  borrowing func openEnd() throws(RecordingError) -> Int32 {
    try WritePolicy.require(place, path)
    let opened = unsafe openat(place, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    guard opened >= 0 else { throw Files.failure("cannot open", path) }
    return opened
  }
}
