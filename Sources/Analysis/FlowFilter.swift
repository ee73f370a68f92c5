// SPDX-License-Identifier: GPL-2.0-or-later
internal import Glibc
package import Recording

/// A filter that cannot be read: one line with the column.
package struct FlowFilterError: Error, Equatable, CustomStringConvertible {
  package var expression: String
  /// From 1.
  package var column: Int
  package var message: String

  package var description: String { "'\(expression)', column \(column): \(message)" }
}

/// Which flows to look at, in the part of pcap's language that a flow can answer: addresses, ports and protocol.
///
///     [src|dst] host ADDR · [src|dst] net ADDR/LEN · [tcp|udp|sctp] [src|dst] port N · … portrange N-M
///     tcp udp sctp icmp icmp6 ip ip6 · proto N · not, and, or, ( ), !, &&, ||
package struct FlowFilter: Sendable, Equatable {
  package let text: String
  private let root: Node

  indirect enum Node: Sendable, Equatable {
    case and(Node, Node)
    case or(Node, Node)
    case not(Node)
    case isProtocol(UInt8)
    case isIPv6(Bool)
    /// Of the source, the destination, or nil for either.
    case net(isSource: Bool?, bytes: [UInt8], bits: Int)
    case ports(isSource: Bool?, ClosedRange<UInt16>)
  }

  package init(_ text: String) throws(FlowFilterError) {
    self.text = text
    var parser = FlowFilterParser(text)
    root = try parser.whole()
  }

  package func matches(_ flow: Flow) -> Bool { FlowFilter.matches(root, flow) }

  private static func matches(_ node: Node, _ flow: Flow) -> Bool {
    switch node {
    case .and(let left, let right): matches(left, flow) && matches(right, flow)
    case .or(let left, let right): matches(left, flow) || matches(right, flow)
    case .not(let inner): !matches(inner, flow)
    case .isProtocol(let number): flow.ipProtocol == number
    case .isIPv6(let isIPv6): (flow.source.count == 16) == isIPv6
    case .net(let isSource, let bytes, let bits):
      ends(flow.source, flow.destination, isSource).contains { within($0, bytes, bits) }
    case .ports(let isSource, let range):
      hasPorts(flow.ipProtocol) && ends(flow.sourcePort, flow.destinationPort, isSource).contains { range.contains($0) }
    }
  }

  private static func ends<End>(_ source: End, _ destination: End, _ isSource: Bool?) -> [End] {
    isSource.map { $0 ? [source] : [destination] } ?? [source, destination]
  }

  static func hasPorts(_ ipProtocol: UInt8) -> Bool { [6, 17, 132, 136].contains(ipProtocol) }

  private static func within(_ address: [UInt8], _ net: [UInt8], _ bits: Int) -> Bool {
    guard address.count == net.count else { return false }
    for index in address.indices {
      let rest = bits - 8 * index
      if rest <= 0 { return true }
      let mask = rest >= 8 ? UInt8.max : UInt8.max << UInt8(8 - rest)
      if (address[index] ^ net[index]) & mask != 0 { return false }
    }
    return true
  }
}

private struct FlowFilterParser {
  private struct Token {
    var text: String
    var column: Int
  }

  private let text: String
  private var tokens: [Token] = []
  private var place = 0
  private var depth = 0
  private static let protocols: [String: UInt8] = ["tcp": 6, "udp": 17, "sctp": 132, "icmp": 1, "icmp6": 58]
  private static let known =
    "host, net, port, portrange, src, dst, tcp, udp, sctp, icmp, icmp6, ip, ip6, proto, not, and, or, ( or )"

  init(_ text: String) {
    self.text = text
    var word = ""
    var start = 0
    let characters = Array(text)
    func isOperator(_ character: Character) -> Bool { "()!&|".contains(character) }
    var index = 0
    while index <= characters.count {
      let character = index < characters.count ? characters[index] : " "
      if character.isWhitespace || isOperator(character) {
        if !word.isEmpty { tokens.append(Token(text: word, column: start + 1)) }
        word = ""
        if isOperator(character) {
          let isDouble = "&|".contains(character) && index + 1 < characters.count && characters[index + 1] == character
          tokens.append(Token(text: String(repeating: character, count: isDouble ? 2 : 1), column: index + 1))
          if isDouble { index += 1 }
        }
      } else {
        if word.isEmpty { start = index }
        word.append(character)
      }
      index += 1
    }
  }

  private func fail(_ message: String) -> FlowFilterError {
    let column = place < tokens.count ? tokens[place].column : text.count + 1
    return FlowFilterError(expression: text, column: column, message: message)
  }

  private var next: String? { place < tokens.count ? tokens[place].text : nil }
  private var found: String { next.map { "'\($0)'" } ?? "the end" }

  private mutating func take(_ words: String...) -> String? {
    guard let next, words.contains(next) else { return nil }
    place += 1
    return next
  }

