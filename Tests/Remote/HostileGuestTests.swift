// SPDX-License-Identifier: GPL-2.0-or-later
import Foundation
import Glibc
import Recording
import Synchronization
import Testing

@testable import Remote

/// Whatever a guest says, the host ends with an error, and with nothing of the guest's on its disk.
@Suite struct HostileGuestTests {
  /// Where in the conversation the guest begins to misbehave.
  enum Moment: Sendable { case prepare, start, recording, pull }

  /// An agent that follows the protocol up to `moment`, then says `messages`, and then `endless` without end.
  private func agent(
    _ endpoint: Endpoint, _ moment: Moment, _ messages: @escaping @Sendable () -> [Message], endless: Message?,
    pause: UInt32, answersLate: Bool
  ) -> Background<Bool> {
    let isListening = Mutex(false)
    let background = Background<Bool> {
      let listener = try Listener(endpoint)
      isListening.withLock { $0 = true }
      guard var connection = try listener.accept(timeout: 10_000) else { return false }
      try connection.welcome(key: nil, release: "1")
      let prepared = PreparedRecording(machine: "guest-b", hostname: "b", bootID: "boot-b", hooks: [], warnings: [])
      let answers: [(Moment, Message)] = [(.prepare, .prepared(prepared)), (.start, .started)]
      for (point, answer) in answers {
        guard moment != point else { break }
        try HostileGuestTests.hear(&connection)
        try connection.send(answer)
      }
      if moment == .pull {
        try HostileGuestTests.hear(&connection)
        if answersLate { try connection.send(.pong(id: 1, received: Connection.now, sent: Connection.now)) }
        try connection.send(.stopped(reason: "the host", directory: "/x"))
      }
      if moment != .recording { try HostileGuestTests.hear(&connection) }
      for message in messages() { try connection.send(message) }
      while let endless {
        try connection.send(endless)
        if pause > 0 { usleep(pause) }
      }
      // Until the host has had enough.
      while (try? connection.receive(within: 5_000_000_000)) != nil {}
      return true
    }
    for _ in 0..<10_000 where !isListening.withLock({ $0 }) { usleep(1000) }
    return background
  }

  /// The next message but questions about time, which are answered.
  private static func hear(_ connection: inout Connection) throws {
    while true {
      guard let message = try connection.receive(within: 5_000_000_000) else { continue }
      guard case .ping(let id) = message else { return }
      try connection.send(.pong(id: id, received: connection.receivedAt, sent: Connection.now))
    }
  }

  /// The error that the host must end with; nothing of the guest's is left.
  private func outcome(
    _ moment: Moment, limit: Int = 1 << 20, _ messages: @escaping @Sendable () -> [Message]
  ) throws -> RemoteError {
    let (error, files) = try play(moment, limit: limit, messages)
    #expect(files.isEmpty)
    return try #require(error)
  }

  /// What the host makes of it: its error, and what is then in the session's folder.
  private func play(
    _ moment: Moment, limit: Int, _ messages: @escaping @Sendable () -> [Message], endless: Message? = nil,
    pause: UInt32 = 0, answersLate: Bool = false, patience: (inout Patience) -> Void = { _ in },
    meanwhile: (RemoteGuest, Scratch) -> Void = { _, _ in }
  ) throws -> (RemoteError?, [String]) {
    let scratch = try Scratch()
    let endpoint = Endpoint.unix(path: "\(scratch.path)/socket")
    let agent = agent(endpoint, moment, messages, endless: endless, pause: pause, answersLate: answersLate)
    let folder = try Scratch()
    var failure: RemoteError?
    do {
      var allowed = Patience()
      patience(&allowed)
      let link = try RemoteGuest(
        endpoint, number: 0, key: nil, release: "1", request: sampleRequest(), patience: allowed)
      let run = Background<Bool> {
        link.run(into: folder.path, limit: limit)
        return true
      }
      if moment == .pull {
        for _ in 0..<5000 where link.phase != .recording { usleep(1000) }
        link.stop()
      }
      meanwhile(link, folder)
      _ = try run.wait()
      if case .failed(let error) = link.phase { failure = error }
    } catch let error as RemoteError { failure = error }
    let left = folder.list()
    _ = try? agent.wait()
    return (failure, left)
  }

