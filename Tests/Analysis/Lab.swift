// SPDX-License-Identifier: GPL-2.0-or-later
import Recording
import Testing

@testable import Analysis

/// A recording made up stamp by stamp, with the paths of the `veth` topology; times in nanoseconds from `Lab.start`.
struct Lab {
  static let start: UInt64 = 1_000_000_000_000
  /// Recordings run from 10 s before `start` to 100 s after it.
  static let stop: UInt64 = start + 100_000_000_000

  static let vethHooks = ["txg0", "txg1", "txg2", "txh0", "rxh1", "rxg0", "rxg1"]
  static let vethPaths = [
    Path(name: "tx", hooks: ["txg0", "txg1", "txg2", "txh0"]),
    Path(name: "rx", hooks: ["rxh1", "rxg0", "rxg1"]),
    Path(name: "east-west", hooks: ["txg0", "txg1", "txg2", "txh0", "rxh1", "rxg0", "rxg1"]),
  ]

  var recording: MachineRecording
  var options = AnalysisOptions()

  init(
    hooks: [String] = Lab.vethHooks, paths: [Path] = Lab.vethPaths, name: String = "both-lab", bootID: String = "boot-a"
  ) {
    var machine = Machine(name: name, role: "both", hostname: "lab", bootID: bootID, topology: "veth")
    machine.hooks = hooks.map { AttachedHook(name: $0, attachedAs: "tp_btf:test") }
    machine.paths = paths
    machine.startedAt = Lab.start - 10_000_000_000
    machine.stoppedAt = Lab.stop
    recording = MachineRecording(machine: machine)
  }

  mutating func stamp(
    _ hook: HookPoint, at time: Int64, key: UInt64, flow: UInt32 = 7, kind: StampKind = .udp, length: UInt32 = 100,
    header: UInt16 = 28, sequence: UInt32 = 0
  ) {
    recording.stamps.append(
      Stamp(
        time: UInt64(Int64(Lab.start) + time), key: key, flow: flow, sequence: sequence, length: length,
        headerLength: header, hook: hook, kind: kind))
  }

  /// One UDP packet at several hook points, `step` nanoseconds apart.
  mutating func packet(_ hooks: [HookPoint], from time: Int64, step: Int64 = 1_000, key: UInt64, flow: UInt32 = 7) {
    for (index, hook) in hooks.enumerated() { stamp(hook, at: time + Int64(index) * step, key: key, flow: flow) }
  }

  /// TCP data of the bytes `range` (sequence numbers before they wrap).
  mutating func data(
    _ hook: HookPoint, at time: Int64, _ range: Range<UInt64>, key: UInt64, flow: UInt32 = 9
  ) {
    stamp(
      hook, at: time, key: key, flow: flow, kind: .tcp, length: UInt32(range.count) + 52, header: 52,
      sequence: UInt32(truncatingIfNeeded: range.lowerBound))
  }

  mutating func read(_ hook: HookPoint = .rxg1, at time: Int64, _ range: Range<UInt64>, flow: UInt32 = 9) {
    stamp(
      hook, at: time, key: 0, flow: flow, kind: .tcpRange, length: UInt32(range.count), header: 0,
      sequence: UInt32(truncatingIfNeeded: range.lowerBound))
  }

  /// The recording as a reader hands it out: in time order.
  var sorted: MachineRecording {
    var recording = recording
    recording.stamps.sort { $0.time < $1.time }
    return recording
  }

  func analysed() throws -> SessionResult { try Lab.analyse([self], options) }

  static func analyse(_ labs: [Lab], _ options: AnalysisOptions = AnalysisOptions()) throws -> SessionResult {
    let session = Session(id: "lab", members: [], labels: [:], commandLine: [], createdAt: 0)
    return try Analysis.analyse(session: session, recordings: labs.map(\.sorted), options: options)
  }
}

extension SessionResult {
  func segment(_ direction: String, _ name: String) throws -> SegmentResult {
    try #require(segments.first { $0.direction == direction && $0.name == name }, "no \(direction) \(name)")
  }
}

extension SegmentResult {
  /// What became of the packets, to be compared at one glance.
  var fates: Fates {
    Fates(
      count: count, lost: lost, unmatched: unmatched, ambiguous: ambiguous, duplicate: duplicate, late: late,
      cutOff: cutOff)
  }
}

struct Fates: Equatable, CustomStringConvertible {
  var count = 0
  var lost = 0
  var unmatched = 0
  var ambiguous = 0
  var duplicate = 0
  var late = 0
  var cutOff = 0

  var description: String {
    "count \(count) lost \(lost) unmatched \(unmatched) ambiguous \(ambiguous) duplicate \(duplicate) "
      + "late \(late) cut off \(cutOff)"
  }
}

extension [HookPoint] {
  static let eastWest: [HookPoint] = [.txg0, .txg1, .txg2, .txh0, .rxh1, .rxg0, .rxg1]
  static let tx: [HookPoint] = [.txg0, .txg1, .txg2, .txh0]
  static let rx: [HookPoint] = [.rxh1, .rxg0, .rxg1]
}

let millisecond: Int64 = 1_000_000
let second: Int64 = 1_000_000_000

/// SplitMix64: the same numbers in every run.
struct SeededGenerator: RandomNumberGenerator {
  var state: UInt64

  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }
}
