// SPDX-License-Identifier: GPL-2.0-or-later
internal import PlainYAML
import Yams

/// A topology file as a tree of nodes with line and column.
struct YAMLDocument {
  static let reader = PlainYAML(
    kind: "a topology", start: "start with `format: 1`, see docs/topologies.md", limit: Topology.sizeLimit)

  let file: String
  let root: Node

  /// - Throws: ``TopologyError`` with line and column for whatever ``PlainYAML`` refuses.
  init(yaml: String, file: String) throws(TopologyError) {
    self.file = file
    do throws(YAMLProblem) {
      root = try YAMLDocument.reader.root(of: yaml)
    } catch {
      var location: Topology.Location?
      if let line = error.line, let column = error.column { location = .init(line: line, column: column) }
      throw TopologyError(file: file, location: location, what: error.what, remedy: error.remedy)
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
