// SPDX-License-Identifier: GPL-2.0-or-later
import Foundation
import Testing

@testable import Recording

#if canImport(Glibc)
  import Glibc
#endif

/// What is written lies where it was to lie, whatever others put in its place.
@Suite struct FolderTests {
  private func mode(_ path: String) throws -> UInt16 {
    let attributes = try FileManager.default.attributesOfItem(atPath: path)
    return try #require(attributes[.posixPermissions] as? NSNumber).uint16Value
  }

  /// What somebody may put there, and what it must not change.
  enum Trap: String, CaseIterable { case link, danglingLink, hardLink, pipe, longerFile }

  private func lay(_ trap: Trap, at path: String, victim: String) throws {
    switch trap {
    case .link: try FileManager.default.createSymbolicLink(atPath: path, withDestinationPath: victim)
    case .danglingLink: try FileManager.default.createSymbolicLink(atPath: path, withDestinationPath: victim + ".new")
    case .hardLink: try FileManager.default.linkItem(atPath: victim, toPath: path)
    case .pipe: #expect(unsafe mkfifo(path, 0o600) == 0)
    case .longerFile: try Data(repeating: 7, count: 1000).write(to: URL(filePath: path))
    }
  }

  @Test(arguments: Trap.allCases) func aFileIsReplacedNotFollowed(_ trap: Trap) throws {
    let (scratch, other) = (try Scratch(), try Scratch())
    try other.put("victim", [1, 2, 3])
    for name in ["x.json", ".x.json.tmp"] {
      try lay(trap, at: "\(scratch.path)/\(name)", victim: "\(other.path)/victim")
    }
    try Folder(scratch.path).replace("x.json", [9])
    #expect(try scratch.bytes("x.json") == [9])
    #expect(try scratch.list("") == ["x.json"])
    #expect(try other.bytes("victim") == [1, 2, 3] && other.list("") == ["victim"])
  }

  @Test func anInnerFolderIsNoLink() throws {
    let (scratch, other) = (try Scratch(), try Scratch())
    try FileManager.default.createSymbolicLink(atPath: "\(scratch.path)/plots", withDestinationPath: other.path)
    let problem = try error { _ = try Folder(scratch.path).folder("plots") }
    #expect(problem.errno == ENOTDIR || problem.errno == ELOOP, "\(problem)")
    #expect(try other.list("").isEmpty)
  }

  /// One's own links on the way are followed.
  @Test func aPathMayLeadThroughLinksAndDots() throws {
    let scratch = try Scratch()
    try FileManager.default.createDirectory(atPath: "\(scratch.path)/real", withIntermediateDirectories: false)
    try FileManager.default.createSymbolicLink(atPath: "\(scratch.path)/link", withDestinationPath: "real")
    try FileManager.default.createSymbolicLink(
      atPath: "\(scratch.path)/absolute", withDestinationPath: "\(scratch.path)/link")
    try Folder("\(scratch.path)/absolute/./a/../b//c/", making: true).replace("file", [1])
    #expect(try scratch.bytes("real/b/c/file") == [1] && scratch.list("real") == ["a", "b"])
    try FileManager.default.createSymbolicLink(atPath: "\(scratch.path)/loop", withDestinationPath: "loop")
    #expect(throws: RecordingError.self) { _ = try Folder("\(scratch.path)/loop/x", making: true) }
    #expect(try error { _ = try Folder("\(scratch.path)/none") }.errno == ENOENT)
    #expect(try error { _ = try Folder("\(scratch.path)/real/b/c/file", making: true) }.errno == ENOTDIR)
    #expect(throws: RecordingError.self) { _ = try Folder("") }
  }

  /// The descriptor is what counts: another folder of that name is not written to.
  @Test func anExchangedFolderIsNotWrittenTo() throws {
    let scratch = try Scratch()
    let folder = try Folder("\(scratch.path)/run", making: true)
    try FileManager.default.moveItem(atPath: "\(scratch.path)/run", toPath: "\(scratch.path)/aside")
    try FileManager.default.createDirectory(atPath: "\(scratch.path)/run", withIntermediateDirectories: false)
    try folder.replace("x", [1])
    #expect(try scratch.list("run").isEmpty && scratch.list("aside") == ["x"])
  }

