// SPDX-License-Identifier: GPL-2.0-or-later
import Analysis
import ArgumentParser
import Foundation
import Glibc
import Pairing
import Recording
import Reporting
import Tap

struct PairCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "pair",
    abstract: "Pair requests and answers of capture files: response times, and delays of forwarded messages.",
    discussion: """
      Protocols: \(PairingProtocol.allCases.map(\.rawValue).joined(separator: ", ")); one's own with --rule.
      What belongs together, and what is counted: docs/pairing.md. Several files are one capture, one for each direction.

        latprobe pair --proto dns capture.pcapng
        latprobe pair --proto memcached --port memcached=11311 in.pcap out.pcap -o run1
        latprobe gate run1 --require 'memcached-get p99 < 500us'
      """)

  @Argument(help: ArgumentHelp("Capture files of one capture, '-' for standard input.", valueName: "file"))
  var files: [String]

  @Option(
    name: .customLong("proto"),
    help: ArgumentHelp("What to pair; may be repeated, or names joined by commas.", valueName: "name"))
  var protocols: [String] = []

  @Option(
    name: .customLong("port"),
    help: ArgumentHelp("A server's port instead of the usual ones: NAME=PORT; may be repeated.", valueName: "name=port")
  )
  var ports: [String] = []

  @Option(
    name: .customLong("rule"), help: ArgumentHelp("A protocol of one's own (YAML); may be repeated.", valueName: "file")
  )
  var rules: [String] = []

  @Option(
    name: .customLong("station"),
    help: ArgumentHelp(
      "Addresses of one forwarding station, joined by commas; may be repeated.", valueName: "addresses"))
  var stations: [String] = []

  @Option(name: .shortAndLong, help: ArgumentHelp("Also write a recording, for report and gate.", valueName: "dir"))
  var output: String?

  @Option(name: .customLong("label"), help: ArgumentHelp("Label of the run; may be repeated.", valueName: "key=value"))
  var labels: [LabelArgument] = []

  @Flag(help: "Replace a recording that is in DIR.")
  var force = false

  @Flag(help: "Print the result as JSON, as report --json does.")
  var json = false

  private func kinds() throws -> [PairingProtocol] {
    try protocols.flatMap { $0.split(separator: ",").map(String.init) }.map { name in
      guard let kind = PairingProtocol(rawValue: name) else {
        throw ValidationError(
          "no protocol '\(name)'; there are \(PairingProtocol.allCases.map(\.rawValue).joined(separator: ", "))")
      }
      return kind
    }
  }

  private func portsByKind() throws -> [PairingProtocol: [UInt16]] {
    var result: [PairingProtocol: [UInt16]] = [:]
    for argument in ports {
      let parts = argument.split(separator: "=", maxSplits: 1).map(String.init)
      guard parts.count == 2, let kind = PairingProtocol(rawValue: parts[0]), let port = UInt16(parts[1]), port > 0
      else { throw ValidationError("--port takes NAME=PORT, as in dns=5353") }
      result[kind, default: []].append(port)
    }
    return result
  }

  private func addresses() throws -> [[IPAddress]] {
    try stations.map { station in
      try station.split(separator: ",").map { text in
        guard let address = PairCommand.address(String(text)) else {
          throw ValidationError("--station: '\(text)' is no IP address")
        }
        return address
      }
    }
  }

  private static func address(_ text: String) -> IPAddress? {
    for (family, count) in [(AF_INET, 4), (AF_INET6, 16)] {
      var bytes = [UInt8](repeating: 0, count: count)
      if unsafe inet_pton(family, text, &bytes) == 1 { return IPAddress(bytes) }
    }
    return nil
  }

  func validate() throws {
    guard !protocols.isEmpty || !rules.isEmpty else {
      throw ValidationError("say what to pair: --proto NAME, or --rule FILE")
    }
    guard files.count(where: { $0 == "-" }) < 2 else { throw ValidationError("standard input can be read only once") }
    if output == nil, force || !labels.isEmpty { throw ValidationError("--force and --label go with -o") }
    _ = try (kinds(), portsByKind(), addresses())
  }

  func run() throws {
    let rules = try rules.map { try PairingRule(yaml: String(contentsOfFile: $0, encoding: .utf8), file: $0) }
    let pairer = Pairer(try kinds(), ports: try portsByKind(), rules: rules, stations: try addresses())
    var reading = try PairImport(paths: files, pairer: pairer)
    let id = UUID().uuidString.lowercased()
    let host = ProcessInfo.processInfo.hostName
    let session = Session(
      id: id, members: [MachineName.make(role: "wire", hostname: host)],
      labels: Dictionary(labels.map { ($0.key, $0.value) }, uniquingKeysWith: { $1 }),
      commandLine: CommandLine.arguments, createdAt: Date().timeIntervalSince1970)
    StopSignal.watch()
    if let output { try Session.prepare(directory: output, force: force) }
    let recording = reading.run(hostname: host, session: id) { StopSignal.name }
    if let output {
      try session.write(to: output)
      try PairImport.write(recording, session: session, directory: output)
      Console.error("recording in \(output). Next: latprobe report \(output)")
    }
    let result = try analyse(session: session, recordings: [recording])
    Console.output(json ? Report.json(result).text : Report.table(result))
    guard reading.failures.isEmpty else {
      throw PairFailure(description: reading.failures.map(\.description).joined(separator: "; "))
    }
  }
}

private struct PairFailure: Error, CustomStringConvertible {
  var description: String
}
