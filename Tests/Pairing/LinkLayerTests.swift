// SPDX-License-Identifier: GPL-2.0-or-later
import Testing

@testable import Pairing

/// The one table of link layers.
@Suite struct LinkLayerTests {
  private let ip: [UInt8] = [0x45] + [UInt8](repeating: 0, count: 19)
  private let addresses = [UInt8](repeating: 2, count: 12)

  private func payload(_ number: Int, _ bytes: [UInt8], vlan: UInt16? = nil) -> LinkPayload {
    LinkType(number: number).payload(of: bytes.span, vlan: vlan)
  }

  @Test func tagsAreHandedOverFromTheOutermost() {
    let one = addresses + [0x81, 0, 0, 42] + [8, 0] + ip
    #expect(payload(1, one) == .ip(18, VLANTags([42])))
    let two = addresses + [0x88, 0xA8, 0xE0, 10, 0x81, 0, 0, 20] + [8, 0] + ip
    #expect(payload(1, two) == .ip(22, VLANTags([10, 20])) && payload(1, two) != .ip(22, VLANTags([20, 10])))
    // The kernel takes the outermost tag out.
    #expect(payload(1, one, vlan: 0x2007) == .ip(18, VLANTags([7, 42])))
    #expect(payload(1, addresses + [8, 0] + ip, vlan: 7) == .ip(14, VLANTags([7])))
    // A priority tag names no VLAN.
    #expect(payload(1, addresses + [0x81, 0, 0xE0, 0] + [8, 0] + ip) == .ip(18, VLANTags()))
    #expect(payload(113, [UInt8](repeating: 0, count: 14) + [0x81, 0, 0, 5] + [8, 0] + ip) == .ip(20, VLANTags([5])))
    let cooked: [UInt8] = [0x81, 0] + [UInt8](repeating: 0, count: 18) + [0, 5] + [0x86, 0xDD] + [0x60]
    #expect(payload(276, cooked) == .ip(24, VLANTags([5])))
  }

  @Test(arguments: [1, 7, 8, 9, 10_000]) func tagsHaveABound(_ count: Int) {
    let frame = addresses + (0..<count).flatMap { _ in [0x81, 0, 0, 1] as [UInt8] } + [8, 0] + ip
    let tags = VLANTags([UInt16](repeating: 1, count: min(count, 8)))
    #expect(payload(1, frame) == (count > 8 ? .notIP : .ip(14 + 4 * count, tags)))
  }

  /// Wherever bytes end, it is told, and no byte behind is looked at.
  @Test func everyCut() {
    let frames: [(Int, [UInt8])] = [
      (1, addresses + [0x81, 0, 0, 42, 0x81, 0, 0, 43] + [8, 0] + ip),
      (113, [UInt8](repeating: 0, count: 14) + [8, 0] + ip), (276, [8, 0] + [UInt8](repeating: 0, count: 18) + ip),
      (0, [2, 0, 0, 0] + ip), (108, [0, 0, 0, 30] + ip), (101, ip),
    ]
    for (number, frame) in frames {
      guard case .ip(let place, _) = payload(number, frame) else {
        Issue.record("\(number)")
        continue
      }
      for count in frame.indices {
        let found = payload(number, Array(frame[..<count]))
        if count <= place { #expect(found == .ends, "\(number) \(count)") }
      }
    }
  }

  @Test func whatIsNotRead() {
    for number in [9, 105, 127, 147, 195, 1000] {
      #expect(!LinkType(number: number).isRead && payload(number, ip) == .notIP)
    }
    for number in [0, 1, 12, 14, 101, 108, 113, 228, 229, 276] { #expect(LinkType(number: number).isRead) }
    #expect(payload(1, addresses + [8, 6] + ip) == .notIP && payload(1, addresses + [0x88, 0x64] + ip) == .notIP)
    #expect(payload(1, addresses + [8, 0, 0x15]) == .notIP && payload(0, [5, 0, 0, 0] + ip) == .notIP)
  }

  /// A packet that the kernel segments later: each of its datagrams is a message.
  @Test func datagramsOfASuperPacket() {
    let (client, server) = (Station(number: 1, port: 40_000), Station(number: 2, port: 7))
    func message(_ number: Int) -> [UInt8] { [UInt8(number)] + [UInt8](repeating: 0, count: 99) }
    var packets = [Wire().udp(0, client, server, (0..<9).flatMap(message) + [99])]
    packets[0].segmentSize = 100
    for number in 0..<9 { packets.append(Wire().udp(Int64(1000 + number), server, client, message(number))) }
    let (pairs, tally, _) = paired(packets, as: .udpEcho)
    #expect(pairs.count == 9 && tally.requests == 10 && tally.unanswered == 1)
    #expect(pairs.map(\.delay) == (0..<9).map { Int64(1000 + $0) })
  }

  /// Where nobody says how many datagrams a long packet holds.
  @Test func perhapsSeveral() {
    let (client, server) = (Station(number: 1, port: 40_000), Station(number: 2, port: 7))
    var packets = [1_472, 1_473, 9_000].map {
      Wire().udp(0, client, server, [UInt8](repeating: UInt8($0 & 255), count: $0))
    }
    #expect(paired(packets, as: .udpEcho).ledger.packets.perhapsSeveral == 2)
    packets[2].segmentSize = 0
    #expect(paired(packets, as: .udpEcho).ledger.packets.perhapsSeveral == 1)
    #expect(paired(packets, as: .dns).ledger.packets.perhapsSeveral == 0)
  }

  /// Both sides of an exchange cut at different places, by a tag, by options or by the snap length: never lost.
  @Test(arguments: [PairingProtocol.icmp, .udpEcho], [true, false])
  func keysThatAreCut(_ kind: PairingProtocol, isRequest: Bool) {
    for isTagged in [true, false] { checkCut(kind, isRequest: isRequest, isTagged: isTagged) }
  }

  private func checkCut(_ kind: PairingProtocol, isRequest: Bool, isTagged: Bool) {
    var (short, whole) = (Wire(), Wire())
    if isTagged { short.vlans = [10, 20, 30, 40] } else { short.ipOptions = [UInt8](repeating: 1, count: 16) }
    (short.snap, whole.snap) = (60, 80)
    let (client, server) = (Station(number: 1, port: 40_000), Station(number: 2, port: 7))
    var packets: [PairingPacket] = []
    for number in 0..<3 {
      let (request, answer) = isRequest ? (short, whole) : (whole, short)
      let time = Int64(number * 1_000)
      let data = [UInt8](repeating: UInt8(number), count: 60)
      if kind == .icmp {
        packets.append(request.echo(time, client, server, sequence: number, data: data))
        packets.append(answer.echo(time + 300, server, client, isReply: true, sequence: number, data: data))
      } else {
        packets.append(request.udp(time, client, server, data))
        packets.append(answer.udp(time + 300, server, client, data))
      }
    }
    let (pairs, tally, _) = paired(packets, as: kind)
    #expect(pairs.isEmpty && tally.unanswered == 0 && tally.truncated == 3, "\(tally)")
  }
}
