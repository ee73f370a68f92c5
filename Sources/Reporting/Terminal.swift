// SPDX-License-Identifier: GPL-2.0-or-later
internal import Foundation
internal import Glibc

/// What the place where text goes can show. The one place that asks for it: tables, help and messages follow this.
package struct Terminal: Sendable, Equatable {
  /// Columns of a line; nil where nothing has to fit, as in a pipe or a file.
  package var width: Int?
  package var hasColor: Bool
  /// Whether the locale's characters are UTF-8; else text is to be ASCII.
  package var isUTF8: Bool

  package init(width: Int? = nil, hasColor: Bool = false, isUTF8: Bool = true) {
    self.width = width
    self.hasColor = hasColor
    self.isUTF8 = isUTF8
  }

  /// - Parameter columns: of the terminal; nil: it is none.
  ///
  /// `COLUMNS` overrides the terminal's width, as environ(7) has it; `NO_COLOR` (no-color.org) and `TERM=dumb` forbid
  /// colour. Without `LC_ALL`, `LC_CTYPE` and `LANG` the locale is C, as POSIX has it.
  package init(columns: Int?, environment: [String: String]) {
    func value(_ name: String) -> String? { environment[name].flatMap { $0.isEmpty ? nil : $0 } }
    width = value("COLUMNS").flatMap(Int.init).flatMap { $0 > 0 ? $0 : nil } ?? columns
    hasColor = columns != nil && value("NO_COLOR") == nil && value("TERM") != nil && value("TERM") != "dumb"
    let locale = (value("LC_ALL") ?? value("LC_CTYPE") ?? value("LANG") ?? "C").lowercased()
    isUTF8 = locale.contains("utf-8") || locale.contains("utf8")
  }

  /// Standard output and standard error, as they are now: a window may change its size.
  package static var output: Terminal { Terminal(descriptor: 1) }
  package static var errors: Terminal { Terminal(descriptor: 2) }

  private init(descriptor: Int32) {
    var columns: Int?
    if isatty(descriptor) == 1 {
      var size = winsize()
      let isKnown = unsafe ioctl(descriptor, UInt(TIOCGWINSZ), &size) == 0 && size.ws_col > 0
      columns = isKnown ? Int(size.ws_col) : 80
    }
    self.init(columns: columns, environment: ProcessInfo.processInfo.environment)
  }

  // MARK: - Text

  package enum Color: Int, Sendable {
    case red = 31
    case green = 32
    case yellow = 33
    case bold = 1
  }

  /// The text in this colour, or as it is where there is none.
  package func colored(_ text: String, _ color: Color) -> String {
    hasColor ? "\u{1b}[\(color.rawValue)m\(text)\u{1b}[0m" : text
  }

  /// This program's own characters beyond ASCII, and what stands for them; in a table's cells those of equal width alone.
  private static let substitutes: [Character: String] = [
    "–": "-", "−": "-", "—": "-", "µ": "u", "μ": "u", "·": "*", "×": "x", "→": "->", "≥": ">=", "≤": "<=", "±": "+-",
    "…": "...", "α": "alpha", "ε": "eps", "½": "half ", "∞": "inf", "≈": "~", "⌈": "ceil(", "⌉": ")", "│": "|",
    "─": "-",
    "└": "`", "█": "#", "▉": "#", "▊": "#", "▋": "#", "▌": "#", "▍": ".", "▎": ".", "▏": ".",
  ]

  /// The text in the characters that can be shown. What is not of this program, such as names of files, stays as it is, but
  /// for what a terminal would obey: all that is printed goes through here.
  package func shown(_ text: String) -> String {
    let text = Text.plain(lines: text)
    if isUTF8 || text.utf8.allSatisfy({ $0 < 0x80 }) { return text }
    return text.reduce(into: "") { result, character in
      if let substitute = Terminal.substitutes[character] { result += substitute } else { result.append(character) }
    }
  }
}
