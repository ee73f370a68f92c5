// SPDX-License-Identifier: GPL-2.0-or-later
import Foundation

/// The code in a page of the documentation.
struct DocumentedPage {
  struct Block {
    /// Behind the opening fence: `sh`, `yaml`; empty for an indented block.
    var language: String
    /// Of its first line.
    var number: Int
    var lines: [String]
    var text: String { lines.joined(separator: "\n") }
  }

  /// A line of an indented block that calls latprobe.
  struct Command {
    var page: String
    var number: Int
    /// As a shell takes it: without the words that say on which machine.
    var shell: String
    /// Of the call of latprobe in it.
    var arguments: [String]

    var place: String { "\(page):\(number)" }
    var words: String { arguments.joined(separator: " ") }
    /// Whether it shows what may be given, in place of a command to type: `[--json]`, `DIR…`.
    var isSynopsis: Bool {
      arguments.contains { word in
        word.contains("…") || word.hasPrefix("[") || word.wholeMatch(of: #/[A-Z]{1,9}(\[.*|-OR-.*)?/#) != nil
      }
    }
  }

  static let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    .deletingLastPathComponent()

  static func all() throws -> [DocumentedPage] {
    let docs = try FileManager.default.contentsOfDirectory(atPath: root.appendingPathComponent("docs").path)
    return try (["README.md"] + docs.filter { $0.hasSuffix(".md") }.sorted().map { "docs/\($0)" }).map {
      try DocumentedPage($0)
    }
  }

  let name: String
  let blocks: [Block]

  init(_ name: String) throws {
    self.name = name
    let text = try String(contentsOf: DocumentedPage.root.appendingPathComponent(name), encoding: .utf8)
    var blocks: [Block] = []
    var isFenced = false
    var wasCode = false
    for (index, line) in text.split(separator: "\n", omittingEmptySubsequences: false).enumerated() {
      if line.hasPrefix("```") {
        isFenced.toggle()
        if isFenced { blocks.append(Block(language: String(line.dropFirst(3)), number: index + 2, lines: [])) }
        wasCode = false
      } else if isFenced {
        blocks[blocks.count - 1].lines.append(String(line))
      } else if line.hasPrefix("    ") {
        if !wasCode { blocks.append(Block(language: "", number: index + 1, lines: [])) }
        blocks[blocks.count - 1].lines.append(String(line.dropFirst(4)))
        wasCode = true
      } else {
        wasCode = false
      }
    }
    self.blocks = blocks
  }

  var commands: [Command] {
    blocks.filter { $0.language.isEmpty }.flatMap { block in
      block.lines.enumerated().compactMap { offset, line in
        // The machine on which to type it, and a root's prompt.
        let shell = line.replacing(#/^ *((guest|host)#? +)?/#, with: "")
        // Not: what the program prints, or a sentence about it.
        guard shell.contains(#/^(sudo )?([.\/a-z]+\/)?latprobe |\| latprobe /#) else { return nil }
        return Command(page: name, number: block.number + offset, shell: shell, arguments: Self.arguments(shell))
      }
    }
  }

  /// What follows `latprobe` up to the end of this command, as a shell splits it.
  static func arguments(_ shell: String) -> [String] {
    var words: [String] = []
    var word = ""
    var quote: Character?
    var isWord = false
    for character in shell + " " {
      if let open = quote {
        if character == open { quote = nil } else { word.append(character) }
      } else if character == "'" || character == "\"" {
        quote = character
        isWord = true
      } else if character == " " {
        if isWord { words.append(word) }
        (word, isWord) = ("", false)
      } else {
        word.append(character)
        isWord = true
      }
    }
    let begin = words.firstIndex { $0 == "latprobe" || $0.hasSuffix("/latprobe") }.map { $0 + 1 } ?? words.count
    return Array(words[begin...].prefix { !["|", "||", "&&", "&", ";", ">"].contains($0) && !$0.hasPrefix("#") })
  }
}
