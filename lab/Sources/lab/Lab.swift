// SPDX-License-Identifier: GPL-2.0-or-later
import ArgumentParser
import Foundation
import VirtualLab

@main
struct Lab: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "A KVM host and its guest under QEMU, with this machine as the world outside.",
    discussion: """
      Needs root: a network namespace and a tap of its own. See lab/README.md.

        sudo .build/release/lab run lab/scenarios/udp-6.1.yaml
        sudo .build/release/lab shell lab/scenarios/udp-6.1.yaml
      """,
    subcommands: [Run.self, Sh.self, List.self])
}

struct Machines: ParsableArguments {
  @Argument(help: "A scenario, as lab/scenarios holds them.")
  var scenario: String

  @Option(help: "tcg (emulation: shows function, not latency) or kvm (needs nested virtualisation).")
  var accel = "tcg"

  @Option(help: "The program under test.")
  var latprobe = ".build/release/latprobe"

  @Option(
    name: .customLong("program"),
    help: ArgumentHelp("A further program of this machine for both machines; may be repeated.", valueName: "name"))
  var programs: [String] = []

  func validate() throws {
    guard ["tcg", "kvm"].contains(accel) else { throw ValidationError("--accel takes tcg or kvm") }
  }

  func boot() throws -> (Scenario, VirtualLab) {
    let scenario = try Scenario.load(scenario)
    var options = LabOptions(tree: FileManager.default.currentDirectoryPath, latprobe: latprobe)
    options.accelerator = accel
    options.programs += programs
    options.qemu = ProcessInfo.processInfo.environment["LATPROBE_QEMU"] ?? options.qemu
    for name in Leftovers.remove() { say("removed \(name), left by a run that was killed") }
    let start = Date()
    let guest = scenario.guest.map { " and \($0.kernel) (guest)" } ?? ""
    say("booting Linux \(scenario.host.kernel) (host)\(guest), \(accel)")
    let lab = try VirtualLab.boot(scenario, options) { say("\($0)\nlab: booting once more") }
    say(String(format: "up after %.0f s", Date().timeIntervalSince(start)))
    return (scenario, lab)
  }
}

/// A terminal that is gone must not keep the lab from removing what it made.
func say(_ line: String) { try? FileHandle.standardError.write(contentsOf: Data("lab: \(line)\n".utf8)) }

/// Does what a signal or the time limit may end.
func untilStopped(_ body: () throws -> Void) throws {
  Stop.atSignals()
  do { try body() } catch let stopped as Stopped {
    say("\(stopped)")
    throw ExitCode(stopped.status)
  }
}

struct List: ParsableCommand {
  static let configuration = CommandConfiguration(abstract: "Print name and summary of each scenario.")

  @Argument(help: "Folder of scenarios.")
  var folder = "lab/scenarios"

  func run() throws {
    let names = try FileManager.default.contentsOfDirectory(atPath: folder).filter { $0.hasSuffix(".yaml") }.sorted()
    let scenarios = try names.map { try Scenario.load("\(folder)/\($0)") }
    let width = scenarios.map(\.name.count).max() ?? 0
    for scenario in scenarios {
      print(scenario.name + String(repeating: " ", count: width - scenario.name.count + 2) + scenario.summary)
    }
  }
}

struct Run: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Run a scenario's workload, record it on host and guest, and fetch the session.")

  @OptionGroup var machines: Machines

  @Option(name: .shortAndLong, help: "Directory for the session (default: out/lab/NAME/session).")
  var output: String?

  @Option(help: ArgumentHelp("The longest that all of it may take.", valueName: "seconds"))
  var limit = 300

  func validate() throws {
    guard (1...86400).contains(limit) else { throw ValidationError("--limit takes 1 to 86400 seconds") }
  }

  func run() throws {
    try untilStopped {
      Stop.after(seconds: limit)
      let (scenario, lab) = try machines.boot()
      let output = output ?? "out/lab/\(scenario.name)/session"
      let labels = ["scenario=\(scenario.name)", "accelerator=\(machines.accel)"]
      try lab.record(scenario, labels: labels, into: output)
      let how = machines.accel == "kvm" ? "under KVM" : "under emulation (TCG): it shows function, not latency"
      say("session in \(output), recorded \(how)")
    }
  }
}

struct Sh: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "shell",
    abstract: "Boot a scenario's machines and obey standard input.",
    discussion: """
      Lines: host COMMAND, guest COMMAND, outside COMMAND, fetch host|guest FOLDER INTO.
      """)

  @OptionGroup var machines: Machines

  func run() throws {
    try untilStopped {
      let (_, lab) = try machines.boot()
      var lines = Lines()
      while let line = try lines.next() {
        do { try obey(line, lab) } catch let error as LabError { say("\(error)") }
      }
    }
  }

  private func obey(_ line: String, _ lab: VirtualLab) throws {
    let words = line.split(separator: " ", maxSplits: 1).map(String.init)
    guard words.count == 2 else { return }
    switch words[0] {
    case "host", "guest":
      let (status, data) = try machine(words[0], lab).attempt(words[1], limit: 600)
      try? FileHandle.standardOutput.write(contentsOf: data)
      if status != 0 { say("ended with \(status)") }
    case "fetch":
      let names = words[1].split(separator: " ").map(String.init)
      guard names.count == 3 else { throw LabError("fetch host|guest FOLDER INTO") }
      try machine(names[0], lab).fetch(names[1], into: names[2])
    case "outside":
      let text = try lab.runOutside(words[1], limit: 600)
      try? FileHandle.standardOutput.write(contentsOf: Data(text.utf8))
    default: throw LabError("a line begins with host, guest, outside or fetch")
    }
  }

  private func machine(_ name: String, _ lab: VirtualLab) throws -> Machine {
    try name == "host" ? lab.host : lab.guest
  }
}
