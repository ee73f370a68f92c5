// SPDX-License-Identifier: GPL-2.0-or-later
import Analysis
import Foundation
import Recording
import VirtualLab

extension Testbed {
  private static let script = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
    .deletingLastPathComponent().appendingPathComponent("Fixtures/send_datagrams.py").path

  /// Runs `send_datagrams.py` in `a` to its end.
  func send(_ mode: String, to host: String = "10.77.0.2", port: Int = 5001, count: Int, gap: Double = 2) throws {
    try run(
      "ip", "netns", "exec", a, "python3", Testbed.script, mode, host, "\(port)", "\(count)", "\(gap)", limit: 20)
  }

  /// The other end in `b`, ready.
  func serve(_ mode: String, on host: String = "10.77.0.2", port: Int = 5001, count: Int) throws -> Command {
    let server = try start(in: b, "python3", Testbed.script, mode, host, "\(port)", "\(count)", "5000")
    try server.expect("ready")
    return server
  }

  /// `latprobe reflect` in `b`, ready.
  func reflect(_ arguments: String...) throws -> Command { try reflect(arguments) }

  func reflect(_ arguments: [String]) throws -> Command {
    let reflector = try start([Testbed.latprobe, "reflect", "--netns", b] + arguments)
    try reflector.expect("reflecting on ")
    return reflector
  }

  /// sockperf's ping-pong between the guests on UDP port 5001, `seconds` long, as many exchanges a second as said.
  func pingPong(seconds: Int = 1, rate: Int = 997) throws {
    try run(
      "ip", "netns", "exec", a, "sockperf", "pp", "-i", "10.77.0.2", "-p", "5001", "-t", "\(seconds)", "--mps=\(rate)")
  }

  func startPingPongServer() throws {
    let server = try start(in: b, "sockperf", "sr", "-i", "10.77.0.2", "-p", "5001")
    try server.expect("using recvfrom")
  }

  /// Datagrams as fast as sockperf can for up to `seconds`, read at the other end.
  func startFlood(seconds: Int) throws -> Command {
    try startPingPongServer()
    return try start(
      in: a, "sockperf", "tp", "-i", "10.77.0.2", "-p", "5001", "-t", "\(seconds)", "-m", "64", "--no-rdtsc")
  }

  func startIperfServer(port: Int = 5201) throws {
    let server = try start(in: b, "iperf3", "-s", "-p", "\(port)", "--forceflush")
    try server.expect("Server listening")
  }

  /// The one machine's recording of `path(name)`.
  func load(_ name: String) throws -> RecordedSession {
    try RecordedSession.load(paths: [path(name)])
  }
}

extension RecordedSession {
  func only() throws -> MachineRecording {
    guard machines.count == 1, let machine = machines.first else {
      throw TestbedError(description: "\(machines.count) machines")
    }
    return machine
  }
}

extension SessionResult {
  func segment(_ name: String, _ direction: String = "east-west") throws -> SegmentResult {
    guard let segment = segments.first(where: { $0.name == name && $0.direction == direction }) else {
      throw TestbedError(description: "no segment \(direction)/\(name)")
    }
    return segment
  }
}
