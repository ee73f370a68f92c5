// SPDX-License-Identifier: GPL-2.0-or-later
internal import Pairing

/// Packets of two stations from bytes, so that a fuzzer's changes fall into what the stations say rather than into
/// headers: each packet is a byte of ``Marks``, a byte of length, and as much payload.
struct Conversation {
  private struct Marks: OptionSet {
    let rawValue: UInt8
    static let fromServer = Marks(rawValue: 0x01)
    /// TCP; else UDP, or ICMP where the protocol is that.
    static let isTCP = Marks(rawValue: 0x02)
    static let syn = Marks(rawValue: 0x04)
    static let fin = Marks(rawValue: 0x08)
    static let rst = Marks(rawValue: 0x10)
    /// As many bytes as the payload has are missing before it.
    static let gap = Marks(rawValue: 0x20)
    /// The last half of the payload was not captured.
    static let cut = Marks(rawValue: 0x40)
    /// As the packet before in this direction, once more.
    static let again = Marks(rawValue: 0x80)
  }

  private var rest: ArraySlice<UInt8>
  private let port: UInt16
  private let isICMP: Bool
  private var time: Int64 = 1_000_000_000
  private var sequence: [UInt32] = [1, 0xffff_fff0]
  private var last: [UInt32] = [1, 0xffff_fff0]

  init(_ bytes: [UInt8], port: UInt16, isICMP: Bool) {
    (rest, self.port, self.isICMP) = (bytes[...], port, isICMP)
  }

  mutating func next() -> PairingPacket? {
    guard let first = rest.popFirst(), let length = rest.popFirst() else { return nil }
    let marks = Marks(rawValue: first)
    let payload = Array(rest.prefix(Int(length)))
    rest = rest.dropFirst(Int(length))
    time += 100_000
    let side = marks.contains(.fromServer) ? 1 : 0
    var transport: [UInt8]
    if marks.contains(.isTCP) {
      transport = tcp(side, marks, payload)
    } else if isICMP {
      transport = payload
    } else {
      transport = ports(side) + half(8 + payload.count) + [0, 0] + payload
    }
    let number: UInt8 = marks.contains(.isTCP) ? 6 : isICMP ? 1 : 17
    var packet: [UInt8] = [0x45, 0] + half(20 + transport.count) + [0, 0, 0, 0, 64, number, 0, 0]
    packet += [10, 0, 0, UInt8(1 + side), 10, 0, 0, UInt8(2 - side)] + transport
    let captured = marks.contains(.cut) ? packet.count - payload.count / 2 : packet.count
    return PairingPacket(time: time, linkType: 101, length: packet.count, bytes: Array(packet.prefix(captured)))
  }

  private mutating func tcp(_ side: Int, _ marks: Marks, _ payload: [UInt8]) -> [UInt8] {
    if marks.contains(.gap) { sequence[side] &+= UInt32(payload.count) }
    if marks.contains(.again) { sequence[side] = last[side] }
    last[side] = sequence[side]
    var flags: UInt8 = 0x10
    if marks.contains(.syn) { flags = side == 0 ? 0x02 : 0x12 }
    if marks.contains(.fin) { flags |= 0x01 }
    if marks.contains(.rst) { flags |= 0x04 }
    let header = ports(side) + word(sequence[side]) + word(sequence[1 - side]) + [0x50, flags, 0xff, 0xff, 0, 0, 0, 0]
    sequence[side] &+= UInt32(payload.count) + (flags & 0x03 == 0 ? 0 : 1)
    return header + payload
  }

  private func ports(_ side: Int) -> [UInt8] {
    side == 0 ? half(40_000) + half(Int(port)) : half(Int(port)) + half(40_000)
  }
  private func half(_ value: Int) -> [UInt8] {
    [UInt8(truncatingIfNeeded: value >> 8), UInt8(truncatingIfNeeded: value)]
  }
  private func word(_ value: UInt32) -> [UInt8] { half(Int(value >> 16)) + half(Int(value & 0xffff)) }
}
