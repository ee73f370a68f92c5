// SPDX-License-Identifier: GPL-2.0-or-later
import ArgumentParser
import Foundation
import Host
import Synchronization
import Wording

/// What was typed wrongly, in one line: what, where, and what to do. The parser tells it in up to four lines.
enum UsageError {
  /// Why a value was refused. `init?(argument:)` cannot say it, so it is put down here on the way.
  private static let reasons = Mutex<[String: String]>([:])

  static func refuse(_ value: String, _ why: String) { reasons.withLock { $0[value] = why } }

  /// A negative number is a value, not an option: `--duration -5s` is `--duration=-5s`.
  static func withNegativeValues(_ arguments: [String]) -> [String] {
    arguments.reduce(into: []) { result, argument in
      let isNegative = argument.first == "-" && argument.dropFirst().first.map { $0.isNumber || $0 == "." } == true
      if isNegative, let option = result.last, option.hasPrefix("--"), option.count > 2, !option.contains("=") {
        result[result.count - 1] = "\(option)=\(argument)"
      } else {
        result.append(argument)
      }
    }
  }

  /// What there is to say where the first word is no command.
  static func unknownCommand(_ arguments: [String]) -> String? {
    guard var word = arguments.first, !word.hasPrefix("-") else { return nil }
    let commands = Latprobe.configuration.subcommands.map { $0._commandName }
    if word == "help" {
      guard arguments.count > 1 else { return nil }
      word = arguments[1]
    }
    if commands.contains(word) || word == "help" { return nil }
    return "there is no command '\(word)'; " + Words.choice(of: word, among: commands)
  }

  /// - Parameter full: the parser's own lines: `Error: …`, `Help:  …`, `Usage: …`, `  See '…' …`.
  static func line(_ message: String, full: String, arguments: [String]) -> String {
    let lines = full.split(separator: "\n").map(String.init)
    let help = lines.first { $0.hasPrefix("Help:  ") }.map { String($0.dropFirst(7)) }
    // `--duration <duration>  Stop after this time: 10s.`
    let abstract = help.flatMap { $0.firstMatch(of: />  ((?s).*?)\.?$/)?.1 }.map(String.init) ?? ""
    let command = lines.last.flatMap { $0.wholeMatch(of: /\ +See '(.*) --?h(elp)?' for more information\./)?.1 }
    let see = "see '\(command ?? "latprobe") --help'"
    let options = options(of: String(command ?? ""))
    // An option under a wrong name lets another error come first: the right one is missing.
    let unknown = arguments.prefix { $0 != "--" }.first { isUnknown($0, among: options) }
    if let option = unknown ?? message.firstMatch(of: /^Unknown option '(-[^']+)'/).map({ String($0.1) }) {
      return "unknown option '\(option)'; " + (suggestion(option, among: options) ?? see)
    }
    if let match = message.wholeMatch(of: /The value '((?s).*)' is invalid for '([^' ]+)[^']*'((?s).*)/) {
      let value = String(match.1)
      let name = String(match.2)
      if let why = reasons.withLock({ $0[value] }) { return "\(name) '\(value)' \(why)" }
      if value.contains(/^-[0-9.]/) { return "\(name) '\(value)' must not be negative" }
      let choices = match.3.matches(of: /'([^']+)'|- (\S+)/).compactMap { $0.1 ?? $0.2 }
      if !choices.isEmpty { return "\(name) takes \(choices.joined(separator: ", ")), not '\(value)'" }
      return "\(name) does not take '\(value)'" + (abstract.isEmpty ? "; \(see)" : ": \(abstract)")
    }
    if let value = message.wholeMatch(of: /Unexpected argument '((?s).*)'/).map({ String($0.1) }),
      let why = reasons.withLock({ $0[value] })
    {
      return "'\(value)' \(why)"
    }
    if let match = message.wholeMatch(of: /Missing value for '([^' ]+)[^']*'/) {
      return "\(match.1) needs a value" + (abstract.isEmpty ? "; \(see)" : ": \(abstract)")
    }
    if let match = message.wholeMatch(of: /Missing expected argument '(.*)'/) {
      if let file = command?.hasSuffix(" tap") == true ? captureForDevice(arguments) : nil {
        return "'\(file)' is a file and no device: did you mean 'latprobe tap --read \(file) -o DIR'?"
      }
      return "\(match.1) is missing" + (abstract.isEmpty ? "" : ": \(abstract)") + "; \(see)"
    }
    let text = message.split(separator: "\n").joined(separator: " ").replacing(/\.$/, with: "")
    let isParsers = text.contains(/^(Unexpected argument|[0-9]+ unexpected arguments|The option '|Missing )/)
    return isParsers ? "\(text); \(see)" : text
  }

  /// A command's long options and their short ones, empty where there is none.
  private static func options(of command: String) -> [String: String] {
    let name = command.split(separator: " ").last.map(String.init) ?? ""
    let type = Latprobe.configuration.subcommands.first { $0._commandName == name }
    let help = type.map { Latprobe.helpMessage(for: $0, columns: 1000) } ?? Latprobe.helpMessage(columns: 1000)
    var result: [String: String] = [:]
    for line in help.split(separator: "\n") {
      guard let match = line.firstMatch(of: /^ +(?:(-[A-Za-z]), )?(--[a-z0-9-]+)/) else { continue }
      result[String(match.2)] = match.1.map(String.init) ?? ""
    }
    return result
  }

  /// What stands where `tap` takes a device and is a capture file, as far as its name tells.
  private static func captureForDevice(_ arguments: [String]) -> String? {
    guard !arguments.contains("--read") else { return nil }
    return arguments.dropFirst().first { argument in
      !argument.hasPrefix("-") && FileManager.default.fileExists(atPath: argument) && !Link.exists(argument)
    }
  }

  private static func isUnknown(_ argument: String, among options: [String: String]) -> Bool {
    guard argument.hasPrefix("--") else { return false }
    return options[argument.split(separator: "=").first.map(String.init) ?? ""] == nil
  }

  /// The option that was meant: `-o (--output)`.
  private static func suggestion(_ option: String, among options: [String: String]) -> String? {
    let typed = option.hasPrefix("--") ? option : "-" + option
    guard let long = Words.nearest(to: typed, among: options.keys.sorted()) else { return nil }
    let letter = options[long] ?? ""
    return "did you mean \(letter.isEmpty ? long : "\(letter) (\(long))")?"
  }
}
