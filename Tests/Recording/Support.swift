// SPDX-License-Identifier: GPL-2.0-or-later
import CLatprobeABI
import Foundation
import Recording
import Testing

/// A directory of its own for each test; removed with its owner.
final class Scratch {
  let path: String

  init() throws {
    path = FileManager.default.temporaryDirectory.appendingPathComponent("latprobe-\(UUID().uuidString)").path
    try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
  }

  deinit { try? FileManager.default.removeItem(atPath: path) }

  func bytes(_ name: String) throws -> [UInt8] { [UInt8](try Data(contentsOf: URL(filePath: "\(path)/\(name)"))) }
  func put(_ name: String, _ bytes: [UInt8]) throws { try Data(bytes).write(to: URL(filePath: "\(path)/\(name)")) }
  func list(_ name: String) throws -> [String] {
    try FileManager.default.contentsOfDirectory(atPath: "\(path)/\(name)").sorted()
  }
  func exists(_ name: String) -> Bool { FileManager.default.fileExists(atPath: "\(path)/\(name)") }
}

/// A batch of raw records, as drained from the kernel.
struct Batch {
  var bytes: [UInt8] = []

  mutating func stamp(
    _ time: UInt64, hook: HookPoint = .txg1, kind: StampKind = .udp, key: UInt64 = 0xABCD, length: UInt32 = 92,
    queue: UInt16 = 0, flow: UInt32 = 7, sequence: UInt32 = 0
  ) {
    add(
      lp_stamp(
        time_ns: time, event: 0, hook: hook.rawValue, queue: queue, length: length, header_words: 7,
        kind: UInt32(kind.rawValue), flow: flow, sequence: sequence, key: key))
  }

  mutating func held(_ time: UInt64, at: UInt64, key: UInt64 = 0xABCD) {
    let stamp = lp_stamp(
      time_ns: time, event: 1, hook: HookPoint.txg0.rawValue, queue: 0, length: 92, header_words: 7, kind: 1, flow: 7,
      sequence: 0, key: key)
    add(lp_stamp_held(stamp: stamp, at_ns: at))
  }

  mutating func flow(_ time: UInt64, id: UInt32 = 7, family: UInt8 = 4) {
    var flow = lp_flow()
    flow.time_ns = time
    flow.event = 2
    flow.family = family
    flow.protocol = 17
    flow.flow = id
    flow.source_port = 40_000
    flow.destination_port = 53
    flow.source = (10, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)
    flow.destination = (10, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)
    add(flow)
  }

  mutating func clocks(_ time: UInt64) {
    var sample = lp_clock_sample()
    sample.time_ns = time
    sample.event = 3
    sample.window_ns = 80
    sample.monotonic_raw_ns = Int64(time) - 5
    sample.realtime_ns = 1_700_000_000_000_000_000
    sample.tai_ns = 1_700_000_037_000_000_000
    sample.boottime_ns = Int64(time) + 9
    sample.tsc = 123_456
    add(sample)
  }

  mutating func add<Record>(_ record: Record) {
    unsafe withUnsafeBytes(of: record) { unsafe bytes.append(contentsOf: $0) }
  }
}

extension MachineWriter {
  func append(cpu: Int, _ batch: Batch) throws {
    try unsafe batch.bytes.withUnsafeBytes { try unsafe append(cpu: cpu, bytes: $0) }
  }
}

/// A deterministic generator (SplitMix64), so that a failing case can be run again.
struct Seeded: RandomNumberGenerator {
  var state: UInt64

  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }
}

/// 2023-11-14 22:13:20 UTC at CLOCK_MONOTONIC 0.
let utcOffset: Int64 = 1_700_000_000_000_000_000

func sampleSession(id: String = "5b7f1c52-96a8-4b0e-9d6e-111111111111", members: [String] = ["host-a"]) -> Session {
  Session(
    id: id, members: members, labels: ["run": "1"], commandLine: ["latprobe", "record"], createdAt: 1_700_000_000)
}

