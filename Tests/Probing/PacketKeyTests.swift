// SPDX-License-Identifier: GPL-2.0-or-later
import CLatprobeABI
import Testing

private func packet(_ frame: [UInt8], _ identity: lp_identity = LP_IDENTITY_FULL) -> lp_packet? {
  var packet = lp_packet()
  let result = unsafe lp_packet_of_frame(
    &packet, frame, UInt32(frame.count), UInt32(frame.count), Int32(identity.rawValue))
  return result == 0 ? packet : nil
}

private func packet(_ builder: FrameBuilder, _ identity: lp_identity = LP_IDENTITY_FULL) throws -> lp_packet {
  try #require(packet(builder.bytes, identity))
}

/// One packet, and what a change does to it.
private struct Change: Sendable, CustomTestStringConvertible {
  var name: String
  var before: FrameBuilder
  var after: FrameBuilder
  var testDescription: String { name }

  init(_ name: String, _ before: FrameBuilder, _ change: (inout FrameBuilder) -> Void) {
    self.name = name
    self.before = before
    after = before.with(change)
  }

  init(_ name: String, _ before: FrameBuilder, _ after: FrameBuilder) {
    self.name = name
    self.before = before
    self.after = after
  }
}

@Suite struct PacketKeyTests {
  private static let payload = [UInt8](1...40)
  private static let options: [UInt8] = [1, 1, 8, 10, 0, 0, 0, 7, 0, 0, 0, 9]  // NOP NOP time stamps

  private static let unchanging: [Change] = [FrameBuilder.udp(), .tcp(), .tcp(payload), .icmp()].flatMap { four in
    [four, four.ipv6()].flatMap { builder in
      [
        Change("TTL of \(builder)", builder) { $0.ttl = 3 },
        Change("DSCP and ECN of \(builder)", builder) { $0.tos = 0xb9 },
        Change("VLAN tag of \(builder)", builder) { $0.vlans = [(0x8100, 5)] },
        Change("two VLAN tags of \(builder)", builder) { $0.vlans = [(0x88a8, 7), (0x8100, 5)] },
        Change("IP checksum of \(builder)", builder) { $0.ipChecksum = 0x4242 },
        Change("transport checksum of \(builder)", builder) {
          let at = $0.protocolNumber == 6 ? 16 : $0.protocolNumber == 17 ? 6 : 2
          $0.transport[at] ^= 0xff
          $0.transport[at + 1] ^= 0xff
        },
      ]
    }
  }

  /// As virtio-net may hand over a long segment: its TCP header up to the checksum, the rest in pages.
  @Test func aSegmentIsKnownByWhatIsLinear() throws {
    for segment in [FrameBuilder.tcp(PacketKeyTests.payload), .tcp(PacketKeyTests.payload).ipv6()] {
      let (frame, whole) = (segment.bytes, try packet(segment))
      let linear = UInt32(14 + (segment.isIPv6 ? 40 : 20) + 18)
      var part = lp_packet()
      let result = unsafe lp_packet_of_frame(
        &part, frame, linear, UInt32(frame.count), Int32(LP_IDENTITY_FULL.rawValue))
      #expect(result == 0 && part.key == whole.key && part.flow == whole.flow && part.sequence == whole.sequence)
    }
  }

  @Test(arguments: unchanging) private func whatChangesOnTheWayIsNotInTheKey(_ change: Change) throws {
    #expect(change.before.bytes != change.after.bytes || change.before.isIPv6)
    for identity in [LP_IDENTITY_FULL, LP_IDENTITY_NAT_PROOF] {
      let before = try packet(change.before, identity)
      let after = try packet(change.after, identity)
      #expect(before.key == after.key && before.key != 0)
      #expect(before.sample == after.sample && before.flow == after.flow && before.sample_flow == after.sample_flow)
      #expect(before.length == after.length && before.kind == after.kind && before.header_words == after.header_words)
    }
  }

