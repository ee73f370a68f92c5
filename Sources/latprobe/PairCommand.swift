// SPDX-License-Identifier: GPL-2.0-or-later
import Analysis
import ArgumentParser
import Foundation
import Glibc
import Host
import Pairing
import Recording
import Reporting
import Tap
import Wording

struct PairCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "pair",
    abstract: "Pair requests and answers: response times, and delays of forwarded messages.",
    discussion: """
      Protocols: \(PairingProtocol.allCases.map(\.rawValue).joined(separator: ", ")); one's own with --rule. \
      What belongs together, and what is counted: docs/pairing.md.

      Several files, or the files of a folder, are one capture, one for each direction:
        latprobe pair --proto dns capture.pcapng
        latprobe pair --proto memcached --port memcached=11311 in.pcap out.pcap \\
          -o run1
        latprobe gate run1 --require 'memcached-get p99 < 500us'
      Beyond a million pairs, temporary files of up to 120 bytes a pair are made: in DIR of -o, else in TMPDIR (/var/tmp).

      At devices packets are paired as they come, by the kernel's time: this machine's own traffic at IF, that of others \
      beside a path at wire-in=IF and wire-out=IF. Of a name that is a device and a file, ./NAME is the file.
        sudo latprobe pair --proto dns eth0 --duration 10s
        sudo latprobe pair --proto http wire-in=eth1 wire-out=eth2 --require-hw \\
          -o run2
      """)

  @Argument(
    help: ArgumentHelp(
      "Capture files of one capture, '-' for standard input; or devices: IF, wire-in=IF, wire-out=IF.",
      valueName: "file-or-if"))
  var inputs: [String]

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

  @Option(help: ArgumentHelp("Compressed captures: what they may expand to, times their size.", valueName: "factor"))
  var maxExpansion = Expansion.usual.limit

  @Option(help: "Devices: network namespace, a name, a process id or a path.")
  var netns: String?

  @Option(help: ArgumentHelp("Devices: only packets that match, in pcap syntax.", valueName: "expr"))
  var filter: String?

  @Option(help: "Devices: stop after this time: 10s, 500ms.")
  var duration: TimeArgument?

  @Option(help: "Devices: stop after this many pairs.")
  var count: UInt64?

  @Flag(
    help: "Devices: times of their hardware clock, not the kernel's; fail where one does not grant or deliver them.")
  var requireHw = false

  @Option(name: .shortAndLong, help: ArgumentHelp("Also write a recording, for report and gate.", valueName: "dir"))
  var output: String?

  @Option(name: .customLong("label"), help: ArgumentHelp("Label of the run; may be repeated.", valueName: "key=value"))
  var labels: [LabelArgument] = []

  @Flag(help: "Replace a recording that is in DIR.")
  var force = false

  @OptionGroup var writing: WriteOptions

  @Flag(help: "Print the result as JSON, as report --json does.")
  var json = false

  private func kinds() throws -> [PairingProtocol] {
    try protocols.flatMap { $0.split(separator: ",", omittingEmptySubsequences: false) }.map {
      try PairCommand.kind(String($0))
    }
  }

  private static func kind(_ name: String) throws -> PairingProtocol {
    guard let kind = PairingProtocol(rawValue: name.lowercased()) else {
      throw ValidationError(
        "there is no protocol '\(name)'; " + Words.choice(of: name, among: PairingProtocol.allCases.map(\.rawValue)))
    }
    return kind
  }

  /// Pairs and counts go by name: those of two of one name would be added up.
  private static func refuseTwins(_ names: [String]) throws {
    let twins = names.indices.filter { names[..<$0].contains(names[$0]) }
    guard let twin = twins.first.map({ names[$0] }) else { return }
    throw ValidationError("'\(twin)' is asked for twice: name each --proto and --rule once, and no rule as a protocol")
  }

  private func portsByKind() throws -> [PairingProtocol: [UInt16]] {
    var result: [PairingProtocol: [UInt16]] = [:]
    for argument in ports {
      let parts = argument.split(separator: "=", maxSplits: 1).map(String.init)
      guard parts.count == 2, let port = UInt16(parts[1]), port > 0 else {
        throw ValidationError("--port takes NAME=PORT, as in dns=5353, with a port from 1 to 65535, not '\(argument)'")
      }
      let kind = try PairCommand.kind(parts[0])
      guard try kinds().contains(kind) else {
        throw ValidationError("--port \(argument): \(kind.rawValue) is not paired here; add --proto \(kind.rawValue)")
      }
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
    if maxExpansion < 1 { throw ValidationError("--max-expansion takes a factor from 1") }
    if count == 0 { throw ValidationError("--count takes a number of pairs from 1") }
    if output == nil, force || !labels.isEmpty { throw ValidationError("--force and --label go with -o") }
    _ = try (kinds(), portsByKind(), addresses())
    if !stations.isEmpty, try !kinds().contains(.sipForward) {
      throw ValidationError("--station goes with --proto \(PairingProtocol.sipForward.rawValue)")
    }
    try PairCommand.refuseTwins(kinds().map(\.rawValue))
  }

  func run() throws {
    writing.apply()
    let place = try RecordingPlace.named(output, force: force)
    let rules = try rules.map { try PairingRule.load(path: $0) }
    try PairCommand.refuseTwins(try kinds().map(\.rawValue) + rules.map(\.name))
    let pairer = Pairer(try kinds(), ports: try portsByKind(), rules: rules, stations: try addresses())
    let namespace = try netns.map { try NetworkNamespace.named($0) }
    try namespace?.enter()
    switch try PairInputs(inputs, warn: { Console.error("warning: \($0)") }) {
    case .captures(let files): try read(files, pairer, place)
    case .devices(let devices): try listen(devices, in: namespace, pairer, place)
    }
  }

  private func read(_ files: [String], _ pairer: Pairer, _ place: borrowing RecordingPlace?) throws {
    guard netns == nil, filter == nil, duration == nil, count == nil, !requireHw else {
      throw ValidationError(
        "--netns, --filter, --duration, --count and --require-hw are for devices; of '\(files[0])' all packets are read"
      )
    }
    let spill = PairSpill(in: output ?? Scratch.temporaryDirectory, byEnd: output != nil)
    let hostname = ProcessInfo.processInfo.hostName
    Console.confine()
    var reading = try PairImport(
      paths: files, pairer: pairer, spill: spill, expansion: Expansion(limit: maxExpansion))
    let session = session(of: MachineName.make(role: "wire", hostname: hostname))
    StopSignal.watch()
    // Ctrl-C ends a whole pipeline: what the program in front of it has to say of losses comes last, so wait for its end.
    let isPipe = files.contains("-")
    let recording = try reading.run(hostname: hostname, session: session.id) {
      StopSignal.count > (isPipe ? 1 : 0) ? StopSignal.name : nil
    }
    var failures = reading.failures.map(\.description)
    if let finding = nothingAskedFor(pairer) { failures.append("\(files.joined(separator: " ")): \(finding)") }
    try finish(recording, session, place, spill, failures: failures)
  }

  private func listen(
    _ devices: [TapInput], in namespace: NetworkNamespace?, _ pairer: Pairer, _ place: borrowing RecordingPlace?
  ) throws {
    var options = LivePairingOptions()
    if let filter { options.filter = try Filter(filter) }
    options.requiresHardware = requireHw
    options.namespace = namespace
    options.duration = duration?.nanoseconds
    options.count = count
    let spill = PairSpill(in: output ?? Scratch.temporaryDirectory, byEnd: output != nil)
    var pairing = try LivePairing(devices, pairer: pairer, options: options, spill: spill) {
      Console.error("warning: \($0)")
    }
    let session = session(of: MachineName.make(role: "wire", hostname: ProcessInfo.processInfo.hostName))
    StopSignal.watch()
    Privileges.keep([])
    let line =
      "pairing on \(inputs.joined(separator: " ")) by the \(requireHw ? "devices' hardware clock" : "kernel's time")"
      + (duration == nil && count == nil ? "; Ctrl-C stops" : "")
    var last = LivePairingProgress()
    let recording = pairing.run(
      session: session.id, started: { Console.error(line) }, stopRequested: { StopSignal.name },
      progress: { progress in
        Console.live(PairCommand.line(progress, since: last))
        last = progress
      })
    Console.endLive()
    for line in TapCommand.sources(recording.machine) { Console.error(line) }
    if let finding = nothingAskedFor(pairer) { Console.error("warning: \(finding)") }
    var failures = pairing.failure.map { ["\($0)"] } ?? []
    if requireHw { failures += pairing.complaints }
    try finish(recording, session, place, spill, failures: failures)
  }

  /// What is there instead, where there is nothing of what was asked for.
  private func nothingAskedFor(_ pairer: Pairer) -> String? {
    let others = pairer.strangers
    guard pairer.ledger.packets.askedFor == 0, others.packets > 0 else { return nil }
    let most = others.most(3)
    let names = pairer.ledger.protocols.map(\.name).joined(separator: ", ")
    var line = "there is no \(names) here: "
    if let only = most.first, most.count == 1, only.packets == others.packets {
      line += "all \(others.packets) packets are \(only.name)"
    } else {
      line += "of \(others.packets) packets " + most.map { "\($0.packets) are \($0.name)" }.joined(separator: ", ")
    }
    let known = PairingProtocol.allCases.filter { kind in
      most.contains { service in kind.defaultPorts.contains { service.name.hasSuffix(" port \($0)") } }
    }
    if !known.isEmpty { line += "; perhaps --proto " + known.map(\.rawValue).joined(separator: " or ") }
    return line + "; other ports are named with --port NAME=PORT"
  }

  private func session(of machine: String) -> Session {
    Session(
      id: UUID().uuidString.lowercased(), members: [machine],
      labels: Dictionary(labels.map { ($0.key, $0.value) }, uniquingKeysWith: { $1 }),
      commandLine: CommandLine.arguments, createdAt: Date().timeIntervalSince1970)
  }

  /// Prints and writes what was paired, also where there were failures, which then end the command. Printed first: a disk
  /// that is full must not cost the result.
  private func finish(
    _ recording: MachineRecording, _ session: Session, _ place: borrowing RecordingPlace?, _ spill: PairSpill,
    failures: [String]
  ) throws {
    var result = try analyse(session: session, recordings: [recording])
    if spill.count > 0 { result.segments = try pairSegments(recording.machine, spill) }
    if !json {
      // They are the command's last line.
      result.warnings.removeAll { line in failures.contains { line.hasSuffix($0) } }
      result.damage.removeAll { line in failures.contains { line.hasSuffix($0) } }
    }
    if json { try Console.output(json: Report.json(result).text) } else { try Console.output(Report.table(result)) }
    var failures = failures
    if let output {
      do {
        try place?.begin(session)
        try recording.writePairs(session: session, directory: output, spill: spill)
        Console.error("recording in \(output). Next: latprobe report \(output)")
      } catch { failures.append("\(error)") }
    }
    guard failures.isEmpty else { throw PairFailure(description: failures.joined(separator: "; ")) }
  }

  private static func line(_ now: LivePairingProgress, since last: LivePairingProgress) -> String {
    let rate = Double(now.pairs - last.pairs) / max(now.elapsed - last.elapsed, 1e-9)
    return String(
      format: "%.1f s  %llu packets  %llu pairs  %.0f/s  unanswered %llu  lost %llu", now.elapsed, now.packets,
      now.pairs,
      rate, now.unanswered, now.lost)
  }
}
