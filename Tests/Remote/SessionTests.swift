// SPDX-License-Identifier: GPL-2.0-or-later
import Foundation
import Glibc
import Recording
import Synchronization
import Testing

@testable import Remote

/// Host and agent against each other, with a recorder that needs no kernel.
@Suite struct SessionTests {
  /// An agent that serves one host over a UNIX socket, its state folder and what it says.
  private final class Agent: Sendable {
    let scratch: Scratch
    let recorder: FakeRecorder
    let endpoint: Endpoint
    let said = Mutex<[String]>([])
    let signals = Mutex(0)
    private let isListening = Mutex(false)
    private let background = Mutex<Background<Bool>?>(nil)

    init(
      _ recorder: FakeRecorder = FakeRecorder(), grace: Int64 = 2_000_000_000, key: SharedKey? = nil,
      patience: Int64 = Patience().step, adjust: @escaping @Sendable (inout AgentOptions) -> Void = { _ in }
    ) throws {
      let scratch = try Scratch()
      let endpoint = Endpoint.unix(path: "\(scratch.path)/socket")
      self.scratch = scratch
      self.recorder = recorder
      self.endpoint = endpoint
      try FileManager.default.createDirectory(atPath: "\(scratch.path)/state", withIntermediateDirectories: true)
      let started = Background<Bool> { [self] in
        var options = AgentOptions()
        options.stateDirectory = "\(scratch.path)/state"
        options.grace = grace
        options.key = key
        options.release = "1.2.3"
        adjust(&options)
        let listener = try Listener(endpoint)
        isListening.withLock { $0 = true }
        let say = { @Sendable line in self.said.withLock { $0.append(line) } }
        let door = Door(listener, key: key, release: options.release, say: say)
        guard var guest = try door.next(wait: 10_000) else { return false }
        guest.connection.patience.step = patience
        AgentSession(
          options: options, recorder: recorder, signals: { self.signals.withLock { $0 } },
          idle: { door.turnAway() }, say: say
        ).serve(guest)
        return true
      }
      background.withLock { $0 = started }
      for _ in 0..<10_000 where !isListening.withLock({ $0 }) { usleep(1000) }
    }

    /// Folders of recordings that it has.
    var kept: [String] { scratch.list("state") }
    var words: String { said.withLock { $0.joined(separator: "\n") } }

    func end() throws {
      let background = background.withLock { $0 }
      #expect(try background?.wait() == true)
    }
  }

  private func link(_ agent: Agent, key: SharedKey? = nil) throws -> RemoteGuest {
    try RemoteGuest(agent.endpoint, number: 4, key: key, release: "9.9", request: sampleRequest())
  }

  private func wait(_ link: RemoteGuest, for condition: (GuestPhase) -> Bool) throws {
    for _ in 0..<10_000 where !condition(link.phase) { usleep(1000) }
    try #require(condition(link.phase), "\(link.phase)")
  }

