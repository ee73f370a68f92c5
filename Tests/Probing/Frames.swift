// SPDX-License-Identifier: GPL-2.0-or-later

/// SplitMix64: the same numbers in every run.
struct Seeded: RandomNumberGenerator {
  var state: UInt64
  mutating func next() -> UInt64 {
    state &+= 0x9e37_79b9_7f4a_7c15
    var z = state
    z = (z ^ z >> 30) &* 0xbf58_476d_1ce4_e5b9
    z = (z ^ z >> 27) &* 0x94d0_49bb_1331_11eb
    return z ^ z >> 31
  }
}

func bytes16(_ value: Int) -> [UInt8] { [UInt8(truncatingIfNeeded: value >> 8), UInt8(truncatingIfNeeded: value)] }
func bytes32(_ value: UInt32) -> [UInt8] { bytes16(Int(value >> 16)) + bytes16(Int(value & 0xffff)) }

/// Frames put together field by field; checksums are not computed, since nothing here looks at them.
struct FrameBuilder {
  var vlans: [(type: Int, tag: Int)] = []
  // IPv4 unless `isIPv6`.
  var isIPv6 = false
  var tos: UInt8 = 0
  var id = 0x1234
  var ttl: UInt8 = 64
  var flags = 0x4000  // don't fragment
  var fragmentOffset = 0  // bytes
  var ipOptions: [UInt8] = []
  var ipChecksum = 0
  var flowLabel: UInt32 = 0x12345
  /// IPv6 extension headers in front of the transport header: (type, the header without its first byte).
  var extensions: [(type: UInt8, rest: [UInt8])] = []
  var source: [UInt8] = [10, 77, 0, 1]
  var destination: [UInt8] = [10, 77, 0, 2]
  var protocolNumber: UInt8
  var transport: [UInt8]

  static let source6: [UInt8] = [0xfd, 0x77] + [UInt8](repeating: 0, count: 13) + [1]
  static let destination6: [UInt8] = [0xfd, 0x77] + [UInt8](repeating: 0, count: 13) + [2]

  static func udp(
    _ payload: [UInt8] = Array("hello, latency world".utf8), from: Int = 40_000, to: Int = 5001, checksum: Int = 0xbeef,
    length: Int? = nil
  ) -> FrameBuilder {
    FrameBuilder(
      protocolNumber: 17,
      transport: bytes16(from) + bytes16(to) + bytes16(length ?? 8 + payload.count) + bytes16(checksum) + payload)
  }

  static func tcp(
    _ payload: [UInt8] = [], from: Int = 40_000, to: Int = 5201, sequence: UInt32 = 0x0102_0304,
    acknowledgment: UInt32 = 0x0a0b_0c0d, flags: Int = 0x10, window: Int = 501, checksum: Int = 0xcafe,
    options: [UInt8] = []
  ) -> FrameBuilder {
    FrameBuilder(
      protocolNumber: 6,
      transport: bytes16(from) + bytes16(to) + bytes32(sequence) + bytes32(acknowledgment)
        + bytes16((5 + options.count / 4) << 12 | flags) + bytes16(window) + bytes16(checksum) + [0, 0] + options
        + payload)
  }

  static func icmp(
    type: UInt8 = 8, code: UInt8 = 0, id: Int = 77, sequence: Int = 3, payload: [UInt8] = Array("ping".utf8),
    checksum: Int = 0x1111
  ) -> FrameBuilder {
    FrameBuilder(
      protocolNumber: 1,
      transport: [type, code] + bytes16(checksum) + bytes16(id) + bytes16(sequence) + payload)
  }

  func ipv6() -> FrameBuilder {
    var copy = self
    copy.isIPv6 = true
    copy.source = FrameBuilder.source6
    copy.destination = FrameBuilder.destination6
    if protocolNumber == 1 {
      copy.protocolNumber = 58
      if transport[0] == 8 || transport[0] == 0 { copy.transport[0] = transport[0] == 8 ? 128 : 129 }
    }
    return copy
  }

