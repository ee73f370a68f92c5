// SPDX-License-Identifier: GPL-2.0-or-later
import Foundation
import Glibc
import Testing

@testable import Remote

@Suite struct FrameTests {
  /// A question about time: header 16 bytes, payload 8.
  static let golden: [UInt8] = [
    8, 0, 0, 0,  // bytes after the header
    18, 0, 0, 0,  // type ping, reserved
    2, 1, 0, 0, 0, 0, 0, 0,  // frame number 258
    7, 0, 0, 0, 0, 0, 0, 1,  // id
  ]

  private func seal(_ byte: UInt8 = 9) throws -> Seal {
    try SharedKey(bytes: [UInt8](repeating: byte, count: 16)).seal("test", [1, 2, 3])
  }

  @Test func goldenBytes() throws {
    let message = Message.ping(id: 0x0100_0000_0000_0007)
    let frame = Frame(type: message.kind.rawValue, number: 258, payload: message.payload)
    #expect(frame.encoded(seal: nil) == FrameTests.golden)
    let decoded = try #require(try Frame.decode(FrameTests.golden + [1, 2], seal: nil))
    #expect(decoded.frame == frame && decoded.size == 24)
    #expect(try Message(type: decoded.frame.type, payload: decoded.frame.payload) == message)
  }

  /// HMAC-SHA-256 as Python's hmac module computes it:
  /// key = hmac(b'\x09'*16, b'test\0\1\2\3'); hmac(key, frame with length 40).
  @Test func goldenSeal() throws {
    let bytes = Frame(type: 18, number: 258, payload: [7, 0, 0, 0, 0, 0, 0, 1]).encoded(seal: try seal())
    #expect(bytes.count == 24 + 32 && bytes[0] == 40)
    #expect(Array(bytes[24..<56]) == FrameTests.tag)
  }
  static let tag: [UInt8] = [
    0x57, 0xea, 0x8c, 0xd0, 0x22, 0x3f, 0x5f, 0xc4, 0x28, 0x64, 0x46, 0xb0, 0xd8, 0x69, 0x6e, 0xd2,
    0x1f, 0x22, 0xfc, 0x52, 0x73, 0x83, 0x06, 0x68, 0xc2, 0xbb, 0x7a, 0x7c, 0x1e, 0x01, 0x72, 0x5e,
  ]

  @Test func aPartIsNoFrameYet() throws {
    for count in 0..<FrameTests.golden.count {
      #expect(try Frame.decode(FrameTests.golden.prefix(count), seal: nil) == nil, "\(count)")
    }
  }

  @Test func sizesAreCheckedBeforeTheBytesAreThere() throws {
    for length: UInt32 in [65521, 65536, 1 << 31, .max] {
      var bytes = FrameTests.golden
      bytes.replaceSubrange(0..<4, with: (0..<4).map { UInt8(truncatingIfNeeded: length >> (8 * $0)) })
      #expect(throws: RemoteError.self) { try Frame.decode(bytes[...], seal: nil) }
    }
    var reserved = FrameTests.golden
    reserved[6] = 1
    #expect(throws: RemoteError.self) { try Frame.decode(reserved[...], seal: nil) }
  }

  @Test func everyBitIsSealed() throws {
    let seal = try seal()
    let bytes = Frame(type: 18, number: 3, payload: [1, 2, 3]).encoded(seal: seal)
    #expect(try Frame.decode(bytes[...], seal: seal)?.frame.payload == [1, 2, 3])
    for position in bytes.indices {
      for bit in 0..<8 {
        var changed = bytes
        changed[position] ^= 1 << UInt8(bit)
        // A longer length waits for bytes that never come; everything else is refused.
        let result = Result { try Frame.decode(changed[...], seal: seal) }
        if case .success(let value) = result { #expect(value == nil && position < 4, "byte \(position) bit \(bit)") }
      }
    }
    #expect(throws: RemoteError.self) { try Frame.decode(bytes[...], seal: try self.seal(8)) }
    let bare = Frame(type: 18, number: 3, payload: []).encoded(seal: nil)
    #expect(throws: RemoteError.self) { try Frame.decode(bare[...], seal: seal) }
  }

  @Test func keysAreLongAndPrivate() throws {
    #expect(throws: RemoteError.self) { try SharedKey(bytes: [UInt8](repeating: 1, count: 15)) }
    let scratch = try Scratch()
    let path = "\(scratch.path)/key"
    try "0123456789abcdef\r\n".write(toFile: path, atomically: false, encoding: .utf8)
    unsafe chmod(path, 0o640)
    let readable = #expect(throws: RemoteError.self) { try SharedKey(file: path) }
    #expect(readable?.description.contains("chmod 600") == true)
    unsafe chmod(path, 0o600)
    // The line's end does not count.
    let key = try SharedKey(bytes: Array("0123456789abcdef".utf8))
    #expect(try SharedKey(file: path).derive("a", []) == key.derive("a", []))
    #expect(throws: RemoteError.self) { try SharedKey(file: scratch.path) }
    #expect(throws: RemoteError.self) { try SharedKey(file: "\(path)x") }
  }
}
