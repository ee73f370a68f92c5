// SPDX-License-Identifier: GPL-2.0-or-later
import Pairing
import Testing

/// Which segments belong to a TCP connection, and which of them its ends accept.
@Suite struct ConnectionTests {
  private let ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
  private let get = "GET / HTTP/1.1\r\nHost: h.example\r\n\r\n"

  /// Two requests, each answered after 2 ms, with something strange between the first one and its answer.
  private func disturbed(_ strange: (Talk) -> [PairingPacket]) -> (pairs: [Pair], tally: PairTally, ledger: PairLedger)
  {
    var talk = Talk(port: 80)
    talk.ask(1_000, get)
    for packet in strange(talk) { talk.add(packet) }
    talk.answer(3_000, ok)
    talk.acknowledge(3_100)
    talk.ask(4_000, get)
    talk.answer(6_000, ok)
    talk.acknowledge(6_100)
    return paired(talk.packets, as: .http, .tcpAcknowledgment)
  }

  @Test func segmentsThatNobodyAcceptsChangeNothing() {
    let strange: [(String, (Talk) -> [PairingPacket])] = [
      ("nothing", { _ in [] }),
      (
        "reset far off",
        { [$0.wire.tcp(1_500_000, $0.client, $0.server, sequence: 0x7000_0000, acknowledgment: 0, flags: 4)] }
      ),
      (
        "reset of the server far off",
        { [$0.wire.tcp(1_500_000, $0.server, $0.client, sequence: 0x7000_0000, acknowledgment: 9, flags: 0x14)] }
      ),
      (
        "reset within the window",
        {
          [
            $0.wire.tcp(
              1_500_000, $0.server, $0.client, sequence: $0.serverNext + 10_000, acknowledgment: $0.clientNext, flags: 4
            )
          ]
        }
      ),
      (
        "SYN of another connection, which is answered by an acknowledgment",
        {
          [
            $0.wire.tcp(1_500_000, $0.client, $0.server, sequence: 0x7000_0000, acknowledgment: 0, flags: 2),
            $0.wire.tcp(
              1_510_000, $0.server, $0.client, sequence: $0.serverNext, acknowledgment: $0.clientNext, flags: 0x10),
          ]
        }
      ),
      (
        "old SYN/ACK",
        { [$0.wire.tcp(1_500_000, $0.server, $0.client, sequence: 0x7000_0000, acknowledgment: 77, flags: 0x12)] }
      ),
    ]
    for (name, packets) in strange {
      let (pairs, tally, ledger) = disturbed(packets)
      let http = pairs.filter { $0.name == "http-GET" }
      #expect(http.map(\.delay) == [2_000_000, 2_000_000], "\(name): \(ledger)")
      #expect(tally.unreadBytes == 0 && tally.gaps == 0 && ledger["tcp-ack"]?.requests == 4, "\(name): \(tally)")
    }
  }

  /// Ports that are used again, without the SYN, or without any packet of the handshake.
  @Test(arguments: [0, 1, 3], [true, false]) func anotherConnectionIsNotSwallowed(missing: Int, closes: Bool) {
    var first = Talk(port: 80, sequences: (100_000, 100_000))
    first.ask(1_000, get)
    first.answer(2_000, ok)
    first.acknowledge(2_100)
    if closes {
      first.answer(3_000, [], flags: 0x11)
      first.add(
        first.wire.tcp(
          3_010_000, first.client, first.server, sequence: first.clientNext, acknowledgment: first.serverNext &+ 1,
          flags: 0x11))
      first.add(
        first.wire.tcp(
          3_020_000, first.server, first.client, sequence: first.serverNext &+ 1,
          acknowledgment: first.clientNext &+ 1, flags: 0x10))
    }
    var second = Talk(port: 80, handshake: 1_000_000, sequences: (4_000_000_000, 3_000_000_000))
    for time in [1_100_000, 1_200_000] as [Int64] {
      second.ask(time, get)
      second.answer(time + 3_000, ok)
      second.acknowledge(time + 3_100)
    }
    let (pairs, tally, ledger) = paired(
      first.packets + second.packets.dropFirst(missing), as: .http, .tcpAcknowledgment)
    let about = "without \(missing), closed \(closes): \(ledger)"
    let delays = pairs.filter { $0.name == "http-GET" }.map(\.delay)
    if missing < 3 {
      #expect(delays == [1_000_000, 3_000_000, 3_000_000] && tally.unreadBytes == 0, "\(about)")
    } else {
      // In step again with the second request.
      #expect(delays == [1_000_000, 3_000_000] && tally.unreadBytes == get.utf8.count + ok.utf8.count, "\(about)")
    }
    #expect(ledger["tcp-ack"]?.paired == 6 && ledger["tcp-ack"]?.repeatedRequests == 0, "\(about)")
    #expect(tally.unanswered == 0, "\(about)")
  }

