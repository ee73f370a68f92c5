// SPDX-License-Identifier: GPL-2.0-or-later
import Foundation
import Recording
import Testing

@Suite struct DamageTests {
  /// Bytes of the small recording's first stream: two packets, of ten and six events.
  static let header = 72
  static let firstPacket = header + 7 * 32 + 40 + 2 * 56
  static let secondPacket = header + 6 * 32

  @Test func aStreamCutAtAnyByteReadsUpToItsLastWholePacket() throws {
    let scratch = try Scratch()
    try writeSmall(scratch)
    let whole = try scratch.bytes("host-a/ctf/stream_0_0")
    #expect(whole.count == Self.firstPacket + Self.secondPacket)
    for length in 0..<whole.count {
      try scratch.put("host-a/ctf/stream_0_0", Array(whole[..<length]))
      let recording = try MachineRecording.load(directory: "\(scratch.path)/host-a")
      let events = length < Self.firstPacket ? 0 : 10
      #expect(recording.eventsByType.values.sum() == Count(events + 7), "cut at \(length)")
      #expect(recording.damage.last == missing(scratch, 16 - events))
      #expect(recording.damage.count == (length == Self.firstPacket ? 1 : 2), "cut at \(length)")
      if length != Self.firstPacket {
        let line = recording.damage.first ?? ""
        #expect(line.contains("stream_0_0") && line.hasSuffix("run `latprobe repair \(scratch.path)/host-a`"))
        if length > 0 {
          #expect(line.contains("offset \(length < Self.firstPacket ? 0 : Self.firstPacket):"), "cut at \(length)")
        }
      }
    }
  }

