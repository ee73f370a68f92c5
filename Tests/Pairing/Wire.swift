// SPDX-License-Identifier: GPL-2.0-or-later
import Pairing

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

/// A station: an address of 10.77.0.0/24 or fd77::/64, and a port.
struct Station {
  var number: Int
  var port = 0
  var isIPv6 = false

  var address: [UInt8] {
    isIPv6 ? [0xfd, 0x77] + [UInt8](repeating: 0, count: 13) + [UInt8(number)] : [10, 77, 0, UInt8(number)]
  }
}

/// Frames put together field by field; checksums are not computed, since nothing here looks at them.
struct Wire {
  var link = 1
  var vlans: [Int] = []
  var ipOptions: [UInt8] = []
  var fragment = 0x4000
  /// IPv6 extension headers: (type, the header without its first byte).
  var extensions: [(type: UInt8, rest: [UInt8])] = []
  /// Bytes captured of each packet.
  var snap = Int.max
  /// Ethernet frames are padded to 60 bytes.
  var isPadded = true

  func packet(_ time: Int64, _ from: Station, _ to: Station, _ number: UInt8, _ transport: [UInt8]) -> PairingPacket {
    var ip: [UInt8]
    if from.isIPv6 {
      var next = number
      var rest: [UInt8] = []
      for header in extensions.reversed() {
        rest = [next] + header.rest + rest
        next = header.type
      }
      rest += transport
      ip = [0x60, 0, 0, 0] + bytes16(rest.count) + [next, 64] + from.address + to.address + rest
    } else {
      let header = 20 + ipOptions.count
      ip = [UInt8(0x40 | header / 4), 0] + bytes16(header + transport.count) + [0x12, 0x34]
      ip += bytes16(fragment) + [64, number, 0, 0] + from.address + to.address + ipOptions + transport
    }
    let type = bytes16(from.isIPv6 ? 0x86dd : 0x0800)
    let tags: [UInt8] = vlans.flatMap { (tag: Int) -> [UInt8] in [0x81, 0x00] + bytes16(tag) }
    var frame: [UInt8]
    switch link {
    case 1:
      frame = [UInt8](repeating: 2, count: 12) + tags + type + ip
      if isPadded && frame.count < 60 { frame += [UInt8](repeating: 0x55, count: 60 - frame.count) }
    case 113: frame = [UInt8](repeating: 0, count: 14) + tags + type + ip
    case 276: frame = type + [UInt8](repeating: 0, count: 18) + ip
    case 0: frame = [from.isIPv6 ? 10 : 2, 0, 0, 0] + ip
    case 108: frame = [0, 0, 0, from.isIPv6 ? 24 : 2] + ip
    default: frame = ip
    }
    return PairingPacket(time: time, linkType: link, length: frame.count, bytes: Array(frame.prefix(snap)))
  }

  func udp(_ time: Int64, _ from: Station, _ to: Station, _ payload: [UInt8]) -> PairingPacket {
    packet(
      time, from, to, 17, bytes16(from.port) + bytes16(to.port) + bytes16(8 + payload.count) + [0xbe, 0xef] + payload)
  }

  func echo(
    _ time: Int64, _ from: Station, _ to: Station, isReply: Bool = false, id: Int = 77, sequence: Int = 1,
    data: [UInt8] = Array("0123456789abcdef".utf8)
  ) -> PairingPacket {
    let type: UInt8 = from.isIPv6 ? (isReply ? 129 : 128) : (isReply ? 0 : 8)
    return packet(
      time, from, to, from.isIPv6 ? 58 : 1, [type, 0, 0x11, 0x11] + bytes16(id) + bytes16(sequence) + data)
  }

  func tcp(
    _ time: Int64, _ from: Station, _ to: Station, sequence: UInt32, acknowledgment: UInt32, flags: Int = 0x18,
    _ payload: [UInt8] = []
  ) -> PairingPacket {
    packet(
      time, from, to, 6,
      bytes16(from.port) + bytes16(to.port) + bytes32(sequence) + bytes32(acknowledgment) + bytes16(5 << 12 | flags)
        + bytes16(501) + [0xca, 0xfe, 0, 0] + payload)
  }
}

/// A TCP connection whose two ends speak in turn; each call is one segment, at a time in microseconds.
struct Talk {
  let client: Station
  let server: Station
  var wire = Wire()
  private(set) var packets: [PairingPacket] = []
  private(set) var clientNext: UInt32
  private(set) var serverNext: UInt32

  /// - Parameter handshake: when the SYN goes; the rest of the handshake follows 1 and 2 µs later. nil: none was seen.
  init(
    port: Int, clientPort: Int = 40_000, handshake: Int64? = 0, sequences: (UInt32, UInt32) = (1_000, 2_000),
    wire: Wire = Wire()
  ) {
    client = Station(number: 1, port: clientPort)
    server = Station(number: 2, port: port)
    self.wire = wire
    (clientNext, serverNext) = sequences
    guard let handshake else { return }
    add(wire.tcp(handshake * 1_000, client, server, sequence: clientNext, acknowledgment: 0, flags: 0x02))
    clientNext &+= 1
    add(
      wire.tcp(
        handshake * 1_000 + 1_000, server, client, sequence: serverNext, acknowledgment: clientNext, flags: 0x12))
    serverNext &+= 1
    add(
      wire.tcp(
        handshake * 1_000 + 2_000, client, server, sequence: clientNext, acknowledgment: serverNext, flags: 0x10))
  }

  func without(_ index: Int) -> Talk {
    var copy = self
    copy.packets.remove(at: index)
    return copy
  }

  mutating func add(_ packet: PairingPacket) { packets.append(packet) }

  mutating func ask(_ time: Int64, _ bytes: [UInt8], flags: Int = 0x18) {
    add(
      wire.tcp(
        time * 1_000, client, server, sequence: clientNext, acknowledgment: serverNext, flags: flags, bytes))
    clientNext &+= UInt32(bytes.count)
  }

  mutating func answer(_ time: Int64, _ bytes: [UInt8], flags: Int = 0x18) {
    add(
      wire.tcp(
        time * 1_000, server, client, sequence: serverNext, acknowledgment: clientNext, flags: flags, bytes))
    serverNext &+= UInt32(bytes.count)
  }

  mutating func ask(_ time: Int64, _ text: String) { ask(time, Array(text.utf8)) }
  mutating func answer(_ time: Int64, _ text: String) { answer(time, Array(text.utf8)) }
  mutating func acknowledge(_ time: Int64) { ask(time, [], flags: 0x10) }
}

/// Runs packets through a pairer to the end.
func paired(
  _ packets: [PairingPacket], as protocols: PairingProtocol..., ports: [PairingProtocol: [UInt16]] = [:],
  limits: PairingLimits = PairingLimits()
) -> (pairs: [Pair], tally: PairTally, ledger: PairLedger) {
  let pairer = Pairer(protocols, ports: ports, limits: limits)
  for packet in packets { pairer.take(packet) }
  pairer.finish()
  let ledger = pairer.ledger
  return (pairer.takePairs(), ledger.protocols.first?.tally ?? PairTally(), ledger)
}
