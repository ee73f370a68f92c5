// SPDX-License-Identifier: GPL-2.0-or-later
import ArgumentParser
import Reporting

@main
struct Latprobe: ParsableCommand {
  static let version = "0.1.0"

  static let configuration = CommandConfiguration(
    commandName: "latprobe",
    abstract: "Where between the application and the wire does a packet's time go, and can the number be trusted?",
    discussion: """
      First time:
        sudo latprobe doctor
        sudo latprobe record --topology veth --netns a --netns b --duration 10s \\
          -o run
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

  static func main() {
    let arguments = UsageError.withNegativeValues(Array(CommandLine.arguments.dropFirst()))
    if let complaint = UsageError.unknownCommand(arguments) {
      Console.error("Error: \(complaint)")
      exit(withError: ExitCode.validationFailure)
    }
    do {
      var command = try parseAsRoot(arguments)
      try command.run()
    } catch {
      end(error, arguments)
    }
  }

  /// As the parser ends a command, but for help at the terminal's width, and one line for what was typed wrongly.
  private static func end(_ error: any Error, _ arguments: [String]) -> Never {
    let code = exitCode(for: error)
    // Narrower, the parser has no room for what an option does.
    let columns = max(50, Terminal.output.width ?? 80)
    let full = fullMessage(for: error, columns: columns)
    if code.isSuccess {
      do { try Console.output(wrapped(full, to: columns) + "\n") } catch {
        Console.error("Error: \(error)")
        exit(withError: ExitCode.failure)
      }
    } else if let error = error as? ValidationError {
      // A command found it while it ran: its arguments had been understood.
      Console.error("Error: \(error.message)")
    } else if code == .validationFailure {
      Console.error("Error: " + UsageError.line(message(for: error), full: full, arguments: arguments))
    } else if let error = error as? GuestError {
      for line in error.missing { Console.error("Error: \(line)") }
    } else if !full.isEmpty {
      Console.error(full)
    }
    exit(withError: code)
  }

  /// The parser wraps all but the line of usage: that is broken between options.
  private static func wrapped(_ help: String, to columns: Int) -> String {
    help.split(separator: "\n", omittingEmptySubsequences: false).map { line in
      guard line.hasPrefix("USAGE: "), line.count > columns else { return String(line) }
      // What is within brackets stays together.
      var parts: [String] = []
      var depth = 0
      for word in line.split(separator: " ") {
        if depth > 0 { parts[parts.count - 1] += " \(word)" } else { parts.append(String(word)) }
        depth += word.count { $0 == "[" } - word.count { $0 == "]" }
      }
      var lines = [""]
      for part in parts {
        let last = lines[lines.count - 1]
        if last.isEmpty || last.count + 1 + part.count <= columns {
          lines[lines.count - 1] += (last.isEmpty ? "" : " ") + part
        } else {
          lines.append("         " + part)
        }
      }
      return lines.joined(separator: "\n")
    }.joined(separator: "\n")
  }
}
