// SPDX-License-Identifier: GPL-2.0-or-later
internal import Digests

/// The key of authenticated test packets: HMAC-SHA-256 over the first 96 bytes, cut to 16 (RFC 8762, section 4.4).
package struct TestKey: Sendable {
  /// Bytes that are authenticated; the code is behind them.
  static let covered = 96
  static let codeSize = 16
  private let key: HMACKey

  package init(bytes: [UInt8]) { key = HMACKey(bytes: bytes) }

  private func code(of bytes: [UInt8]) -> ArraySlice<UInt8> {
    key.code(for: Array(bytes.prefix(TestKey.covered))).prefix(TestKey.codeSize)
  }

  func sign(_ bytes: inout [UInt8]) {
    bytes.replaceSubrange(TestKey.covered..<TestKey.covered + TestKey.codeSize, with: code(of: bytes))
  }

  /// Takes as long whatever the difference is.
  package func isValid(_ bytes: [UInt8]) -> Bool {
    guard bytes.count >= TestKey.covered + TestKey.codeSize else { return false }
    return key.isValid(
      bytes[TestKey.covered..<TestKey.covered + TestKey.codeSize], for: Array(bytes.prefix(TestKey.covered)))
  }
}
