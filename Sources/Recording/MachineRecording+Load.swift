// SPDX-License-Identifier: GPL-2.0-or-later
import CLatprobeABI

extension MachineRecording {
  /// Loads `DIR/MACHINE`: ``open(directory:)`` with all stamps held, 40 bytes each.
  package static func load(directory: String) throws(RecordingError) -> MachineRecording {
    var recording = try open(directory: directory)
    guard let stored = recording.stored else { return recording }
    var runs: [[Stamp]] = []
    for cursor in stored.cursors() {
      var run: [Stamp] = []
      while case let stamps = try cursor.next(), !stamps.isEmpty { run += stamps }
      runs.append(run)
    }
    recording.stamps = StampMerge.merge(runs)
    recording.stored = nil
    return recording
  }

  /// Reads all of `DIR/MACHINE` once, and leaves the stamps of hook points where they are.
  ///
  /// Damage of single streams costs the packets concerned and is told in ``damage``; a missing or newer
  /// `machine.json` or `metadata` is an error.
  package static func open(directory: String) throws(RecordingError) -> MachineRecording {
    let json = "\(directory)/\(Machine.fileName)"
    guard try Files.target(json) != nil else {
      throw RecordingError(
        .notARecording, path: directory,
        "has no \(Machine.fileName): give a recording's directory, or restore the file from a copy")
    }
    // Asked first: a recording that ends meanwhile is not taken for one that was cut off.
    let isBeingRecorded = RecordingLock.isHeld(directory)
    var recording = MachineRecording(machine: try JSONFile.decode(Machine.self, json, reads: Machine.currentFormat))
    recording.machine.isBeingRecorded = isBeingRecorded && recording.machine.stoppedAt == nil
    let uuid = try Metadata.identify("\(directory)/ctf/metadata")
    var loader = Loader(directory: directory, uuid: uuid)
    var foreign: [String] = []
    let streams = try StreamFile.list("\(directory)/ctf", foreign: &foreign)
    loader.damage += foreign.map { "\($0): is no file of latprobe and is left out; \(StreamFile.foreignRemedy)" }
    for (index, stream) in streams.enumerated() {
      if index > 0 && streams[index - 1].cpu != stream.cpu { loader.endCPU() }
      try loader.load(stream)
    }
    loader.endCPU()
    loader.finish(&recording)
    return recording
  }
}

/// A file name in `ctf/`.
struct StreamFile {
  var path: String
  var cpu: Int
  var sequence: Int

  static let foreignRemedy = "babeltrace2 stumbles over it: move it away"

  /// Stream files by CPU, then sequence number; paths of what is none go to `foreign`.
  static func list(_ directory: String, foreign: inout [String]) throws(RecordingError) -> [StreamFile] {
    var streams: [StreamFile] = []
    for name in try Files.list(directory) where name != "metadata" {
      let path = "\(directory)/\(name)"
      if let (cpu, sequence) = Format.parse(streamName: name) {
        streams.append(StreamFile(path: path, cpu: cpu, sequence: sequence))
      } else {
        foreign.append(path)
      }
    }
    return streams.sorted { ($0.cpu, $0.sequence) < ($1.cpu, $1.sequence) }
  }
}

/// Collects what the streams of one machine hold.
private struct Loader {
  let directory: String
  var damage: [String] = []
  private var impossible: [String] = []
  private var stored: StoredStamps
  /// Of the CPU at hand: the stamps in one order of time, and those that were held back (``lp_stamp_held``): their time
  /// lies before their place in the stream.
  private var run = StoredStamps.Run()
  private var held = StoredStamps.Run()
  /// The last stamp of the run, and the latest event of the CPU.
  private var runEnd: UInt64?
  private var reached: UInt64 = 0
  private var wireStamps: [WireStamp] = []
  private var pairs: [RecordedPair] = []
  private var drops: [Drop] = []
  private var flows: [UInt32: Flow] = [:]
  private var clockSamples: [ClockSample] = []
  private var clockExchanges: [ClockExchange] = []
  private var clockCrosses: [ClockCross] = []
  private var guestCounters: [GuestCounter] = []
  private var counts = [Int](repeating: 0, count: Format.eventNames.count)
  private var discarded: [Int: Count] = [:]
  /// Stamps of hook points or kinds this version does not know, by number.
  private var unknownHooks: [UInt8: UInt64] = [:]
  private var unknownKinds: [UInt8: UInt64] = [:]
  private var unknownMethods: [UInt8: UInt64] = [:]
  private var unknownClocks: [UInt8: UInt64] = [:]

  init(directory: String, uuid: TraceID) {
    self.directory = directory
    stored = StoredStamps(uuid: uuid)
  }

  private var remedy: String { "run `latprobe repair \(directory)`" }

