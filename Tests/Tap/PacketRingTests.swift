// SPDX-License-Identifier: GPL-2.0-or-later
import Glibc
import Testing

@testable import Tap

struct PacketRingTests {
  /// Descriptor 0 is standard input's.
  @Test func aDeviceThatIsNotThereClosesNothing() throws {
    func standardInput() throws -> [UInt64] {
      var found = stat()
      try #require(unsafe fstat(0, &found) == 0)
      return [UInt64(found.st_dev), UInt64(found.st_ino)]
    }
    let before = try standardInput()
    #expect(throws: TapError.self) {
      try PacketRing(
        device: "nosuch0", filter: nil, .both, captured: PacketRing.headers, hardware: false, promiscuous: false)
    }
    #expect(try standardInput() == before)
  }
}
