// SPDX-License-Identifier: GPL-2.0-or-later

/// An IPv4 or IPv6 address.
package struct IPAddress: Hashable, Sendable, Comparable, CustomStringConvertible {
  private let high: UInt64
  private let low: UInt64
  package let isIPv4: Bool

  /// - Parameter bytes: 4 or 16, in network order.
  init(_ bytes: ByteView) {
    isIPv4 = bytes.count == 4
    high = isIPv4 ? 0 : UInt64(bytes.u32(0)) << 32 | UInt64(bytes.u32(4))
    low = isIPv4 ? UInt64(bytes.u32(0)) : UInt64(bytes.u32(8)) << 32 | UInt64(bytes.u32(12))
  }

  /// - Parameter bytes: 4 or 16, in network order.
  package init?(_ bytes: [UInt8]) {
    guard bytes.count == 4 || bytes.count == 16 else { return nil }
    self.init(ByteView(bytes))
  }

  package static func < (left: IPAddress, right: IPAddress) -> Bool {
    (left.isIPv4 ? 0 : 1, left.high, left.low) < (right.isIPv4 ? 0 : 1, right.high, right.low)
  }

  package var description: String {
    if isIPv4 {
      let bytes = [24, 16, 8, 0].map { (shift: UInt64) in UInt8(truncatingIfNeeded: low >> shift) }
      return bytes.map { String($0) }.joined(separator: ".")
    }
    let groups: [UInt64] = (0..<8).map { (index: Int) -> UInt64 in
      let half: UInt64 = index < 4 ? high : low
      return half >> UInt64(48 - 16 * (index % 4)) & 0xffff
    }
    // RFC 5952: the longest run of two or more zero groups, the first of equals, becomes `::`.
    var zeros = 0..<0
    var start = 0
    for index in 0...8 where index == 8 || groups[index] != 0 {
      if index - start > max(1, zeros.count) { zeros = start..<index }
      start = index + 1
    }
    func text(_ part: ArraySlice<UInt64>) -> String { part.map { String($0, radix: 16) }.joined(separator: ":") }
    return zeros.isEmpty
      ? text(groups[...]) : "\(text(groups[..<zeros.lowerBound]))::\(text(groups[zeros.upperBound...]))"
  }
}

/// An address and a port; port 0 where the protocol has none.
package struct Endpoint: Hashable, Sendable, Comparable, CustomStringConvertible {
  package var address: IPAddress
  package var port: UInt16

  package init(address: IPAddress, port: UInt16) {
    self.address = address
    self.port = port
  }

  package static func < (left: Endpoint, right: Endpoint) -> Bool {
    (left.address, left.port) < (right.address, right.port)
  }

  package var description: String {
    guard port != 0 else { return address.description }
    return address.isIPv4 ? "\(address):\(port)" : "[\(address)]:\(port)"
  }
}
