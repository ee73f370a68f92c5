// SPDX-License-Identifier: GPL-2.0-or-later
import CLatprobeABI
import Clocks
import Collecting
import Foundation
import Glibc
import Host
import Recording
import Synchronization
import Testing

/// Hands over `perRound` stamps of one CPU at each look.
private struct MadeUp: Producer, ~Copyable {
  struct Failure: Error {}

  var machine: Machine
  var perRound = 10
  /// Looks until it ends by itself; nil: never.
  var rounds: Int?
  var failsToStart = false
  /// Handed over once it is stopped.
  var rest = 3
  private(set) var calls: [String] = []
  private(set) var made = 0
  private(set) var forgotten = 0

  init() {
    machine = Machine(name: "host-x", role: "host", hostname: "x", bootID: "b", topology: "t")
    machine.hooks = [AttachedHook(name: "txh0", attachedAs: "x", watches: [])]
  }

  mutating func start() throws {
    calls.append("start")
    if failsToStart { throw Failure() }
  }

  mutating func poll(_ now: Int64, into outlet: Outlet) -> Round {
    if let rounds, rounds * perRound <= made { return .ended("end of it") }
    make(perRound, into: outlet)
    return .idle
  }

  mutating func wait(until time: Int64) { Pause.sleep(until: min(time, Instant<Monotonic>.now.nanoseconds + 100_000)) }
  mutating func stop() { calls.append("stop") }

  mutating func finish(into outlet: Outlet) {
    calls.append("finish")
    make(rest, into: outlet)
  }

  mutating func takeAccount(_ account: Account) {
    if account == .end { calls.append("end") }
    let row = LedgerRow(hook: "txh0", cpu: 0, seen: UInt64(made + 7), emitted: UInt64(made), lost: 7)
    machine.ledger = [row]
  }

  mutating func forgetFlows() { forgotten += 1 }

  private mutating func make(_ count: Int, into outlet: Outlet) {
    var records: [UInt8] = []
    for _ in 0..<count {
      made += 1
      var stamp = lp_stamp()
      stamp.time_ns = UInt64(Instant<Monotonic>.now.nanoseconds)
      stamp.event = UInt8(LP_EVENT_STAMP.rawValue)
      stamp.hook = HookPoint.txh0.rawValue
      stamp.key = UInt64(made)
      unsafe withUnsafeBytes(of: stamp) { unsafe records.append(contentsOf: $0) }
    }
    outlet.append(cpu: 0, records)
  }
}

private final class Scales: RecordSink {
  private(set) var bytes = 0
  func take(cpu: Int, _ records: UnsafeRawBufferPointer) { bytes += records.count }
}

/// The one loop of all that records.
@Suite struct CollectorTests {
  private let directory: String
  private let session = Session(id: "s", members: ["host-x"], labels: [:], commandLine: [], createdAt: 0)

  init() throws {
    directory = FileManager.default.temporaryDirectory.appending(path: "latprobe-\(UUID().uuidString)").path
    try Session.prepare(directory: directory, force: false)
    try session.write(to: directory)
  }

  private func collector(
    _ machine: Machine, _ options: RecorderOptions = RecorderOptions(), sinks: [any RecordSink] = []
  ) throws -> Collector {
    try Collector(
      machine: machine, session: session, directory: directory, clocks: ClockKeeper { _ in }, options: options,
      sinks: sinks)
  }

  private func load() throws -> MachineRecording {
    defer { try? FileManager.default.removeItem(atPath: directory) }
    return try #require(try RecordedSession.load(paths: [directory]).machines.first)
  }

  @Test func aProducerThatEndsIsRecordedWholly() throws {
    var producer = MadeUp()
    producer.rounds = 13
    let scales = Scales()
    var isStarted = false
    let machine = try collector(producer.machine, sinks: [scales]).collect(
      &producer, started: { isStarted = true }, stopRequested: { nil })
    #expect(isStarted && producer.calls == ["start", "stop", "finish", "end"])
    #expect(machine.stoppedBy == "end of it" && machine.stoppedAt.map { $0 > machine.startedAt } == true)
    let recording = try load()
    #expect(recording.stamps.map(\.key) == (1...133).map { UInt64($0) })
    #expect(recording.clockSamples.count >= 2)
    #expect(recording.discardedByCPU[0] == 7)
    #expect(scales.bytes >= 133 * MemoryLayout<lp_stamp>.size)
  }

  @Test func itStopsByCountDurationAndOnRequest() throws {
    for way in ["count", "duration", "signal"] {
      var producer = MadeUp()
      var options = RecorderOptions()
      if way == "count" { options.count = 51 }
      if way == "duration" { options.duration = 30_000_000 }
      var looks = 0
      let test = try CollectorTests()
      let machine = try test.collector(producer.machine, options).collect(
        &producer,
        stopRequested: {
          looks += 1
          return way == "signal" && looks > 5 ? way : nil
        })
      #expect(machine.stoppedBy == way)
      #expect(producer.calls == ["start", "stop", "finish", "end"])
      #expect(try test.load().stamps.count == producer.made)
      if way == "count" { #expect(producer.made >= 51) }
    }
  }

  @Test func whatAFullDiskKeepsOutIsCounted() throws {
    var producer = MadeUp()
    producer.perRound = 200
    let left = Mutex(20_000)
    var options = RecorderOptions()
    options.writer = MachineWriter.Options(
      packetSize: 4096,
      write: { descriptor, bytes in
        left.withLock { left in
          guard left >= bytes.byteCount else {
            errno = ENOSPC
            return -1
          }
          left -= bytes.byteCount
          return systemWrite(descriptor, bytes)
        }
      })
    let error = #expect(throws: RecordingError.self) {
      _ = try collector(producer.machine, options).collect(&producer, stopRequested: { nil })
    }
    #expect(error?.kind == .diskFull)
    #expect(producer.calls == ["start", "stop", "finish", "end"])
    let recording = try load()
    #expect(recording.machine.stoppedBy == Machine.diskFull && recording.machine.endedByFailure)
    // Clock samples are among those that are not written.
    #expect(recording.stamps.count > 0)
    #expect(recording.stamps.count + Int(recording.machine.unwritten.unsigned) >= producer.made)
  }

  @Test func aProducerThatCannotStartLeavesAClosedRecording() throws {
    var producer = MadeUp()
    producer.failsToStart = true
    #expect(throws: MadeUp.Failure.self) {
      _ = try collector(producer.machine).collect(&producer, stopRequested: { nil })
    }
    #expect(producer.calls == ["start", "stop", "finish", "end"])
    let recording = try load()
    #expect(recording.machine.stoppedBy == Machine.error && recording.machine.stoppedAt != nil)
  }

  @Test func flowsAreToldAgainWhereStreamsMayGo() throws {
    for rotates in [false, true] {
      var producer = MadeUp()
      producer.rounds = 3
      var options = RecorderOptions()
      if rotates { options.writer.rotateTime = 1_000_000_000 }
      options.duration = 60_000_000
      producer.rounds = nil
      let test = try CollectorTests()
      _ = try test.collector(producer.machine, options).collect(&producer, stopRequested: { nil })
      #expect((producer.forgotten > 0) == rotates)
      _ = try test.load()
    }
  }
}
