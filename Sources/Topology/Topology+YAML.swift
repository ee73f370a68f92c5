// SPDX-License-Identifier: GPL-2.0-or-later
import Recording
import Wording
import Yams

extension Topology {
  /// Reads a topology file (docs/topologies.md describes it).
  ///
  /// - Parameters:
  ///   - yaml: the file's text, at most ``sizeLimit`` bytes.
  ///   - file: its name for messages.
  /// - Throws: the first thing wrong with it, with line and column.
  package init(yaml: String, file: String) throws(TopologyError) {
    let document = try YAMLDocument(yaml: yaml, file: file)
    // The format decides which keys there are, so it comes before them.
    try Topology.checkFormat(document)
    let fields = try YAMLFields(
      document.root, file: file, what: "a topology",
      known: ["format", "name", "summary", "hooks", "paths", "segments", "names"])

    self.file = file
    name = try Topology.identifier(try fields.required("name"), file: file, what: "`name` of a topology")
    summary = try fields.text("summary")
    hooks = []
    for (key, node) in try Topology.nonEmptyPairs(fields, "hooks") {
      hooks.append(try Topology.hook(key, node, file: file))
    }
    let known = Set(hooks.map(\.point))
    paths = []
    for (key, node) in try Topology.nonEmptyPairs(fields, "paths") {
      paths.append(try Topology.path(key, node, known: known, file: file))
    }
    segments = []
    if let node = fields.optional("segments") {
      for item in try YAMLFields.list(node, file: file, what: "`segments` of a topology") {
        let text = try YAMLFields.text(item, file: file, what: "a segment")
        segments.append(try Topology.segment(text, at: item.location, paths: paths, known: known, file: file))
      }
    }
    segmentNames = [:]
    if let node = fields.optional("names") {
      for (key, node) in try YAMLFields.pairs(node, file: file, what: "`names` of a topology") {
        let segment = try Topology.segment(key.name, at: key.location, paths: paths, known: known, file: file)
        segmentNames[segment.name] = try Topology.words(node, file: file, what: "the name of `\(key.name)`")
      }
    }
  }

  /// What stands in the column of a table.
  private static func words(_ node: Node, file: String, what: String) throws(TopologyError) -> String {
    let text = try YAMLFields.text(node, file: file, what: what)
    let isPlain = text.unicodeScalars.allSatisfy { scalar in
      switch scalar.properties.generalCategory {
      case .control, .format, .lineSeparator, .paragraphSeparator, .surrogate, .unassigned: false
      default: true
      }
    }
    guard isPlain, (1...24).contains(text.count) else {
      throw TopologyError(
        file: file, location: node.location, what: "\(what) is `\(text.prefix(40))`",
        remedy: "use up to 24 characters on one line, such as `qdisc`")
    }
    return text
  }

  private static func checkFormat(_ document: YAMLDocument) throws(TopologyError) {
    let file = document.file
    var format: Node?
    for (key, node) in try YAMLFields.pairs(document.root, file: file, what: "a topology") where key.name == "format" {
      format = node
    }
    guard let format else {
      throw TopologyError(
        file: file, location: document.root.location, what: "a topology has no `format`",
        remedy: "start the file with `format: \(currentFormat)`")
    }
    guard case .scalar = format, let version = format.int, version >= 1 else {
      throw YAMLFields.wrongType(
        format, file: file, what: "`format` of a topology", expected: "a whole number from 1 to \(currentFormat)")
    }
    guard version <= currentFormat else {
      throw TopologyError(
        file: file, location: format.location,
        what: "the file is of format \(version), this latprobe reads up to \(currentFormat)", remedy: "update latprobe")
    }
  }

  private static func nonEmptyPairs(
    _ fields: YAMLFields, _ key: String
  ) throws(TopologyError) -> [(YAMLFields.Key, Node)] {
    let node = try fields.required(key)
    let pairs = try YAMLFields.pairs(node, file: fields.file, what: "`\(key)` of a topology")
    guard !pairs.isEmpty else {
      throw TopologyError(
        file: fields.file, location: node.location, what: "`\(key)` of a topology is empty",
        remedy: "a topology needs at least one of them")
    }
    return pairs
  }

  // MARK: Hooks