  func with(_ change: (inout FrameBuilder) -> Void) -> FrameBuilder {
    var copy = self
    change(&copy)
    return copy
  }

  var bytes: [UInt8] {
    var frame: [UInt8] = [2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1]
    for vlan in vlans { frame += bytes16(vlan.type) + bytes16(vlan.tag) }
    if isIPv6 {
      var chain: [UInt8] = []
      for (index, header) in extensions.enumerated() {
        chain += [index + 1 < extensions.count ? extensions[index + 1].type : protocolNumber] + header.rest
      }
      frame += [0x86, 0xdd]
      frame += bytes32(6 << 28 | UInt32(tos) << 20 | flowLabel)
      frame += bytes16(chain.count + transport.count)
      frame += [extensions.first?.type ?? protocolNumber, ttl] + source + destination + chain
    } else {
      frame += [0x08, 0x00, 0x45 + UInt8(ipOptions.count / 4), tos]
      frame += bytes16(20 + ipOptions.count + transport.count) + bytes16(id)
      frame += bytes16(flags | fragmentOffset / 8) + [ttl, protocolNumber] + bytes16(ipChecksum)
      frame += source + destination + ipOptions
    }
    return frame + transport
  }
}

/// Frames of all the shapes that a filter or a key may meet.
func manyFrames(_ random: inout Seeded, count: Int) -> [[UInt8]] {
  (0..<count).map { _ in
    let payload = (0..<Int.random(in: 0...60, using: &random)).map { _ in UInt8.random(in: 0...255, using: &random) }
    let ports = [53, 80, 5001, 5002, 5201, 40_000, Int.random(in: 0...65535, using: &random)]
    func port(_ random: inout Seeded) -> Int { ports[Int.random(in: 0..<ports.count, using: &random)] }
    var builder: FrameBuilder
    switch Int.random(in: 0..<8, using: &random) {
    case 0...2: builder = .udp(payload, from: port(&random), to: port(&random))
    case 3, 4:
      let options = [UInt8](repeating: 1, count: 4 * Int.random(in: 0...10, using: &random))
      builder = .tcp(
        payload, from: port(&random), to: port(&random), flags: Int.random(in: 0...63, using: &random), options: options
      )
    case 5: builder = .icmp(type: UInt8.random(in: 0...13, using: &random), payload: payload)
    case 6: builder = .udp(payload).with { $0.protocolNumber = UInt8.random(in: 0...255, using: &random) }
    default: return (0..<Int.random(in: 1...128, using: &random)).map { _ in UInt8.random(in: 0...255, using: &random) }
    }
    if Bool.random(using: &random) { builder = builder.ipv6() }
    builder.ttl = UInt8.random(in: 1...9, using: &random)
    builder.tos = UInt8.random(in: 0...255, using: &random)
    builder.id = Int.random(in: 0...65535, using: &random)
    let last = builder.source.count - 1
    builder.source[last] = UInt8.random(in: 1...3, using: &random)
    builder.destination[last] = UInt8.random(in: 1...3, using: &random)
    if Int.random(in: 0..<10, using: &random) == 0 { builder.destination[0] = builder.isIPv6 ? 0xff : 224 }
    switch Int.random(in: 0..<6, using: &random) {
    case 0 where !builder.isIPv6:
      builder.ipOptions = [UInt8](repeating: 1, count: 4 * Int.random(in: 1...10, using: &random))
    case 1 where !builder.isIPv6:
      builder.flags = 0x2000
      builder.fragmentOffset = 8 * Int.random(in: 0...2, using: &random)
    case 2 where builder.isIPv6:
      builder.extensions = [(44, [0] + bytes16(8 * Int.random(in: 0...1, using: &random) | 1) + [1, 2, 3, 4])]
    default: break
    }
    for _ in 0..<max(0, Int.random(in: -3...2, using: &random)) {
      let type = Bool.random(using: &random) ? 0x8100 : 0x88a8
      builder.vlans.append((type, Int.random(in: 4...6, using: &random)))
    }
    return Array(builder.bytes.prefix(128))
  }
}