  mutating func load(_ stream: StreamFile) throws(RecordingError) {
    let reader: StreamReader
    do throws(RecordingError) {
      reader = try StreamReader(stream.path, cpu: stream.cpu, uuid: stored.uuid)
    } catch  where error.kind == .damaged {
      damage.append("\(error.description): it is left out")
      return
    }
    if reader.size == 0 {
      damage.append("\(stream.path): is empty, as a recorder leaves it that was killed: \(remedy)")
    }
    var last: PacketHeader?
    while let step = try reader.next() {
      switch step {
      case .packet(let header, let range):
        let missing = reader.gap(before: header, after: last)
        if missing > 0 {
          damage.append(
            "\(stream.path): offset \(range.lowerBound): \(missing) packets are missing before this one; losses there are unknown"
          )
        }
        if let runEnd, header.begin < runEnd { endRun() }
        run.extend(stream, range)
        held.extend(stream, range)
        unsafe take(reader.events, cpu: UInt16(stream.cpu))
        last = header
      case .damaged(let problem, let range):
        let line =
          "\(stream.path): offset \(range.lowerBound): \(problem.text); a packet of \(range.count) bytes is left out: \(remedy)"
        damage.append(line)
        if problem.isImpossible { impossible.append(line) }
      case .unreadable(let problem, let range):
        damage.append(
          "\(stream.path): offset \(range.lowerBound): \(problem.text); the last \(range.count) bytes are left out: \(remedy)"
        )
      case .torn(let range):
        damage.append(
          "\(stream.path): offset \(range.lowerBound): the last packet is cut off (\(range.count) bytes are left out): \(remedy)"
        )
      }
    }
    if let last {
      discarded[stream.cpu, default: 0] += Count(last.discarded)
    }
  }

  private mutating func take(_ events: UnsafeRawBufferPointer, cpu: UInt16) {
    guard let base = events.baseAddress else { return }
    var offset = 0
    while offset < events.count {
      let record = unsafe base + offset
      let id = unsafe record.load(fromByteOffset: 8, as: UInt8.self)
      counts[Int(id)] += 1
      offset += Format.recordSize(id)
      reached = unsafe max(reached, record.load(as: UInt64.self))
      switch id {
      case UInt8(LP_EVENT_STAMP.rawValue):
        if let stamp = unsafe stamp(record.load(as: lp_stamp.self), cpu) {
          runEnd = stamp.time
          count(stamp.time)
        }
      case UInt8(LP_EVENT_STAMP_HELD.rawValue):
        let raw = unsafe record.load(as: lp_stamp_held.self)
        if stamp(raw.stamp, cpu) != nil {
          held.heldFor = max(held.heldFor ?? 0, reached > raw.at_ns ? reached - raw.at_ns : 0)
          count(raw.at_ns)
        }
      case UInt8(LP_EVENT_STAMP_WIRE.rawValue): takeWire(unsafe record.load(as: lp_stamp_wire.self), cpu)
      case UInt8(LP_EVENT_PAIR.rawValue): unsafe pairs.append(RecordedPair(record.load(as: lp_pair.self)))
      case UInt8(LP_EVENT_DROP.rawValue):
        let raw = unsafe record.load(as: lp_drop.self)
        if let drop = Drop(raw) {
          drops.append(drop)
        } else {
          unknownKinds[UInt8(raw.stamp.kind), default: 0] += 1
        }
      case UInt8(LP_EVENT_FLOW.rawValue): unsafe takeFlow(record)
      case UInt8(LP_EVENT_CLOCK_SAMPLE.rawValue):
        unsafe clockSamples.append(ClockSample(record.load(as: lp_clock_sample.self)))
      case UInt8(LP_EVENT_CLOCK_EXCHANGE.rawValue):
        unsafe clockExchanges.append(ClockExchange(record.load(as: lp_clock_exchange.self)))
      case UInt8(LP_EVENT_CLOCK_CROSS.rawValue):
        let raw = unsafe record.load(as: lp_clock_cross.self)
        if let cross = ClockCross(raw) {
          clockCrosses.append(cross)
        } else {
          unknownMethods[raw.method, default: 0] += 1
        }
      default: unsafe guestCounters.append(GuestCounter(record.load(as: lp_guest_counter.self)))
      }
    }
  }

  @inline(__always)
  private mutating func stamp(_ raw: lp_stamp, _ cpu: UInt16) -> Stamp? {
    if let stamp = Stamp(raw, cpu: cpu) { return stamp }
    if HookPoint(rawValue: raw.hook) == nil {
      unknownHooks[raw.hook, default: 0] += 1
    } else {
      unknownKinds[UInt8(raw.kind), default: 0] += 1
    }
    return nil
  }

  private mutating func count(_ time: UInt64) {
    stored.count += 1
    stored.lastTime = max(stored.lastTime ?? 0, time)
  }