  @Test func whatIsWrittenIsOnesOwn() throws {
    let scratch = try Scratch()
    let writer = try MachineWriter(
      directory: scratch.path, machine: sampleMachine(), session: sampleSession(), utcOffset: utcOffset)
    try sampleSession().write(to: scratch.path)
    var batch = Batch()
    batch.stamp(5)
    try writer.append(cpu: 0, batch.bytes)
    try writer.close(sampleMachine())
    let place = "\(scratch.path)/\(sampleMachine().name)"
    for folder in [place, place + "/ctf"] { #expect(try mode(folder) == 0o700, "\(folder)") }
    for file in ["machine.json", "ctf/metadata", "ctf/stream_0_0", "../session.json"] {
      #expect(try mode("\(place)/\(file)") == 0o600, "\(file)")
    }
  }

  /// A stream that has another name too may be another user's: it gets a new file, and the old one stays as it is.
  @Test func repairLeavesAHardLinkedFileAlone() throws {
    let (scratch, other) = (try Scratch(), try Scratch())
    let writer = try MachineWriter(
      directory: scratch.path, machine: sampleMachine(), session: sampleSession(), utcOffset: utcOffset)
    try sampleSession().write(to: scratch.path)
    var batch = Batch()
    batch.stamp(5)
    try writer.append(cpu: 0, batch.bytes)
    try writer.close(sampleMachine())
    let path = "\(scratch.path)/\(sampleMachine().name)/ctf/stream_0_0"
    var bytes = [UInt8](try Data(contentsOf: URL(filePath: path)))
    bytes += [1, 2, 3]
    try Data(bytes).write(to: URL(filePath: path))
    try FileManager.default.linkItem(atPath: path, toPath: "\(other.path)/victim")
    #expect(try repair(directory: scratch.path).map(\.kind) == [.trimmedTail])
    #expect(try other.bytes("victim") == bytes)
    #expect(try [UInt8](Data(contentsOf: URL(filePath: path))) == Array(bytes.dropLast(3)))
    #expect(try repair(directory: scratch.path).isEmpty)
  }

  @Test func flushesComeSoonAtFirst() {
    var schedule = FlushSchedule(start: 1_000_000_000)
    var times: [Int64] = []
    for now in stride(from: Int64(1_000_000_000), through: 2_000_000_000, by: 1_000_000) where schedule.isDue(now) {
      times.append((now - 1_000_000_000) / 1_000_000)
    }
    #expect(times == [20, 60, 140, 300, 500, 700, 900])
  }
}

/// Where a recorder begins.
@Suite struct PlaceTests {
  @Test func aStartThatFailsLeavesNoFolder() throws {
    let scratch = try Scratch()
    do { _ = try RecordingPlace("\(scratch.path)/new/deep", force: false) }
    #expect(try scratch.list("").isEmpty)
    try FileManager.default.createDirectory(atPath: "\(scratch.path)/old", withIntermediateDirectories: false)
    do { _ = try RecordingPlace("\(scratch.path)/old/deep", force: false) }
    #expect(try scratch.list("old").isEmpty)
    let place = try RecordingPlace("\(scratch.path)/new/deep", force: false)
    try place.begin(sampleSession())
    #expect(scratch.exists("new/deep/session.json"))
  }

  @Test func theSecondOfTwoIsTold() throws {
    let scratch = try Scratch()
    let place = try RecordingPlace("\(scratch.path)/r", force: false)
    for force in [false, true] {
      #expect(try error { _ = try RecordingPlace("\(scratch.path)/r", force: force) }.kind == .busy)
    }
    try place.begin(sampleSession())
    #expect(try error { try sampleSession(id: "other").write(to: "\(scratch.path)/r") }.kind == .exists)
    #expect(try Session.load(from: "\(scratch.path)/r").id == sampleSession().id)
  }

  /// Of several that begin at once one records, and all that lies there is its own.
  @Test func oneOfSeveralWins() async throws {
    let scratch = try Scratch()
    for round in 0..<60 {
      let path = "\(scratch.path)/\(round)"
      let winners = await withTaskGroup(of: String?.self) { group in
        for number in 0..<4 {
          group.addTask {
            var session = sampleSession(id: "id-\(number)")
            session.members = [sampleMachine().name]
            do {
              let place = try RecordingPlace(path, force: number % 2 == 0)
              try place.begin(session)
              let writer = try MachineWriter(
                directory: path, machine: sampleMachine(), session: session, utcOffset: utcOffset)
              try writer.close(sampleMachine())
              // As long as a recording: who comes later is told, too.
              usleep(20_000)
              return session.id
            } catch { return nil }
          }
        }
        return await group.reduce(into: [String]()) { if let id = $1 { $0.append(id) } }
      }
      // One that asks for it may replace what another has ended.
      let last = try Session.load(from: path)
      #expect(winners.contains(last.id), "\(winners) \(last.id)")
      let metadata = try String(contentsOfFile: "\(path)/\(sampleMachine().name)/ctf/metadata", encoding: .utf8)
      #expect(metadata.contains("\"\(last.id)\""), "\(winners): \(last.id)")
    }
  }

  /// Whatever moment a start was killed at: the next one begins, with --force where anything but nothing is there.
  @Test func aKilledStartIsNotInTheWay() throws {
    let scratch = try Scratch()
    let member = sampleMachine().name
    var session = sampleSession()
    session.members = [member, "guest-b"]
    let steps: [(String) throws -> Void] = [
      { _ in },
      { try Data([1]).write(to: URL(filePath: "\($0)/.session.json.tmp")) },
      { try session.write(to: $0) },
      { try FileManager.default.createDirectory(atPath: "\($0)/\(member)", withIntermediateDirectories: false) },
      { try FileManager.default.createDirectory(atPath: "\($0)/\(member)/ctf", withIntermediateDirectories: false) },
      { try Data().write(to: URL(filePath: "\($0)/\(member)/ctf/metadata")) },
      { try Data().write(to: URL(filePath: "\($0)/\(member)/.ballast")) },
      { try Data().write(to: URL(filePath: "\($0)/\(member)/.machine.json.tmp")) },
      {
        try FileManager.default.createDirectory(
          atPath: "\($0)/.guest-b.part/ctf", withIntermediateDirectories: true)
      },
      { try Data([1]).write(to: URL(filePath: "\($0)/.guest-b.part/ctf/stream_0_0")) },
    ]
    for count in 0...steps.count {
      let path = "\(scratch.path)/\(count)"
      try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: false)
      for step in steps[..<count] { try step(path) }
      let place = try RecordingPlace(path, force: count > 2)
      try place.begin(sampleSession())
      #expect(try scratch.list("\(count)") == ["session.json"], "\(count)")
    }
  }
}