func sampleMachine(_ name: String = "host-a") -> Machine {
  var machine = Machine(name: name, role: "host", hostname: "a \"b\"", bootID: "boot", topology: "veth")
  machine.cpus = 2
  machine.startedAt = 500
  return machine
}

/// Begins a recording of one machine in `DIR`.
func begin(
  _ scratch: Scratch, name: String = "host-a", options: MachineWriter.Options = .init()
) throws -> MachineWriter {
  let session = sampleSession(members: [name])
  try session.write(to: scratch.path)
  return try MachineWriter(
    directory: scratch.path, machine: sampleMachine(name), session: session, utcOffset: utcOffset, options: options)
}

/// A small recording with every event type: 23 events on two CPUs, several packets, losses.
func writeSmall(_ scratch: Scratch, name: String = "host-a") throws {
  let writer = try begin(scratch, name: name)
  var batch = Batch()
  batch.clocks(1000)
  batch.flow(1001)
  for i in 0..<7 { batch.stamp(1010 + UInt64(i) * 10, key: UInt64(i)) }
  batch.held(1100, at: 1005)
  try writer.append(cpu: 0, batch)
  try writer.flush()
  batch = Batch()
  for i in 0..<6 { batch.stamp(1110 + UInt64(i) * 10, hook: .wireIn, kind: .tcp, key: UInt64(i)) }
  try writer.append(cpu: 0, batch)
  writer.discarded(cpu: 0, total: 3)
  batch = Batch()
  for i in 0..<7 { batch.stamp(1015 + UInt64(i) * 10, hook: .rxg1, kind: .tcpRange, key: UInt64(i)) }
  try writer.append(cpu: 1, batch)
  try writer.flush()
  writer.discarded(cpu: 1, total: 5)
  try writer.close(sampleMachine(name))
}

/// What babeltrace2 says about a directory.
struct Babeltrace {
  var status: Int32
  var output: String
  var errors: String

  /// Fails where babeltrace2 is not installed: the cross-check is part of the promise.
  init(_ directory: String, seconds: Bool = false) throws {
    let process = Process()
    process.executableURL = URL(filePath: "/usr/bin/env")
    process.arguments = ["babeltrace2", "--clock-gmt", seconds ? "--clock-seconds" : "--clock-date", directory]
    let files = try Scratch()
    let out = "\(files.path)/out"
    let err = "\(files.path)/err"
    _ = FileManager.default.createFile(atPath: out, contents: nil)
    _ = FileManager.default.createFile(atPath: err, contents: nil)
    process.standardOutput = try FileHandle(forWritingTo: URL(filePath: out))
    process.standardError = try FileHandle(forWritingTo: URL(filePath: err))
    try process.run()
    process.waitUntilExit()
    status = process.terminationStatus
    output = String(decoding: try files.bytes("out"), as: UTF8.self)
    errors = String(decoding: try files.bytes("err"), as: UTF8.self)
  }

  var eventsByType: [String: Count] {
    var counts: [String: Count] = [:]
    for line in output.split(separator: "\n") {
      for name in [
        "stamp", "stamp_held", "flow", "clock_sample", "clock_exchange", "clock_cross", "guest_counter",
        "stamp_wire", "pair", "drop",
      ] where line.contains(" \(name): { cpu_id = ") {
        counts[name, default: 0] += 1
      }
    }
    return counts
  }

  /// Sum of all "Tracer discarded N events".
  var discarded: Count {
    var sum: Count = 0
    for match in errors.matches(of: /Tracer discarded (\d+) event/) { sum += Count(Int(match.1) ?? 0) }
    return sum
  }
}

/// The error that `body` must throw.
func error<Value>(_ body: () throws -> Value) throws -> RecordingError {
  let error = #expect(throws: RecordingError.self) { _ = try body() }
  return try #require(error)
}
