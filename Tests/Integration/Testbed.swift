// SPDX-License-Identifier: GPL-2.0-or-later
import Foundation
import Glibc
import VirtualLab

struct TestbedError: Error, CustomStringConvertible { var description: String }

/// Two guests behind a bridge, each a network namespace of its own: `a` and `b` with `eth0`, and `br` with the
/// bridge `br0` and the host's ends `va` and `vb`. IPv4 10.77.0.1 and .2, IPv6 fd77::1 and ::2. Gone when released.
final class Testbed {
  let a: String
  let b: String
  let bridge: String
  /// A folder for this test's files.
  let folder: URL
  private var background: [Command] = []

  /// - Parameter routed: no bridge; `br` routes 10.77.1.0/24 (a) to 10.77.2.0/24 (b), the hosts being .1 on each, br .254.
  init(routed: Bool = false) throws {
    let name = "lpt\(getpid())-\(UInt32.random(in: 0..<0xffff))"
    (a, b, bridge) = ("\(name)-a", "\(name)-b", "\(name)-br")
    folder = FileManager.default.temporaryDirectory.appendingPathComponent(name)
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    for namespace in [a, b, bridge] {
      try run("ip", "netns", "add", namespace)
      try run("ip", "-n", namespace, "link", "set", "lo", "up")
    }
    if !routed {
      try run("ip", "-n", bridge, "link", "add", "br0", "type", "bridge")
      try run("ip", "-n", bridge, "link", "set", "br0", "up")
    }
    for (number, namespace, outer) in [(1, a, "va"), (2, b, "vb")] {
      try run("ip", "-n", namespace, "link", "add", "eth0", "type", "veth", "peer", "name", outer, "netns", bridge)
      if routed {
        try run("ip", "-n", namespace, "addr", "add", "10.77.\(number).1/24", "dev", "eth0")
        try run("ip", "-n", bridge, "addr", "add", "10.77.\(number).254/24", "dev", outer)
      } else {
        try run("ip", "-n", bridge, "link", "set", outer, "master", "br0")
        try run("ip", "-n", namespace, "addr", "add", "10.77.0.\(number)/24", "dev", "eth0")
        try run("ip", "-n", namespace, "addr", "add", "fd77::\(number)/64", "dev", "eth0", "nodad")
      }
      try run("ip", "-n", bridge, "link", "set", outer, "up")
      try run("ip", "-n", namespace, "link", "set", "eth0", "up")
      if routed { try run("ip", "-n", namespace, "route", "add", "default", "via", "10.77.\(number).254") }
    }
    if routed {
      try run("ip", "netns", "exec", bridge, "sysctl", "-qw", "net.ipv4.ip_forward=1")
    } else {
      // Neighbours are learnt before anything is recorded.
      try run("ip", "netns", "exec", a, "ping", "-c", "1", "-W", "5", "10.77.0.2")
    }
  }

  deinit {
    for command in background { command.signal(SIGTERM) }
    for command in background { _ = try? command.wait(limit: 5) }
    for namespace in [a, b, bridge] { _ = try? attempt("ip", "netns", "del", namespace) }
    try? FileManager.default.removeItem(at: folder)
  }

  func path(_ name: String) -> String { folder.appendingPathComponent(name).path }

  /// Runs a command to its end, whatever its exit code.
  func attempt(_ arguments: String..., limit: Double = 60) throws -> Output {
    try Command(arguments, in: folder).wait(limit: limit)
  }

  /// Runs a command that must succeed; returns its standard output.
  @discardableResult
  func run(_ arguments: String..., limit: Double = 60) throws -> String {
    let output = try Command(arguments, in: folder).wait(limit: limit)
    guard output.status == 0 else {
      throw TestbedError(description: "\(arguments) exited with \(output.status): \(output.errors)\(output.text)")
    }
    return output.text
  }

  /// Starts a command that is ended with the testbed.
  func start(_ arguments: [String], environment: [String: String] = [:]) throws -> Command {
    let command = try Command(arguments, in: folder, environment: environment)
    background.append(command)
    return command
  }

