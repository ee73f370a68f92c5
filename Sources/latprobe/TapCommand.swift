// SPDX-License-Identifier: GPL-2.0-or-later
import ArgumentParser
import Collecting
import Foundation
import Host
import Probing
import Recording
import Reporting
import Tap
import Wording

struct TapCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "tap",
    abstract: "Stamp packets on the wire: at network devices, or from capture files.",
    discussion: """
      At a device what comes in is at 'wire-in' and what goes out at 'wire-out', since this machine is what is measured. \
      For a tap beside the path each direction has its device; wire-in=IF and wire-out=IF say which is which. Each stamp \
      carries whose time it has: the device's hardware clock, or the kernel's.

        sudo latprobe tap eth0 --duration 10s -o run1
        sudo latprobe tap wire-in=eth1 wire-out=eth2 --require-hw -o run2

      Of two devices each way has its path: eth0-eth1, eth1-eth0.

      Two ports of this machine, joined by a cable: how long a frame takes from one's transmit stamp to the other's receive \
      stamp. 'latprobe report --calibration run3/calibration.json' corrects delays between these ports by it.
        sudo latprobe tap --calibrate eth1 eth2 -o run3

      From a file each IP packet becomes a stamp. Of two files, or of two interfaces in one file, the \
      first is wire-in and the second wire-out; packets of one interface are all wire-in. Names of files decide nothing, \
      their content does.

      Before and behind a device, captured by one clock:
        latprobe tap --read in.pcap out.pcap -o run1
        latprobe report run1

      The same by name, and a capture of both sides from a pipe:
        latprobe tap --read wire-in=a.erf wire-out=b.pcapng.gz -o run2
        ssh tap dumpcap -i eth1 -i eth2 -w - | latprobe tap --read - -o run4
      """)

  @Argument(help: ArgumentHelp("Devices to listen on: IF, wire-in=IF or wire-out=IF.", valueName: "if"))
  var devices: [String] = []

  @Option(
    name: .customLong("read"), parsing: .upToNextOption,
    help: ArgumentHelp(
      "Capture files, '-' for standard input; wire-in=FILE and wire-out=FILE name them.", valueName: "file"))
  var files: [String] = []

  @Option(help: ArgumentHelp("Compressed captures: what they may expand to, times their size.", valueName: "factor"))
  var maxExpansion = Expansion.usual.limit

  @Flag(help: "Send frames through a cable from the first device to the second and back, and fit the ports' constants.")
  var calibrate = false

  @Flag(
    name: .customLong("nat"),
    help: "Key packets without addresses and ports, which address translation changes: for both sides of a NAT.")
  var isNATProof = false

  @Flag(help: "Hardware time stamps or none: fail where a device does not grant them, or does not deliver.")
  var requireHw = false

  @Option(help: ArgumentHelp("Only packets that match, in pcap syntax.", valueName: "expr"))
  var filter: String?

  @Option(help: "Network namespace of the devices: a name, a process id or a path.")
  var netns: String?

  @Option(help: "Stop after this time: 10s, 500ms.")
  var duration: TimeArgument?

  @Option(help: "Stop after this many packets at one hook point; --calibrate: frames each way (default: 1000).")
  var count: UInt64?

  @Option(
    help: ArgumentHelp("Name of the session, to join it with other recordings; default: a new one.", valueName: "name"))
  var session: String?

  @Option(help: "Bound of the recording on disk: 1G. The oldest streams are deleted and counted.")
  var maxSize: SizeArgument?

  @Option(name: .shortAndLong, help: ArgumentHelp("Directory for the recording.", valueName: "dir"))
  var output: String

  @Option(name: .customLong("label"), help: ArgumentHelp("Label of the run; may be repeated.", valueName: "key=value"))
  var labels: [LabelArgument] = []

  @Flag(help: "Replace a recording that is in DIR.")
  var force = false

  @OptionGroup var writing: WriteOptions

  private var inputs: [CaptureInput]? { CaptureInput.parse(files) }

  func validate() throws {
    guard devices.isEmpty != files.isEmpty else {
      throw ValidationError(
        devices.isEmpty ? "name devices, or capture files with --read" : "devices or --read, not both")
    }
    try session.validateAsSession()
    if maxExpansion < 1 { throw ValidationError("--max-expansion takes a factor from 1") }
    if count == 0 { throw ValidationError("--count takes a number of packets from 1") }
    try maxSize.validateAsMaxSize()
    if calibrate { return try validateCalibration() }
    guard files.isEmpty else { return try validateFiles() }
    let names = devices.map { TapInput($0).name }
    guard Set(names).count == names.count, !names.contains("") else {
      throw ValidationError("each device can be named once")
    }
  }

  private func validateCalibration() throws {
    guard Set(devices).count == 2, devices.count == 2, devices.allSatisfy({ TapInput($0).hook == nil }) else {
      throw ValidationError("--calibrate takes the two devices that a cable joins: --calibrate eth1 eth2")
    }
    if filter != nil || duration != nil || session != nil || maxSize != nil || isNATProof {
      throw ValidationError("--calibrate goes with --count, --netns, --require-hw, -o, --label and --force alone")
    }
    if let count, !(10...1_000_000).contains(count) {
      throw ValidationError("--calibrate sends from 10 to 1000000 frames each way: --count")
    }
  }

  private func validateFiles() throws {
    if requireHw || filter != nil || netns != nil || duration != nil || count != nil || session != nil || maxSize != nil
    {
      throw ValidationError("--read goes with -o, --nat, --label and --force alone: a file's packets are all taken")
    }
    guard inputs != nil else {
      throw ValidationError("--read takes one or two files; of more, or to mix, name each: wire-in=FILE wire-out=FILE")
    }
    guard files.count(where: { CaptureInput.isStandardInput($0) }) < 2 else {
      throw ValidationError("--read takes standard input only once")
    }
  }

  func run() throws {
    writing.apply()
    if calibrate { try fit() } else if files.isEmpty { try listen() } else { try read() }
  }

  private func listen() throws {
    try TapCommand.refuseMistyped(devices)
    let place = try RecordingPlace(output, force: force)
    let namespace = try netns.map { try NetworkNamespace.named($0) }
    try namespace?.enter()
    for name in devices.map({ TapInput($0).name })
    where !Link.exists(name) && FileManager.default.fileExists(atPath: name) {
      throw CaptureFailure(
        description: "'\(name)' is a file and no device: did you mean 'latprobe tap --read \(name) -o \(output)'?")
    }
    var options = TapOptions()
    if let filter { options.filter = try Filter(filter) }
    options.requiresHardware = requireHw
    options.namespace = namespace
    options.isNATProof = isNATProof
    options.recorder.duration = duration?.nanoseconds
    options.recorder.count = count
    options.recorder.writer.maxSize = maxSize?.bytes
    StopSignal.watch()
    var recorder = try TapRecorder(devices.map { TapInput($0) }, options: options) { Console.error("warning: \($0)") }
    let session = Session(
      id: session ?? UUID().uuidString.lowercased(), members: [recorder.machine.name],
      labels: Dictionary(labels.map { ($0.key, $0.value) }, uniquingKeysWith: { $1 }),
      commandLine: CommandLine.arguments, createdAt: Date().timeIntervalSince1970)
    Privileges.keep([])
    try place.begin(session)
    let line =
      "listening on \(devices.joined(separator: " ")) to \(output)"
      + (duration == nil && count == nil ? "; Ctrl-C stops" : "")
    var last = RecordingProgress()
    let machine = try recorder.run(
      session: session, directory: output, started: { Console.error(line) }, stopRequested: { StopSignal.name },
      progress: { progress in
        Console.live(Record.line(progress, since: last))
        last = progress
      })
    Console.endLive()
    for line in TapCommand.sources(machine) { Console.error(line) }
    let isFiltered = filter != nil
    Console.error(
      lines: Record.summary(
        machine, output,
        advice: "is there traffic? See 'tcpdump -i \(TapInput(devices[0]).name)'"
          + (isFiltered ? ", and check --filter" : "")))
    let complaints = recorder.complaints
    if requireHw, !complaints.isEmpty { throw CaptureFailure(description: complaints.joined(separator: "; ")) }
    for complaint in complaints { Console.error("warning: \(complaint)") }
  }

  /// Whose time the packets of each device have.
  static func sources(_ machine: Machine) -> [String] {
    (machine.interfaces ?? []).map { interface in
      let clocks = interface.clocks.sorted { $0.key < $1.key }.map { "\($0.value) by \($0.key)" }
      let drops = interface.ringDrops + interface.deviceDrops
      return "\(interface.name): time stamps \(clocks.isEmpty ? "none" : clocks.joined(separator: ", "))"
        + ", dropped \(drops), other frames \(interface.otherFrames)"
    }
  }

  /// `wire-on=…` is neither a device nor a file.
  private static func refuseMistyped(_ arguments: [String]) throws {
    for argument in arguments
    where !Link.exists(argument) && !FileManager.default.fileExists(atPath: argument) {
      let meant = TapInput.meant(by: argument)
      if !meant.isEmpty { throw CaptureFailure(description: "'\(argument)' is no device and no file\(meant)") }
    }
  }

  private func read() throws {
    try TapCommand.refuseMistyped(files)
    for path in (inputs ?? []).map(\.path) where !FileManager.default.fileExists(atPath: path) && Link.exists(path) {
      throw CaptureFailure(
        description: "'\(path)' is a device and no file: did you mean 'latprobe tap \(path) -o \(output)'?")
    }
    let place = try RecordingPlace(output, force: force)
    let id = UUID().uuidString.lowercased()
    let hostname = ProcessInfo.processInfo.hostName
    Console.confine()
    var reading = try CaptureImport(
      inputs ?? [], hostname: hostname, session: id, isNATProof: isNATProof,
      expansion: Expansion(limit: maxExpansion))
    let session = Session(
      id: id, members: [reading.machineName],
      labels: Dictionary(labels.map { ($0.key, $0.value) }, uniquingKeysWith: { $1 }),
      commandLine: CommandLine.arguments, createdAt: Date().timeIntervalSince1970)
    StopSignal.watch()
    try place.begin(session)
    // Ctrl-C ends a whole pipeline: what the program in front of it has to say of losses comes last, so wait for its end.
    let isPipe = files.contains { CaptureInput.isStandardInput($0) }
    let machine = try reading.run(session: session, directory: output) {
      StopSignal.count > (isPipe ? 1 : 0) ? StopSignal.name : nil
    }
    for line in TapCommand.summary(machine) { Console.error(line) }
    guard reading.failures.isEmpty else {
      throw CaptureFailure(description: reading.failures.map(\.description).joined(separator: "; "))
    }
    Console.error("Next: latprobe report \(output)")
  }

  private static func summary(_ machine: Machine) -> [String] {
    var lines = Report.captureLines(machine)
    for capture in machine.captures ?? [] {
      for interface in capture.interfaces where 1..<Report.keyBytes ~= interface.snapLength {
        lines.append(
          "warning: \(capture.file) keeps \(interface.snapLength) bytes of a packet: capture \(Report.keyBytes) or more on both sides, "
            + "else their keys may differ")
      }
    }
    for row in machine.ledger where row.lost > 0 {
      lines.append("warning: \(row.hook): \(row.lost) packets are missing from the capture")
    }
    if machine.ledger.allSatisfy({ $0.emitted == 0 }) { lines.append("warning: no packet was stamped") }
    return lines
  }
}

private struct CaptureFailure: Error, CustomStringConvertible {
  var description: String
}

extension TapInput {
  /// ` (did you mean wire-in=IF?)` for `wire-on=IF`, else nothing.
  static func meant(by argument: String) -> String {
    let parts = argument.split(separator: "=", maxSplits: 1).map(String.init)
    guard parts.count == 2, let name = Words.nearest(to: parts[0], among: ["wire-in", "wire-out"]), name != parts[0]
    else { return "" }
    return "; did you mean \(name)=\(parts[1])?"
  }

  /// `IF`, `wire-in=IF` or `wire-out=IF`.
  init(_ argument: String) {
    for hook in [HookPoint.wireIn, .wireOut] where argument.hasPrefix("\(hook.name)=") {
      self.init(name: String(argument.dropFirst(hook.name.count + 1)), hook: hook)
      return
    }
    self.init(name: argument)
  }
}
