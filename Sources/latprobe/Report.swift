// SPDX-License-Identifier: GPL-2.0-or-later
import Analysis
import ArgumentParser
import Foundation
import Recording
import Reporting
import Wording

struct ReportCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "report",
    abstract: "Show where the time went: a table, CSV files, report.json and plots.",
    discussion: """
      Several recordings of one session (guest and host) make one report.

        latprobe report run1
        latprobe report run1 -o figures --delays
        latprobe report run1 --by port
        latprobe report run1 --filter 'udp port 53 and host 10.0.0.1'
        latprobe report run1 --json | jq '.segments[] | {name, p99_ns}'
      """)

  @Argument(help: ArgumentHelp("Recordings of one session.", valueName: "dir"))
  var directories: [String]

  @Option(name: .shortAndLong, help: "Directory for the files (default: DIR/report).")
  var output: String?

  @Option(help: "A packet is looked for at the next hook point for this long.")
  var window = TimeArgument(nanoseconds: 1_000_000_000)

  @Option(help: "Bin of the packet-interval histograms.")
  var pitBin = TimeArgument(nanoseconds: 1_000)

  @Option(
    help: ArgumentHelp(
      "Correct the delays between two ports by what 'tap --calibrate' found of them; the report says how.",
      valueName: "file"))
  var calibration: String?

  @OptionGroup var flows: FlowOptions

  @Flag(help: "Split each segment by the device queue at its first hook point.")
  var byQueue = false

  @Flag(help: "Also write delays.csv: a row for each packet and segment.")
  var delays = false

  @Flag(help: "Print report.json to standard output instead of the table; write files only with -o.")
  var json = false

  @Flag(name: .shortAndLong, help: "Show the ledger of every hook point.")
  var verbose = false

  @OptionGroup var writing: WriteOptions

  func run() throws {
    writing.apply()
    let output = output ?? (json ? nil : directories.first.map { "\($0)/report" })
    var isFolder: ObjCBool = false
    if let output, unsafe FileManager.default.fileExists(atPath: output, isDirectory: &isFolder), !isFolder.boolValue {
      throw FileError("\(output): exists and is not a directory: choose another -o")
    }
    // While it still may: what is read from here on may be anybody's.
    if output != nil { Drawer.shared.start() }
    Console.confine()
    let constants = try calibration.map { try Calibration.load($0) }
    var result = try analysed(
      directories,
      AnalysisOptions(
        matchWindow: window.nanoseconds, pitBin: pitBin.nanoseconds, byQueue: byQueue, byPacket: delays,
        filter: try flows.parsed(),
        groupBy: flows.by?.keys ?? [.host]), flows: flows)
    if let constants { try result.apply(constants) }
    try show(result, writingTo: output)
    if let line = result.impossible.first {
      let more = result.impossible.count - 1
      throw ImpossibleRecording(description: line + (more > 0 ? " (and \(more) more like it)" : ""))
    }
  }

  private func show(_ result: SessionResult, writingTo directory: String?) throws {
    if json {
      try Console.output(json: Report.json(result).text)
    } else {
      try Console.output(Report.table(result, verbose: verbose, terminal: .output))
    }
    guard let directory else { return }
    for line in try Report.write(result, to: directory, delays: delays) { Console.error("warning: \(line)") }
    Console.error("written to \(directory)")
  }
}

/// Which flows to look at, and what to tell them apart by.
struct FlowOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "Only packets of flows like these: host, net, port, portrange with src and dst, protocols, and, or, not.",
      valueName: "expr"))
  var filter: String?

  @Option(
    help: ArgumentHelp(
      "Tell flows apart: by host (source and destination), proto, port or flow; several with commas; none.",
      valueName: "keys"))
  var by: FlowKeys?

  func validate() throws {
    do { _ = try parsed() } catch { throw ValidationError("--filter \(error)") }
  }

  func parsed() throws(FlowFilterError) -> FlowFilter? {
    guard let filter else { return nil }
    return try FlowFilter(filter)
  }

  struct FlowKeys: ExpressibleByArgument {
    var keys: [FlowKey]

    init?(argument: String) {
      if argument == "none" {
        keys = []
        return
      }
      let parts = argument.split(separator: ",", omittingEmptySubsequences: false).map { FlowKey(rawValue: String($0)) }
      guard parts.allSatisfy({ $0 != nil }), Set(parts).count == parts.count else {
        let parts = argument.split(separator: ",", omittingEmptySubsequences: false)
        if parts.contains(where: { $0 == "label" || $0.hasPrefix("label=") }) {
          UsageError.refuse(
            argument, "tells no packets apart: a label is of a whole session, so report each run by itself")
          return nil
        }
        let wrong = argument.split(separator: ",", omittingEmptySubsequences: false).first {
          FlowKey(rawValue: String($0)) == nil
        }
        let names = FlowKey.allCases.map(\.rawValue) + ["none"]
        UsageError.refuse(
          argument,
          wrong.map { "has no key '\($0)'; " + Words.choice(of: String($0), among: names) } ?? "names a key twice")
        return nil
      }
      keys = parts.compactMap(\.self)
    }
  }
}

/// Asked of flows where there are pairs alone.
struct NoFlows: Error, CustomStringConvertible {
  var option: String
  var description: String {
    "\(option): pairs of requests and answers keep no addresses and ports to choose by; leave it out"
      + (option == "--filter" ? ", or give --filter to 'latprobe pair' or 'latprobe send' while it records" : "")
  }
}

/// What of a recording was left out because it cannot be: the report is of the rest, and no success.
struct ImpossibleRecording: Error, CustomStringConvertible {
  var description: String
}

/// Reads recordings of one session and analyses them.
///
/// - Parameter flows: what was asked for of flows, which pairs do not have.
func analysed(
  _ directories: [String], _ options: AnalysisOptions, flows: FlowOptions
) throws -> SessionResult {
  let recorded = try RecordedSession.open(paths: directories)
  let option = flows.filter != nil ? "--filter" : flows.by.map { $0.keys.isEmpty ? nil : "--by" } ?? nil
  if let option, !recorded.machines.isEmpty, recorded.machines.allSatisfy({ $0.machine.pairing != nil }) {
    throw NoFlows(option: option)
  }
  var result = try analyse(session: recorded.session, recordings: recorded.machines, options: options)
  result.damage += recorded.damage
  result.impossible += recorded.leftOut
  return result
}
