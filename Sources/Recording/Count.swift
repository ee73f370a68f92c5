// SPDX-License-Identifier: GPL-2.0-or-later

/// A number of packets, events, files or bytes, as this machine, a file or another machine tells it, or a sum of such.
///
/// Sums stop at ``limit`` and differences at 0, so that no number of others can trap or wrap round. A file or a message that
/// tells more than the limit is refused where it is read.
package struct Count: Sendable, Hashable, BitwiseCopyable {
  /// 2^53: 28 years at ten million a second, and the last whole number that every reader of JSON holds exactly.
  package static let limit = 1 << 53
  package static let max = Count(limit)

  /// 0 … ``limit``.
  package let value: Int

  package init(_ number: some BinaryInteger) {
    value = Swift.min(Swift.max(Int(clamping: number), 0), Count.limit)
  }

  /// As much as this or more.
  package var isCapped: Bool { value == Count.limit }
  package var unsigned: UInt64 { UInt64(value) }

  package static func + (one: Count, other: Count) -> Count { Count(one.value + other.value) }
  package static func - (one: Count, other: Count) -> Count { Count(one.value - other.value) }
  package static func += (one: inout Count, other: Count) { one = one + other }
  package static func -= (one: inout Count, other: Count) { one = one - other }
}

extension Count: Comparable {
  package static func < (one: Count, other: Count) -> Bool { one.value < other.value }
}

extension Count: ExpressibleByIntegerLiteral {
  package init(integerLiteral number: Int) { self.init(number) }
}

extension Count: CustomStringConvertible {
  package var description: String { String(value) }
}

extension Count: Codable {
  package init(from decoder: any Decoder) throws {
    let container = try decoder.singleValueContainer()
    // What does not fit into an Int is told without its place.
    guard let number = try? container.decode(Int.self), 0...Count.limit ~= number else {
      throw DecodingError.dataCorruptedError(in: container, debugDescription: "no possible count")
    }
    self.init(number)
  }

  package func encode(to encoder: any Encoder) throws {
    var container = encoder.singleValueContainer()
    try container.encode(value)
  }
}

extension Sequence {
  package func sum(_ count: (Element) -> Count) -> Count { reduce(0) { $0 + count($1) } }
}

extension Sequence<Count> {
  package func sum() -> Count { reduce(0, +) }
}