  private mutating func takeWire(_ raw: lp_stamp_wire, _ cpu: UInt16) {
    guard let clock = WireClock(rawValue: raw.time_source) else {
      unknownClocks[raw.time_source, default: 0] += 1
      return
    }
    guard let stamp = stamp(raw.stamp, cpu) else { return }
    wireStamps.append(
      WireStamp(stamp: stamp, at: raw.at_ns, clock: clock, interface: raw.interface, device: raw.device))
  }

  private mutating func takeFlow(_ record: UnsafeRawPointer) {
    let raw = unsafe record.load(as: lp_flow.self)
    // The first record of a flow tells all; the rest are repeats for other CPUs.
    if flows[raw.flow] != nil { return }
    let length = raw.family == 4 ? 4 : 16
    flows[raw.flow] = Flow(
      id: raw.flow, ipProtocol: raw.protocol,
      source: (0..<length).map { unsafe record.load(fromByteOffset: 24 + $0, as: UInt8.self) },
      destination: (0..<length).map { unsafe record.load(fromByteOffset: 40 + $0, as: UInt8.self) },
      sourcePort: raw.source_port, destinationPort: raw.destination_port)
  }

  private mutating func endRun() {
    if runEnd != nil { stored.runs.append(run) }
    run = StoredStamps.Run()
    runEnd = nil
  }

  mutating func endCPU() {
    endRun()
    if held.heldFor != nil { stored.runs.append(held) }
    held = StoredStamps.Run()
    reached = 0
  }

  mutating func finish(_ recording: inout MachineRecording) {
    for (number, count) in unknownHooks.sorted(by: { $0.key < $1.key }) {
      damage.append(
        "\(directory): \(count) stamps of hook point \(number), which this latprobe does not know, are left out: update latprobe"
      )
    }
    for (number, count) in unknownKinds.sorted(by: { $0.key < $1.key }) {
      damage.append(
        "\(directory): \(count) stamps of kind \(number), which this latprobe does not know, are left out: update latprobe"
      )
    }
    for (number, count) in unknownMethods.sorted(by: { $0.key < $1.key }) {
      damage.append(
        "\(directory): \(count) clock readings by method \(number), which this latprobe does not know, are left out: update latprobe"
      )
    }
    for (number, count) in unknownClocks.sorted(by: { $0.key < $1.key }) {
      damage.append(
        "\(directory): \(count) stamps by clock \(number), which this latprobe does not know, are left out: update latprobe"
      )
    }
    recording.pairs = pairs.sorted { $0.end < $1.end }
    recording.wireStamps = wireStamps.sorted { $0.stamp.time < $1.stamp.time }
    recording.stored = stored
    recording.drops = drops.sorted { $0.time < $1.time }
    recording.flows = flows
    recording.clockSamples = clockSamples.sorted { $0.monotonic < $1.monotonic }
    recording.clockExchanges = clockExchanges.sorted { $0.time < $1.time }
    recording.clockCrosses = clockCrosses.sorted { $0.time < $1.time }
    recording.guestCounters = guestCounters.sorted { $0.time < $1.time }
    for (name, count) in zip(Format.eventNames, counts) where count > 0 { recording.eventsByType[name] = Count(count) }
    recording.discardedByCPU = discarded
    tellMissing(recording.machine)
    recording.damage = damage
    recording.impossible = impossible
  }
}

extension Loader {
  /// Whole packets or files that are gone leave no trace in the streams: what was counted tells.
  private mutating func tellMissing(_ machine: Machine) {
    let kind: String
    let found: Count
    let whole: Count
    if let events = machine.events {
      (kind, found, whole) = ("events", Count(counts.reduce(0, +)), events)
    } else {
      // The ledger counts stamps; of a recording of pairs, packets. After a failure it counts more than was to be written.
      guard machine.stoppedAt != nil, !machine.endedByFailure, machine.pairing == nil else { return }
      let emitted = machine.ledger.sum(\.emitted)
      let kinds = [LP_EVENT_STAMP, LP_EVENT_STAMP_HELD, LP_EVENT_STAMP_WIRE]
      let stamps = kinds.reduce(0) { $0 + counts[Int($1.rawValue)] }
      (kind, found, whole) = ("stamps", Count(stamps), emitted - machine.rotation.deletedEvents)
    }
    guard found < whole else { return }
    damage.append(
      "\(directory): \(whole - found) of \(whole) \(kind) are not in the streams: restore them from a copy, or record again"
    )
  }
}

extension StoredStamps.Run {
  /// Adds a packet, the next one of the CPU.
  fileprivate mutating func extend(_ stream: StreamFile, _ range: Range<Int>) {
    if let last = pieces.last, last.path == stream.path {
      pieces[pieces.count - 1].range = last.range.lowerBound..<range.upperBound
    } else {
      pieces.append(StoredStamps.Piece(path: stream.path, cpu: stream.cpu, range: range))
    }
  }
}