  private static func hook(_ key: YAMLFields.Key, _ node: Node, file: String) throws(TopologyError) -> Hook {
    let point = try hookPoint(key.name, at: key.location, file: file)
    let what = "hook `\(key.name)`"
    let fields = try YAMLFields(
      node, file: file, what: what, known: ["side", "watch", "optional", "within", "candidates", "parts"])
    let side: Side = try fields.word("side")
    let watch: Watch = try fields.word("watch")
    let isOptional = try fields.flag("optional")
    let looksWithin = try fields.flag("within")
    if looksWithin, watch == .guestSocket, let node = fields.optional("within") {
      throw TopologyError(
        file: file, location: node.location, what: "\(what) looks within tunnels, and watches sockets",
        remedy: "sockets never see a tunnel's packet: leave `within` out, or watch a device")
    }

    var parts: [Part] = []
    switch (fields.optional("candidates"), fields.optional("parts")) {
    case (let node?, nil):
      parts = [Part(name: nil, candidates: try candidates(node, file: file, of: what))]
    case (nil, let node?):
      for (part, node) in try YAMLFields.pairs(node, file: file, what: "`parts` of \(what)") {
        try checkIdentifier(part.name, at: part.location, file: file, what: "a part of \(what)")
        parts.append(
          Part(
            name: part.name,
            candidates: try candidates(node, file: file, of: "part `\(part.name)` of \(what)")))
      }
    case (let first?, let second?):
      let later = max(first.location, second.location)
      throw TopologyError(
        file: file, location: later, what: "\(what) has both `candidates` and `parts`", remedy: "keep one of them")
    case (nil, nil): break
    }
    guard !parts.isEmpty else {
      throw TopologyError(
        file: file, location: key.location, what: "\(what) has no candidates",
        remedy: "name at least one, such as `candidates: [{tracepoint: net_dev_queue}]`")
    }
    return Hook(
      point: point, side: side, watch: watch, isOptional: isOptional, looksWithin: looksWithin, parts: parts,
      location: key.location)
  }

  /// Hook points of a kernel: those on the wire come from a tap and are never attached.
  private static let kernelPoints = HookPoint.allCases.filter { $0 != .wireIn && $0 != .wireOut }

  private static func hookPoint(
    _ name: String, at location: Location, file: String
  ) throws(TopologyError) -> HookPoint {
    guard let point = HookPoint(name: name), kernelPoints.contains(point) else {
      throw TopologyError(
        file: file, location: location, what: "unknown hook point `\(name)`",
        remedy: Words.choice(of: name, among: kernelPoints.map(\.name)))
    }
    return point
  }

  private static func candidates(
    _ node: Node, file: String, of what: String
  ) throws(TopologyError) -> [Candidate] {
    var found: [Candidate] = []
    if node.kindName != "nothing" {
      for item in try YAMLFields.list(node, file: file, what: "candidates of \(what)") {
        found.append(try candidate(item, file: file, of: what))
      }
    }
    guard !found.isEmpty else {
      throw TopologyError(
        file: file, location: node.location, what: "\(what) has no candidates",
        remedy: "name at least one, such as `{tracepoint: net_dev_queue}`")
    }
    return found
  }

  private static func candidate(_ node: Node, file: String, of hook: String) throws(TopologyError) -> Candidate {
    let what = "a candidate of \(hook)"
    let fields = try YAMLFields(
      node, file: file, what: what, known: SymbolKind.allCases.map(\.rawValue) + ["with", "rungs"])
    let kinds = SymbolKind.allCases.filter { fields.optional($0.rawValue) != nil }
    guard let kind = kinds.first, kinds.count == 1 else {
      throw TopologyError(
        file: file, location: fields.location,
        what: "\(what) names \(kinds.isEmpty ? "neither a tracepoint nor a function" : "both tracepoint and function")",
        remedy: "write `{tracepoint: NAME}` or `{function: NAME}`, a line each")
    }
    let symbol = try self.symbol(
      try fields.required(kind.rawValue), file: file, what: "`\(kind.rawValue)` of \(what)")
    var with: [String] = []
    if let node = fields.optional("with") {
      for item in try YAMLFields.list(node, file: file, what: "`with` of \(what)") {
        let companion = try self.symbol(item, file: file, what: "`with` of \(what)")
        guard companion != symbol, !with.contains(companion) else {
          throw TopologyError(
            file: file, location: item.location, what: "`\(companion)` is named twice in \(what)",
            remedy: "name it once")
        }
        with.append(companion)
      }
    }
    return Candidate(
      kind: kind, symbol: symbol, with: with, rungs: try rungs(fields, of: kind, what: what), location: fields.location)
  }

  /// The rungs that a candidate allows, best first: the whole ladder where it names none.
  private static func rungs(
    _ fields: YAMLFields, of kind: SymbolKind, what: String
  ) throws(TopologyError) -> [Rung] {
    let ladder = Rung.ladder(for: kind)
    guard let node = fields.optional("rungs") else { return ladder }
    var rungs: [Rung] = []
    for item in try YAMLFields.list(node, file: fields.file, what: "`rungs` of \(what)") {
      guard let rung = Rung(rawValue: item.text ?? ""), ladder.contains(rung), !rungs.contains(rung) else {
        throw YAMLFields.wrongType(
          item, file: fields.file, what: "a rung of \(what)",
          expected: "one of \(ladder.map(\.rawValue).joined(separator: ", ")), each once, for a \(kind.rawValue)")
      }
      rungs.append(rung)
    }
    guard !rungs.isEmpty else {
      throw TopologyError(
        file: fields.file, location: node.location, what: "`rungs` of \(what) is empty",
        remedy: "name those of \(ladder.map(\.rawValue).joined(separator: ", ")) that are allowed, or leave it out")
    }
    return rungs
  }

