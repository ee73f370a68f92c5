// SPDX-License-Identifier: GPL-2.0-or-later

/// Text of others made harmless for the place where it goes: the one place that does so.
///
/// Names, settings and messages come from files, guests and devices. A terminal obeys control characters, a spreadsheet
/// takes a field for a formula, and a line break makes one line two.
extension Text {
  /// Whether a terminal shows it and nothing else: no control character, none that turns the direction of writing, no line
  /// break.
  static func isPlain(_ scalar: Unicode.Scalar) -> Bool {
    switch scalar.properties.generalCategory {
    case .control, .format, .lineSeparator, .paragraphSeparator, .surrogate: false
    default: true
    }
  }

  /// Where a colour begins, by its number, or ends (0), for ``Terminal/shown(_:)``: Unicode's noncharacters, which no text has.
  static func mark(_ color: Int) -> Unicode.Scalar { Unicode.Scalar(0xfdd0 + UInt32(min(max(color, 0), 9))) ?? "?" }

  /// The colour's number of such a mark; nil of other characters.
  static func color(_ scalar: Unicode.Scalar) -> Int? {
    0xfdd0...0xfdd9 ~= scalar.value ? Int(scalar.value - 0xfdd0) : nil
  }

  /// One line: what is not plain becomes `?`.
  package static func plain(_ string: String) -> String { cleaned(string, keepsLines: false) }

  /// The same of text whose lines and columns are this program's own.
  package static func plain(lines string: String) -> String { cleaned(string, keepsLines: true) }

  private static func cleaned(_ string: String, keepsLines: Bool) -> String {
    let (lineFeed, tab) = (UInt8(ascii: "\n"), UInt8(ascii: "\t"))
    if string.utf8.allSatisfy({ 0x20..<0x7f ~= $0 || keepsLines && ($0 == lineFeed || $0 == tab) }) { return string }
    var text = String.UnicodeScalarView()
    for scalar in string.unicodeScalars {
      let isOwn = keepsLines && (scalar == "\n" || scalar == "\t" || color(scalar) != nil)
      text.append(isOwn || isPlain(scalar) && color(scalar) == nil ? scalar : "?")
    }
    return String(text)
  }

  /// A field of a CSV file (RFC 4180): quotes around one that holds a comma, a quote or a space at its ends.
  ///
  /// Text that a spreadsheet would take for a formula gets a `'` in front (OWASP, "CSV Injection"); a number stays a number.
  package static func csv(_ string: String) -> String {
    var field = plain(string)
    if let first = field.unicodeScalars.first, "=+-@＝＋－＠".unicodeScalars.contains(first), !isNumber(field) {
      field = "'" + field
    }
    guard field.contains(where: { $0 == "," || $0 == "\"" || $0 == ";" }) || field.first == " " || field.last == " "
    else { return field }
    return "\"" + field.split(separator: "\"", omittingEmptySubsequences: false).joined(separator: "\"\"") + "\""
  }

  private static func isNumber(_ field: String) -> Bool {
    field.utf8.allSatisfy { "0123456789.eE+-".utf8.contains($0) } && Double(field) != nil
  }

  /// A JSON string's content: what is not plain by its number, so that no terminal obeys what JSON lets stand.
  package static func json(_ string: String) -> String {
    var text = ""
    for scalar in string.unicodeScalars {
      switch scalar {
      case "\"": text += "\\\""
      case "\\": text += "\\\\"
      case "\n": text += "\\n"
      case "\r": text += "\\r"
      case "\t": text += "\\t"
      case _ where isPlain(scalar): text.unicodeScalars.append(scalar)
      default: text += escaped(scalar)
      }
    }
    return text
  }

  /// JSON that an encoder made: what it let stand in strings, by its number.
  package static func plain(json document: String) -> String {
    if document.utf8.allSatisfy({ 0x20..<0x7f ~= $0 || $0 == UInt8(ascii: "\n") }) { return document }
    var text = ""
    for scalar in document.unicodeScalars {
      if isPlain(scalar) || scalar == "\n" { text.unicodeScalars.append(scalar) } else { text += escaped(scalar) }
    }
    return text
  }

  /// `\u001b`; two of them beyond 16 bits.
  private static func escaped(_ scalar: Unicode.Scalar) -> String {
    Character(scalar).utf16.map { unit in
      let digits = String(unit, radix: 16)
      return "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
    }.joined()
  }
}
