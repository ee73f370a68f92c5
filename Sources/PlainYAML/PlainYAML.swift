// SPDX-License-Identifier: GPL-2.0-or-later
internal import Glibc
package import Yams

/// What is wrong with a YAML file, where (from 1; nil for the file as a whole), and what to do.
package struct YAMLProblem: Error, Sendable, Equatable {
  package var line: Int?
  package var column: Int?
  package var what: String
  package var remedy: String

  init(at place: (line: Int, column: Int)? = nil, _ what: String, remedy: String) {
    line = place?.line
    column = place?.column
    self.what = what
    self.remedy = remedy
  }
}

/// The one reader of YAML: topologies, pairing rules and policies come through here, and they may be others' files.
///
/// One document, bounded in size, without anchors and aliases, without control characters. Mappings have no key twice.
package struct PlainYAML: Sendable {
  /// What it is, with its article, for messages: `a topology`.
  package var kind: String
  /// What to do about an empty one.
  package var start: String
  /// Bytes.
  package var limit: Int

  package init(kind: String, start: String, limit: Int = 1 << 20) {
    self.kind = kind
    self.start = start
    self.limit = limit
  }

  /// A file's text, at most one byte more than is allowed; nil with errno set where it cannot be read.
  package func bytes(of path: String) -> [UInt8]? {
    let file = unsafe open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
    guard file >= 0 else { return nil }
    defer { close(file) }
    var bytes = [UInt8](repeating: 0, count: limit + 1)
    var count = 0
    while count < bytes.count {
      let got = unsafe bytes.withUnsafeMutableBytes {
        unsafe read(file, $0.baseAddress?.advanced(by: count), $0.count - count)
      }
      if got < 0, errno == EINTR { continue }
      if got < 0 { return nil }
      if got == 0 { break }
      count += got
    }
    return Array(bytes.prefix(count))
  }

  /// - Throws: the first syntax error, duplicate key, anchor or alias, with its place.
  package func root(of yaml: String) throws(YAMLProblem) -> Node {
    guard yaml.utf8.count <= limit else {
      throw YAMLProblem(
        "the file is larger than \(limit) bytes", remedy: "this is hardly \(kind); check the file's name")
    }
    // Before the parser: it compares the keys of each mapping, and keys made of nested aliases would take it for ever.
    if let place = PlainYAML.firstAnchorLike(in: yaml) { throw PlainYAML.anchorProblem(place) }

    let found: Result<Node?, any Error> = Result {
      let parser = try Parser(yaml: yaml, encoding: .utf8)
      return try withExtendedLifetime(parser) {
        guard let node = try parser.singleRoot() else { return nil }
        // Nodes hold their anchors weakly: they are gone as soon as the parser is.
        if let anchored = PlainYAML.firstAnchored(node) { throw PlainYAML.anchorProblem(anchored.place) }
        return node
      }
    }
    switch found {
    case .success(let node?):
      if let scalar = PlainYAML.firstUnprintable(node) {
        throw YAMLProblem(
          at: scalar.place, "text with control characters", remedy: "\(kind) is plain text; remove them")
      }
      return node
    case .success(nil): throw YAMLProblem(at: (1, 1), "the file is empty", remedy: start)
    case .failure(let problem as YAMLProblem): throw problem
    case .failure(let error): throw translate(error)
    }
  }

  private static func anchorProblem(_ place: (line: Int, column: Int)) -> YAMLProblem {
    YAMLProblem(
      at: place, "anchors and aliases (&name, *name) are not supported",
      remedy: "write the value out, or put a space behind the & or * if this is text")
  }

  /// The first `&name` or `*name` where a YAML token may begin. Errs on the side of refusing: text in quotes counts,
  /// comments do not.
  private static func firstAnchorLike(in yaml: String) -> (line: Int, column: Int)? {
    var line = 1
    var column = 0
    var previous: Unicode.Scalar = "\n"
    var mark: (line: Int, column: Int)?
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
      let startsToken = previous.properties.isWhitespace || "[{,:".unicodeScalars.contains(previous)
      // A # behind a quote on the same line may be text, so what follows it is looked at all the same.
      if scalar == "#" && previous.properties.isWhitespace && !quoted { inComment = true }
      if !inComment && startsToken && (scalar == "&" || scalar == "*") {
        mark = (line, column)
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

  /// A scalar whose text would do something to a terminal.
  private static func firstUnprintable(_ node: Node) -> Node? {
    switch node {
    case .scalar(let scalar):
      let isPlain = scalar.string.unicodeScalars.allSatisfy {
        $0 == "\n" || $0 == "\t" || $0.properties.generalCategory != .control
      }
      return isPlain ? nil : node
    case .alias: return nil
    case .sequence(let sequence):
      for child in sequence { if let found = firstUnprintable(child) { return found } }
    case .mapping(let mapping):
      for (key, value) in mapping {
        if let found = firstUnprintable(key) ?? firstUnprintable(value) { return found }
      }
    }
    return nil
  }

  private func translate(_ error: any Error) -> YAMLProblem {
    let syntax = "correct the YAML syntax here or just above"
    func at(_ mark: Mark, _ problem: String, _ context: YamlError.Context?) -> YAMLProblem {
      let detail = context.map { " (\($0.text))" } ?? ""
      return YAMLProblem(at: (mark.line, mark.column), problem + detail, remedy: syntax)
    }
    switch error {
    case YamlError.scanner(let context, let problem, let mark, _),
      YamlError.parser(let context, let problem, let mark, _):
      return at(mark, problem, context)
    case YamlError.composer(_, let problem, let mark, _):
      return YAMLProblem(at: (mark.line, mark.column), problem, remedy: "\(kind) file is one YAML document")
    case YamlError.duplicatedKeysInMapping(let keys, let context):
      return YAMLProblem(
        at: (context.mark.line, context.mark.column),
        "key \(keys.map { "`\($0)`" }.joined(separator: ", ")) occurs more than once, here for the first time",
        remedy: "keep one of them")
    case YamlError.reader(let problem, let offset, _, let yaml):
      let before = offset.map { yaml.prefix($0) } ?? ""
      let lastLine = before.lastIndex(of: "\n").map { before[before.index(after: $0)...] } ?? before[...]
      return YAMLProblem(
        at: (before.count { $0 == "\n" } + 1, lastLine.unicodeScalars.count + 1), problem,
        remedy: "\(kind) file is plain UTF-8 text; remove the character")
    default:
      return YAMLProblem("cannot be read as YAML: \(error)", remedy: syntax)
    }
  }
}

extension Node {
  /// Where the node starts; line 1, column 1 for a node that was never in a file.
  fileprivate var place: (line: Int, column: Int) { (mark?.line ?? 1, mark?.column ?? 1) }
}
