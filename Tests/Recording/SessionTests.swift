// SPDX-License-Identifier: GPL-2.0-or-later
import Foundation
import Glibc
import Recording
import Testing

@Suite struct SessionTests {
  @Test func filesComeBack() throws {
    let scratch = try Scratch()
    let session = sampleSession()
    try session.write(to: scratch.path)
    #expect(try Session.load(from: scratch.path) == session)
    #expect(try scratch.list("") == ["session.json"])
  }

  @Test func outputIsRefusedUnlessItIsEmptyOrForced() throws {
    let scratch = try Scratch()
    try Session.prepare(directory: "\(scratch.path)/new/deep", force: false)
    #expect(scratch.exists("new/deep"))
    try Session.prepare(directory: "\(scratch.path)/new/deep", force: false)
    try writeSmall(scratch)
    let kept = try error { try Session.prepare(directory: scratch.path, force: false) }
    #expect(kept.kind == .exists)
    #expect(kept.description.contains("--force"))
  }

  @Test func forceRemovesARecordingAndNothingElse() throws {
    let scratch = try Scratch()
    let directory = "\(scratch.path)/run"
    try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
    try scratch.put("run/notes.txt", [1])
    #expect(try error { try Session.prepare(directory: directory, force: true) }.kind == .exists)
    #expect(scratch.exists("run/notes.txt"))

    // Someone else's session.json.
    try scratch.put("run/session.json", Array("{\"tabs\": []}".utf8))
    #expect(try error { try Session.prepare(directory: directory, force: true) }.kind == .exists)
    #expect(scratch.exists("run/session.json"))

    let inner = try Scratch()
    try writeSmall(inner)
    try FileManager.default.createDirectory(atPath: "\(inner.path)/pictures", withIntermediateDirectories: true)
    try inner.put("pictures/a.svg", [1])
    // A foreign file within the machine's folder: nothing at all is removed.
    try inner.put("host-a/ctf/mine", [1])
    #expect(try error { try Session.prepare(directory: inner.path, force: true) }.path.hasSuffix("ctf/mine"))
    #expect(try inner.list("host-a/ctf") == ["metadata", "mine", "stream_0_0", "stream_1_0"])
    #expect(try error { try Session.check(directory: inner.path, force: true) }.path.hasSuffix("ctf/mine"))
    try FileManager.default.removeItem(atPath: "\(inner.path)/host-a/ctf/mine")
    // To look removes nothing.
    try Session.check(directory: inner.path, force: true)
    #expect(try inner.list("") == ["host-a", "pictures", "session.json"])
    try Session.prepare(directory: inner.path, force: true)
    #expect(try inner.list("") == ["pictures"])
    try writeSmall(inner)
  }

  @Test func directoriesOfOneSessionAreJoined() throws {
    let guest = try Scratch()
    let host = try Scratch()
    try writeSmall(guest, name: "guest-a")
    try writeSmall(host, name: "host-a")
    var session = sampleSession(members: ["host-a", "guest-a", "guest-b"])
    session.labels = ["mtu": "9000"]
    try session.write(to: host.path)
    let loaded = try RecordedSession.load(paths: [guest.path, host.path, host.path + "/host-a"])
    #expect(loaded.machines.map(\.machine.name) == ["guest-a", "host-a"])
    #expect(loaded.session.members == ["guest-a", "host-a", "guest-b"])
    #expect(loaded.session.labels == ["run": "1", "mtu": "9000"])
    #expect(loaded.damage.count == 1)
    #expect(loaded.damage.first?.contains("guest-b is missing") == true)

    let single = try RecordedSession.load(paths: [host.path + "/host-a"])
    #expect(single.machines.map(\.machine.name) == ["host-a"])
    #expect(single.damage.isEmpty)
  }

  @Test func aLiveRecordingIsNotReplaced() throws {
    let scratch = try Scratch()
    let writer = try begin(scratch)
    let files = try scratch.list("host-a") + scratch.list("host-a/ctf")
    let problem = try error { try Session.prepare(directory: scratch.path, force: true) }
    #expect(problem.kind == .busy && problem.path == "\(scratch.path)/host-a")
    #expect(try error { try Session.check(directory: scratch.path, force: true) } == problem)
    #expect(try scratch.list("host-a") + scratch.list("host-a/ctf") == files)
    #expect(try MachineRecording.load(directory: "\(scratch.path)/host-a").machine.isBeingRecorded)
    try writer.close(sampleMachine())
    #expect(try !MachineRecording.load(directory: "\(scratch.path)/host-a").machine.isBeingRecorded)
    // What an interrupted repair leaves is latprobe's too.
    try scratch.put("host-a/.repair.tmp", [1])
    try Session.prepare(directory: scratch.path, force: true)
    #expect(try scratch.list("").isEmpty)
  }

