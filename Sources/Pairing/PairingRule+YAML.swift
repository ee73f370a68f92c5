// SPDX-License-Identifier: GPL-2.0-or-later
internal import PlainYAML
internal import Wording
import Yams

/// What is wrong with a rule file: one line for people, with the place.
package struct PairingRuleError: Error, Equatable, CustomStringConvertible {
  package var description: String
}

extension PairingRule {
  private static let yaml = PlainYAML(
    kind: "a rule", start: "start with `format: 1`, see docs/pairing.md", limit: 1 << 16)
  /// The longest field, and the longest one with a mask or a value.
  private static let (longest, longestNumber) = (64, 8)

  /// Reads a rule file.
  package static func load(path: String) throws(PairingRuleError) -> PairingRule {
    guard let bytes = yaml.bytes(of: path) else {
      throw PairingRuleError(
        description: "\(path): cannot be read: is it a file, and may you read it? Name a rule file (YAML)")
    }
    guard let text = String(validating: bytes, as: UTF8.self) else {
      throw PairingRuleError(description: "\(path): this is not UTF-8 text; a rule is a YAML file")
    }
    return try PairingRule(yaml: text, file: path)
  }

  /// Reads a rule file (docs/pairing.md describes it).
  /// - Parameter file: its name for messages.
  package init(yaml: String, file: String) throws(PairingRuleError) {
    func fail(_ what: String) -> PairingRuleError { PairingRuleError(description: "\(file): \(what)") }
    let node: Node
    do throws(YAMLProblem) {
      node = try PairingRule.yaml.root(of: yaml)
    } catch {
      let place = error.line.flatMap { line in error.column.map { ":\(line):\($0)" } } ?? ""
      throw PairingRuleError(description: "\(file)\(place): \(error.what); \(error.remedy)")
    }
    let reader = RuleReader(file: file)
    let fields = try reader.mapping(
      node, "a rule", ["format", "name", "transport", "ports", "timeout_ms", "key", "request", "response"])
    guard try reader.number(fields, "format", "a rule", 1...1) == 1 else { throw fail("no `format: 1`") }

    guard let name = fields["name"]?.scalar?.string, !name.isEmpty, name.utf8.count <= 64,
      name.utf8.allSatisfy({ (0x61...0x7a).contains($0) || (0x30...0x39).contains($0) || $0 == 0x2d })
    else { throw reader.fail(fields["name"], "`name` must be lower-case letters, digits and `-`, at most 64") }
    guard let word = fields["transport"]?.scalar?.string, let transport = Transport(rawValue: word) else {
      throw reader.fail(fields["transport"], "`transport` must be udp or tcp")
    }
    guard let list = fields["ports"]?.sequence, !list.isEmpty else {
      throw reader.fail(fields["ports"], "`ports` must be a list: [9000]")
    }
    var ports: [UInt16] = []
    for item in list {
      guard let port = item.int, (1...65_535).contains(port) else {
        throw reader.fail(item, "`ports`: from 1 to 65535")
      }
      ports.append(UInt16(port))
    }
    self.init(name: name, transport: transport, ports: ports)
    if let timeout = try reader.number(fields, "timeout_ms", "a rule", 1...86_400_000) {
      self.timeout = Int64(timeout) * 1_000_000
    }
    let both = try reader.fields(fields["key"], "`key`")
    request = try reader.message(fields["request"], "`request`", both)
    response = try reader.message(fields["response"], "`response`", both)
    guard request.key.map(\.length).reduce(0, +) == response.key.map(\.length).reduce(0, +) else {
      throw fail("the keys of request and response differ in length")
    }
  }

  private struct RuleReader {
    let file: String

    func fail(_ node: Node?, _ what: String) -> PairingRuleError {
      let place = node?.mark.map { ":\($0.line):\($0.column)" } ?? ""
      return PairingRuleError(description: "\(file)\(place): \(what)")
    }

