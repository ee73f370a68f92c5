import Wording
// SPDX-License-Identifier: GPL-2.0-or-later
import Yams

/// One mapping of the file, its keys checked against those that are known there.
struct YAMLFields {
  let file: String
  /// What the mapping is, for messages: ``hook `txg0` ``.
  let what: String
  let location: Topology.Location
  private let values: [String: Node]

  /// - Parameter known: the keys allowed here, in the order in which messages list them.
  init(_ node: Node, file: String, what: String, known: [String]) throws(TopologyError) {
    self.file = file
    self.what = what
    location = node.location
    var values: [String: Node] = [:]
    for (key, value) in try YAMLFields.pairs(node, file: file, what: what) {
      guard known.contains(key.name) else {
        throw TopologyError(
          file: file, location: key.location, what: "unknown key `\(key.name)` in \(what)",
          remedy: Words.nearest(to: key.name, among: known).map { "did you mean `\($0)`?" }
            ?? "the keys here are \(known.joined(separator: ", "))")
      }
      values[key.name] = value
    }
    self.values = values
  }

  /// A key of a mapping that names something: a hook, a part, a path.
  struct Key {
    var name: String
    var location: Topology.Location
  }

  /// The pairs of a mapping whose keys are free, in file order.
  static func pairs(_ node: Node, file: String, what: String) throws(TopologyError) -> [(Key, Node)] {
    guard case .mapping(let mapping) = node else {
      throw YAMLFields.wrongType(node, file: file, what: what, expected: "a mapping (`key: value` lines)")
    }
    var pairs: [(Key, Node)] = []
    for (key, value) in mapping {
      guard let name = key.text else {
        throw YAMLFields.wrongType(key, file: file, what: "a key of \(what)", expected: "text")
      }
      pairs.append((Key(name: name, location: key.location), value))
    }
    return pairs
  }

  static func wrongType(_ node: Node, file: String, what: String, expected: String) -> TopologyError {
    TopologyError(
      file: file, location: node.location, what: "\(what) is \(node.kindName)", remedy: "it must be \(expected)")
  }

  func optional(_ key: String) -> Node? { values[key] }

  func required(_ key: String) throws(TopologyError) -> Node {
    guard let node = values[key] else {
      throw TopologyError(
        file: file, location: location, what: "\(what) has no `\(key)`", remedy: "add a line `\(key): …`")
    }
    return node
  }

  func text(_ key: String) throws(TopologyError) -> String {
    try YAMLFields.text(try required(key), file: file, what: "`\(key)` of \(what)")
  }

  static func text(_ node: Node, file: String, what: String) throws(TopologyError) -> String {
    guard let text = node.text, !text.isEmpty else {
      throw wrongType(node, file: file, what: what, expected: "text, not empty; put quotes around a number or yes/no")
    }
    return text
  }

  func integer(_ key: String) throws(TopologyError) -> Int {
    let node = try required(key)
    guard case .scalar = node, let value = node.int else {
      throw YAMLFields.wrongType(node, file: file, what: "`\(key)` of \(what)", expected: "a whole number")
    }
    return value
  }

  func flag(_ key: String) throws(TopologyError) -> Bool {
    guard let node = optional(key) else { return false }
    guard case .scalar = node, let value = node.bool else {
      throw YAMLFields.wrongType(node, file: file, what: "`\(key)` of \(what)", expected: "true or false")
    }
    return value
  }

  /// One of a fixed set of words.
  func word<Word: RawRepresentable<String> & CaseIterable>(_ key: String) throws(TopologyError) -> Word {
    let node = try required(key)
    guard let text = node.text, let word = Word(rawValue: text) else {
      let words = Word.allCases.map(\.rawValue)
      let meant = node.text.flatMap { Words.nearest(to: $0, among: words) }.map { "; did you mean `\($0)`?" } ?? ""
      throw YAMLFields.wrongType(
        node, file: file, what: "`\(key)` of \(what)", expected: "one of \(words.joined(separator: ", "))\(meant)")
    }
    return word
  }

  static func list(_ node: Node, file: String, what: String) throws(TopologyError) -> [Node] {
    guard case .sequence(let sequence) = node else {
      throw wrongType(node, file: file, what: what, expected: "a list (`[a, b]` or `- a` lines)")
    }
    return Array(sequence)
  }
}
