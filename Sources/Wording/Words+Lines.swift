// SPDX-License-Identifier: GPL-2.0-or-later

/// How text is broken into lines.
extension Words {
  /// Breaks at spaces so that no line is longer than `width`, except for words that are. Spaces at the beginning stay;
  /// further lines begin with `indent` of them.
  package static func wrapped(_ string: String, _ width: Int, indent: Int = 0) -> [String] {
    var lines: [String] = []
    let start = String(string.prefix { $0 == " " })
    var line = start
    var isEmpty = true
    // A unit stays with its number.
    let units: Set<String> = ["ns", "µs", "ms", "s", "%"]
    let words = string.split(separator: " ").reduce(into: [String]()) { words, word in
      let isUnit = units.contains(String(word.prefix { !",;:).".contains($0) }))
      if isUnit, words.last?.last?.isNumber == true {
        words[words.count - 1] += " \(word)"
      } else {
        words.append(String(word))
      }
    }
    for word in words {
      if !isEmpty, line.count + 1 + word.count > width {
        lines.append(line)
        line = String(repeating: " ", count: indent)
        isEmpty = true
      }
      line += isEmpty ? word : " \(word)"
      isEmpty = false
    }
    if !isEmpty { lines.append(line) }
    return lines
  }

  /// A lead, and behind it text that goes on below itself.
  ///
  /// - Parameter width: nil where nothing has to fit: one line.
  package static func hanging(_ lead: String, _ text: String, _ width: Int?) -> [String] {
    // Spaces at the beginning of the text are an indent of its own.
    let own = text.prefix { $0 == " " }.count
    guard let width, lead.count + text.count > width else { return [lead + text] }
    let parts = wrapped(String(text.dropFirst(own)), max(24, width - lead.count - own))
    let indent = String(repeating: " ", count: lead.count + own)
    return parts.enumerated().map { number, part in
      number == 0 ? lead + String(repeating: " ", count: own) + part : indent + part
    }
  }
}