  func start(in namespace: String, _ arguments: String...) throws -> Command {
    try start(["ip", "netns", "exec", namespace] + arguments)
  }

  /// The program that `swift build` put beside the tests.
  static let latprobe: String = {
    var folder = URL(fileURLWithPath: CommandLine.arguments[0]).deletingLastPathComponent()
    for _ in 0..<4 {
      let path = folder.appendingPathComponent("latprobe").path
      if FileManager.default.isExecutableFile(atPath: path) { return path }
      folder = folder.deletingLastPathComponent()
    }
    return ".build/debug/latprobe"
  }()

  func latprobe(_ arguments: String..., limit: Double = 60) throws -> Output {
    try Command([Testbed.latprobe] + arguments, in: folder).wait(limit: limit)
  }

  /// Starts `latprobe record` on both guests into `path(name)`; back once its hooks are attached.
  func record(_ name: String, _ arguments: String...) throws -> Command {
    let command = try start(
      [Testbed.latprobe, "record", "--topology", "veth", "--netns", a, "--netns", b, "-o", path(name)] + arguments)
    try command.expect("recording ")
    usleep(300_000)
    return command
  }

  /// Ends a recording in order.
  func finish(_ recording: Command) throws {
    recording.signal(SIGINT)
    let output = try recording.wait(limit: 30)
    guard output.status == 0 else {
      throw TestbedError(description: "record exited with \(output.status): \(output.errors)")
    }
  }

  /// `latprobe report --json` of a recording.
  func report(_ name: String) throws -> Report {
    let output = try latprobe("report", path(name), "--json")
    guard output.status == 0 else { throw TestbedError(description: "report: \(output.errors)") }
    return try JSONDecoder.report.decode(Report.self, from: Data(output.text.utf8))
  }
}

/// What the tests read of report.json.
struct Report: Decodable {
  struct Segment: Decodable {
    var name: String
    var direction: String
    var count: Int
    var lost: Int
    var unmatched: Int
    var ambiguous: Int
    var duplicate: Int
    var minNs: Double?
    var p50Ns: Double?
    var p99Ns: Double?
    var maxNs: Double?
  }
  struct Hook: Decodable {
    var name: String
    var attachedAs: String?
    var seen: UInt64
    var filtered: UInt64
    var sampledOut: UInt64
    var emitted: UInt64
    var lost: UInt64

    private enum CodingKeys: CodingKey { case name, attachedAs, seen, filtered, sampledOut, emitted, lost }

    /// An absent hook point has null in place of counts.
    init(from decoder: any Decoder) throws {
      let values = try decoder.container(keyedBy: CodingKeys.self)
      func count(_ key: CodingKeys) throws -> UInt64 { try values.decodeIfPresent(UInt64.self, forKey: key) ?? 0 }
      name = try values.decode(String.self, forKey: .name)
      attachedAs = try values.decodeIfPresent(String.self, forKey: .attachedAs)
      (seen, filtered, sampledOut) = (try count(.seen), try count(.filtered), try count(.sampledOut))
      (emitted, lost) = (try count(.emitted), try count(.lost))
    }
  }
  struct Recording: Decodable {
    var eventsTotal: UInt64
    var byType: [String: UInt64]
  }
  var segments: [Segment]
  var hooks: [Hook]
  var recording: Recording
  var warnings: [String]

  func segment(_ name: String, _ direction: String = "east-west") throws -> Segment {
    guard let segment = segments.first(where: { $0.name == name && $0.direction == direction }) else {
      throw TestbedError(
        description: "no segment \(direction)/\(name) among \(segments.map { "\($0.direction)/\($0.name)" })")
    }
    return segment
  }

  func hook(_ name: String) throws -> Hook {
    guard let hook = hooks.first(where: { $0.name == name }) else { throw TestbedError(description: "no hook \(name)") }
    return hook
  }
}

extension JSONDecoder {
  static var report: JSONDecoder {
    let decoder = JSONDecoder()
    decoder.keyDecodingStrategy = .convertFromSnakeCase
    return decoder
  }
}