  /// Every field that tells packets apart, each by a change of one bit or byte; the NAT-proof key sees these too.
  private static let identifying: [Change] =
    [
      Change("IPv4 id, low", .udp()) { $0.id ^= 1 },
      Change("IPv4 id, high", .udp()) { $0.id ^= 0x8000 },
      Change("protocol", .udp()) { $0.protocolNumber = 136 },
      Change("UDP length", .udp(payload), .udp(payload + [0])),
      Change("sequence, low", .tcp(payload), .tcp(payload, sequence: 0x0102_0305)),
      Change("sequence, high", .tcp(payload), .tcp(payload, sequence: 0x8102_0304)),
      Change("acknowledgment", .tcp(payload), .tcp(payload, acknowledgment: 0x0a0b_0c0c)),
      Change("TCP flags", .tcp(payload), .tcp(payload, flags: 0x18)),
      Change("window", .tcp(payload), .tcp(payload, window: 500)),
      Change("options of an acknowledgment", .tcp(options: options), .tcp(options: options.dropLast() + [8])),
      Change("ICMP type", .icmp(), .icmp(type: 0)),
      Change("ICMP code", .icmp(), .icmp(code: 1)),
      Change("ICMP sequence", .icmp(), .icmp(sequence: 4)),
      Change("flow label, low", FrameBuilder.udp().ipv6()) { $0.flowLabel ^= 1 },
      Change("flow label, high", FrameBuilder.tcp().ipv6()) { $0.flowLabel ^= 0x80000 },
      Change("IPv6 fragment id", fragment6(offset: 8, id: 5), fragment6(offset: 8, id: 6)),
      Change("IPv6 fragment offset", fragment6(offset: 8, id: 5), fragment6(offset: 16, id: 5)),
      Change("IPv4 fragment offset", .udp()) { $0.fragmentOffset = 8 },
      Change("IPv4 fragment offset", FrameBuilder.udp().with { $0.fragmentOffset = 8 }) { $0.fragmentOffset = 16 },
    ]
    + (1...16).flatMap { byte in
      [FrameBuilder.udp(payload), .icmp(payload: payload)].flatMap { four in
        [four, four.ipv6()].map { builder in
          Change("payload byte \(byte) of \(builder)", builder) { $0.transport[8 + byte - 1] ^= 0x80 }
        }
      }
    }
    + (1...16).map { count in
      Change("last of \(count) payload bytes", .udp([UInt8](1...16).dropLast(16 - count))) {
        $0.transport[8 + count - 1] ^= 1
      }
    }

  /// What a NAT rewrites: only the full key tells these apart.
  private static let addressing: [Change] = [
    Change("source", .udp()) { $0.source[3] ^= 1 },
    Change("destination", .udp()) { $0.destination[3] ^= 1 },
    Change("source port", .udp(), .udp(from: 40_001)),
    Change("destination port", .udp(), .udp(to: 5002)),
    Change("TCP source port", .tcp(payload), .tcp(payload, from: 40_001)),
    Change("TCP destination port", .tcp(payload), .tcp(payload, to: 5202)),
    Change("ICMP id", .icmp(), .icmp(id: 78)),
    Change("IPv6 source", FrameBuilder.udp().ipv6()) { $0.source[2] ^= 1 },
    Change("IPv6 destination", FrameBuilder.tcp(payload).ipv6()) { $0.destination[15] ^= 1 },
    Change(
      "the other way round", .udp(), FrameBuilder.udp(from: 5001, to: 40_000).with { swap(&$0.source, &$0.destination) }
    ),
  ]

  private static func fragment6(offset: Int, id: UInt32) -> FrameBuilder {
    FrameBuilder.udp().ipv6().with { $0.extensions = [(44, [0] + bytes16(offset) + bytes32(id))] }
  }

  @Test(arguments: identifying) private func whatTellsPacketsApartIsInEveryKey(_ change: Change) throws {
    for identity in [LP_IDENTITY_FULL, LP_IDENTITY_NAT_PROOF] {
      let before = try packet(change.before, identity)
      let after = try packet(change.after, identity)
      #expect(before.key != after.key)
      #expect(before.sample != after.sample)
    }
  }

