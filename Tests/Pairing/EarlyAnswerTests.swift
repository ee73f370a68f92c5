// SPDX-License-Identifier: GPL-2.0-or-later
import Pairing
import Testing

/// Answers that were stamped a little before their request, in the same tick, or that come twice.
@Suite struct EarlyAnswerTests {
  private let client = Station(number: 1, port: 40_000)

  /// A request and its answer in each protocol that tells exchanges apart by a key.
  private func exchange(_ kind: PairingProtocol, _ asked: Int64, _ answered: Int64) -> [PairingPacket] {
    let wire = Wire()
    func udp(_ port: Int, _ question: [UInt8], _ answer: [UInt8]) -> [PairingPacket] {
      let server = Station(number: 2, port: port)
      return [wire.udp(asked, client, server, question), wire.udp(answered, server, client, answer)]
    }
    switch kind {
    case .dns: return udp(53, dns(7, "a.example"), dns(7, "a.example", isResponse: true))
    case .icmp:
      let server = Station(number: 2)
      return [wire.echo(asked, client, server), wire.echo(answered, server, client, isReply: true)]
    case .udpEcho: return udp(7, [1, 2, 3], [1, 2, 3])
    case .stamp:
      let time = [UInt8](repeating: 9, count: 12)
      return udp(
        862, time + [UInt8](repeating: 0, count: 32),
        [UInt8](repeating: 3, count: 24) + time + [0, 0, 0, 0, 0, 0, 0, 0])
    case .memcached:
      let header = [0, 1, 0, 0, 0, 1, 0, 0] as [UInt8]
      return udp(11_211, header + Array("get k\r\n".utf8), header + Array("END\r\n".utf8))
    case .sip: return udp(5_060, Call.message("BYE", "BYE"), Call.message("200 OK", "BYE"))
    case .tcpHandshake:
      let server = Station(number: 2, port: 80)
      return [
        wire.tcp(asked, client, server, sequence: 9, acknowledgment: 0, flags: 2),
        wire.tcp(answered, server, client, sequence: 99, acknowledgment: 10, flags: 0x12),
      ]
    default:
      let server = Station(number: 2, port: 80)
      return [
        wire.tcp(asked, client, server, sequence: 9, acknowledgment: 0, Array("xx".utf8)),
        wire.tcp(answered, server, client, sequence: 99, acknowledgment: 11, flags: 0x10),
      ]
    }
  }

  static let kinds: [PairingProtocol] = [
    .dns, .icmp, .udpEcho, .stamp, .memcached, .sip, .tcpHandshake, .tcpAcknowledgment,
  ]

  @Test(arguments: kinds) func anAnswerBeforeItsRequestIsDisordered(kind: PairingProtocol) {
    let packets = exchange(kind, 5_000, 2_000)
    let tally = paired([packets[1], packets[0]], as: kind).tally
    #expect(tally.disordered == 1 && tally.unanswered == (kind == .tcpHandshake ? 1 : 0), "\(tally)")
    #expect(tally.paired == 0 && tally.unmatchedResponses == 0 && tally.waiting == 0, "\(tally)")
  }

  @Test(arguments: kinds) func withinATickAnyOrderWillDo(kind: PairingProtocol) {
    let packets = exchange(kind, 5_000, 5_000)
    for order in [packets, packets.reversed()] {
      let (pairs, tally, _) = paired(order, as: kind)
      #expect(pairs.map(\.delay) == [0] && tally.disordered == 0 && tally.unmatchedResponses == 0, "\(tally)")
    }
  }

  @Test(arguments: kinds) func muchEarlierAnswersAreOthers(kind: PairingProtocol) {
    // The end of a connection's state is another matter.
    guard kind != .tcpAcknowledgment else { return }
    let packets = exchange(kind, 9_000_000, 0)
    let tally = paired([packets[1], packets[0]], as: kind).tally
    #expect(tally.disordered == 0 && tally.unmatchedResponses == 1 && tally.unanswered >= 1, "\(tally)")
  }

  @Test(arguments: kinds.dropLast(2)) func aSecondAnswerIsACopy(kind: PairingProtocol) {
    let packets = exchange(kind, 0, 300_000)
    let (pairs, tally, _) = paired([packets[0], packets[1], packets[1].at(350_000)], as: kind)
    #expect(
      pairs.map(\.delay) == [300_000] && tally.repeatedResponses == 1 && tally.unmatchedResponses == 0, "\(tally)")
  }

  @Test func aCopyOfWhatWasAnsweredIsNotLost() {
    for kind in [PairingProtocol.dns, .icmp, .stamp] {
      let packets = exchange(kind, 0, 30_000)
      let copied = paired([packets[0], packets[1], packets[0].at(50_000)], as: kind).tally
      #expect(copied.requests == 1 && copied.repeatedRequests == 1 && copied.unanswered == 0, "\(copied)")
      // Both, or one that comes much later.
      let both = paired(packets + [packets[0].at(50_000), packets[1].at(80_000)], as: kind)
      #expect(both.pairs.map(\.delay) == [30_000, 30_000])
      #expect(paired(packets + [packets[0].at(1_000_000_000)], as: kind).tally.unanswered == 1)
    }
  }

  @Test func oneAnswerBeforeAndOneBehindIsNotGuessed() {
    let packets = exchange(.udpEcho, 3_000, 5_000)
    let tally = paired([packets[1].at(0), packets[0], packets[1]], as: .udpEcho).tally
    #expect(tally.ambiguous == 1 && tally.abandoned == 1 && tally.paired == 0 && tally.unanswered == 0)
  }

  /// TCP's numbers tell the order, so that the connection stays in step.
  @Test func answersOfAStreamMayComeEarly() {
    let (get, ok) = (Array("GET / HTTP/1.1\r\n\r\n".utf8), Array("HTTP/1.1 204 No\r\n\r\n".utf8))
    for early in [0, 3_000, 4_900_000] as [Int64] {
      var talk = Talk(port: 80)
      talk.ask(10_000, get)
      talk.answer(10_000, ok)
      talk.acknowledge(10_100)
      talk.ask(20_000, get)
      talk.answer(20_023, ok)
      var packets = talk.packets
      packets[4].time -= early
      packets.swapAt(3, 4)
      let (pairs, tally, _) = paired(packets, as: .http)
      #expect(pairs.map(\.delay) == (early == 0 ? [0, 23_000] : [23_000]), "\(early): \(tally)")
      #expect(tally.disordered == (early == 0 ? 0 : 1) && tally.unanswered == 0 && tally.gaps == 0, "\(tally)")
    }
  }

  @Test func forwardedMessagesMayLeaveEarly() {
    var lines = Call.whole
    // The INVITE leaves before it enters, the BYE within the tick.
    lines[2].0 = 97
    lines[10].0 = 500
    let packets = Call.packets(lines).enumerated().sorted {
      ($0.element.time, -$0.offset) < ($1.element.time, -$1.offset)
    }.map(\.element)
    let (pairs, tally, _) = paired(packets, as: .sipForward)
    #expect(pairs.map(\.delay) == [37, 41, 43, 0, 53].map { $0 * 1_000 }, "\(tally)")
    #expect(tally.disordered == 1 && tally.unanswered == 0 && tally.abandoned == 1)
  }
}
