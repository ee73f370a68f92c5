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
    let start = Date()
    say("booting Linux \(scenario.host.kernel) (host) and \(scenario.guest.kernel) (guest), \(accel)")
    let lab = try VirtualLab(scenario, options)
    say(String(format: "both are up after %.0f s", Date().timeIntervalSince(start)))
    return (scenario, lab)
  }
}

func say(_ line: String) { FileHandle.standardError.write(Data("lab: \(line)\n".utf8)) }

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

  func run() throws {
    let (scenario, lab) = try machines.boot()
    let output = output ?? "out/lab/\(scenario.name)/session"
    try lab.record(scenario, into: output)
    say("session in \(output)")
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
    let (_, lab) = try machines.boot()
    while let line = readLine() {
      let words = line.split(separator: " ", maxSplits: 1).map(String.init)
      guard words.count == 2 else { continue }
      do {
        switch words[0] {
        case "host", "guest":
          let (status, data) = try (words[0] == "host" ? lab.host : lab.guest).attempt(words[1], limit: 600)
          FileHandle.standardOutput.write(data)
          if status != 0 { say("ended with \(status)") }
        case "fetch":
          let names = words[1].split(separator: " ").map(String.init)
          guard names.count == 3 else { throw LabError("fetch host|guest FOLDER INTO") }
          try (names[0] == "host" ? lab.host : lab.guest).fetch(names[1], into: names[2])
        case "outside": FileHandle.standardOutput.write(Data(try lab.runOutside(words[1], limit: 600).utf8))
        default: say("a line begins with host, guest, outside or fetch")
        }
      } catch { say("\(error)") }
    }
  }
}
