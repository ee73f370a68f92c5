// SPDX-License-Identifier: GPL-2.0-or-later
import Foundation
import Yams

extension Scenario {
  /// Loads a scenario. Every error is one line: file, line and column, what is wrong, what is allowed.
  package static func load(_ path: String) throws -> Scenario {
    guard let data = FileManager.default.contents(atPath: path) else {
      throw LabError("\(path): cannot be read; `lab list` shows the scenarios that come along")
    }
    return try parse(String(decoding: data, as: UTF8.self), file: path)
  }

  /// - Parameter file: what errors call the text.
  package static func parse(_ text: String, file: String) throws -> Scenario {
    let found: Node?
    do { found = try Yams.compose(yaml: text) } catch let error as YamlError {
      throw LabError("\(file): \("\(error)".split(whereSeparator: \.isNewline).joined(separator: " "))")
    }
    guard let root = found else { throw LabError("\(file): the file is empty; begin with `format: 1`") }
    let checker = ScenarioChecker(file: file)
    try checker.check(root)
    do { return try YAMLDecoder().decode(Scenario.self, from: root) } catch let error as DecodingError {
      throw checker.explain(error, root)
    }
  }
}

/// Looks at the keys and values of a scenario's YAML before it is decoded, while their places are known.
private struct ScenarioChecker {
  let file: String

  func fail(_ node: Node?, _ what: String) -> LabError {
    guard let mark = node?.mark else { return LabError("\(file): \(what)") }
    return LabError("\(file):\(mark.line):\(mark.column): \(what)")
  }

  func check(_ root: Node) throws {
    try keys(root, "the file", Scenario.CodingKeys.self)
    // A newer format may have other keys, but those are no reason to be silent about the format.
    if let format = root["format"], format.int != 1 {
      throw fail(format, "`format` is \(format.string ?? "not a number"); this lab reads 1")
    }
    try name(root["name"])
    try machine(root["host"], "host", Scenario.Host.CodingKeys.self, memory: 512...65536)
    try machine(root["guest"], "guest", Scenario.Guest.CodingKeys.self, memory: 256...65536)
    try choice(root["host"]?["nic"], "host.nic", ["virtio-net-pci", "e1000e", "igb"])
    try number(root["guest"]?["queues"], "guest.queues", 1...8)
    if let recording = root["recording"] { try keys(recording, "`recording`", Scenario.Recording.CodingKeys.self) }
    for (index, step) in (root["workload"]?.sequence.map(Array.init) ?? []).enumerated() {
      try keys(step, "`workload` step \(index + 1)", Scenario.Step.CodingKeys.self)
      try choice(step["at"], "at", Scenario.Place.allCases.map(\.rawValue))
      if root["guest"] == nil, step["at"]?.string == Scenario.Place.guest.rawValue {
        throw fail(step["at"], "`at` is guest, but the file has no `guest`")
      }
    }
  }

  /// The name becomes a folder and a label.
  private func name(_ node: Node?) throws {
    guard let node, let name = node.string else { return }
    guard name.wholeMatch(of: /[A-Za-z0-9][A-Za-z0-9._\-]*/) != nil else {
      throw fail(node, "`name` is '\(name)'; it may hold letters, digits, '.', '_' and '-'")
    }
  }

  private func machine<Keys: CodingKey & CaseIterable>(
    _ node: Node?, _ name: String, _ type: Keys.Type, memory: ClosedRange<Int>
  ) throws {
    guard let node else { return }
    try keys(node, "`\(name)`", type)
    try choice(node["kernel"], "\(name).kernel", ["6.1", "6.12"])
    try choice(node["flavour"], "\(name).flavour", Kernel.flavours)
    try number(node["cpus"], "\(name).cpus", 1...16)
    try number(node["memory"], "\(name).memory", memory, unit: " MiB")
  }

  private func keys<Keys: CodingKey & CaseIterable>(_ node: Node, _ what: String, _ type: Keys.Type) throws {
    guard let mapping = node.mapping else { throw fail(node, "\(what) must be a list of `key: value`") }
    let known = type.allCases.map(\.stringValue)
    for key in mapping.keys {
      guard let name = key.string, known.contains(name) else {
        throw fail(key, "\(what) knows no `\(key.string ?? "?")`; it may have \(known.joined(separator: ", "))")
      }
    }
  }

  private func choice(_ node: Node?, _ name: String, _ allowed: [String]) throws {
    guard let node else { return }
    guard let text = node.scalar?.string, allowed.contains(text) else {
      throw fail(
        node, "`\(name)` is \(node.scalar?.string ?? "not a word"); it may be \(allowed.joined(separator: ", "))")
    }
  }

  private func number(_ node: Node?, _ name: String, _ range: ClosedRange<Int>, unit: String = "") throws {
    guard let node else { return }
    guard let number = node.int, range.contains(number) else {
      let allowed = "\(range.lowerBound) to \(range.upperBound)\(unit)"
      throw fail(node, "`\(name)` is \(node.scalar?.string ?? "not a number"); it may be \(allowed)")
    }
  }

  func explain(_ error: DecodingError, _ root: Node) -> LabError {
    func node(_ path: [any CodingKey]) -> Node? {
      path.reduce(root) { node, key in key.intValue.map { node?[$0] } ?? node?[key.stringValue] }
    }
    func name(_ path: [any CodingKey]) -> String {
      path.isEmpty
        ? "the file" : "`\(path.map { $0.intValue.map { "[\($0)]" } ?? $0.stringValue }.joined(separator: "."))`"
    }
    switch error {
    case .keyNotFound(let key, let context):
      return fail(node(context.codingPath), "\(name(context.codingPath)) lacks `\(key.stringValue)`")
    case .typeMismatch(let type, let context), .valueNotFound(let type, let context):
      return fail(node(context.codingPath), "\(name(context.codingPath)) must be \(word(type))")
    case .dataCorrupted(let context):
      return fail(node(context.codingPath), "\(name(context.codingPath)): \(context.debugDescription)")
    @unknown default: return LabError("\(file): \(error)")
    }
  }

  private func word(_ type: any Any.Type) -> String {
    switch type {
    case is Bool.Type: "true or false"
    case is Int.Type: "a whole number"
    case is String.Type, is Node.Scalar.Type: "text"
    case is Node.Sequence.Type: "a list"
    default: "a list of `key: value`"
    }
  }
}
