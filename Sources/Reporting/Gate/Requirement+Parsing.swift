// SPDX-License-Identifier: GPL-2.0-or-later

/// A requirement that cannot be read: one line with the column.
package struct RequirementError: Error, Equatable, CustomStringConvertible {
  /// In the text of the requirement, from 1.
  package var column: Int
  package var expression: String
  /// What was expected there.
  package var message: String

  package var description: String { "'\(Text.plain(expression))', column \(column): \(message)" }
}

extension Requirement {
  /// Reads `[DIRECTION/]SEGMENT [QUANTITY] METRIC OP VALUE`; spaces around the operator may be left out.
  package init(parsing text: String) throws(RequirementError) {
    var parser = RequirementParser(text)
    self = try parser.requirement()
  }

  /// `200us` as all times are printed: `200 µs`. No digit is touched.
  fileprivate static func inOneStyle(_ threshold: String) -> String {
    guard let unit = threshold.lastIndex(where: { !$0.isLetter && $0 != "%" }).map(threshold.index(after:)),
      unit < threshold.endIndex
    else { return threshold }
    let number = threshold[..<unit].split(separator: " ").joined(separator: " ")
    return "\(number) \(["us", "μs"].contains(String(threshold[unit...])) ? "µs" : String(threshold[unit...]))"
  }
}

private struct RequirementParser {
  private let text: String
  private let characters: [Character]
  private var position = 0

  init(_ text: String) {
    self.text = text
    characters = Array(text)
  }

  mutating func requirement() throws(RequirementError) -> Requirement {
    let (direction, segment) = try name()
    let quantity = quantity()
    let metric = try metric(of: quantity)
    let comparison = try comparison()
    skipSpaces()
    let valueStart = position
    let threshold = try value(of: metric, isSigned: quantity == .ipdv)
    let valueEnd = position
    skipSpaces()
    guard position == characters.count else {
      throw fail("expected the end, found '\(characters[position])': one requirement has one comparison")
    }
    return Requirement(
      text: text.split(whereSeparator: \.isWhitespace).joined(separator: " "),
      direction: direction, segment: segment, quantity: quantity,
      metric: metric, comparison: comparison, threshold: threshold,
      thresholdText: Requirement.inOneStyle(String(characters[valueStart..<valueEnd])))
  }

  private func fail(_ message: String, at column: Int? = nil) -> RequirementError {
    RequirementError(column: (column ?? position) + 1, expression: text, message: message)
  }

  private mutating func skipSpaces() {
    while position < characters.count, characters[position].isWhitespace { position += 1 }
  }

  private mutating func word(until isEnd: (Character) -> Bool) -> String {
    skipSpaces()
    let start = position
    while position < characters.count, !characters[position].isWhitespace, !isEnd(characters[position]) {
      position += 1
    }
    return String(characters[start..<position])
  }

  private mutating func name() throws(RequirementError) -> (direction: String?, segment: String) {
    skipSpaces()
    let start = position
    let word = word { $0 == "<" || $0 == ">" }
    guard !word.isEmpty else { throw fail("expected a segment, as in 'txg2-txh0 p99 < 200us'", at: start) }
    let parts = word.split(separator: "/", omittingEmptySubsequences: false).map { String($0) }
    guard parts.count <= 2, parts.allSatisfy({ !$0.isEmpty }) else {
      throw fail("expected SEGMENT or DIRECTION/SEGMENT, found '\(word)'", at: start)
    }
    return parts.count == 2 ? (parts[0], parts[1]) : (nil, parts[0])
  }

  /// `pdv`, `ipdv` or `ipdv-abs`; without one the delays are meant.
  private mutating func quantity() -> Requirement.Quantity {
    skipSpaces()
    let start = position
    let word = word { $0 == "<" || $0 == ">" || $0 == "=" }
    if let quantity = Requirement.Quantity(rawValue: word), quantity != .delay { return quantity }
    position = start
    return .delay
  }

  private mutating func metric(of quantity: Requirement.Quantity) throws(RequirementError) -> Requirement.Metric {
    skipSpaces()
    let start = position
    let word = word { $0 == "<" || $0 == ">" || $0 == "=" }
    switch word {
    case "mean": return .mean
    case "sd": return .standardDeviation
    case "mad": return .medianAbsoluteDeviation
    case "min": return .min
    case "max": return .max
    case "loss" where quantity == .delay: return .loss
    case "count" where quantity == .delay: return .count
    default: break
    }
    guard word.first == "p", let probability = Text.decimal(word.dropFirst(), exponent: -2) else {
      let found = word.isEmpty ? "nothing" : "'\(word)'"
      let counts = quantity == .delay ? ", loss, count; or pdv, ipdv, ipdv-abs and one of these" : ""
      throw fail("expected a metric (p50 … p99.999, mean, sd, mad, min, max\(counts)), found \(found)", at: start)
    }
    guard probability > 0, probability < 1 else {
      throw fail(
        "expected a percentile between p0 and p100, both left out (use min or max), found '\(word)'", at: start)
    }
    return .quantile(probability)
  }

  private mutating func comparison() throws(RequirementError) -> Requirement.Operator {
    skipSpaces()
    let start = position
    while position < characters.count, "<>=!".contains(characters[position]) { position += 1 }
    let symbol = String(characters[start..<position])
    guard let comparison = Requirement.Operator(rawValue: symbol) else {
      let found = symbol.isEmpty ? (start < characters.count ? "'\(characters[start])'" : "the end") : "'\(symbol)'"
      throw fail("expected <, <=, > or >=, found \(found)", at: start)
    }
    return comparison
  }

  private mutating func value(
    of metric: Requirement.Metric, isSigned: Bool
  ) throws(RequirementError) -> Double {
    skipSpaces()
    let isNegative = isSigned && position < characters.count && characters[position] == "-"
    if isNegative { position += 1 }
    let start = position
    while position < characters.count, characters[position].isASCII,
      characters[position].isNumber || characters[position] == "."
    {
      position += 1
    }
    let digits = String(characters[start..<position])
    guard let number = Text.decimal(digits, exponent: 0) else {
      let found = start < characters.count ? "'\(characters[start])'" : "the end"
      throw fail("expected a number, found \(found)", at: start)
    }
    skipSpaces()
    let unitStart = position
    let unit = word { _ in false }
    let found = unit.isEmpty ? "none" : "'\(unit)'"
    switch metric {
    case .loss:
      guard let exponent = ["": 0, "%": -2][unit] else {
        throw fail("expected % or no unit behind a loss, found \(found)", at: unitStart)
      }
      guard let fraction = Text.decimal(digits, exponent: exponent), fraction <= 1 else {
        throw fail("a loss lies between 0 and 1 (or 0 % and 100 %)", at: start)
      }
      return fraction
    case .count:
      guard unit.isEmpty else { throw fail("expected no unit behind a count, found \(found)", at: unitStart) }
      return number
    default:
      guard let exponent = ["ns": 0, "us": 3, "µs": 3, "μs": 3, "ms": 6, "s": 9][unit] else {
        throw fail("expected a unit of time (ns, us, µs, ms, s), found \(found)", at: unitStart)
      }
      guard let threshold = Text.decimal(digits, exponent: exponent) else {
        throw fail("a time this long cannot be measured", at: start)
      }
      return isNegative ? -threshold : threshold
    }
  }
}