  /// Where a start fails behind `session.json`: in its first file, or once the machine's folder stands.
  @Test(arguments: [100, 60_000]) func aStartThatFailsLeavesNothing(_ room: UInt) async throws {
    await #expect(processExitsWith: .success) { [room = room as UInt] in
      let scratch = try Scratch()
      let (empty, taken) = ("\(scratch.path)/empty", "\(scratch.path)/taken")
      for directory in [empty, taken] {
        try Session.prepare(directory: directory, force: false)
        try sampleSession().write(to: directory)
      }
      // Another member's recording keeps its session.json.
      try FileManager.default.createDirectory(atPath: "\(taken)/guest-a", withIntermediateDirectories: false)
      signal(SIGXFSZ, SIG_IGN)
      var limit = rlimit(rlim_cur: room, rlim_max: room)
      try #require(unsafe setrlimit(__rlimit_resource_t(1), &limit) == 0)  // RLIMIT_FSIZE
      for (directory, left) in [(empty, []), (taken, ["guest-a", "session.json"])] {
        for _ in 0..<2 {
          let problem = try error {
            try MachineWriter(
              directory: directory, machine: sampleMachine(), session: sampleSession(), utcOffset: utcOffset)
          }
          try #require(problem.kind == .diskFull && problem.errno == EFBIG, "\(problem)")
          try #require(try FileManager.default.contentsOfDirectory(atPath: directory).sorted() == left)
        }
      }
      // With room again, nothing is in the way.
      try Session.prepare(directory: empty, force: false)
    }
  }

  /// What is in the way stays, and so does the session of those who are there.
  @Test func aStartThatFailsRemovesNothingOfOthers() throws {
    let scratch = try Scratch()
    try sampleSession().write(to: scratch.path)
    try scratch.put("host-a", [1])
    let problem = try error { try begin(scratch) }
    #expect(problem.kind == .exists && problem.path.hasSuffix("/host-a"))
    #expect(try scratch.list("") == ["host-a", "session.json"])
  }

  @Test func recordingsThatDoNotBelongTogetherAreRefused() throws {
    let one = try Scratch()
    let two = try Scratch()
    try writeSmall(one)
    try writeSmall(two)
    let twice = try error { try RecordedSession.load(paths: [one.path, two.path]) }
    #expect(twice.kind == .differentSessions)
    try FileManager.default.removeItem(atPath: two.path + "/session.json")
    try sampleSession(id: "other-id").write(to: two.path)
    let different = try error { try RecordedSession.load(paths: [one.path, two.path]) }
    #expect(different.kind == .differentSessions)
    #expect(different.description.contains("other-id"))
    #expect(different.description.contains(sampleSession().id))
  }

  @Test func whatIsNoRecordingIsRefused() throws {
    let scratch = try Scratch()
    #expect(throws: RecordingError.self) { try RecordedSession.load(paths: []) }
    #expect(try error { try RecordedSession.load(paths: [scratch.path]) }.kind == .notARecording)
    #expect(try error { try RecordedSession.load(paths: [scratch.path + "/none"]) }.kind == .notARecording)
    try writeSmall(scratch)
    #expect(try error { try RecordedSession.load(paths: [scratch.path + "/session.json"]) }.kind == .notARecording)
    for missing in ["host-a/ctf/metadata", "host-a/machine.json", "session.json", "host-a/ctf"] {
      let copy = try Scratch()
      try writeSmall(copy)
      try FileManager.default.removeItem(atPath: "\(copy.path)/\(missing)")
      let problem = try error { try RecordedSession.load(paths: [copy.path]) }
      #expect([.notARecording, .file].contains(problem.kind), "\(missing): \(problem)")
      #expect(!problem.description.contains("\n"))
    }
    let lonely = try Scratch()
    try writeSmall(lonely)
    try FileManager.default.removeItem(atPath: "\(lonely.path)/session.json")
    #expect(try error { try RecordedSession.load(paths: [lonely.path + "/host-a"]) }.kind == .notARecording)
  }

  @Test(arguments: [
    ("session.json", #""format" : 1"#, #""format" : 2"#), ("host-a/machine.json", #""format" : 1"#, #""format" : 2"#),
    ("host-a/ctf/metadata", "latprobe_format = 6;", "latprobe_format = 7;"),
  ])
  func newerFormatsAreNamed(_ file: String, _ old: String, _ new: String) throws {
    let scratch = try Scratch()
    try writeSmall(scratch)
    let text = String(decoding: try scratch.bytes(file), as: UTF8.self)
    #expect(text.contains(old))
    try scratch.put(file, Array(text.replacingOccurrences(of: old, with: new).utf8))
    let problem = try error { try RecordedSession.load(paths: [scratch.path]) }
    #expect(problem.kind == .newerFormat)
    #expect(
      problem.description.hasSuffix(
        "\(file): written by a newer latprobe (format \(file.hasSuffix("metadata") ? "7, this one reads 6" : "2, this one reads 1")): update latprobe"
      ))
  }

  @Test func namesAreSafeAndUnique() {
    #expect(MachineName.make(role: "guest", hostname: "debian-2") == "guest-debian-2")
    for hostname in ["debian-2", "ä", "", "-", "a/b"] {
      #expect(MachineName.isSafe(MachineName.make(role: "guest", hostname: hostname), role: "guest"), "\(hostname)")
      #expect(
        MachineName.isSafe(MachineName.make(role: "guest", hostname: hostname, taken: ["guest"]), role: "guest"))
    }
    #expect(MachineName.make(role: "host", hostname: "a/b c.d") == "host-a-b-c.d")
    #expect(MachineName.make(role: "..", hostname: "/../x") == "x")
    #expect(MachineName.make(role: "", hostname: "") == "machine")
    #expect(MachineName.make(role: "host", hostname: "ä") == "host")
    #expect(MachineName.make(role: "host", hostname: "a", taken: ["host-a", "host-a-2"]) == "host-a-3")
    #expect(MachineName.make(role: "host", hostname: String(repeating: "x", count: 300)).utf8.count <= 64)
  }

  @Test func aWriterRefusesUnsafeAndTakenNames() throws {
    let scratch = try Scratch()
    #expect(throws: RecordingError.self) { try begin(scratch, name: "../x") }
    let writer = try begin(scratch)
    try writer.close(sampleMachine())
    #expect(try error { try begin(scratch) }.kind == .exists)
  }
}