  @Test(arguments: addressing) private func addressesAndPortsAreInTheFullKeyAlone(_ change: Change) throws {
    #expect(try packet(change.before).key != packet(change.after).key)
    let before = try packet(change.before, LP_IDENTITY_NAT_PROOF)
    let after = try packet(change.after, LP_IDENTITY_NAT_PROOF)
    #expect(before.key == after.key)
    // The packets that sampling picks are the same on both sides of a NAT, whatever the key.
    #expect(before.sample == after.sample)
    #expect(before.flow != after.flow)
  }

  @Test func aNATOfAllAtOnceKeepsTheNATProofKey() throws {
    for (before, after) in [
      (FrameBuilder.udp(payload0), FrameBuilder.udp(payload0, from: 61_000, to: 7, checksum: 1)),
      (.tcp(payload0, options: options0), .tcp(payload0, from: 61_000, to: 7, checksum: 1, options: options0)),
      (.tcp(options: options0), .tcp(from: 61_000, checksum: 1, options: options0)),
      (.icmp(), .icmp(id: 9)),
    ] {
      let rewritten = after.with {
        $0.source = [192, 0, 2, 1]
        $0.destination = [198, 51, 100, 9]
        $0.ttl = 63
      }
      #expect(try packet(before, LP_IDENTITY_NAT_PROOF).key == packet(rewritten, LP_IDENTITY_NAT_PROOF).key)
    }
  }

  private var payload0: [UInt8] { PacketKeyTests.payload }
  private var options0: [UInt8] { PacketKeyTests.options }

  @Test func directionsAreTwoFlowsButOneForSampling() throws {
    let there: [FrameBuilder] = [.udp(), .tcp(payload0), .icmp(), FrameBuilder.udp().ipv6(), FrameBuilder.tcp().ipv6()]
    let back: [FrameBuilder] = [
      .udp(from: 5001, to: 40_000), .tcp(from: 5201, to: 40_000), .icmp(type: 0),
      FrameBuilder.udp(from: 5001, to: 40_000).ipv6(),
      FrameBuilder.tcp(from: 5201, to: 40_000).ipv6(),
    ]
    for (there, back) in zip(there, back) {
      let forward = try packet(there)
      let backward = try packet(back.with { swap(&$0.source, &$0.destination) })
      #expect(forward.flow != backward.flow)
      #expect(forward.sample_flow == backward.sample_flow)
      #expect(forward.source_port == backward.destination_port)
    }
    // Another flow of the same hosts is another flow for sampling too.
    #expect(try packet(.udp()).sample_flow != packet(.udp(from: 40_001)).sample_flow)
  }

