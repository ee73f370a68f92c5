// SPDX-License-Identifier: GPL-2.0-or-later
import Analysis
import Foundation
import Recording
import Testing

@testable import Reporting

/// Text of others where it goes: a terminal, a spreadsheet, gnuplot, JSON.
@Suite struct PlainTests {
  static let hostile = "a\u{1b}]0;owned\u{7}\u{9b}31m\u{202e}b\nWarning   forged\r"

  @Test func nothingThatATerminalObeys() {
    #expect(Text.plain(Self.hostile) == "a?]0;owned??31m?b?Warning   forged?")
    #expect(Text.plain(lines: "a\n\tb\u{1b}[2J\r") == "a\n\tb?[2J?")
    #expect(Text.plain("Größe → 5 µs") == "Größe → 5 µs")
    #expect(Terminal(isUTF8: false).shown("\u{1b}[31m→") == "?[31m->")
    #expect(Terminal(width: 80, hasColor: true).shown(Self.hostile).contains("\u{1b}") == false)
  }

  @Test(arguments: [
    ("=1+2", "'=1+2"), ("+cmd", "'+cmd"), ("-x", "'-x"), ("@sum", "'@sum"), ("＝1", "'＝1"), ("-5", "-5"),
    ("+1.5e3", "+1.5e3"),
    ("-1+1", "'-1+1"), ("-inf", "'-inf"), ("a,b", "\"a,b\""), ("a\"b", "\"a\"\"b\""), ("=a,\"b", "\"'=a,\"\"b\""),
    ("a\nb", "a?b"),
    ("txg2-txh0", "txg2-txh0"), ("\t=1", "?=1"), (" =1", "\" =1\""), ("", ""),
  ])
  func fieldsOfCSV(_ text: String, _ field: String) { #expect(Text.csv(text) == field) }

  @Test func jsonHasThemByTheirNumbers() throws {
    let text = JSONValue.string("\u{1b}\u{9b}\u{202e}\u{e0001}\"\\\n").text
    #expect(text == "\"\\u001b\\u009b\\u202e\\udb40\\udc01\\\"\\\\\\n\"\n")
    let back = try JSONDecoder().decode([String].self, from: Data("[\(text)]".utf8))
    #expect(back == ["\u{1b}\u{9b}\u{202e}\u{e0001}\"\\\n"])
    #expect(Text.plain(json: "{\n  \"a\" : \"\u{9b}\"\n}\n") == "{\n  \"a\" : \"\\u009b\"\n}\n")
  }

  @Test func gnuplotTakesAnyLabel() throws {
    let folder = try Folder()
    let figures = ["'", "''x", "'x'", "x'y", "a\"b`date`$x\\", "{", ""].enumerated().map { number, text in
      let label = Gnuplot.label(text)
      let script = Gnuplot.script(name: "p\(number)", footer: text, body: "set title \(label)\nplot x title \(label)")
      return Plots.Figure(name: "p\(number)", script: script, data: [])
    }
    #expect(try Gnuplot.draw(figures, in: folder.output()) == [])
    #expect(try folder.names.filter { $0.hasSuffix(".svg") }.count == 7)
  }

  /// A guest names settings, hooks, segments and paths as it likes.
  @Test func hostileNamesInEveryOutput() throws {
    var result = Synthetic.demo()
    for index in result.segments.indices {
      result.segments[index].name = Self.hostile + result.segments[index].name
      result.segments[index].direction = "=cmd|' /C calc'!A0" + Self.hostile
    }
    result.machines[0].settings = [Self.hostile: Self.hostile]
    result.machines[0].hostname = Self.hostile
    result.machines[0].kernel = Self.hostile
    result.machines[0].filter = Self.hostile
    result.session.labels = [Self.hostile: Self.hostile]
    result.warnings = [Self.hostile]
    result.damage = [Self.hostile]
    let table = Report.table(result, verbose: true)
    #expect(!table.unicodeScalars.contains { $0.properties.generalCategory == .control && $0 != "\n" }, "\(table)")
    #expect(!table.split(separator: "\n").contains { $0.hasPrefix("Warning   forged") })
    #expect(
      !Report.json(result).text.unicodeScalars.contains { $0.properties.generalCategory == .control && $0 != "\n" })
    let folder = try Folder()
    try Report.writeTables(of: result, to: folder.output(), delays: true)
    for name in try folder.names {
      let lines = try folder.text(name).split(separator: "\n")
      #expect(!lines.contains { $0.hasPrefix("=") || $0.hasPrefix("Warning") || $0.contains(",=") }, "\(name)")
      #expect(!lines.joined().unicodeScalars.contains { $0.properties.generalCategory == .control }, "\(name)")
    }
  }
}
