// SPDX-License-Identifier: GPL-2.0-or-later
import Digests
import Testing

/// The published examples: FIPS 180-4 and RFC 4231.
@Suite struct VectorTests {
  private func hex(_ bytes: [UInt8]) -> String {
    bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
  }

  @Test(arguments: [
    ("", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
    ("abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
  ]) func sha256(message: String, expected: String) {
    #expect(hex(SHA256.hash(Array(message.utf8))) == expected)
  }

  @Test(arguments: [
    (
      Array(repeating: UInt8(0x0b), count: 20), "Hi There",
      "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"
    ),
    (
      Array("Jefe".utf8), "what do ya want for nothing?",
      "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
    ),
    (
      Array(repeating: UInt8(0xaa), count: 131), "Test Using Larger Than Block-Size Key - Hash Key First",
      "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"
    ),
  ]) func hmac(key: [UInt8], message: String, expected: String) {
    let code = HMACKey(bytes: key).code(for: Array(message.utf8))
    #expect(hex(code) == expected)
    #expect(HMACKey(bytes: key).isValid(code, for: Array(message.utf8)))
    #expect(HMACKey(bytes: key).isValid(code.prefix(16), for: Array(message.utf8)), "cut short, as RFC 8762 does")
    #expect(!HMACKey(bytes: key).isValid([], for: Array(message.utf8)))
    for index in code.indices {
      var wrong = code
      wrong[index] ^= 1
      #expect(!HMACKey(bytes: key).isValid(wrong, for: Array(message.utf8)))
    }
  }

  @Test func emptyKeyIsAKey() {
    #expect(
      hex(HMACKey(bytes: []).code(for: [])) == "b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad")
  }
}