  private static func files(_ machine: Machine = FakeRecorder.machine, session: String = sessionID) throws -> [(
    RecordingFile, [UInt8]
  )] {
    let scratch = try Scratch()
    let described = Session(id: session, members: [machine.name], labels: [:], commandLine: [], createdAt: 0)
    let writer = try MachineWriter(directory: scratch.path, machine: machine, session: described, utcOffset: 0)
    try writer.close(machine)
    return try [RecordingFile.machine, .metadata].map { file in
      (file, [UInt8](try Data(contentsOf: URL(fileURLWithPath: "\(scratch.path)/\(machine.name)/\(file.path)"))))
    }
  }

  private static func messages(_ files: [(RecordingFile, [UInt8])]) -> [Message] {
    let sent = Message.sent(files: UInt32(files.count), bytes: UInt64(files.reduce(0) { $0 + $1.1.count }))
    return files.flatMap { [.file($0, size: UInt64($1.count)), .data($1)] } + [sent]
  }

  @Test func theScriptItselfIsRight() throws {
    let files = try HostileGuestTests.files()
    let (error, left) = try play(.pull, limit: 1 << 20) { HostileGuestTests.messages(files) + [.deleted] }
    #expect(error == nil && left == ["guest-b"])
  }

  /// A guest that stood still answers a question that was given up, after STOP.
  @Test func aLateAnswerAfterTheEnd() throws {
    let files = try HostileGuestTests.files()
    let (error, left) = try play(
      .pull, limit: 1 << 20, { HostileGuestTests.messages(files) + [.deleted] }, answersLate: true)
    #expect(error == nil && left == ["guest-b"])
  }

  /// Once the recording is there, nothing that the guest says keeps the host, and the user need not wait either.
  @Test(arguments: [true, false]) func wordsWithoutEndAfterTheRecording(_ cancels: Bool) throws {
    let files = try HostileGuestTests.files()
    let begin = Date()
    let (error, left) = try play(
      .pull, limit: 1 << 20, { HostileGuestTests.messages(files) }, endless: .progress(RemoteProgress()),
      patience: { $0.step = cancels ? 20_000_000_000 : 500_000_000 }
    ) { link, folder in
      guard cancels else { return }
      for _ in 0..<5000 where folder.list() != ["guest-b"] { usleep(1000) }
      link.cancel()
    }
    #expect(error == nil && left == ["guest-b"])
    #expect(Date().timeIntervalSince(begin) < 15)
  }

  /// A guest that sends its recording byte by byte is not waited for until all of it is there.
  @Test func aRecordingThatDrips() throws {
    let begin = Date()
    let (error, left) = try play(
      .pull, limit: 1 << 40, { [.file(.stream(cpu: 1, sequence: 0), size: 1 << 30)] }, endless: .data([1]),
      pause: 20_000, patience: { $0.grace = 500_000_000 })
    #expect(error?.kind == .timeout && error?.description.contains("too slowly") == true, "\(error as Any)")
    #expect(left.isEmpty && Date().timeIntervalSince(begin) < 15)
  }

  @Test func namesAndIdsMustBeThoseThatWerePrepared() throws {
    var machine = FakeRecorder.machine
    machine.bootID = "another"
    let boot = try HostileGuestTests.files(machine)
    #expect(try outcome(.pull) { HostileGuestTests.messages(boot) }.description.contains("boot id"))
    machine = FakeRecorder.machine
    machine.name = "guest-c"
    let name = try HostileGuestTests.files(machine)
    #expect(try outcome(.pull) { HostileGuestTests.messages(name) }.description.contains("another name"))
    let session = try HostileGuestTests.files(session: "5b7f1c52-96a8-4b0e-9d6e-222222222222")
    #expect(try outcome(.pull) { HostileGuestTests.messages(session) }.description.contains("another session"))
  }

