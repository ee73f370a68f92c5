// SPDX-License-Identifier: GPL-2.0-or-later
internal import Glibc

/// Addresses with the same first bits: `10.0.0.0/8`, `fd00::/8`, or one address. IPv4 is mapped into IPv6.
package struct AddressRange: Sendable, Hashable {
  private let address: [UInt8]
  private let length: Int

  package init?(_ text: String) {
    let parts = text.split(separator: "/", omittingEmptySubsequences: false)
    guard let first = parts.first, parts.count <= 2 else { return nil }
    var bytes = [UInt8](repeating: 0, count: 16)
    let isV4 = unsafe inet_pton(AF_INET, String(first), &bytes) == 1
    if isV4 {
      bytes = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff] + bytes.prefix(4)
    } else if unsafe inet_pton(AF_INET6, String(first), &bytes) != 1 {
      return nil
    }
    let bits = isV4 ? 32 : 128
    var length = bits
    if parts.count == 2 {
      guard let given = UInt8(parts[1]), given <= bits else { return nil }
      length = Int(given)
    }
    self.length = length + 128 - bits
    address = bytes
  }

  func contains(_ other: [UInt8]) -> Bool {
    let whole = length / 8
    guard address.prefix(whole) == other.prefix(whole) else { return false }
    let rest = length % 8
    return rest == 0 || (address[whole] ^ other[whole]) >> (8 - rest) == 0
  }
}