  @Test(arguments: [false, true]) func aWholeSession(_ withKey: Bool) throws {
    let key = withKey ? try SharedKey(bytes: [UInt8](repeating: 5, count: 32)) : nil
    let agent = try Agent(key: key)
    let link = try link(agent, key: key)
    #expect(link.phase == .prepared && link.release == "1.2.3")
    #expect(link.peer == Peer(number: 4, machine: "guest-b", bootID: "boot-b", url: agent.endpoint.description))
    #expect(link.prepared.warnings == ["txg0 is absent"])
    #expect(agent.recorder.request == sampleRequest())
    let folder = try Scratch()
    let run = Background<Bool> {
      link.run(into: folder.path, limit: 1 << 30)
      return true
    }
    try wait(link) { $0 == .recording }
    usleep(300_000)
    // A second host is told at once.
    let busy = #expect(throws: RemoteError.self) { _ = try self.link(agent, key: key) }
    #expect(busy?.description.contains("busy with another host") == true)
    link.stop()
    _ = try run.wait()
    guard case .done(let machine) = link.phase else {
      Issue.record("\(link.phase)")
      return
    }
    #expect(machine.name == "guest-b" && machine.stoppedBy == "the host")
    let loaded = try MachineRecording.load(directory: "\(folder.path)/guest-b")
    #expect(loaded.stamps.count == FakeRecorder.stamps && loaded.damage.isEmpty)
    #expect(folder.list() == ["guest-b"])
    try agent.end()
    #expect(agent.kept.isEmpty)
    // 20 at the start, one in 50 ms, and at the end as many of 20 as the machine has time for.
    let exchanges = link.exchanges()
    #expect(exchanges.count > 22, "\(exchanges.count)")
    for exchange in exchanges {
      #expect(exchange.peer == 4)
      // One kernel: one clock.
      #expect(exchange.sent <= exchange.peerReceived && exchange.peerReceived <= exchange.peerSent)
      #expect(exchange.peerSent <= exchange.received && exchange.received - exchange.sent < 1_000_000_000)
    }
    #expect(zip(exchanges, exchanges.dropFirst()).allSatisfy { $0.received <= $1.sent })
    #expect(link.exchanges().isEmpty)
  }

  @Test func aBufferIsCutToTheGuestsMemory() throws {
    for (memory, cpus, bound) in [(1 << 30, 1, 128 << 20), (1 << 30, 3, 32 << 20), (1 << 28, 512, 1 << 20)] {
      #expect(AgentOptions.bufferBound(memory: memory, cpus: cpus) == bound)
    }
    #expect(AgentOptions.bufferBound(memory: 1 << 44, cpus: 1) == 1 << 30)
    let agent = try Agent { $0.maxBuffer = 1 << 16 }
    let link = try link(agent)
    #expect(agent.recorder.request?.bufferSize == 1 << 16)
    #expect(link.prepared.warnings.first?.contains("64 KiB instead of the 1024") == true, "\(link.prepared.warnings)")
    #expect(link.prepared.warnings.count == 2)
  }

  /// Recordings that nobody has taken have a bound: the next host is told what to do.
  @Test func keptRecordingsHaveABound() throws {
    for (size, isRefused) in [(3999, false), (4000, true)] {
      let agent = try Agent { $0.maxSize = 1000 }
      let state = "\(agent.scratch.path)/state"
      for (folder, bytes) in [("latprobe-abc123", size - 1), ("latprobe-abc124/ctf", 1), ("latprobe-other", 9000)] {
        try FileManager.default.createDirectory(atPath: "\(state)/\(folder)", withIntermediateDirectories: true)
        try Data(count: bytes).write(to: URL(fileURLWithPath: "\(state)/\(folder)/file"))
      }
      if isRefused {
        let error = #expect(throws: RemoteError.self) { _ = try link(agent) }
        #expect(error?.description.contains("2 recordings that no host has taken") == true, "\(error as Any)")
        #expect(error?.description.contains("delete \(state)/latprobe-*") == true)
      } else {
        _ = try link(agent)
      }
      try agent.end()
      #expect(agent.kept == ["latprobe-abc123", "latprobe-abc124", "latprobe-other"])
    }
  }

  /// The verifier may take minutes: another host is told that the agent is busy, and a signal ends it.
  @Test(arguments: [true, false]) func whileProgramsAreLoaded(_ isSignalled: Bool) throws {
    let agent = try Agent(FakeRecorder(isSlow: true))
    let first = Background<RemoteGuest> { try self.link(agent) }
    for _ in 0..<5000 where agent.recorder.request == nil { usleep(1000) }
    let busy = #expect(throws: RemoteError.self) { _ = try link(agent) }
    #expect(busy?.description.contains("busy with another host") == true, "\(busy as Any)")
    if isSignalled {
      agent.signals.withLock { $0 = 1 }
      let error = #expect(throws: RemoteError.self) { _ = try first.wait() }
      #expect(error?.description.contains("ended by a signal") == true, "\(error as Any)")
    } else {
      agent.recorder.load()
      _ = try first.wait().prepared
      agent.signals.withLock { $0 = 1 }
    }
    try agent.end()
    #expect(agent.kept.isEmpty)
  }

