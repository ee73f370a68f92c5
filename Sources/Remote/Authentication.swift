// SPDX-License-Identifier: GPL-2.0-or-later
internal import Digests
internal import FoundationEssentials
internal import Glibc
internal import Recording

/// A secret that host and agent share, from a file.
package struct SharedKey: Sendable {
  package static let smallest = 16
  fileprivate let key: HMACKey

  /// - Parameter bytes: at least ``smallest``; should be random.
  package init(bytes: [UInt8]) throws(RemoteError) {
    guard bytes.count >= SharedKey.smallest else { throw SharedKey.tooShort(bytes.count) }
    key = HMACKey(bytes: bytes)
  }

  private static func tooShort(_ count: Int) -> RemoteError {
    RemoteError(
      .invalid, "a key of \(count) bytes is too short: at least \(smallest), as from 'openssl rand -hex 32'")
  }

  /// The file's bytes without line ends behind them. A file that others may read is refused.
  package init(file path: String) throws(RemoteError) { try self.init(bytes: SharedKey.bytes(file: path)) }

  /// What ``init(file:)`` makes a key of; checked in the same way.
  package static func bytes(file path: String) throws(RemoteError) -> [UInt8] {
    let file = unsafe open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
    guard file >= 0 else { throw RemoteError.system("the key file \(path)", errno) }
    defer { close(file) }
    var status = stat()
    guard unsafe fstat(file, &status) == 0, status.st_mode & S_IFMT == S_IFREG else {
      throw RemoteError(.invalid, "the key file \(path) is no regular file")
    }
    guard [0, geteuid(), Invoker.current?.user].contains(status.st_uid) else {
      throw RemoteError(
        .invalid,
        "the key file \(path) belongs to another user (uid \(status.st_uid)), who knows it: make a key of your own")
    }
    guard status.st_mode & 0o077 == 0 else {
      throw RemoteError(.invalid, "the key file \(path) may be read by others: 'chmod 600 \(path)'")
    }
    var bytes = [UInt8](repeating: 0, count: 4097)
    let count = unsafe read(file, &bytes, bytes.count)
    guard count >= 0 else { throw RemoteError.system("the key file \(path)", errno) }
    guard count < bytes.count else { throw RemoteError(.invalid, "the key file \(path) has more than 4096 bytes") }
    var key = bytes.prefix(count)
    while let last = key.last, last == 0x0a || last == 0x0d { key.removeLast() }
    guard key.count >= smallest else { throw tooShort(key.count) }
    return Array(key)
  }

  /// HMAC-SHA-256 over a purpose and what both sides said in the handshake, in which both nonces are.
  ///
  /// The purpose makes each use a function of its own (NIST SP 800-108, counter mode with one block).
  func derive(_ purpose: String, _ transcript: [UInt8]) -> [UInt8] {
    key.code(for: Array(purpose.utf8) + [0] + transcript)
  }

  /// Compares in constant time.
  func isValid(_ proof: some Collection<UInt8>, _ purpose: String, _ transcript: [UInt8]) -> Bool {
    proof.count == SHA256.size && key.isValid(proof, for: Array(purpose.utf8) + [0] + transcript)
  }

  func seal(_ purpose: String, _ transcript: [UInt8]) -> Seal {
    Seal(key: HMACKey(bytes: derive(purpose, transcript)))
  }
}

/// What authenticates the frames of one direction: HMAC-SHA-256 over header (with the frame's number) and payload.
package struct Seal: Sendable {
  static let size = 32
  fileprivate let key: HMACKey

  func tag(of bytes: [UInt8]) -> [UInt8] { key.code(for: bytes) }

  func isValid(_ tag: ArraySlice<UInt8>, of bytes: ArraySlice<UInt8>) -> Bool {
    tag.count == Seal.size && key.isValid(tag, for: Array(bytes))
  }
}

package enum Digest {
  /// 32 bytes.
  package static func sha256(_ bytes: [UInt8]) -> [UInt8] { SHA256.hash(bytes) }
}
