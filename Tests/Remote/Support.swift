// SPDX-License-Identifier: GPL-2.0-or-later
import Foundation
import Glibc
import Recording
import Synchronization
import Testing

@testable import Remote

/// The two ends of a stream socket.
func ends() throws -> (Int32, Int32) {
  var files: [Int32] = [0, 0]
  try #require(unsafe socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0, &files) == 0)
  return (files[0], files[1])
}

/// Work on a thread of its own.
final class Background<Value: Sendable>: Sendable {
  private let result = Mutex<Result<Value, any Error>?>(nil)

  init(_ body: @escaping @Sendable () throws -> Value) {
    let thread = Thread { [self] in
      let value = Result { try body() }
      result.withLock { $0 = value }
    }
    thread.start()
  }

  /// What the work gave; fails after 20 s.
  func wait() throws -> Value {
    for _ in 0..<10_000 {
      if let result = result.withLock({ $0 }) { return try result.get() }
      usleep(2000)
    }
    throw RemoteError(.timeout, "the other thread does not end")
  }
}

/// A directory of its own for each test; removed with its owner.
final class Scratch: Sendable {
  let path: String

  init() throws {
    path = FileManager.default.temporaryDirectory.appendingPathComponent("latprobe-\(UUID().uuidString)").path
    try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
  }

  deinit { try? FileManager.default.removeItem(atPath: path) }

  func list(_ name: String = "") -> [String] {
    ((try? FileManager.default.contentsOfDirectory(atPath: "\(path)/\(name)")) ?? []).sorted()
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

let sessionID = "5b7f1c52-96a8-4b0e-9d6e-111111111111"

func sampleRequest() -> RecordRequest {
  var request = RecordRequest(session: sessionID, topology: "veth", topologyDigest: Array(0..<32))
  request.devices = ["eth0", "eth1"]
  request.filter = "udp port 53"
  request.oneIn = 16
  request.sampleByFlow = true
  request.bufferSize = 1 << 20
  request.maxSize = 1 << 30
  request.taken = ["host-a"]
  return request
}

/// Records its stamps all at once.
final class FakeRecorder: AgentRecorder, Sendable {
  private struct State {
    var state = AgentRecorderState.loading
    var directory: String?
    var writer: MachineWriter?
    var request: RecordRequest?
  }
  /// Unless said otherwise.
  static let stamps = 23
  private let shared = Mutex(State())
  private let refusal: String?
  /// Seconds from being told to stop to everything being on disk.
  private let stopTime: Double
  private let stamps: Int
  /// Loads only when ``load()`` is called.
  private let isSlow: Bool

  init(refusal: String? = nil, stopTime: Double = 0, stamps: Int = FakeRecorder.stamps, isSlow: Bool = false) {
    self.refusal = refusal
    self.isSlow = isSlow
    self.stopTime = stopTime
    self.stamps = stamps
  }

  var state: AgentRecorderState { shared.withLock { $0.state } }
  var request: RecordRequest? { shared.withLock { $0.request } }
  func fail(_ reason: String) { shared.withLock { $0.state = .failed(reason) } }

  func prepare(_ request: RecordRequest, directory: String, maxSize: Int) {
    shared.withLock { state in
      state.request = request
      if let refusal { return state.state = .failed(refusal) }
      state.directory = directory
    }
    if !isSlow { load() }
  }

  /// What the thread of a real one does.
  func load() {
    shared.withLock { state in
      guard let request = state.request, let directory = state.directory else { return }
      let session = Session(
        id: request.session, members: ["guest-b"], labels: [:], commandLine: [], createdAt: 1_700_000_000)
      do {
        try session.write(to: directory)
        state.writer = try MachineWriter(
          directory: directory, machine: FakeRecorder.machine, session: session, utcOffset: 0)
      } catch { return state.state = .failed("\(error)") }
      state.state = .prepared(
        PreparedRecording(
          machine: "guest-b", hostname: "b", bootID: "boot-b", hooks: ["txg1", "txg2"], warnings: ["txg0 is absent"]))
    }
  }

  static var machine: Machine {
    Machine(name: "guest-b", role: "guest", hostname: "b", bootID: "boot-b", topology: "veth")
  }

  func start() { shared.withLock { $0.state = .recording(RemoteProgress()) } }

  func stop(_ reason: String) {
    guard stopTime > 0 else { return end(reason) }
    Thread { [self] in
      Thread.sleep(forTimeInterval: stopTime)
      end(reason)
    }.start()
  }

  private func end(_ reason: String) {
    shared.withLock { state in
      guard let writer = state.writer else { return }
      state.writer = nil
      // lp_stamp: time, event 0, hook 2, all else 0.
      var bytes: [UInt8] = []
      for time in 256..<UInt32(256 + stamps) {
        unsafe withUnsafeBytes(of: time.littleEndian) { unsafe bytes.append(contentsOf: $0) }
        bytes += [0, 0, 0, 0, 0, 2]
        bytes += [UInt8](repeating: 0, count: 22)
      }
      try? unsafe bytes.withUnsafeBytes { try unsafe writer.append(cpu: 3, bytes: $0) }
      var machine = FakeRecorder.machine
      machine.stoppedAt = 1000
      machine.stoppedBy = reason
      try? writer.close(machine)
      state.state = .ended(reason)
    }
  }
}