  /// Captures that were made, not captured, often have the same numbers in each connection.
  @Test func theSameNumbersAgainAreAnotherConnection() {
    var packets: [PairingPacket] = []
    for start in [0, 1_000_000] as [Int64] {
      var talk = Talk(port: 80, handshake: start)
      talk.ask(start + 1_000, get)
      talk.answer(start + 2_000, ok)
      talk.acknowledge(start + 2_100)
      talk.answer(start + 3_000, [], flags: 0x11)
      talk.add(
        talk.wire.tcp(
          (start + 3_010) * 1_000, talk.client, talk.server, sequence: talk.clientNext,
          acknowledgment: talk.serverNext &+ 1, flags: 0x11))
      talk.add(
        talk.wire.tcp(
          (start + 3_020) * 1_000, talk.server, talk.client, sequence: talk.serverNext &+ 1,
          acknowledgment: talk.clientNext &+ 1, flags: 0x10))
      packets += talk.packets
    }
    let (_, tally, ledger) = paired(packets, as: .http, .tcpAcknowledgment, .tcpHandshake)
    #expect(tally.paired == 2 && ledger["tcp-ack"]?.paired == 4 && ledger["tcp-handshake"]?.paired == 4, "\(ledger)")
  }

  // MARK: Handshakes

  private let client = Station(number: 1, port: 40_000)
  private let server = Station(number: 2, port: 80)

  private func segment(
    _ time: Int64, toServer: Bool, _ sequence: UInt32, _ acknowledgment: UInt32, _ flags: Int, _ text: String = ""
  ) -> PairingPacket {
    Wire().tcp(
      time * 1_000, toServer ? client : server, toServer ? server : client, sequence: sequence,
      acknowledgment: acknowledgment, flags: flags, Array(text.utf8))
  }

  @Test func aSYNMayCarryData() {
    var packets = [segment(0, toServer: true, 1_000, 0, 2, get)]
    let next = 1_001 + UInt32(get.utf8.count)
    for taken in [1_001, next] {
      packets = [packets[0], segment(100, toServer: false, 5_000, taken, 0x12)]
      if taken == 1_001 { packets.append(segment(110, toServer: true, 1_001, 5_001, 0x18, get)) }
      packets.append(segment(120, toServer: true, next, 5_001, 0x10))
      packets.append(segment(150, toServer: false, 5_001, next, 0x18, ok))
      let (pairs, _, ledger) = paired(packets, as: .tcpHandshake, .http)
      #expect(pairs.first?.delay == 100_000 && ledger["tcp-handshake"]?.paired == 2, "\(ledger)")
      #expect(pairs.last?.name == "http-GET" && pairs.last?.delay == 150_000)
      #expect(ledger["tcp-handshake"]?.unmatchedResponses == 0)
    }
  }

  @Test func refusedConnectionsAreNotLost() {
    var packets: [PairingPacket] = []
    for number in 0..<3 {
      packets.append(segment(Int64(number) * 1_000, toServer: true, 1_000 + UInt32(number), 0, 2))
      packets.append(segment(Int64(number) * 1_000 + 50, toServer: false, 0, 1_001 + UInt32(number), 0x14))
    }
    let tally = paired(packets, as: .tcpHandshake).tally
    #expect(tally.requests == 3 && tally.refused == 3 && tally.unanswered == 0)
    // A reset that does not acknowledge the SYN is nobody's answer; and a scanner resets what it opened.
    packets = [
      segment(0, toServer: true, 1_000, 0, 2), segment(10, toServer: false, 0, 77, 0x14),
      segment(100, toServer: false, 5_000, 1_001, 0x12), segment(110, toServer: true, 1_001, 0, 4),
    ]
    let scanned = paired(packets, as: .tcpHandshake).tally
    #expect(scanned.paired == 1 && scanned.refused == 1 && scanned.unanswered == 0)
  }

