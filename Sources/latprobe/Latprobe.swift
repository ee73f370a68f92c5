// SPDX-License-Identifier: GPL-2.0-or-later
import ArgumentParser

@main
struct Latprobe: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "latprobe", abstract: "Where a packet's time goes between application and wire.")
}