  /// A kernel symbol: what C allows in a name, and the dots of the compiler's clones (`vhost_tx_batch.constprop.0`).
  private static func symbol(_ node: Node, file: String, what: String) throws(TopologyError) -> String {
    let text = try YAMLFields.text(node, file: file, what: what)
    guard text.utf8.count <= 127, text.utf8.allSatisfy({ isWordCharacter($0) || $0 == UInt8(ascii: ".") }) else {
      throw TopologyError(
        file: file, location: node.location, what: "\(what) is `\(text.prefix(40))`, which is no kernel symbol",
        remedy: "use letters, digits, _ and . only")
    }
    return text
  }

  // MARK: Paths and segments

  private static func path(
    _ key: YAMLFields.Key, _ node: Node, known: Set<HookPoint>, file: String
  ) throws(TopologyError) -> Path {
    try checkIdentifier(key.name, at: key.location, file: file, what: "the name of a path")
    let what = "path `\(key.name)`"
    var points: [HookPoint] = []
    for item in try YAMLFields.list(node, file: file, what: what) {
      let name = try YAMLFields.text(item, file: file, what: "a hook of \(what)")
      let point = try declaredPoint(name, at: item.location, known: known, file: file, what: what)
      guard !points.contains(point) else {
        throw TopologyError(
          file: file, location: item.location, what: "\(what) passes `\(name)` twice",
          remedy: "a packet passes each hook point of a path once")
      }
      points.append(point)
    }
    guard !points.isEmpty else {
      throw TopologyError(
        file: file, location: node.location, what: "\(what) has no hooks",
        remedy: "name those that its packets pass, in order")
    }
    return Path(name: key.name, hooks: points.map(\.name))
  }

  private static func segment(
    _ text: String, at location: Location, paths: [Path], known: Set<HookPoint>, file: String
  ) throws(TopologyError) -> Segment {
    let ends = text.split(separator: "-", omittingEmptySubsequences: false).map(String.init)
    guard ends.count == 2 else {
      throw TopologyError(
        file: file, location: location, what: "`\(text)` is no segment", remedy: "write it as `txg1-rxg0`")
    }
    let from = try declaredPoint(ends[0], at: location, known: known, file: file, what: "segment `\(text)`")
    let to = try declaredPoint(ends[1], at: location, known: known, file: file, what: "segment `\(text)`")
    let lies = paths.contains { path in
      guard let start = path.hooks.firstIndex(of: from.name), let end = path.hooks.firstIndex(of: to.name) else {
        return false
      }
      return start < end
    }
    guard lies else {
      throw TopologyError(
        file: file, location: location,
        what: "no path passes `\(from.name)` and later `\(to.name)`",
        remedy: "the paths are "
          + paths.map { "\($0.name) (\($0.hooks.joined(separator: " ")))" }.joined(separator: ", "))
    }
    return Segment(from: from, to: to)
  }

  private static func declaredPoint(
    _ name: String, at location: Location, known: Set<HookPoint>, file: String, what: String
  ) throws(TopologyError) -> HookPoint {
    let point = try hookPoint(name, at: location, file: file)
    guard known.contains(point) else {
      throw TopologyError(
        file: file, location: location, what: "\(what) names `\(name)`, which is not among the hooks of this file",
        remedy: "add it under `hooks`, or leave it out here")
    }
    return point
  }

  // MARK: Names

  private static func identifier(_ node: Node, file: String, what: String) throws(TopologyError) -> String {
    let text = try YAMLFields.text(node, file: file, what: what)
    try checkIdentifier(text, at: node.location, file: file, what: what)
    return text
  }

  /// Names end up in file names, CSV columns and gate expressions.
  private static func checkIdentifier(
    _ name: String, at location: Location, file: String, what: String
  ) throws(TopologyError) {
    guard !name.isEmpty, name.utf8.count <= 63, name.utf8.allSatisfy({ isWordCharacter($0) || $0 == UInt8(ascii: "-") })
    else {
      throw TopologyError(
        file: file, location: location, what: "\(what) is `\(name.prefix(40))`",
        remedy: "use up to 63 letters, digits, - and _")
    }
  }

  private static func isWordCharacter(_ byte: UInt8) -> Bool {
    switch byte {
    case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
      UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"):
      true
    default: false
    }
  }
}

extension Topology.Location: Comparable {
  package static func < (left: Topology.Location, right: Topology.Location) -> Bool {
    (left.line, left.column) < (right.line, right.column)
  }
}
