// SPDX-License-Identifier: GPL-2.0-or-later
import ArgumentParser
import Foundation
import Recording
import Tap

struct TapCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "tap",
    abstract: "Turn capture files into a recording: stamps on the wire.",
    discussion: """
      Each IP packet becomes a stamp at 'wire-in' or 'wire-out'. Of two files, or of two interfaces in one file, the
      first is wire-in and the second wire-out; packets of one interface are all wire-in. Names of files decide nothing,
      their content does.

      Before and behind a device, captured by one clock:
        latprobe tap --read in.pcap out.pcap -o run1
        latprobe report run1

      The same by name, and a capture of both sides from a pipe:
        latprobe tap --read wire-in=a.erf wire-out=b.pcapng.gz -o run2
        ssh tap dumpcap -i eth1 -i eth2 -w - | latprobe tap --read - -o run3
      """)

  @Option(
    name: .customLong("read"), parsing: .upToNextOption,
    help: ArgumentHelp(
      "Capture files, '-' for standard input; wire-in=FILE and wire-out=FILE name them.", valueName: "file"))
  var files: [String]

  @Option(name: .shortAndLong, help: ArgumentHelp("Directory for the recording.", valueName: "dir"))
  var output: String

  @Option(name: .customLong("label"), help: ArgumentHelp("Label of the run; may be repeated.", valueName: "key=value"))
  var labels: [LabelArgument] = []

  @Flag(help: "Replace a recording that is in DIR.")
  var force = false

  private var inputs: [CaptureInput]? { CaptureInput.parse(files) }

  func validate() throws {
    guard inputs != nil else {
      throw ValidationError("--read takes one or two files; of more, or to mix, name each: wire-in=FILE wire-out=FILE")
    }
    guard files.count(where: { CaptureInput.isStandardInput($0) }) < 2 else {
      throw ValidationError("--read takes standard input only once")
    }
  }

  func run() throws {
    let id = UUID().uuidString.lowercased()
    var reading = try CaptureImport(inputs ?? [], hostname: ProcessInfo.processInfo.hostName, session: id)
    let session = Session(
      id: id, members: [reading.machineName],
      labels: Dictionary(labels.map { ($0.key, $0.value) }, uniquingKeysWith: { $1 }),
      commandLine: CommandLine.arguments, createdAt: Date().timeIntervalSince1970)
    StopSignal.watch()
    try Session.prepare(directory: output, force: force)
    try session.write(to: output)
    // Ctrl-C ends a whole pipeline: what the program in front of it has to say of losses comes last, so wait for its end.
    let isPipe = files.contains { CaptureInput.isStandardInput($0) }
    let machine = try reading.run(session: session, directory: output) {
      StopSignal.count > (isPipe ? 1 : 0) ? StopSignal.name : nil
    }
    for line in TapCommand.summary(machine) { Console.error(line) }
    guard reading.failures.isEmpty else {
      throw TapError(description: reading.failures.map(\.description).joined(separator: "; "))
    }
    Console.error("Next: latprobe report \(output)")
  }

  /// What the packet key looks at, from the Ethernet header on.
  private static let keyBytes = 128

  private static func summary(_ machine: Machine) -> [String] {
    var lines = (machine.captures ?? []).map { capture in
      let packets = capture.interfaces.reduce(0) { $0 + $1.packets }
      let stamps = capture.interfaces.reduce(0) { $0 + $1.stamps }
      var words = ["\(capture.file): \(capture.format), \(packets) packets, \(stamps) stamps"]
      for (reason, count) in capture.skipped.sorted(by: { $0.key < $1.key }) {
        words.append("\(count) records skipped (\(reason))")
      }
      return words.joined(separator: ", ")
    }
    for capture in machine.captures ?? [] {
      for interface in capture.interfaces where 1..<keyBytes ~= interface.snapLength {
        lines.append(
          "warning: \(capture.file) keeps \(interface.snapLength) bytes of a packet: capture \(keyBytes) or more on both sides, "
            + "else their keys may differ")
      }
    }
    for row in machine.ledger where row.lost > 0 {
      lines.append("warning: \(row.hook): \(row.lost) packets are missing from the capture")
    }
    if machine.ledger.allSatisfy({ $0.emitted == 0 }) { lines.append("warning: no packet was stamped: none was IP") }
    return lines
  }
}

private struct TapError: Error, CustomStringConvertible {
  var description: String
}
