// SPDX-License-Identifier: GPL-2.0-or-later
import Analysis
import ArgumentParser
import Foundation
import Recording
import Reporting

struct GateCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "gate",
    abstract: "Check recordings against requirements; exit code 0, 2 or 3 for a CI job.",
    discussion: """
      A requirement is SEGMENT METRIC OP VALUE; with pdv, ipdv or ipdv-abs before the metric it is of delay variation \
      (RFC 5481). Exit codes: 0 PASS, 2 FAIL, 3 INCONCLUSIVE or INVALID.

        latprobe gate run1 --require 'txg2-txh0 p99 < 200us'
        latprobe gate run1 --require 'stamp/round-trip pdv p99 < 50us'
        latprobe gate run1 run2 run3 --policy latency.yaml --json > verdict.json
      """)

  @Argument(help: ArgumentHelp("Recordings; those with one session id are one run.", valueName: "dir"))
  var directories: [String]

  @Option(help: "Policy file (YAML).")
  var policy: String?

  @Option(name: .customLong("require"), help: ArgumentHelp("Requirement; may be repeated.", valueName: "expr"))
  var requirements: [String] = []

  @OptionGroup var flows: FlowOptions

  @Flag(help: "Print the verdicts as JSON to standard output.")
  var json = false

  func validate() throws {
    if policy == nil && requirements.isEmpty {
      throw ValidationError("nothing to check: give --require 'SEGMENT METRIC OP VALUE' or --policy FILE")
    }
    do { _ = try inlineRequirements() } catch let error as RequirementError {
      throw ValidationError("--require \(error)")
    }
  }

  private func inlineRequirements() throws -> [Requirement] {
    try requirements.map { try Requirement(parsing: $0) }
  }

  func run() throws {
    Console.confine()
    var all = try policy.map { try Policy.load(path: $0) } ?? Policy(requirements: [])
    all.requirements += try inlineRequirements()
    // Directories with one session id are one run, in the order given.
    var runs: [(id: String, paths: [String])] = []
    for directory in directories {
      let id = try RecordedSession.open(paths: [directory]).session.id
      if let index = runs.firstIndex(where: { $0.id == id }) {
        runs[index].paths.append(directory)
      } else {
        runs.append((id, [directory]))
      }
    }
    let options = AnalysisOptions(byPacket: false, filter: try flows.parsed(), groupBy: flows.by?.keys ?? [])
    let results = try runs.map { try analysed($0.paths, options, flows: flows) }
    let report = Gate.check(results, policy: all)
    for result in results { try result.scratch?.check() }
    if json {
      try Console.output(json: report.json.text)
    } else {
      try Console.output(GateCommand.colored(report.text(width: Terminal.output.width)))
    }
    if report.verdict != .pass { throw ExitCode(report.verdict.exitCode) }
  }

  /// The verdicts' words in their colours, where there are any.
  private static func colored(_ text: String) -> String {
    let terminal = Terminal.output
    guard terminal.hasColor else { return text }
    return text.replacing(/\b(PASS|FAIL|INCONCLUSIVE|INVALID)\b/) { match in
      terminal.colored(String(match.0), match.0 == "PASS" ? .green : match.0 == "FAIL" ? .red : .yellow)
    }
  }
}