  @Test func fieldsAreReadFromTheirPlaces() throws {
    for builder in [FrameBuilder.tcp(payload0, options: options0), .tcp(payload0, options: options0).ipv6()] {
      let read = try packet(builder)
      #expect(read.kind == UInt8(LP_KIND_TCP.rawValue) && read.sequence == 0x0102_0304)
      #expect(read.source_port == 40_000 && read.destination_port == 5201 && read.protocol == 6)
      #expect(read.family == (builder.isIPv6 ? 6 : 4))
      #expect(Int(read.header_words) * 4 == (builder.isIPv6 ? 40 : 20) + 32)
      #expect(Int(read.length) == builder.bytes.count - 14)
    }
    // Options of a segment with data change on the way (offload splits it): not in the key.
    #expect(
      try packet(.tcp(payload0, options: options0)).key
        == packet(.tcp(payload0, options: options0.dropLast() + [8])).key)
  }

  @Test func ipOptionsAndExtensionsDoNotHideTheTransport() throws {
    let options = try packet(FrameBuilder.udp().with { $0.ipOptions = [1, 1, 1, 0] })
    #expect(
      options.kind == UInt8(LP_KIND_UDP.rawValue) && options.destination_port == 5001 && options.header_words == 8)
    let chains: [[(type: UInt8, rest: [UInt8])]] = [
      [(0, [0, 5, 2, 0, 0, 1, 0])],  // hop by hop with a router alert
      [(60, [1] + [UInt8](repeating: 0, count: 14))],  // destination options of 16 bytes
      [(0, [0, 1, 4, 0, 0, 0, 0]), (43, [0, 3, 0, 0, 0, 0, 0]), (60, [0, 1, 4, 0, 0, 0, 0])],
      [(44, [0] + bytes16(1) + bytes32(9))],  // the first fragment
    ]
    for chain in chains {
      let read = try packet(FrameBuilder.udp(payload0).ipv6().with { $0.extensions = chain })
      #expect(read.kind == UInt8(LP_KIND_UDP.rawValue) && read.protocol == 17)
      #expect(read.source_port == 40_000 && read.destination_port == 5001)
      #expect(Int(read.header_words) * 4 == 40 + chain.reduce(0) { $0 + $1.rest.count + 1 } + 8)
    }
  }

  @Test func laterFragmentsAreOfTheHostsAlone() throws {
    for builder in [
      FrameBuilder.udp().with { $0.fragmentOffset = 1480 }, PacketKeyTests.fragment6(offset: 1480, id: 5),
    ] {
      let read = try packet(builder)
      #expect(read.kind == UInt8(LP_KIND_FRAGMENT.rawValue) && read.source_port == 0 && read.destination_port == 0)
      // What looks like ports is payload.
      #expect(try packet(builder.with { $0.transport[0] ^= 0xff }).flow == read.flow)
    }
  }

  @Test func whatIsNotIPHasNoKey() {
    #expect(packet([UInt8](repeating: 0, count: 60)) == nil)
    #expect(packet([]) == nil)
    let whole = FrameBuilder.udp().bytes
    for count in 0..<34 { #expect(packet(Array(whole.prefix(count))) == nil) }
    #expect(packet(Array(whole.prefix(34))) != nil)
    let six = FrameBuilder.udp().ipv6().bytes
    for count in 0..<54 { #expect(packet(Array(six.prefix(count))) == nil) }
    #expect(packet([UInt8](repeating: 0x81, count: 12) + [UInt8](repeating: 0, count: 2)) == nil)
    // VLAN tags to the end.
    let tags = (0..<12).map { _ in UInt8(2) } + (0..<100).flatMap { _ in [0x81, 0x00, 0x00, 0x05] as [UInt8] }
    #expect(packet(tags) == nil)
  }

  /// Whatever bytes come, the answer is a packet or none, within the frame's own bytes.
  @Test func hostileFramesDoNoHarm() {
    var random = Seeded(state: 7)
    var read = 0
    for round in 0..<100_000 {
      var frame: [UInt8]
      if round % 2 == 0 {
        frame = (0..<Int.random(in: 0...140, using: &random)).map { _ in UInt8.random(in: 0...255, using: &random) }
        // Random bytes alone hardly ever are IP.
        if frame.count > 15 { frame[14] = [0x45, 0x4f, 0x40, 0x60][round / 2 % 4] }
        if frame.count > 13 { (frame[12], frame[13]) = round / 8 % 2 == 0 ? (8, 0) : (0x86, 0xdd) }
      } else {
        frame = manyFrames(&random, count: 1)[0]
        for _ in 0..<3 {
          frame[Int.random(in: 0..<frame.count, using: &random)] = UInt8.random(in: 0...255, using: &random)
        }
        frame = Array(frame.prefix(Int.random(in: 0...frame.count, using: &random)))
      }
      for identity in [LP_IDENTITY_FULL, LP_IDENTITY_NAT_PROOF] {
        guard let first = packet(frame, identity) else { continue }
        read += 1
        #expect(first.key != 0 && first.kind <= 4)
        #expect(packet(frame, identity)?.key == first.key)
      }
    }
    #expect(read > 50_000)
  }
}
