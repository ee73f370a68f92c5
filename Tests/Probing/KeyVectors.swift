// SPDX-License-Identifier: GPL-2.0-or-later
import CLatprobeABI
import Testing

/// Keys as recordings on disk hold them: another value here means that old and new recordings of one packet no longer
/// match, which takes a new format version.
@Suite struct KeyVectorTests {
  struct Vector: Sendable, CustomTestStringConvertible {
    var name: String
    /// Field by field, hexadecimal.
    var frame: [String]
    var key: UInt64
    var natProofKey: UInt64
    var flow: UInt32
    var kind: UInt8
    var length: UInt32
    var headerWords: UInt8
    var sequence: UInt32
    var testDescription: String { name }

    var bytes: [UInt8] {
      let digits = frame.joined().filter { $0 != " " }
      return stride(from: 0, to: digits.count, by: 2).compactMap { at in
        let start = digits.index(digits.startIndex, offsetBy: at)
        return UInt8(digits[start..<digits.index(start, offsetBy: 2)], radix: 16)
      }
    }
  }

  static let vectors = [
    Vector(
      name: "IPv4 UDP",
      frame: [
        "020000000002 020000000001 0800",  // Ethernet
        "45 00 0024 1234 4000 40 11 0000",  // words, TOS, length 36, id, DF, TTL, UDP, checksum
        "0a4d0001 0a4d0002",  // 10.77.0.1 to 10.77.0.2
        "9c40 1389 0010 beef",  // 40000 to 5001, length 16, checksum
        "0102030405060708",  // payload
      ],
      key: 0x806d1fec7af71d84, natProofKey: 0xcf9698832c260e5e, flow: 0x536413cc, kind: 1, length: 36, headerWords: 7,
      sequence: 0),
    Vector(
      name: "IPv4 TCP, acknowledgment with time stamps, VLAN 5",
      frame: [
        "020000000002 020000000001 8100 0005 0800",
        "45 00 0034 0001 4000 40 06 0000 0a4d0001 0a4d0002",
        "9c40 1451 01020304 0a0b0c0d",  // 40000 to 5201, sequence, acknowledgment
        "80 10 01f5 cafe 0000",  // 8 words, ACK, window 501, checksum, urgent
        "0101 080a 00000007 00000009",  // NOP NOP time stamps
      ],
      key: 0x728f62c8f00dffd8, natProofKey: 0xa4829ab35f14f32a, flow: 0xf7e72a7c, kind: 2, length: 52, headerWords: 13,
      sequence: 0x0102_0304),
    Vector(
      name: "IPv6 UDP",
      frame: [
        "020000000002 020000000001 86dd",
        "60012345 000c 11 40",  // flow label, payload length 12, UDP, hop limit 64
        "fd770000000000000000000000000001 fd770000000000000000000000000002",
        "9c40 1389 000c beef 61626364",
      ],
      key: 0x3874beafb1d938e5, natProofKey: 0x60db48191a11ab52, flow: 0x56e631bb, kind: 1, length: 52, headerWords: 12,
      sequence: 0),
    Vector(
      name: "IPv4 ICMP echo request",
      frame: [
        "020000000002 020000000001 0800",
        "45 00 0020 0002 4000 40 01 0000 0a4d0001 0a4d0002",
        "08 00 1111 004d 0003 70696e67",  // echo, checksum, id 77, sequence 3, payload
      ],
      key: 0x6724febf5fc40bd9, natProofKey: 0x939b8bdec36f9003, flow: 0xfe0469ee, kind: 3, length: 32, headerWords: 7,
      sequence: 0),
    Vector(
      name: "IPv4 fragment after the first",
      frame: [
        "020000000002 020000000001 0800",
        "45 00 001c 0003 00b9 40 11 0000 0a4d0001 0a4d0002",  // offset 1480
        "5555555555555555",
      ],
      key: 0xc1bf91dc312f8ef4, natProofKey: 0x4eb7d9ca7b1ee37a, flow: 0x83b78b51, kind: 4, length: 28, headerWords: 5,
      sequence: 0),
  ]

  @Test(arguments: vectors) func theKeyOnDiskDoesNotChange(_ vector: Vector) throws {
    let frame = vector.bytes
    let size = UInt32(frame.count)
    var packet = lp_packet()
    #expect(unsafe lp_packet_of_frame(&packet, frame, size, size, Int32(LP_IDENTITY_NAT_PROOF.rawValue)) == 0)
    #expect(packet.key == vector.natProofKey, "0x\(String(packet.key, radix: 16))")
    #expect(unsafe lp_packet_of_frame(&packet, frame, size, size, Int32(LP_IDENTITY_FULL.rawValue)) == 0)
    #expect(packet.key == vector.key, "0x\(String(packet.key, radix: 16))")
    #expect(packet.flow == vector.flow, "0x\(String(packet.flow, radix: 16))")
    #expect(packet.kind == vector.kind && packet.length == vector.length)
    #expect(packet.header_words == vector.headerWords && packet.sequence == vector.sequence)
  }
}
