// SPDX-License-Identifier: GPL-2.0-or-later
import Testing

@testable import Reporting

/// What a place can show, from its width and the environment.
@Suite struct TerminalTests {
  private let usual = ["TERM": "xterm-256color", "LANG": "en_GB.UTF-8"]

  private func with(_ more: [String: String]) -> [String: String] { usual.merging(more) { $1 } }

  @Test func aTerminalHasWidthAndColour() {
    #expect(
      Terminal(columns: 132, environment: usual) == Terminal(width: 132, hasColor: true, isUTF8: true))
  }

  @Test(arguments: [["NO_COLOR": "1"], ["TERM": "dumb"], ["TERM": ""]])
  func whatForbidsColour(_ environment: [String: String]) {
    #expect(!Terminal(columns: 80, environment: with(environment)).hasColor)
  }

  /// no-color.org: only where it is not empty.
  @Test func anEmptyNoColorForbidsNothing() {
    #expect(Terminal(columns: 80, environment: with(["NO_COLOR": ""])).hasColor)
  }

  @Test func aPipeHasNeither() {
    let pipe = Terminal(columns: nil, environment: usual)
    #expect(pipe == Terminal(width: nil, hasColor: false, isUTF8: true))
    #expect(pipe.colored("FAIL", .red) == "FAIL")
  }

  @Test func columnsOverrideWhatTheTerminalSays() {
    #expect(Terminal(columns: 80, environment: with(["COLUMNS": "40"])).width == 40)
    #expect(Terminal(columns: nil, environment: with(["COLUMNS": "40"])).width == 40)
    for wrong in ["", "0", "-3", "wide"] {
      #expect(Terminal(columns: 80, environment: with(["COLUMNS": wrong])).width == 80)
    }
  }

  @Test(arguments: [
    (["LANG": "C"], false), (["LANG": "C.UTF-8"], true), (["LANG": "de_DE.utf8"], true), (["LANG": ""], false),
    (["LANG": "POSIX"], false), (["LANG": "de_DE.ISO-8859-1"], false), (["LC_ALL": "C"], false),
    (["LANG": "C", "LC_CTYPE": "C.UTF-8"], true), (["LC_CTYPE": "C"], false),
    (["LC_CTYPE": "C.UTF-8", "LC_ALL": "C"], false),
  ])
  func theLocaleDecidesOnCharacters(_ environment: [String: String], isUTF8: Bool) {
    #expect(Terminal(columns: 80, environment: with(environment)).isUTF8 == isUTF8)
  }

  @Test func ownCharactersHaveSubstitutesAndNamesStay() {
    let ascii = Terminal(isUTF8: false)
    #expect(ascii.shown("12.3 µs ± 1 ns, n ≥ 10 → α – …") == "12.3 us +- 1 ns, n >= 10 -> alpha - ...")
    #expect(ascii.shown("no file 'Größe'") == "no file 'Größe'")
    #expect(Terminal().shown("12.3 µs") == "12.3 µs")
  }

  @Test func colourEndsWhereItsTextEnds() {
    let terminal = Terminal(hasColor: true)
    #expect(terminal.shown(terminal.colored("FAIL", .red) + "\u{1b}[31m") == "\u{1b}[31mFAIL\u{1b}[0m?[31m")
    #expect(Terminal().shown(terminal.colored("FAIL", .red)) == "FAIL" && Text.plain("\(Text.mark(1))") == "?")
  }
}
