// SPDX-License-Identifier: GPL-2.0-or-later
import Pairing
import Testing

/// A DNS message with one question of type A.
func dns(_ id: Int, _ name: String?, isResponse: Bool = false) -> [UInt8] {
  var question: [UInt8] = []
  if let name {
    for label in name.split(separator: ".") { question += [UInt8(label.utf8.count)] + Array(label.utf8) }
    question += [0, 0, 1, 0, 1]
  }
  return bytes16(id) + bytes16(isResponse ? 0x8180 : 0x0100) + bytes16(name == nil ? 0 : 1)
    + [UInt8](repeating: 0, count: 6) + question
}

@Suite struct DNSTests {
  let client = Station(number: 1, port: 40_000)
  let server = Station(number: 2, port: 53)
  let second: Int64 = 1_000_000_000

  func ask(_ time: Int64, _ id: Int = 7, _ name: String = "a.example") -> PairingPacket {
    Wire().udp(time, client, server, dns(id, name))
  }
  func answer(_ time: Int64, _ id: Int = 7, _ name: String? = "a.example") -> PairingPacket {
    Wire().udp(time, server, client, dns(id, name, isResponse: true))
  }

  @Test func pairsByIDAndQuestion() throws {
    // Answers in another order, one id for two questions, and the case of letters does not matter.
    let (pairs, tally, _) = paired(
      [
        ask(100), ask(200, 7, "b.example"), ask(300, 8), answer(1_000, 8), answer(1_100, 7, "B.eXample"), answer(1_207),
      ], as: .dns)
    #expect(pairs.map(\.start) == [300, 200, 100] && pairs.map(\.end) == [1_000, 1_100, 1_207])
    #expect(pairs.map(\.delay) == [700, 900, 1_107] && pairs.allSatisfy { $0.name == "dns" && !$0.retransmitted })
    #expect(pairs.map(\.endLast) == [1_000, 1_100, 1_207])
    #expect(pairs.first?.key == "id 8 a.example type 1")
    #expect(pairs.first?.client.description == "10.77.0.1:40000" && pairs.first?.server.description == "10.77.0.2:53")
    #expect(tally.requests == 3 && tally.paired == 3 && tally.waiting == 0)
  }

  @Test func countsARepeatFromTheFirstQuery() {
    let (pairs, tally, _) = paired([ask(0), ask(5 * second), answer(5 * second + 23)], as: .dns)
    #expect(pairs.map(\.delay) == [5 * second + 23] && pairs.map(\.retransmitted) == [true])
    #expect(tally.requests == 1 && tally.repeatedRequests == 1 && tally.retransmitted == 1)
  }

  @Test func beginsAnewAfterSevenSeconds() {
    let (pairs, tally, _) = paired([ask(0), ask(7 * second), answer(7 * second + 23)], as: .dns)
    #expect(pairs.map(\.delay) == [23] && pairs.map(\.retransmitted) == [false])
    #expect(tally.requests == 2 && tally.unanswered == 1)
  }

  @Test func countsWhatDoesNotFit() {
    let short = Wire().udp(5, client, server, Array(dns(9, "a.example").prefix(11)))
    let cut = Wire(snap: 50).udp(6, client, server, dns(9, "a.example"))
    let (pairs, tally, ledger) = paired(
      [answer(-second), ask(2), answer(3, 7, "c.example"), short, cut, answer(9, 7, nil), answer(10)], as: .dns)
    // The answer without a question is to the only query with its id.
    #expect(pairs.map(\.delay) == [7])
    #expect(tally.unmatchedResponses == 2 && tally.repeatedResponses == 1)
    #expect(tally.malformed == 1 && tally.truncated == 1)
    #expect(ledger.packets.packets == 7 && ledger.packets.truncated == 1)
  }

