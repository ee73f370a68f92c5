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
    case bold = 1
    case red = 2
    case green = 3
    case yellow = 4

    /// Select Graphic Rendition (ECMA-48).
    fileprivate static let codes = [0: 0, 1: 1, 2: 31, 3: 32, 4: 33]
  }

  /// The text in this colour, or as it is where there is none; to be printed by ``shown(_:)``.
  ///
  /// Colours are marked by characters that no text has (Unicode's noncharacters) and become what a terminal obeys only
  /// there: whatever else a terminal would obey is somebody else's.
  package func colored(_ text: String, _ color: Color) -> String {
    hasColor ? "\(Text.mark(color.rawValue))\(text)\(Text.mark(0))" : text
  }

  /// The text with colours as a terminal takes them.
  private func painted(_ text: String) -> String {
    var result = String.UnicodeScalarView()
    for scalar in text.unicodeScalars {
      guard let color = Text.color(scalar) else {
        result.append(scalar)
        continue
      }
      if hasColor { result.append(contentsOf: "\u{1b}[\(Color.codes[color] ?? 0)m".unicodeScalars) }
    }
    return String(result)
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
    if isUTF8 || text.utf8.allSatisfy({ $0 < 0x80 }) { return painted(text) }
    return painted(
      text.reduce(into: "") { result, character in
        if let substitute = Terminal.substitutes[character] { result += substitute } else { result.append(character) }
      })
  }
}