  @Test func repairMakesEveryCutReadableForBabeltrace() throws {
    // Every byte is tried above; babeltrace2 is slow to start, so it sees the borders and a few between.
    let cuts = [
      0, 1, 71, 72, 73, 100, Self.firstPacket - 1, Self.firstPacket, Self.firstPacket + 1, Self.firstPacket + 100,
    ]
    for length in cuts {
      let scratch = try Scratch()
      try writeSmall(scratch)
      let whole = try scratch.bytes("host-a/ctf/stream_0_0")
      try scratch.put("host-a/ctf/stream_0_0", Array(whole[..<length]))
      let before = try MachineRecording.load(directory: "\(scratch.path)/host-a")
      let actions = try repair(directory: scratch.path)
      #expect(actions.count == (length == Self.firstPacket ? 0 : 1), "cut at \(length): \(actions)")
      if length > Self.firstPacket {
        #expect(
          actions == [
            RepairAction(
              kind: .trimmedTail, path: "\(scratch.path)/host-a/ctf/stream_0_0", offset: Self.firstPacket,
              bytes: length - Self.firstPacket)
          ])
      }
      let after = try MachineRecording.load(directory: "\(scratch.path)/host-a")
      #expect(after.damage == [missing(scratch, length < Self.firstPacket ? 16 : 6)])
      #expect(after.stamps == before.stamps)
      #expect(try repair(directory: scratch.path).isEmpty)
      let babeltrace = try Babeltrace(scratch.path)
      #expect(babeltrace.status == 0, "cut at \(length): \(babeltrace.errors)")
      #expect(babeltrace.eventsByType == after.eventsByType)
      #expect(babeltrace.discarded == after.discardedByCPU.values.sum())
    }
  }

  /// Of the small recording's 23 events.
  private func missing(_ scratch: Scratch, _ count: Int) -> String {
    "\(scratch.path)/host-a: \(count) of 23 events are not in the streams: restore them from a copy, or record again"
  }

  @Test func aStreamThatIsGoneIsMissed() throws {
    let scratch = try Scratch()
    try writeSmall(scratch)
    try FileManager.default.removeItem(atPath: "\(scratch.path)/host-a/ctf/stream_1_0")
    for _ in 0..<2 {
      #expect(try MachineRecording.load(directory: "\(scratch.path)/host-a").damage == [missing(scratch, 7)])
      #expect(try repair(directory: scratch.path).isEmpty)
    }
  }

  struct Ledger: Sendable, CustomTestStringConvertible {
    var testDescription: String
    var change: @Sendable (inout Machine) -> Void
    var damage = false
  }

  /// Recordings that do not count their events have 21 stamps of `emitted`.
  @Test(arguments: [
    Ledger(testDescription: "all there") { $0.ledger[0].emitted = 21 },
    Ledger(testDescription: "missing", change: { $0.ledger[1].emitted = 2 }, damage: true),
    Ledger(testDescription: "rotated") { ($0.ledger[1].emitted, $0.rotation.deletedEvents) = (100, 100) },
    Ledger(
      testDescription: "rotated and missing",
      change: { ($0.ledger[1].emitted, $0.rotation.deletedEvents) = (100, 98) }, damage: true),
    Ledger(testDescription: "still running") { ($0.ledger[1].emitted, $0.stoppedAt) = (100, nil) },
    Ledger(testDescription: "ended by a failure") { ($0.ledger[1].emitted, $0.unwritten) = (100, 79) },
    Ledger(testDescription: "packets that were paired") {
      ($0.ledger[1].emitted, $0.pairing) = (100, PairingAccount(names: [], protocols: [], packets: [:]))
    },
    Ledger(testDescription: "nonsense", change: { $0.ledger[1].emitted = .max }, damage: true),
  ])
  func stampsThatTheLedgerHasAndTheStreamsHaveNot(_ ledger: Ledger) throws {
    let scratch = try Scratch()
    try writeSmall(scratch)
    var machine = sampleMachine()
    machine.stoppedAt = 3000
    machine.ledger = [LedgerRow(hook: "txg1", cpu: 0, emitted: 20), LedgerRow(hook: "rxg1", cpu: 1, emitted: 0)]
    ledger.change(&machine)
    try scratch.put("host-a/machine.json", [UInt8](try JSONEncoder().encode(machine)))
    let damage = try MachineRecording.load(directory: "\(scratch.path)/host-a").damage
    #expect(damage.count == (ledger.damage ? 1 : 0), "\(damage)")
    if ledger.damage { #expect(damage[0].contains(" stamps are not in the streams")) }
  }

  @Test func jsonAndMetadataCutAtAnyByteAreClearErrors() throws {
    let scratch = try Scratch()
    try writeSmall(scratch)
    for file in ["session.json", "host-a/machine.json"] {
      let whole = try scratch.bytes(file)
      // The last byte is the line's end.
      for length in 0..<(whole.count - 1) {
        try scratch.put(file, Array(whole[..<length]))
        let problem = try error { try RecordedSession.load(paths: [scratch.path]) }
        #expect(problem.kind == .damaged && problem.path.hasSuffix(file), "\(file) cut at \(length): \(problem)")
      }
      try scratch.put(file, whole)
    }
    let metadata = try scratch.bytes("host-a/ctf/metadata")
    for length in metadata.indices {
      try scratch.put("host-a/ctf/metadata", Array(metadata[..<length]))
      do {
        // Enough of it is there to know format, byte order and UUID.
        #expect(try MachineRecording.load(directory: "\(scratch.path)/host-a").stamps.count == 21)
      } catch let problem {
        #expect(problem.kind == .damaged && problem.path.hasSuffix("metadata"))
      }
    }
  }

  struct Change: Sendable, CustomTestStringConvertible {
    var offset: Int
    var bytes: [UInt8]
    /// Events left of the first stream's 10 + 6.
    var events: UInt64
    var says: String
    /// The repair's actions and whether babeltrace2 can tell.
    var testDescription: String { says }
  }

  static let changes: [Change] = [
    Change(offset: 0, bytes: [0], events: 0, says: "no packet magic here"),
    Change(offset: 5, bytes: [0, 0, 0, 0, 0, 0], events: 0, says: "another recording"),
    Change(offset: 20, bytes: [9], events: 0, says: "unknown stream id"),
    Change(offset: 31, bytes: [0xFF], events: 0, says: "ends before it begins"),
    Change(offset: 40, bytes: [0, 0, 0, 0, 0, 0, 0, 0], events: 0, says: "impossible packet size"),
    Change(offset: 40, bytes: [255, 255, 255, 255, 255, 255, 255, 255], events: 0, says: "impossible packet size"),
    Change(
      offset: 40, bytes: [0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0], events: 0, says: "impossible packet size"),
    // 1 MiB is a possible size, but the file has less.
    Change(offset: 40, bytes: [0, 0, 128, 0, 0, 0, 0, 0, 0, 0, 128, 0, 0, 0, 0, 0], events: 0, says: "cut off"),
    Change(offset: 64, bytes: [1], events: 0, says: "of CPU 1, not 0"),
    Change(offset: header + 8, bytes: [77], events: 6, says: "unknown event id 77"),
    Change(offset: header + 8, bytes: [0], events: 6, says: "unknown event id"),
    Change(offset: header, bytes: [0xE9], events: 6, says: "the first event is not at the packet's begin"),
    Change(offset: header + 56, bytes: [0], events: 6, says: "time runs backwards"),
    Change(offset: firstPacket - 40, bytes: [0x4D], events: 6, says: "the last event is not at the packet's end"),
    Change(offset: firstPacket + 24, bytes: [0], events: 10, says: "begins before the one before it ends"),
    Change(offset: firstPacket + 68, bytes: [0], events: 10, says: "runs backwards"),
  ]

  @Test(arguments: changes)
  func nonsenseIsNamedAndSteppedOver(_ change: Change) throws {
    let scratch = try Scratch()
    try writeSmall(scratch)
    var bytes = try scratch.bytes("host-a/ctf/stream_0_0")
    bytes.replaceSubrange(change.offset..<(change.offset + change.bytes.count), with: change.bytes)
    try scratch.put("host-a/ctf/stream_0_0", bytes)
    let recording = try MachineRecording.load(directory: "\(scratch.path)/host-a")
    #expect(recording.eventsByType.values.sum() == Count(change.events + 7), "\(recording.damage)")
    let line = try #require(recording.damage.first)
    #expect(line.contains(change.says), "\(line)")
    #expect(!line.contains("\n") && line.contains("offset "))

    let actions = try repair(directory: scratch.path)
    #expect(!actions.isEmpty)
    let after = try MachineRecording.load(directory: "\(scratch.path)/host-a")
    #expect(after.stamps == recording.stamps)
    // Nothing is thrown away: what left the stream lies in damaged/, or was a torn tail.
    let taken = actions.reduce(0) { $0 + $1.bytes }
    let rest = scratch.exists("host-a/ctf/stream_0_0") ? try scratch.bytes("host-a/ctf/stream_0_0").count : 0
    #expect(taken + rest == bytes.count)
    #expect(try repair(directory: scratch.path).isEmpty)
    let babeltrace = try Babeltrace(scratch.path)
    #expect(babeltrace.status == 0, "\(babeltrace.errors)")
    #expect(babeltrace.eventsByType == after.eventsByType)
    try Session.prepare(directory: scratch.path, force: true)
    #expect(try scratch.list("").isEmpty)
  }

  /// A stream of 1 TiB that takes no room goes on taking none.
  @Test func holesAreNotFilled() throws {
    let scratch = try Scratch()
    try writeSmall(scratch)
    let stream = "\(scratch.path)/host-a/ctf/stream_0_0"
    let size = try scratch.bytes("host-a/ctf/stream_0_0").count
    let isLong = unsafe truncate(stream, 1 << 40) == 0
    #expect(isLong)
    #expect(try repair(directory: scratch.path).map(\.bytes) == [(1 << 40) - size])
    var status = stat()
    let isThere = unsafe stat("\(scratch.path)/host-a/damaged/stream_0_0_\(size)", &status) == 0
    #expect(isThere && status.st_size == (1 << 40) - off_t(size) && status.st_blocks < 256, "\(status)")
    #expect(try scratch.bytes("host-a/ctf/stream_0_0").count == size)
  }

  /// What is not latprobe's is not removed, and babeltrace2 takes it for a stream: each repair says so.
  @Test func whatIsNoStreamStaysAndIsTold() throws {
    let scratch = try Scratch()
    try writeSmall(scratch)
    try scratch.put("host-a/ctf/notes", [1])
    for _ in 1...2 {
      let actions = try repair(directory: scratch.path)
      #expect(actions.map(\.kind) == [.leftForeign])
      #expect(actions.first?.description.contains("host-a/ctf/notes: is no file of latprobe and stays") == true)
    }
    #expect(try MachineRecording.load(directory: "\(scratch.path)/host-a").damage.count == 1)
    #expect(scratch.exists("host-a/ctf/notes"))
  }

  @Test func unknownHookPointsAndKindsCostTheirStampsOnly() throws {
    let scratch = try Scratch()
    try writeSmall(scratch)
    var bytes = try scratch.bytes("host-a/ctf/stream_0_0")
    bytes[Self.firstPacket + Self.header + 9] = 99
    bytes[Self.firstPacket + Self.header + 32 + 9] = 0
    bytes[Self.firstPacket + Self.header + 64 + 15] = 0xF0
    try scratch.put("host-a/ctf/stream_0_0", bytes)
    let recording = try MachineRecording.load(directory: "\(scratch.path)/host-a")
    #expect(recording.stamps.count == 18)
    #expect(recording.eventsByType["stamp"] == 20)
    #expect(recording.damage.count == 3)
    #expect(recording.damage.contains { $0.contains("1 stamps of hook point 99") })
    #expect(recording.damage.contains { $0.contains("1 stamps of kind 15") })
  }

  @Test func foreignFilesBesideTheStreamsAreNamed() throws {
    let scratch = try Scratch()
    try writeSmall(scratch)
    for name in ["stream_0", "stream_0_0_0", "stream_x_0", "stream_-1_0", "stream_99999999999999999999_0", "notes"] {
      try scratch.put("host-a/ctf/\(name)", [1])
    }
    try FileManager.default.createDirectory(
      atPath: "\(scratch.path)/host-a/ctf/stream_5_0", withIntermediateDirectories: true)
    try FileManager.default.createSymbolicLink(
      atPath: "\(scratch.path)/host-a/ctf/stream_6_0", withDestinationPath: "/dev/zero")
    let recording = try MachineRecording.load(directory: "\(scratch.path)/host-a")
    #expect(recording.stamps.count == 21)
    #expect(recording.damage.count == 8, "\(recording.damage)")
  }

  /// Any bytes anywhere: an error or a recording, never a crash, never more events than the bytes can hold.
  @Test(arguments: 0..<8 as Range<UInt64>)
  func randomDamageNeverCrashes(_ seed: UInt64) throws {
    let scratch = try Scratch()
    try writeSmall(scratch)
    let files = [
      "host-a/ctf/stream_0_0", "host-a/ctf/stream_1_0", "host-a/ctf/metadata", "host-a/machine.json", "session.json",
    ]
    let original = try Dictionary(uniqueKeysWithValues: files.map { ($0, try scratch.bytes($0)) })
    var random = Seeded(state: seed)
    var errors = 0
    var damaged = 0
    for round in 0..<500 {
      let file = files[min(Int.random(in: 0..<10, using: &random), round % 7 == 0 ? 4 : 1)]
      var bytes = original[file] ?? []
      switch Int.random(in: 0..<5, using: &random) {
      case 0: bytes = (0..<Int.random(in: 0..<2000, using: &random)).map { _ in .random(in: 0...255, using: &random) }
      case 1: bytes.removeLast(Int.random(in: 0...bytes.count, using: &random))
      case 2:
        let at = Int.random(in: 0...bytes.count, using: &random)
        bytes.insert(contentsOf: bytes.prefix(Int.random(in: 0...bytes.count, using: &random)), at: at)
      default:
        for _ in 0..<Int.random(in: 1..<12, using: &random) where !bytes.isEmpty {
          bytes[Int.random(in: 0..<bytes.count, using: &random)] =
            [0, 1, 0x7F, 0x80, 0xFF, .random(in: 0...255, using: &random)]
            .randomElement(using: &random) ?? 0
        }
      }
      try scratch.put(file, bytes)
      do {
        let session = try RecordedSession.load(paths: [scratch.path])
        for machine in session.machines {
          #expect(machine.stamps.count <= (bytes.count + 2000) / 32)
          #expect(zip(machine.stamps, machine.stamps.dropFirst()).allSatisfy { $0.time <= $1.time })
          damaged += machine.damage.isEmpty ? 0 : 1
        }
        if round % 10 == 0 {
          let stamps = try MachineRecording.load(directory: "\(scratch.path)/host-a").stamps
          _ = try repair(directory: scratch.path)
          #expect(try MachineRecording.load(directory: "\(scratch.path)/host-a").stamps == stamps)
          #expect(try repair(directory: scratch.path).isEmpty)
        }
      } catch let problem {
        errors += 1
        #expect(!problem.description.isEmpty && !problem.description.contains("\n"))
      }
      // A repair may change more than the file at hand.
      for (name, bytes) in original where name == file || round % 10 == 0 { try scratch.put(name, bytes) }
    }
    // The cases must reach both ways out.
    #expect(errors > 20 && damaged > 100)
  }

  @Test func repairKeepsAwayFromALiveRecordingAndClearsLeftovers() throws {
    let scratch = try Scratch()
    do {
      let writer = try begin(scratch)
      #expect(try error { try repair(directory: scratch.path) }.kind == .busy)
      try writer.close(sampleMachine())
    }
    #expect(try repair(directory: scratch.path).isEmpty)
    try scratch.put("host-a/.ballast", [1, 2, 3])
    try scratch.put("host-a/.machine.json.tmp", [1])
    try scratch.put(".session.json.tmp", [1])
    #expect(try repair(directory: scratch.path).map(\.bytes) == [1, 3, 1])
    #expect(try scratch.list("host-a") == ["ctf", "machine.json"])
    #expect(throws: RecordingError.self) { try repair(directory: scratch.path + "/none") }
    let empty = try Scratch()
    #expect(throws: RecordingError.self) { try repair(directory: empty.path) }
  }
}