  @Test func readsEveryLinkTypeAndHeader() {
    var wires = [1, 101, 113, 276, 0, 108].map { Wire(link: $0) }
    wires += [Wire(vlans: [5]), Wire(vlans: [5, 6]), Wire(link: 113, vlans: [5])]
    wires += [Wire(ipOptions: [1, 1, 1, 0])]
    wires += [Wire(extensions: [(0, [0, 1, 4, 0, 0, 0, 0]), (60, [1] + [UInt8](repeating: 0, count: 14))])]
    // An atomic fragment is whole.
    wires += [Wire(extensions: [(44, [0, 0, 0, 0, 0, 0, 1])])]
    for isIPv6 in [false, true] {
      for wire in wires {
        let (client, server) = (
          Station(number: 1, port: 40_000, isIPv6: isIPv6), Station(number: 2, port: 53, isIPv6: isIPv6)
        )
        let (pairs, _, ledger) = paired(
          [
            wire.udp(100, client, server, dns(7, "a")), wire.udp(123, server, client, dns(7, "a", isResponse: true)),
          ], as: .dns)
        #expect(pairs.map(\.delay) == [23], "\(wire) \(isIPv6) \(ledger)")
        #expect(pairs.first?.client.description == (isIPv6 ? "[fd77::1]:40000" : "10.77.0.1:40000"))
      }
    }
  }

  @Test func countsFragmentsAndForeignPackets() {
    var wire = Wire()
    wire.fragment = 0x2000
    let arp = PairingPacket(
      time: 1, linkType: 1, length: 42,
      bytes: [UInt8](repeating: 1, count: 12) + [8, 6] + [UInt8](repeating: 0, count: 28))
    let ledger = paired([wire.udp(1, client, server, dns(7, "a")), arp], as: .dns).ledger
    #expect(ledger.packets.fragments == 1 && ledger.packets.notIP == 1 && ledger["dns"]?.requests == 0)
  }

  @Test func evictsTheOldest() {
    var limits = PairingLimits()
    limits.pending = 23
    let (pairs, tally, _) = paired(
      (0..<101).map { ask(Int64($0), $0) } + (0..<101).map { answer(Int64(1_000 + $0), $0) }, as: .dns, limits: limits)
    #expect(pairs.map(\.start) == (78..<101).map { Int64($0) })
    #expect(tally.requests == 101 && tally.evicted == 78 && tally.unmatchedResponses == 78 && tally.waiting == 0)
  }

  @Test func readsTCP() {
    var talk = Talk(port: 53)
    func framed(_ message: [UInt8]) -> [UInt8] { bytes16(message.count) + message }
    let first = framed(dns(1, "a.example"))
    // One query in two segments, the second one with another query behind it; answers in another order.
    talk.ask(100, Array(first.prefix(5)))
    talk.ask(110, Array(first.dropFirst(5)) + framed(dns(2, "b.example")))
    let answers = [framed(dns(2, "b.example", isResponse: true)), framed(dns(1, "a.example", isResponse: true))]
    talk.answer(200, Array(answers[0].prefix(1)))
    talk.answer(230, Array(answers[0].dropFirst(1)) + answers[1])
    let (pairs, tally, _) = paired(talk.packets, as: .dns)
    #expect(pairs.map(\.start) == [110_000, 110_000] && pairs.map(\.end) == [200_000, 230_000])
    #expect(pairs.map(\.endLast) == [230_000, 230_000] && tally.paired == 2 && tally.gaps == 0)
  }
}

@Suite struct ICMPTests {
  @Test(arguments: [false, true]) func pairsEchoes(isIPv6: Bool) {
    let (client, server) = (Station(number: 1, isIPv6: isIPv6), Station(number: 2, isIPv6: isIPv6))
    let wire = Wire()
    let (pairs, tally, _) = paired(
      [
        wire.echo(100, client, server), wire.echo(150, client, server, sequence: 2),
        wire.echo(200, server, client, isReply: true, sequence: 2), wire.echo(223, server, client, isReply: true),
        // The other way round, and an answer that nobody asked for.
        wire.echo(300, server, client), wire.echo(307, client, server, isReply: true),
        wire.echo(400, client, server, isReply: true, sequence: 9),
        // Lost, and asked anew with the same number.
        wire.echo(500, client, server, sequence: 3, data: Array("first".utf8)),
        wire.echo(600, client, server, sequence: 3, data: Array("later".utf8)),
        wire.echo(613, server, client, isReply: true, sequence: 3, data: Array("later".utf8)),
      ], as: .icmp)
    #expect(pairs.map(\.delay) == [50, 123, 7, 13])
    #expect(tally.requests == 5 && tally.unanswered == 1 && tally.unmatchedResponses == 1)
    #expect(pairs.first?.client.description == (isIPv6 ? "fd77::1" : "10.77.0.1"))
  }
}