  @Test func whatTheAgentCannotDoIsHeardAtOnce() throws {
    let agent = try Agent(FakeRecorder(refusal: "no device 'eth9'"))
    let error = #expect(throws: RemoteError.self) { _ = try link(agent) }
    #expect(error?.kind == .refused && error?.description.contains("no device 'eth9'") == true)
    try agent.end()
    #expect(agent.kept.isEmpty)
  }

  @Test func aFailureOnTheWayKeepsTheRecordingInTheGuest() throws {
    let agent = try Agent()
    let link = try link(agent)
    let folder = try Scratch()
    let run = Background<Bool> {
      link.run(into: folder.path, limit: 1 << 30)
      return true
    }
    try wait(link) { $0 == .recording }
    agent.recorder.fail("the disk is full")
    _ = try run.wait()
    guard case .failed(let error) = link.phase else {
      Issue.record("\(link.phase)")
      return
    }
    #expect(error.description.contains("the disk is full"))
    try agent.end()
    #expect(agent.kept.count == 1 && folder.list().isEmpty)
  }

  /// The host disappears without a word: recording goes on for the grace time, and is kept.
  @Test(arguments: [true, false]) func aLostHost(_ closes: Bool) throws {
    let agent = try Agent(grace: 400_000_000)
    var connection: Connection? = try agent.endpoint.connect()
    try connection?.greet(key: nil, release: "1")
    try connection?.send(.prepare(sampleRequest()))
    _ = try connection?.expect(within: 5_000_000_000)
    try connection?.send(.start)
    #expect(try connection?.expect(within: 5_000_000_000) == .started)
    let begin = Date()
    if closes { connection = nil }
    try agent.end()
    let time = Date().timeIntervalSince(begin)
    #expect(time >= 0.35 && time < 15, "\(time)")
    #expect(agent.words.contains("is kept in \(agent.scratch.path)/state/latprobe-"), "\(agent.words)")
    let folder = try #require(agent.kept.first)
    // As it lies it is a recording that `report` takes.
    let recorded = try RecordedSession.load(paths: ["\(agent.scratch.path)/state/\(folder)"])
    #expect(recorded.session.id == sessionID && recorded.machines.first?.stamps.count == FakeRecorder.stamps)
    _ = consume connection
  }

  /// Told to stop, the guest may take longer than the grace time, while the host only waits.
  @Test func aSlowEnd() throws {
    let agent = try Agent(FakeRecorder(stopTime: 1.5), grace: 700_000_000)
    let link = try link(agent)
    let folder = try Scratch()
    let run = Background<Bool> {
      link.run(into: folder.path, limit: 1 << 30)
      return true
    }
    try wait(link) { $0 == .recording }
    link.stop()
    _ = try run.wait()
    guard case .done = link.phase else {
      Issue.record("\(link.phase)")
      return
    }
    try agent.end()
    #expect(agent.kept.isEmpty)
  }

  /// Where other guests took long to load, this one has not been spoken to for a while; that is no silence of its own.
  @Test func aWaitBeforeTheStart() throws {
    let scratch = try Scratch()
    let endpoint = Endpoint.unix(path: "\(scratch.path)/socket")
    let listener = Mutex(try Listener(endpoint))
    let agent = Background<Bool> {
      guard var connection = try listener.withLock({ try $0.accept(timeout: 10_000) }) else { return false }
      try connection.welcome(key: nil, release: "1")
      _ = try connection.receive(within: 5_000_000_000)
      let prepared = PreparedRecording(machine: "guest-b", hostname: "b", bootID: "boot-b", hooks: [], warnings: [])
      try connection.send(.prepared(prepared))
      var questions = 0
      while let message = try connection.receive(within: 20_000_000_000) {
        switch message {
        case .ping(let id):
          questions += 1
          // The first is answered too late.
          if questions == 1 { usleep(1_100_000) }
          try connection.send(.pong(id: id, received: connection.receivedAt, sent: Connection.now))
        case .start: return true
        default: return false
        }
      }
      return false
    }
    var patience = Patience()
    patience.silence = 1_500_000_000
    let link = try RemoteGuest(
      endpoint, number: 0, key: nil, release: "1", request: sampleRequest(), patience: patience)
    usleep(1_500_000)
    let run = Background<Bool> {
      link.run(into: scratch.path, limit: 0)
      return true
    }
    #expect(try agent.wait())
    link.cancel()
    _ = try run.wait()
  }

