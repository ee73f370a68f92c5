// SPDX-License-Identifier: GPL-2.0-or-later
import Yams

/// A YAML file as a tree of nodes with line and column: bounded in size, one document, no anchors.
struct YAMLDocument {
  let file: String
  let root: Node

  /// - Throws: ``TopologyError`` with line and column for every syntax error, duplicate key, anchor or alias.
  init(yaml: String, file: String) throws(TopologyError) {
    guard yaml.utf8.count <= Topology.sizeLimit else { throw TopologyError.tooLarge(file) }
    self.file = file
    // Before the parser: it compares the keys of each mapping, and keys made of nested aliases would take it for ever.
    if let location = YAMLDocument.firstAnchorLike(in: yaml) { throw YAMLDocument.anchorError(file, location) }

    let found: Result<Node?, any Error> = Result {
      let parser = try Parser(yaml: yaml, encoding: .utf8)
      return try withExtendedLifetime(parser) {
        guard let node = try parser.singleRoot() else { return nil }
        // Nodes hold their anchors weakly: they are gone as soon as the parser is.
        if let anchored = YAMLDocument.firstAnchored(node) {
          throw YAMLDocument.anchorError(file, anchored.location)
        }
        return node
      }
    }
    switch found {
    case .success(let node?): root = node
    case .success(nil):
      throw TopologyError(
        file: file, location: .init(line: 1, column: 1), what: "the file is empty",
        remedy: "start with `format: 1`, see docs/topologies.md")
    case .failure(let error as TopologyError): throw error
    case .failure(let error): throw YAMLDocument.translate(error, file: file)
    }
  }

  private static func anchorError(_ file: String, _ location: Topology.Location) -> TopologyError {
    TopologyError(
      file: file, location: location, what: "anchors and aliases (&name, *name) are not supported",
      remedy: "write the value out, or put a space behind the & or * if this is text")
  }

  /// The first `&name` or `*name` where a YAML token may begin. Errs on the side of refusing: text in quotes counts,
  /// comments do not.
  private static func firstAnchorLike(in yaml: String) -> Topology.Location? {
    var line = 1
    var column = 0
    var previous: Unicode.Scalar = "\n"
    var mark: Topology.Location?
    var inComment = false
    var quoted = false
    for scalar in yaml.unicodeScalars {
      if scalar == "\n" {
        line += 1
        column = 0
        inComment = false
        quoted = false
        mark = nil
        previous = scalar
        continue
      }
      column += 1
      if let mark, !scalar.properties.isWhitespace { return mark }
      mark = nil
      if scalar == "\"" || scalar == "'" { quoted = true }
      let startsToken = previous.properties.isWhitespace || "[{,:?-".unicodeScalars.contains(previous)
      // A # behind a quote on the same line may be text, so what follows it is looked at all the same.
      if scalar == "#" && previous.properties.isWhitespace && !quoted { inComment = true }
      if !inComment && startsToken && (scalar == "&" || scalar == "*") {
        mark = Topology.Location(line: line, column: column)
      }
      previous = scalar
    }
    return nil
  }

  private static func firstAnchored(_ node: Node) -> Node? {
    if node.anchor != nil { return node }
    switch node {
    case .scalar: return nil
    case .alias: return node
    case .sequence(let sequence):
      for child in sequence { if let found = firstAnchored(child) { return found } }
    case .mapping(let mapping):
      for (key, value) in mapping {
        if let found = firstAnchored(key) ?? firstAnchored(value) { return found }
      }
    }
    return nil
  }

  private static func translate(_ error: any Error, file: String) -> TopologyError {
    let syntax = "correct the YAML syntax here or just above"
    func at(_ mark: Mark, _ problem: String, _ context: YamlError.Context?) -> TopologyError {
      let detail = context.map { " (\($0.text))" } ?? ""
      return TopologyError(
        file: file, location: .init(line: mark.line, column: mark.column), what: problem + detail, remedy: syntax)
    }
    switch error {
    case YamlError.scanner(let context, let problem, let mark, _),
      YamlError.parser(let context, let problem, let mark, _):
      return at(mark, problem, context)
    case YamlError.composer(_, let problem, let mark, _):
      return TopologyError(
        file: file, location: .init(line: mark.line, column: mark.column), what: problem,
        remedy: "a topology file is one YAML document")
    case YamlError.duplicatedKeysInMapping(let keys, let context):
      return TopologyError(
        file: file, location: .init(line: context.mark.line, column: context.mark.column),
        what: "key \(keys.map { "`\($0)`" }.joined(separator: ", ")) occurs more than once, here for the first time",
        remedy: "keep one of them")
    case YamlError.reader(let problem, let offset, _, let yaml):
      let before = offset.map { yaml.prefix($0) } ?? ""
      let lastLine = before.lastIndex(of: "\n").map { before[before.index(after: $0)...] } ?? before[...]
      return TopologyError(
        file: file,
        location: .init(
          line: before.count { $0 == "\n" } + 1, column: lastLine.unicodeScalars.count + 1),
        what: problem, remedy: "a topology file is plain UTF-8 text; remove the character")
    default:
      return TopologyError(file: file, what: "cannot be read as YAML: \(error)", remedy: syntax)
    }
  }
}

extension Node {
  /// Where the node starts; line 1, column 1 for a node that was never in a file.
  var location: Topology.Location {
    Topology.Location(line: mark?.line ?? 1, column: mark?.column ?? 1)
  }

  /// For people: what the node is, in YAML's words.
  var kindName: String {
    switch self {
    case .mapping: return "a mapping"
    case .sequence: return "a list"
    case .alias: return "an alias"
    case .scalar(let scalar):
      switch tag.rawValue {
      case "tag:yaml.org,2002:null": return "nothing"
      case "tag:yaml.org,2002:str": return "the text `\(scalar.string)`"
      default: return "`\(scalar.string)`"
      }
    }
  }

  /// The text of a scalar that YAML takes for text (not a number, a truth value or null).
  var text: String? {
    guard case .scalar(let scalar) = self, tag.rawValue == "tag:yaml.org,2002:str" else { return nil }
    return scalar.string
  }
}
