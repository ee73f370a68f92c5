// SPDX-License-Identifier: GPL-2.0-or-later
import Pairing
import Testing

/// A request is lost only where its answer would have been seen.
@Suite struct LossTests {
  private let ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
  private func get(_ number: Int) -> String { "GET /\(number) HTTP/1.1\r\nHost: h.example\r\n\r\n" }

  @Test func bytesThatAreMissingMayBeTheAnswer() {
    for flags in [0x11, 0x14] {
      var talk = Talk(port: 80)
      talk.ask(1_000, get(1))
      talk.answer(2_000, ok)
      talk.answer(2_100, [], flags: flags)
      let tally = paired(talk.without(4).packets, as: .http).tally
      #expect(tally.unanswered == 0 && tally.abandoned == 1 && tally.gaps == 1, "flags \(flags): \(tally)")
    }
  }

  @Test func unreadableBytesMayBeTheAnswer() {
    for text in ["no such thing", "HTTP/1.1 2"] {
      var talk = Talk(port: 80)
      talk.ask(1_000, get(1))
      talk.answer(2_000, Array(text.utf8), flags: 0x19)
      let tally = paired(talk.packets, as: .http).tally
      #expect(tally.unanswered == 0 && tally.abandoned == 1 && tally.unreadBytes == text.utf8.count)
    }
  }

