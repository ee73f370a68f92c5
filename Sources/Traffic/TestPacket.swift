// SPDX-License-Identifier: GPL-2.0-or-later

/// An unauthenticated test packet of a STAMP sender (RFC 8762, section 4.2.1), as UDP payload:
/// sequence number 0–3, time stamp 4–11, error estimate 12–13, SSID 14–15, zero from 16 on.
package struct TestPacket: Sendable, Hashable {
  package static let smallest = 44
  package static let port: UInt16 = 862

  package var sequence: UInt32
  /// Nanoseconds of CLOCK_REALTIME, from 1970 until 2106.
  package var time: Int64

  package init(sequence: UInt32, time: Int64) {
    self.sequence = sequence
    self.time = time
  }

  /// - Parameter size: bytes, ``smallest`` at least; what is behind the packet is zero.
  package func bytes(size: Int) -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: max(size, TestPacket.smallest))
    TestPacket.put(sequence, at: 0, in: &bytes)
    TestPacket.put(UInt32(truncatingIfNeeded: time / 1_000_000_000), at: 4, in: &bytes)
    TestPacket.put(UInt32(time % 1_000_000_000), at: 8, in: &bytes)
    // S 0: nobody says that the clock is right; Z 1: PTPv2's format of time. 1 · 2^32 · 2^-32 s, as good as unknown.
    (bytes[12], bytes[13]) = (0b0110_0000, 1)
    return bytes
  }

  /// From a payload that has at least its first twelve bytes.
  package init?(payload: some Collection<UInt8>) {
    let bytes = Array(payload.prefix(12))
    guard bytes.count == 12 else { return nil }
    func word(_ at: Int) -> UInt32 { bytes[at..<at + 4].reduce(0) { $0 << 8 | UInt32($1) } }
    self.init(sequence: word(0), time: Int64(word(4)) * 1_000_000_000 + Int64(word(8)))
  }

  private static func put(_ word: UInt32, at place: Int, in bytes: inout [UInt8]) {
    for index in 0..<4 { bytes[place + index] = UInt8(truncatingIfNeeded: word >> (24 - 8 * UInt32(index))) }
  }
}
