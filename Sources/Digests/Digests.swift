// SPDX-License-Identifier: GPL-2.0-or-later
internal import CCrypto

/// SHA-256 (FIPS 180-4).
package enum SHA256 {
  /// 32 bytes.
  package static let size = Int(LP_SHA256_SIZE)

  package static func hash(_ bytes: [UInt8]) -> [UInt8] {
    unsafe made { out in unsafe lp_sha256(bytes, bytes.count, out) }
  }
}

/// A key of HMAC-SHA-256 (RFC 2104, FIPS 198-1).
package struct HMACKey: Sendable {
  private let bytes: [UInt8]

  /// - Parameter bytes: any number of them; from 64 on their hash is the key, as the standard says.
  package init(bytes: [UInt8]) { self.bytes = bytes }

  /// The 32 bytes that authenticate `message`.
  package func code(for message: [UInt8]) -> [UInt8] {
    unsafe made { out in unsafe lp_hmac_sha256(bytes, bytes.count, message, message.count, out) }
  }

  /// Whether `code` begins the code of `message` and has at least one byte; takes as long whatever the difference is.
  package func isValid(_ code: some Collection<UInt8>, for message: [UInt8]) -> Bool {
    guard 1...SHA256.size ~= code.count else { return false }
    return zip(code, self.code(for: message)).reduce(0) { $0 | ($1.0 ^ $1.1) } == 0
  }
}

/// - Precondition: libcrypto has SHA-256. Going on without would accept what nobody signed.
private func made(_ make: (UnsafeMutablePointer<UInt8>) -> Int32) -> [UInt8] {
  unsafe [UInt8](unsafeUninitializedCapacity: SHA256.size) { buffer, count in
    guard let start = buffer.baseAddress, unsafe make(start) == 0 else {
      preconditionFailure("libcrypto does not give SHA-256 on this machine")
    }
    count = SHA256.size
  }
}