  @Test func aGapWithinTheAnswerKeepsItsFirstByte() {
    let answers: [(port: Int, kind: PairingProtocol, request: String, answer: String)] = [
      (80, .http, "GET / HTTP/1.1\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 3000\r\n\r\n"),
      (80, .http, "GET / HTTP/1.1\r\n\r\n", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfff\r\n"),
      (80, .http, "GET / HTTP/1.1\r\n\r\n", "HTTP/1.1 200 OK\r\n\r\n"),
      (6_379, .redis, "GET a\r\n", "$3000\r\n"), (11_211, .memcached, "get a\r\n", "VALUE a 0 3000\r\n"),
    ]
    for (port, kind, request, answer) in answers {
      var talk = Talk(port: port)
      talk.ask(1_000, request + request)
      talk.answer(1_023, answer + "xxx")
      for time in [2_010, 2_020] { talk.answer(Int64(time), String(repeating: "x", count: 1_000)) }
      talk.acknowledge(2_100)
      let (pairs, tally, _) = paired(talk.without(5).packets, as: kind)
      #expect(pairs.map(\.delay) == [23_000] && pairs[0].endLast == nil, "\(answer) \(tally)")
      #expect(tally.gaps == 1 && tally.abandoned == 1 && tally.unanswered == 0, "\(answer) \(tally)")
    }
  }

  @Test func malformedBytesWithinTheAnswerKeepItsFirstByte() {
    var talk = Talk(port: 80)
    talk.ask(1_000, get(1))
    talk.answer(1_023, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n")
    talk.answer(1_100, "no chunk\r\n")
    let (pairs, tally, _) = paired(talk.packets, as: .http)
    #expect(pairs.map(\.delay) == [23_000] && tally.malformed == 1 && tally.abandoned == 0)
  }

  @Test func dnsOverTCPWaitsInVainBehindAGap() {
    func framed(_ message: [UInt8]) -> [UInt8] { bytes16(message.count) + message }
    var talk = Talk(port: 53)
    talk.ask(1_000, framed(dns(1, "a.example")))
    talk.answer(1_050, [], flags: 0x10)
    talk.answer(3_000, framed(dns(1, "a.example", isResponse: true)))
    talk.acknowledge(3_100)
    talk.ask(50_000, framed(dns(2, "b.example")))
    talk.answer(52_000, framed(dns(2, "b.example", isResponse: true)))
    let (pairs, tally, _) = paired(talk.without(5).packets, as: .dns)
    #expect(pairs.map(\.delay) == [2_000_000] && tally.abandoned == 1 && tally.unanswered == 0 && tally.gaps == 1)
    // The answer has begun.
    var begun = Talk(port: 53)
    begun.ask(1_000, framed(dns(1, "a.example")))
    begun.answer(2_000, Array(framed(dns(1, "a.example", isResponse: true)).prefix(9)))
    #expect(paired(begun.packets, as: .dns).tally.abandoned == 1)
  }

  @Test func sipOverTCPWaitsInVainBehindAGap() {
    for kind in [PairingProtocol.sip, .sipForward] {
      var packets = Talk(port: 5_060)
      packets.ask(1_000, Call.message("OPTIONS", "OPTIONS"))
      packets.answer(1_050, [], flags: 0x10)
      packets.answer(2_000, Call.message("200 OK", "OPTIONS"))
      packets.acknowledge(2_100)
      let tally = paired(packets.without(5).packets, as: kind).tally
      #expect(tally.unanswered == 0 && tally.gaps == 1, "\(kind) \(tally)")
    }
    var begun = Talk(port: 5_060)
    begun.ask(1_000, Call.message("OPTIONS", "OPTIONS"))
    begun.answer(2_000, Array(Call.message("200 OK", "OPTIONS").prefix(40)))
    let tally = paired(begun.packets, as: .sip).tally
    #expect(tally.unanswered == 0 && tally.abandoned == 1)
  }

  /// The proxy sends on over a connection of which bytes are missing.
  @Test func forwardingIsNotSeenBehindAGap() {
    var packets = Call.packets()
    let (proxy, callee) = (Station(number: 2, port: 40_000), Station(number: 3, port: 5_060))
    packets.append(
      Wire().udp(
        10_000_000, Station(number: 1, port: 5_060), Station(number: 2, port: 5_060),
        Call.message("INFO", "INFO", 9)))
    let lost = paired(packets, as: .sipForward).tally
    #expect(lost.unanswered == 1)
    packets.append(
      Wire().tcp(10_500_000, proxy, callee, sequence: 9, acknowledgment: 9, Call.message("INFO", "INFO", 9)))
    let tally = paired(packets, as: .sipForward).tally
    #expect(tally.unanswered == 0 && tally.abandoned == 1, "\(tally)")
  }

  @Test func answersThatCannotBeReadExcuseOneRequest() {
    let (client, server) = (Station(number: 1, port: 40_000), Station(number: 2, port: 53))
    let wire = Wire()
    let packets = [
      wire.udp(0, client, server, dns(1, "a.example")), wire.udp(1, client, server, dns(2, "b.example")),
      wire.udp(1_000, server, client, [0, 1, 0x81, 0x80, 0, 1]),
    ]
    let tally = paired(packets, as: .dns).tally
    #expect(tally.abandoned == 1 && tally.unanswered == 1 && tally.malformed == 1)
  }

  @Test func partOfAnAnswerOverUDPIsAnAnswer() {
    let (client, server) = (Station(number: 1, port: 40_000), Station(number: 2, port: 11_211))
    let tally = paired(
      [
        Wire().udp(0, client, server, [0, 1, 0, 0, 0, 1, 0, 0] + Array("get k\r\n".utf8)),
        Wire().udp(9, server, client, [0, 1, 0, 1, 0, 2, 0, 0] + Array("x".utf8)),
      ], as: .memcached
    ).tally
    #expect(tally.abandoned == 1 && tally.unanswered == 0)
  }

  // MARK: Refused

  @Test func refusalsAreNoLosses() {
    var talk = Talk(port: 80)
    talk.ask(1_000, get(1))
    talk.answer(2_000, [], flags: 0x14)
    let tally = paired(talk.packets, as: .http, .tcpAcknowledgment).ledger
    #expect(tally["http"]?.refused == 1 && tally["http"]?.unanswered == 0)
    // The client that gives up has had no answer.
    var impatient = Talk(port: 80)
    impatient.ask(1_000, get(1))
    impatient.ask(2_000, [], flags: 0x14)
    #expect(paired(impatient.packets, as: .http).tally.unanswered == 1)
  }

  @Test(arguments: [28, 2_000]) func whatCannotBeDeliveredIsRefused(quoted: Int) {
    let client = Station(number: 1, port: 40_000)
    func at(_ port: Int) -> Station { Station(number: 2, port: port) }
    let wire = Wire(isPadded: false)
    let requests: [(PairingProtocol, PairingPacket)] = [
      (.dns, wire.udp(0, client, at(53), dns(7, "a.example"))), (.icmp, wire.echo(0, client, at(0))),
      (.udpEcho, wire.udp(0, client, at(7), [UInt8](repeating: 1, count: 40))),
      (.stamp, wire.udp(0, client, at(862), [UInt8](repeating: 1, count: 44))),
      (.memcached, wire.udp(0, client, at(11_211), [0, 1, 0, 0, 0, 1, 0, 0] + Array("get k\r\n".utf8))),
      (.sip, wire.udp(0, client, at(5_060), Call.message("OPTIONS", "OPTIONS"))),
      (.tcpHandshake, wire.tcp(0, client, at(81), sequence: 9, acknowledgment: 0, flags: 2)),
    ]
    for (kind, request) in requests {
      let error = wire.packet(
        500, Station(number: 9), client, 1, [3, 3, 0, 0, 0, 0, 0, 0] + request.bytes.dropFirst(14).prefix(quoted))
      let tally = paired([request, error], as: kind).tally
      #expect(tally.requests == 1 && tally.unanswered == 0, "\(kind) \(tally)")
      if quoted > 28 && kind != .sip { #expect(tally.refused == 1, "\(kind) \(tally)") }
      #expect(paired([request], as: kind).tally.unanswered == 1)
    }
  }

  @Test func lossIsToldByName() throws {
    var talk = Talk(port: 80)
    talk.ask(1_000, get(1))
    talk.answer(1_100, ok)
    talk.ask(2_000, "POST / HTTP/1.1\r\nContent-Length: 0\r\n\r\n")
    let names = paired(talk.packets, as: .http).ledger.names
    let lost = Dictionary(uniqueKeysWithValues: names.map { ($0.name, $0.tally.unanswered) })
    #expect(lost == ["http-GET": 0, "http-POST": 1])
    var handshakes = Talk(port: 80).packets
    handshakes.append(
      Wire().tcp(
        9_000, Station(number: 1, port: 5), Station(number: 2, port: 80), sequence: 1, acknowledgment: 0, flags: 2))
    let opened = paired(handshakes, as: .tcpHandshake).ledger.names
    #expect(opened.map(\.name) == ["tcp-syn-synack", "tcp-synack-ack"])
    #expect(opened.map(\.tally.unanswered) == [1, 0] && opened.map(\.tally.paired) == [1, 1])
  }

  /// RFC 9293, figure 8: each SYN/ACK answers a SYN, and no acknowledgment is due behind them.
  @Test func bothOpenAtOnce() {
    let (one, other, wire) = (Station(number: 1, port: 5), Station(number: 2, port: 80), Wire())
    let packets = [
      wire.tcp(1_000, one, other, sequence: 100, acknowledgment: 0, flags: 0x02),
      wire.tcp(1_500, other, one, sequence: 300, acknowledgment: 0, flags: 0x02),
      wire.tcp(3_000, one, other, sequence: 100, acknowledgment: 301, flags: 0x12),
      wire.tcp(4_000, other, one, sequence: 300, acknowledgment: 101, flags: 0x12),
    ]
    let (pairs, tally, _) = paired(packets, as: .tcpHandshake)
    #expect(pairs.map(\.name) == ["tcp-syn-synack", "tcp-syn-synack"] && pairs.map(\.delay) == [1_500, 3_000])
    #expect(tally.requests == 2 && tally.unanswered == 0, "\(tally)")
  }
}
