// SPDX-License-Identifier: GPL-2.0-or-later
internal import PlainYAML
internal import Wording
import Yams

/// Reads YAML nodes and remembers where they stand.
struct PolicyReader {
  var file: String

  func error(_ mark: Mark?, _ message: String, columnsBehind: Int = 0) -> PolicyError {
    let place = mark.map { ":\($0.line):\($0.column + columnsBehind)" } ?? ""
    return PolicyError(description: "\(file)\(place): \(message)")
  }

  func unknown(_ key: Node, _ expected: String, _ names: [String]) -> PolicyError {
    let name = Text.plain(key.string ?? "?")
    let meant = Words.nearest(to: name, among: names).map { "did you mean '\($0)'?" } ?? "expected \(expected)"
    return error(key.mark, "unknown key '\(name)'; \(meant)")
  }

  static let yaml = PlainYAML(kind: "a policy", start: "expected require, alpha or limits")

  func root(_ yaml: String) throws(PolicyError) -> Node {
    do throws(YAMLProblem) {
      return try PolicyReader.yaml.root(of: yaml)
    } catch {
      let place = error.line.flatMap { line in error.column.map { ":\(line):\($0)" } } ?? ""
      throw PolicyError(description: Text.plain("\(file)\(place): \(error.what); \(error.remedy)"))
    }
  }

  func fields(_ node: Node, _ expected: String) throws(PolicyError) -> [(key: Node, value: Node)] {
    guard let mapping = node.mapping else { throw error(node.mark, "expected a mapping with \(expected)") }
    return mapping.map { (key: $0.key, value: $0.value) }
  }

  func requirements(_ node: Node) throws(PolicyError) -> [Requirement] {
    guard let sequence = node.sequence else {
      throw error(node.mark, "expected a list of requirements, one '- SEGMENT METRIC OP VALUE' a line")
    }
    guard !sequence.isEmpty else {
      throw error(node.mark, "the list is empty: a gate without requirements cannot pass")
    }
    var requirements: [Requirement] = []
    for item in sequence {
      guard let scalar = item.scalar else {
        throw error(item.mark, "expected a requirement as text, as in 'txg2-txh0 p99 < 200us'")
      }
      do {
        requirements.append(try Requirement(parsing: scalar.string))
      } catch {
        // The column in the file is exact for a scalar on one line; quotes stand before its first character.
        let quote = scalar.style == .singleQuoted || scalar.style == .doubleQuoted ? 1 : 0
        let isBlock = scalar.style == .literal || scalar.style == .folded
        throw self.error(item.mark, error.message, columnsBehind: isBlock ? 0 : error.column - 1 + quote)
      }
    }
    return requirements
  }

  func alpha(_ node: Node) throws(PolicyError) -> Double {
    guard let text = node.scalar?.string, let value = Double(text), value > 0, value < 0.5 else {
      throw error(node.mark, "alpha: expected a number between 0 and 0.5, both left out, as in 0.05")
    }
    return value
  }

  func limits(_ node: Node) throws(PolicyError) -> Policy.Limits {
    let names = "ledger_lost, unmatched, ambiguous or clock_error"
    var limits = Policy.Limits()
    for (key, value) in try fields(node, names) {
      switch key.string {
      case "ledger_lost":
        guard let text = value.scalar?.string, let count = Int(text), count >= 0 else {
          throw error(value.mark, "ledger_lost: expected a whole number of stamps, as in 0")
        }
        limits.ledgerLost = count
      case "unmatched": limits.unmatched = try fraction(value, "unmatched")
      case "ambiguous": limits.ambiguous = try fraction(value, "ambiguous")
      case "clock_error": limits.clockError = try fraction(value, "clock_error")
      default: throw unknown(key, names, ["ledger_lost", "unmatched", "ambiguous", "clock_error"])
      }
    }
    return limits
  }

  private func fraction(_ node: Node, _ name: String) throws(PolicyError) -> Double {
    let expected = "\(name): expected a percentage between 0% and 100%, as in 0.1%, or a fraction, as in 0.001"
    guard var text = node.scalar?.string[...] else { throw error(node.mark, expected) }
    let isPercentage = text.hasSuffix("%")
    if isPercentage { text.removeLast() }
    while text.last == " " { text.removeLast() }
    guard let number = Text.decimal(text, exponent: isPercentage ? -2 : 0), number <= 1 else {
      throw error(node.mark, expected)
    }
    return number
  }
}