  mutating func whole() throws(FlowFilterError) -> FlowFilter.Node {
    let node = try alternatives()
    guard place == tokens.count else { throw fail("expected and, or, or the end, found \(found)") }
    return node
  }

  private mutating func alternatives() throws(FlowFilterError) -> FlowFilter.Node {
    var node = try conjunction()
    // As in pcap's language, `and` and `or` bind equally, from the left.
    while let word = take("or", "||", "and", "&&") {
      let right = try conjunction()
      node = word == "or" || word == "||" ? .or(node, right) : .and(node, right)
    }
    return node
  }

  private mutating func conjunction() throws(FlowFilterError) -> FlowFilter.Node {
    depth += 1
    defer { depth -= 1 }
    guard depth < 100 else { throw fail("more than 100 levels of parentheses and negations") }
    if take("not", "!") != nil { return .not(try conjunction()) }
    if take("(") != nil {
      let node = try alternatives()
      guard take(")") != nil else { throw fail("expected ), found \(found)") }
      return node
    }
    return try primitive()
  }

  private mutating func primitive() throws(FlowFilterError) -> FlowFilter.Node {
    let first = place
    if take("proto") != nil {
      guard let next, let number = FlowFilterParser.protocols[next] ?? UInt8(next) else {
        throw fail("expected a protocol's number, as in 'proto 47', found \(found)")
      }
      place += 1
      return .isProtocol(number)
    }
    var family: FlowFilter.Node?
    if let word = take("tcp", "udp", "sctp", "icmp", "icmp6"), let number = FlowFilterParser.protocols[word] {
      family = .isProtocol(number)
    } else if let word = take("ip", "ip6") {
      family = .isIPv6(word == "ip6")
    }
    let isSource: Bool? = take("src").map { _ in true } ?? take("dst").map { _ in false }
    let kind = take("host", "net", "port", "portrange")
    if kind == nil, isSource == nil {
      guard let family else {
        throw fail(
          place == first
            ? "expected \(FlowFilterParser.known), found \(found): a recording's flows tell addresses, ports and protocol"
            : "expected host, net, port or portrange, found \(found)")
      }
      return family
    }
    let node: FlowFilter.Node
    switch kind {
    case "port", "portrange": node = .ports(isSource: isSource, try ports(isRange: kind == "portrange"))
    default: node = try net(isSource, mayHaveLength: kind == "net")
    }
    return family.map { .and($0, node) } ?? node
  }

  private mutating func ports(isRange: Bool) throws(FlowFilterError) -> ClosedRange<UInt16> {
    let parts = next?.split(separator: "-", omittingEmptySubsequences: false).map { UInt16($0) } ?? []
    guard parts.count == (isRange ? 2 : 1), let low = parts.first ?? nil, let high = parts.last ?? nil, low <= high
    else {
      throw fail("expected \(isRange ? "two ports, as in 5000-5010" : "a port from 0 to 65535"), found \(found)")
    }
    place += 1
    return low...high
  }

  private mutating func net(_ isSource: Bool?, mayHaveLength: Bool) throws(FlowFilterError) -> FlowFilter.Node {
    let parts = next?.split(separator: "/", omittingEmptySubsequences: false).map(String.init) ?? []
    guard let text = parts.first, parts.count <= (mayHaveLength ? 2 : 1), let bytes = FlowText.bytes(text) else {
      throw fail(
        "expected an address\(mayHaveLength ? " and its length, as in 10.0.0.0/8" : ""), found \(found): names are not "
          + "looked up")
    }
    var bits = 8 * bytes.count
    if parts.count == 2 {
      guard let length = Int(parts[1]), (0...bits).contains(length) else {
        throw fail("expected a length from 0 to \(bits) behind the /, found '\(parts[1])'")
      }
      bits = length
    }
    place += 1
    return .net(isSource: isSource, bytes: bytes, bits: bits)
  }
}

/// Addresses as people write them.
enum FlowText {
  static func bytes(_ text: String) -> [UInt8]? {
    for (family, count) in [(AF_INET, 4), (AF_INET6, 16)] {
      var bytes = [UInt8](repeating: 0, count: count)
      if unsafe inet_pton(family, text, &bytes) == 1 { return bytes }
    }
    return nil
  }

  static func address(_ bytes: [UInt8]) -> String {
    var text = [CChar](repeating: 0, count: 64)
    let family = bytes.count == 4 ? AF_INET : AF_INET6
    guard bytes.count == 4 || bytes.count == 16,
      unsafe inet_ntop(family, bytes, &text, socklen_t(text.count)) != nil
    else { return "?" }
    return String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }

  static func ipProtocol(_ number: UInt8) -> String {
    [1: "icmp", 6: "tcp", 17: "udp", 58: "icmp6", 132: "sctp"][number] ?? "proto \(number)"
  }
}
