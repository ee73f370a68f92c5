// SPDX-License-Identifier: GPL-2.0-or-later
import ArgumentParser
import Recording

struct RepairCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "repair",
    abstract: "Trim the torn end of a recording that was cut off, so that other CTF readers open it too.",
    discussion: """
      latprobe itself reads such a recording up to its last whole packet without repair.

        latprobe repair run1
      """)

  @Argument(help: ArgumentHelp("Recordings.", valueName: "dir"))
  var directories: [String]

  @OptionGroup var writing: WriteOptions

  func run() throws {
    writing.apply()
    Console.confine()
    for directory in directories {
      let actions = try repair(directory: directory)
      for action in actions { Console.error(action.description) }
      if actions.isEmpty { Console.error("\(directory): nothing to repair") }
    }
  }
}
