// SPDX-License-Identifier: GPL-2.0-or-later
import ArgumentParser
import Foundation
import Probing
import Reporting
import Topology
import Wording

struct DoctorCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "doctor",
    abstract:
      "Check privileges, kernel, clocks, CPU settings and NICs; each line OK, warning or missing, with the remedy.",
    discussion: """
      Exit code 1 if something is missing without which nothing can be recorded.

        sudo latprobe doctor
        sudo latprobe doctor --json
      """)

  @Flag(help: "Print JSON.")
  var json = false

  func run() throws {
    let facts = try? KernelFacts.live()
    var findings: [Finding] = []
    var resolved: [ResolvedTopology] = []
    do {
      let object = try BPFObjectFile.find(executable: TopologyLibrary.executablePath())
      let programs = try ProbeSet.programs(in: object)
      let library = TopologyLibrary.standard(environment: ProcessInfo.processInfo.environment)
      // Without it every hook point would be absent for one and the same reason.
      for entry in library.list() {
        guard let facts else { break }
        do { resolved.append(try library.load(entry.path).resolve(facts: facts, programs: programs)) } catch {
          findings.append(Finding("topology \(entry.name)", .warning, "\(error)"))
        }
      }
      findings.append(Finding("BPF programs", .ok, "\(object.path), \(programs.count) programs"))
    } catch {
      findings.append(Finding("BPF programs", .missing, "\(error)"))
    }
    findings = Doctor.examine(topologies: resolved, facts: facts) + findings
    if json {
      try Console.output(json: encoded(findings))
    } else {
      let topics = findings.map(\.topic.count).max() ?? 0
      let terminal = Terminal.output
      for finding in findings {
        let color: Terminal.Color = finding.state == .ok ? .green : finding.state == .missing ? .red : .yellow
        let state = finding.state.rawValue.padding(toLength: 8, withPad: " ", startingAt: 0)
        let topic = finding.topic.padding(toLength: topics, withPad: " ", startingAt: 0)
        var lines = Words.hanging("\(state) \(topic)  ", finding.detail, terminal.width)
        lines[0] = terminal.colored(state, color) + lines[0].dropFirst(state.count)
        if let remedy = finding.remedy {
          lines += Words.hanging(String(repeating: " ", count: topics + 11) + "→ ", remedy, terminal.width)
        }
        try Console.output(lines.joined(separator: "\n") + "\n")
      }
    }
    if findings.contains(where: { $0.state == .missing }) { throw ExitCode.failure }
  }
}
