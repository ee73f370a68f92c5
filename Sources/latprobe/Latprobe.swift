// SPDX-License-Identifier: GPL-2.0-or-later
import ArgumentParser

@main
struct Latprobe: AsyncParsableCommand {
  static let version = "0.1.0"

  static let configuration = CommandConfiguration(
    commandName: "latprobe",
    abstract: "Where between the application and the wire does a packet's time go, and can the number be trusted?",
    discussion: """
      First time:
        sudo latprobe doctor
        sudo latprobe record --topology veth --netns a --netns b --duration 10s -o run
        latprobe report run
        latprobe gate run --require 'txg2-txh0 p99 < 200us'

      Exit codes: 0 fine, 1 error, 2 gate failed, 3 gate inconclusive or invalid, 64 usage.
      """,
    version: version,
    subcommands: [
      Record.self, TapCommand.self, PairCommand.self, SendCommand.self, ReflectCommand.self, RFC2544Command.self,
      TimerCommand.self, AgentCommand.self, ReportCommand.self, GateCommand.self, Hooks.self, DoctorCommand.self,
      RepairCommand.self,
    ])
}