    func mapping(_ node: Node, _ what: String, _ known: [String]) throws(PairingRuleError) -> [String: Node] {
      guard case .mapping(let mapping) = node else { throw fail(node, "\(what) must be `key: value` lines") }
      var fields: [String: Node] = [:]
      for (key, value) in mapping {
        guard let name = key.scalar?.string, known.contains(name) else {
          let name = key.scalar?.string ?? ""
          let meant = Words.nearest(to: name, among: known).map { "did you mean `\($0)`?" }
          throw fail(
            key,
            "unknown key `\(name.prefix(64))` in \(what); "
              + (meant ?? "the keys here are \(known.joined(separator: ", "))"))
        }
        fields[name] = value
      }
      return fields
    }

    func number(
      _ fields: [String: Node], _ key: String, _ what: String, _ range: ClosedRange<Int>
    ) throws(PairingRuleError) -> Int? {
      guard let node = fields[key] else { return nil }
      guard let value = node.int, range.contains(value) else {
        throw fail(node, "`\(key)` of \(what) must be a number from \(range.lowerBound) to \(range.upperBound)")
      }
      return value
    }

    func message(_ node: Node?, _ what: String, _ both: [Field]) throws(PairingRuleError) -> Message {
      var message = Message(key: both)
      guard let node else { return message }
      let fields = try mapping(node, what, ["match", "key"])
      if let key = fields["key"] {
        guard both.isEmpty else { throw fail(key, "a key for both and one in \(what): keep one of them") }
        message.key = try self.fields(key, "`key` of \(what)")
      }
      for item in try list(fields["match"], "`match` of \(what)") {
        let parts = try mapping(item, "`match` of \(what)", ["offset", "length", "mask", "value"])
        let field = try self.field(item, parts, "`match` of \(what)")
        guard field.length <= longestNumber, let value = bytes(parts["value"], field.length) else {
          throw fail(item, "`value` of \(what) must be a number of `length` bytes, at most \(longestNumber)")
        }
        if let mask = field.mask, zip(value, mask).contains(where: { $0 & ~$1 != 0 }) {
          throw fail(item, "`value` of \(what) has bits outside its mask: it would never match")
        }
        message.conditions.append(Condition(field: field, value: value))
      }
      return message
    }

    func fields(_ node: Node?, _ what: String) throws(PairingRuleError) -> [Field] {
      var fields: [Field] = []
      for item in try list(node, what) {
        fields.append(try field(item, try mapping(item, what, ["offset", "length", "mask"]), what))
      }
      return fields
    }

    private func list(_ node: Node?, _ what: String) throws(PairingRuleError) -> [Node] {
      guard let node else { return [] }
      guard case .sequence(let sequence) = node, !sequence.isEmpty, sequence.count <= 16 else {
        throw fail(node, "\(what) must be a list of 1 to 16 fields")
      }
      return Array(sequence)
    }

    private func field(
      _ node: Node, _ parts: [String: Node], _ what: String
    ) throws(PairingRuleError) -> Field {
      guard let offset = try number(parts, "offset", what, 0...65_535) else {
        throw fail(node, "a field of \(what) has no `offset`")
      }
      let length = try number(parts, "length", what, 1...longest) ?? 1
      guard let mask = parts["mask"] else { return Field(offset: offset, length: length, mask: nil) }
      guard length <= longestNumber, let bytes = bytes(mask, length) else {
        throw fail(mask, "`mask` of \(what) must be a number of `length` bytes, at most \(longestNumber)")
      }
      return Field(offset: offset, length: length, mask: bytes)
    }

    /// A number, decimal or 0x…, as bytes in network order.
    private func bytes(_ node: Node?, _ length: Int) -> [UInt8]? {
      guard let text = node?.scalar?.string else { return nil }
      let value = text.hasPrefix("0x") ? UInt64(text.dropFirst(2), radix: 16) : UInt64(text)
      guard let value, length == 8 || value >> UInt64(8 * length) == 0 else { return nil }
      return (0..<length).map { UInt8(truncatingIfNeeded: value >> UInt64(8 * (length - 1 - $0))) }
    }
  }
}