  @Test func aSYNThatComesAgainBehindItsAnswerIsACopy() {
    let packets = [
      segment(0, toServer: true, 1_000, 0, 2), segment(100, toServer: false, 5_000, 1_001, 0x12),
      segment(1_000_000, toServer: true, 1_000, 0, 2), segment(1_000_100, toServer: false, 5_000, 1_001, 0x12),
      segment(1_000_110, toServer: true, 1_001, 5_001, 0x18, get),
    ]
    let (pairs, tally, _) = paired(packets, as: .tcpHandshake)
    #expect(pairs.map(\.delay) == [100_000, 1_000_010_000] && tally.repeatedRequests == 2 && tally.unanswered == 0)
  }

  @Test func theFirstAcknowledgmentMayAcknowledgeMore() {
    let packets = [
      segment(0, toServer: true, 1_000, 0, 2), segment(100, toServer: false, 5_000, 1_001, 0x12),
      segment(105, toServer: false, 5_001, 1_001, 0x18, "220 ready\r\n"),
      segment(130, toServer: true, 1_001, 5_012, 0x10),
    ]
    let (pairs, tally, _) = paired(packets, as: .tcpHandshake)
    #expect(pairs.map(\.delay) == [100_000, 30_000] && tally.unanswered == 0)
  }

  // MARK: VLANs

  @Test func connectionsOfOtherVLANsAreOthers() {
    var packets: [PairingPacket] = []
    for (number, vlans) in [[], [42], [10, 20]].enumerated() {
      let start = Int64(number) * 5_000
      var talk = Talk(port: 80, handshake: start, wire: Wire(vlans: vlans))
      talk.ask(start + 7_000, get)
      talk.answer(start + 14_000, ok)
      talk.acknowledge(start + 14_500)
      packets += talk.packets
    }
    packets.sort { $0.time < $1.time }
    let (pairs, _, ledger) = paired(packets, as: .http, .tcpAcknowledgment, .tcpHandshake)
    #expect(pairs.prefix(3).map(\.delay) == [7_000_000, 7_000_000, 7_000_000], "\(ledger)")
    #expect(ledger["tcp-ack"]?.paired == 6 && ledger["tcp-handshake"]?.paired == 6, "\(ledger)")
    #expect(pairs.allSatisfy { [1_000, 500_000, 7_000_000].contains($0.delay) })
  }

  @Test(arguments: [([], [10]), ([10], []), ([10], [10]), ([10, 20], [])] as [([Int], [Int])])
  func oneWayMayHaveTags(tags: ([Int], [Int])) {
    let (there, back) = (Wire(vlans: tags.0), Wire(vlans: tags.1))
    var talk = Talk(port: 80)
    talk.ask(1_000, get)
    talk.answer(1_023, ok)
    talk.acknowledge(1_030)
    var packets = talk.packets.map { packet in
      // Source address, behind 14 bytes of Ethernet and 12 of IP.
      let isThere = packet.bytes[14 + 15] == 1
      var tagged = packet
      let vlans = (isThere ? there : back).vlans.flatMap { (tag: Int) -> [UInt8] in [0x81, 0x00] + bytes16(tag) }
      tagged.bytes.insert(contentsOf: vlans, at: 12)
      tagged.length += vlans.count
      return tagged
    }
    let dnsServer = Station(number: 2, port: 53)
    packets.append(there.udp(2_000_000, client, dnsServer, dns(7, "a.example")))
    packets.append(back.udp(2_000_009, dnsServer, client, dns(7, "a.example", isResponse: true)))
    let (_, _, ledger) = paired(packets, as: .http, .tcpAcknowledgment, .tcpHandshake, .dns)
    #expect(ledger.protocols.map(\.tally.paired) == [1, 2, 2, 1], "\(ledger)")
  }

  @Test func tagsThatDifferDoNotPair() {
    let server = Station(number: 2, port: 53)
    let tally = paired(
      [
        Wire(vlans: [10]).udp(0, client, server, dns(7, "a.example")),
        Wire(vlans: [20]).udp(9, server, client, dns(7, "a.example", isResponse: true)),
      ], as: .dns
    ).tally
    #expect(tally.paired == 0 && tally.unanswered == 1 && tally.unmatchedResponses == 1)
  }
}