  @Test func filesMustBeWholeAndFew() throws {
    let good = try HostileGuestTests.files()
    let stream = RecordingFile.stream(cpu: 1, sequence: 0)
    for (messages, words): ([Message], String) in [
      ([.data([1])], "more bytes"),
      ([.file(stream, size: 1), .data([1, 2])], "more bytes"),
      ([.file(stream, size: 2), .data([1]), .file(.metadata, size: 0)], "ends 1 bytes early"),
      ([.file(stream, size: 2), .data([1]), .sent(files: 1, bytes: 1)], "ends 1 bytes early"),
      ([.file(stream, size: 0), .file(stream, size: 0)], "comes twice"),
      ([.file(stream, size: .max)], "bound"),
      ([.file(stream, size: (1 << 20) + 1)], "bound"),
      ([.file(.metadata, size: 1 << 20), .data([UInt8](repeating: 0, count: 60_000)), .stop], "does not belong here"),
      ([.sent(files: 0, bytes: 0)], "without machine.json"),
      ([.sent(files: 1, bytes: 0)], "miscounts"),
      (HostileGuestTests.messages(Array(good.prefix(1))), "without machine.json or metadata"),
      (HostileGuestTests.messages([(.machine, Array("{}".utf8)), good[1]]), "machine.json"),
      (HostileGuestTests.messages([good[0], (.metadata, Array("nonsense".utf8))]), "metadata"),
      ([.failed("enough")], "enough"), ([.prepare(sampleRequest())], "does not belong here"),
    ] {
      let error = try outcome(.pull) { messages }
      #expect(error.description.contains(words), "\(messages.map(\.kind)): \(error)")
    }
  }

  /// A ledger that ended the host's report in a trap; the guest is what is damaged.
  @Test(arguments: ["18446744073709551615", "9007199254740993", "-1", "1e300"])
  func numbersThatCannotBe(_ number: String) throws {
    var machine = FakeRecorder.machine
    machine.ledger = [LedgerRow(hook: "txg1", cpu: 0, emitted: 77), LedgerRow(hook: "txg2", cpu: 0, emitted: 1)]
    var files = try HostileGuestTests.files(machine)
    let text = String(decoding: files[0].1, as: UTF8.self)
    let hostile = text.replacing("77", with: number)
    #expect(hostile != text)
    files[0].1 = Array(hostile.utf8)
    let messages = HostileGuestTests.messages(files)
    #expect(try outcome(.pull) { messages }.description.contains("is damaged (wrong value at \"ledger.0.emitted\")"))
  }

  @Test func machineJSONHasABoundOfItsOwn() throws {
    let error = try outcome(.pull, limit: 1 << 40) { [.file(.machine, size: 1 << 30)] }
    #expect(error.description.contains("bound"))
  }

  /// The guest bounds its streams by the same number, and machine.json comes on top.
  @Test func theBoundIsThatOfTheStreams() throws {
    let stream = RecordingFile.stream(cpu: 1, sequence: 0)
    let next = RecordingFile.stream(cpu: 1, sequence: 1)
    let files = try HostileGuestTests.files()
    let whole = files + [(stream, [UInt8](repeating: 0, count: 60)), (next, [UInt8](repeating: 0, count: 40))]
    let (error, left) = try play(.pull, limit: 100, { HostileGuestTests.messages(whole) + [.deleted] })
    #expect(error == nil && left == ["guest-b"])
    let more = whole.dropLast() + [(next, [UInt8](repeating: 0, count: 41))]
    #expect(try outcome(.pull, limit: 100) { HostileGuestTests.messages(Array(more)) }.description.contains("bound"))
  }