  /// A host whose disk takes its time reads nothing for longer than a step of the conversation may last.
  @Test func aHostWithASlowDisk() throws {
    // 3.2 MB: more than the socket holds.
    let agent = try Agent(FakeRecorder(stamps: 100_000), grace: 20_000_000_000, patience: 500_000_000)
    var connection = try agent.endpoint.connect()
    try connection.greet(key: nil, release: "1")
    for message: Message in [.prepare(sampleRequest()), .start, .stop] {
      try connection.send(message)
      while case .progress = try connection.expect(within: 5_000_000_000) {}
    }
    try connection.send(.pull)
    usleep(1_000_000)
    var isSent = false
    while !isSent { if case .sent = try connection.expect(within: 5_000_000_000) { isSent = true } }
    try connection.send(.acknowledge)
    #expect(try connection.expect(within: 5_000_000_000) == .deleted)
    try agent.end()
    #expect(agent.kept.isEmpty)
  }

  @Test func anUnstartedRecordingLeavesNothing() throws {
    let agent = try Agent()
    do { _ = try link(agent) }
    try agent.end()
    #expect(agent.kept.isEmpty)
  }

  /// Without the host's word that it has the recording, nothing is deleted.
  @Test func anUnacknowledgedRecordingIsKept() throws {
    let agent = try Agent()
    let link = try link(agent)
    // The bound refuses what comes.
    let folder = try Scratch()
    let run = Background<Bool> {
      link.run(into: folder.path, limit: 100)
      return true
    }
    try wait(link) { $0 == .recording }
    link.stop()
    _ = try run.wait()
    guard case .failed(let error) = link.phase else {
      Issue.record("\(link.phase)")
      return
    }
    #expect(error.description.contains("--max-size"), "\(error)")
    #expect(link.stopped?.directory.hasPrefix(agent.scratch.path) == true)
    try agent.end()
    #expect(agent.kept.count == 1 && folder.list().isEmpty)
  }

  @Test func theUserNeedNotWait() throws {
    let agent = try Agent()
    let link = try link(agent)
    let folder = try Scratch()
    let run = Background<Bool> {
      link.run(into: folder.path, limit: 1 << 30)
      return true
    }
    try wait(link) { $0 == .recording }
    link.cancel()
    _ = try run.wait()
    guard case .failed(let error) = link.phase else {
      Issue.record("\(link.phase)")
      return
    }
    #expect(error.kind == .cancelled)
    try agent.end()
    #expect(agent.kept.count == 1)
  }

  /// A signal to the agent ends the recording; the host is told, goes on, and still gets it.
  @Test func aSignalToTheAgent() throws {
    let agent = try Agent()
    let link = try link(agent)
    let folder = try Scratch()
    let run = Background<Bool> {
      link.run(into: folder.path, limit: 1 << 30)
      return true
    }
    try wait(link) { $0 == .recording }
    agent.signals.withLock { $0 = 1 }
    for _ in 0..<5000 where link.stopped == nil { usleep(1000) }
    #expect(link.stopped?.reason == "a signal to the agent")
    #expect(link.phase == .recording)
    link.stop()
    _ = try run.wait()
    guard case .done = link.phase else {
      Issue.record("\(link.phase)")
      return
    }
    try agent.end()
    #expect(agent.kept.isEmpty)
  }
}