  @Test func onlyWhatBelongsThere() throws {
    for messages: [Message] in [[.started], [.stop], [.data([1])], [.file(.machine, size: 1)], [.deleted]] {
      #expect(try outcome(.recording) { messages }.kind == .protocolViolation, "\(messages)")
    }
    #expect(try outcome(.prepare) { [.started] }.kind == .protocolViolation)
    #expect(try outcome(.start) { [.sent(files: 0, bytes: 0)] }.kind == .protocolViolation)
  }

  /// The host records without a guest that has begun and then says what it must not.
  @Test(arguments: [(Moment.start, false), (.recording, true)]) func whetherItHasBegun(_ moment: Moment, _ has: Bool)
    throws
  {
    var guest: RemoteGuest?
    let (error, _) = try play(moment, limit: 1, { [.deleted] }, meanwhile: { link, _ in guest = link })
    #expect(error?.kind == .protocolViolation && guest?.hasStarted == has)
  }

  /// Old answers again and again, and the greatest numbers that a message can hold, are only odd.
  @Test func oddButAllowed() throws {
    var progress = RemoteProgress()
    (progress.stamps, progress.lost, progress.size) = (.max, .max, .max)
    let extreme = progress
    let late = Message.pong(id: 3, received: 1, sent: .max)
    let error = try outcome(.recording) {
      [Message](repeating: late, count: 1000) + [.progress(extreme), .failed("enough")]
    }
    #expect(error.kind == .refused && error.description.contains("enough"))
  }

  /// Somebody between the two sides, or a guest that has lost its key.
  @Test func aWrongSealOnTheWay() throws {
    let scratch = try Scratch()
    let endpoint = Endpoint.unix(path: "\(scratch.path)/socket")
    let keys = try [1, 2].map { try SharedKey(bytes: [UInt8](repeating: $0, count: 32)) }
    let listener = Mutex(try Listener(endpoint))
    let agent = Background<Bool> {
      guard var connection = try listener.withLock({ try $0.accept(timeout: 10_000) }) else { return false }
      try connection.welcome(key: keys[0], release: "1")
      try HostileGuestTests.hear(&connection)
      let prepared = PreparedRecording(machine: "guest-b", hostname: "b", bootID: "boot-b", hooks: [], warnings: [])
      try connection.send(.prepared(prepared))
      try HostileGuestTests.hear(&connection)
      try connection.send(.started)
      let other = keys[1].seal("latprobe frames of the agent", [])
      connection.seal(outgoing: other, incoming: other)
      try connection.send(.progress(RemoteProgress()))
      while (try? connection.receive(within: 5_000_000_000)) != nil {}
      return true
    }
    let link = try RemoteGuest(endpoint, number: 0, key: keys[0], release: "1", request: sampleRequest())
    link.run(into: scratch.path, limit: 0)
    guard case .failed(let error) = link.phase else {
      Issue.record("\(link.phase)")
      return
    }
    #expect(error.kind == .protocolViolation && error.description.contains("seal is wrong"), "\(error)")
    _ = try? agent.wait()
  }

  @Test func answersToWhatWasNeverAsked() throws {
    #expect(try outcome(.recording) { [.pong(id: .max, received: 5, sent: 6)] }.kind == .protocolViolation)
  }

  /// The name would be another machine's folder.
  @Test func aTakenName() throws {
    let prepared = PreparedRecording(machine: "host-a", hostname: "", bootID: "", hooks: [], warnings: [])
    #expect(try outcome(.prepare) { [.prepared(prepared)] }.description.contains("is taken"))
  }

  /// Safe as a folder's name, but not one that a guest has: what else is in the session's folder stays apart.
  @Test func aNameThatIsNoGuests() throws {
    for name in ["report", "session.json", "guests", "host-b"] {
      let prepared = PreparedRecording(machine: name, hostname: "", bootID: "", hooks: [], warnings: [])
      #expect(try outcome(.prepare) { [.prepared(prepared)] }.description.contains("no guest's name"))
    }
  }
}
