// SPDX-License-Identifier: GPL-2.0-or-later
import Pairing
import Testing

/// A call through a proxy: 1 is the caller, 2 the proxy, 3 the callee.
enum Call {
  static func message(
    _ start: String, _ method: String, _ number: Int = 1, branch: Int = 0, id: String = "c1@a"
  ) -> [UInt8] {
    let first = start.first?.isNumber == true ? "SIP/2.0 \(start)" : "\(start) sip:b@x SIP/2.0"
    return Array(
      """
      \(first)\r
      Via: SIP/2.0/UDP 10.77.0.1;branch=z9hG4bK\(branch)\r
      i: \(id)\r
      CSeq: \(number) \(method)\r
      Content-Length: 0\r
      \r\n
      """.utf8)
  }

  /// (time in µs, from, to, start of the first line, number, method)
  static let whole: [(Int64, Int, Int, String, Int, String)] = [
    (100, 1, 2, "INVITE", 1, "INVITE"), (110, 2, 1, "100 Trying", 1, "INVITE"),
    (131, 2, 3, "INVITE", 1, "INVITE"), (200, 3, 2, "180 Ringing", 1, "INVITE"),
    (237, 2, 1, "180 Ringing", 1, "INVITE"), (300, 3, 2, "200 OK", 1, "INVITE"), (341, 2, 1, "200 OK", 1, "INVITE"),
    (400, 1, 2, "ACK", 1, "ACK"), (443, 2, 3, "ACK", 1, "ACK"), (500, 1, 2, "BYE", 2, "BYE"),
    (547, 2, 3, "BYE", 2, "BYE"), (600, 3, 2, "200 OK", 2, "BYE"), (653, 2, 1, "200 OK", 2, "BYE"),
  ]

  static func packets(
    _ lines: [(Int64, Int, Int, String, Int, String)] = whole, wire: Wire = Wire()
  ) -> [PairingPacket] {
    lines.map { time, from, to, start, number, method in
      wire.udp(
        time * 1_000, Station(number: from, port: 5_060), Station(number: to, port: 5_060),
        message(start, method, number, branch: from))
    }
  }
}

@Suite struct SIPTests {
  @Test func pairsTheSixForwardedMessagesOfACall() {
    let (pairs, tally, _) = paired(Call.packets(), as: .sipForward)
    #expect(
      pairs.map(\.name)
        == ["INVITE", "180-INVITE", "200-INVITE", "ACK", "BYE", "200-BYE"].map { "sip-forward-\($0)" })
    #expect(pairs.map(\.delay) == [31, 37, 41, 43, 47, 53].map { $0 * 1_000 })
    // Six enter the proxy and six reach their end.
    #expect(tally.requests == 12 && tally.silent == 6 && tally.unanswered == 0)
    #expect(pairs[1].client.description == "10.77.0.3:5060" && pairs[1].server.description == "10.77.0.2:5060")
  }

  @Test func countsForwardingFromTheFirstCopy() {
    var lines = Call.whole
    lines.insert((120, 1, 2, "INVITE", 1, "INVITE"), at: 2)
    lines.insert((190, 2, 3, "INVITE", 1, "INVITE"), at: 4)
    // The last message never leaves.
    lines.removeLast()
    let (pairs, tally, _) = paired(Call.packets(lines), as: .sipForward)
    #expect(pairs.first?.delay == 31_000 && pairs.map(\.retransmitted) == [true, false, false, false, false])
    #expect(tally.repeatedRequests == 2 && tally.unanswered == 1 && tally.paired == 5 && tally.waiting == 0)
  }

  @Test func knowsAStationOfTwoAddresses() throws {
    var lines = Call.whole
    for index in lines.indices {
      // Towards the callee the proxy is 4.
      if lines[index].1 == 2 && lines[index].2 == 3 { lines[index].1 = 4 }
      if lines[index].1 == 3 && lines[index].2 == 2 { lines[index].2 = 4 }
    }
    #expect(paired(Call.packets(lines), as: .sipForward).pairs.isEmpty)
    let station = try [2, 4].map { try #require(IPAddress(Station(number: $0).address)) }
    let pairer = Pairer([.sipForward], stations: [station])
    for packet in Call.packets(lines) { pairer.take(packet) }
    #expect(pairer.takePairs().map(\.delay) == [31, 37, 41, 43, 47, 53].map { $0 * 1_000 })
  }

  @Test func tellsStationsOfOneAddressByPort() {
    let packets = Call.whole.map { time, from, to, start, number, method in
      Wire().udp(
        time * 1_000, Station(number: 9, port: 5_060 + from), Station(number: 9, port: 5_060 + to),
        Call.message(start, method, number, branch: from))
    }
    let ports: [UInt16] = [5_061, 5_062, 5_063]
    let forwarded = paired(packets, as: .sipForward, ports: [.sipForward: ports]).pairs
    #expect(forwarded.map(\.delay) == [31, 37, 41, 43, 47, 53].map { $0 * 1_000 })
    let answered = paired(packets, as: .sip, ports: [.sip: ports]).pairs
    #expect(answered.map(\.delay) == [10, 69, 137, 169, 241, 53, 153].map { $0 * 1_000 })
  }

  @Test func pairsResponsesOfEachLeg() {
    var lines = Call.whole
    lines.insert((120, 1, 2, "INVITE", 1, "INVITE"), at: 2)
    lines.append((700, 2, 1, "200 OK", 2, "BYE"))
    lines.append((710, 2, 1, "200 OK", 3, "INFO"))
    let (pairs, tally, _) = paired(Call.packets(lines), as: .sip)
    #expect(
      pairs.map(\.name) == [
        "sip-100-INVITE", "sip-180-INVITE", "sip-180-INVITE", "sip-200-INVITE", "sip-200-INVITE", "sip-200-BYE",
        "sip-200-BYE",
      ])
    // Caller's leg from 100, callee's from 131.
    #expect(pairs.map(\.delay) == [10, 69, 137, 169, 241, 53, 153].map { $0 * 1_000 })
    #expect(pairs.map(\.retransmitted) == [false, false, true, false, true, false, false])
    #expect(tally.requests == 6 && tally.paired == 4 && tally.silent == 2 && tally.provisional == 3)
    #expect(tally.repeatedRequests == 1 && tally.repeatedResponses == 1 && tally.unmatchedResponses == 1)
  }

  @Test func readsTCP() {
    var talk = Talk(port: 5_060)
    let invite = Call.message("INVITE", "INVITE")
    talk.ask(100, Array("\r\n".utf8) + invite.prefix(50))
    talk.ask(110, Array(invite.dropFirst(50)))
    talk.answer(120, Call.message("100 Trying", "INVITE") + Call.message("200 OK", "INVITE").prefix(9))
    talk.answer(130, Array(Call.message("200 OK", "INVITE").dropFirst(9)))
    let (pairs, _, ledger) = paired(talk.packets, as: .sip, .sipForward)
    #expect(pairs.map(\.delay) == [10_000, 10_000] && pairs.map(\.endLast) == [120_000, 130_000])
    #expect(ledger["sip-forward"]?.requests == 2)
  }

  /// Within a call both sides number their requests on their own, so that the same CSeq goes both ways.
  @Test(arguments: ["From: <sip:%@x>;tag=%@", "f: sip:%@x ;x=y; Tag = %@", "From: \"a>;tag=1\" <sip:%@x;tag=2>;tag=%@"])
  func tellsTheSidesOfACallApart(header: String) {
    func lines(_ time: Int64, _ from: Int, _ to: Int, _ tag: String) -> [PairingPacket] {
      // The first line as another proxy may leave it: only the tag of the address stays for certain.
      let stations = [from, 2, to, 2, from]
      return (0..<4).map { step in
        let text = String(
          decoding: Call.message(step < 2 ? "INFO" : "200 OK", "INFO", 2, branch: step), as: UTF8.self)
        let address = header.split(separator: "%@", omittingEmptySubsequences: false).map(String.init)
        let field = address[0] + "\(tag)\(step / 2)" + address[1] + tag + address[2]
        return Wire().udp(
          (time + Int64(step * step)) * 1_000, Station(number: stations[step], port: 5_060),
          Station(number: stations[step + 1], port: 5_060),
          Array(text.replacingOccurrence(of: "CSeq:", with: "\(field)\r\nCSeq:").utf8))
      }
    }
    let packets = lines(100, 1, 3, "caller") + lines(5_000, 3, 1, "callee")
    let (pairs, tally, _) = paired(packets, as: .sipForward)
    #expect(pairs.map(\.name) == ["INFO", "200-INFO", "INFO", "200-INFO"].map { "sip-forward-\($0)" })
    #expect(pairs.map(\.delay) == [1, 5, 1, 5].map { $0 * 1_000 } && !pairs.contains { $0.retransmitted })
    #expect(tally.requests == 8 && tally.silent == 4 && tally.repeatedRequests == 0)
  }

  @Test func countsMessagesThatWereCut() {
    let (_, tally, _) = paired(Call.packets(wire: Wire(snap: 90)), as: .sip)
    #expect(tally.truncated == Call.whole.count && tally.requests == 0)
    // Call-ID and CSeq are enough.
    let (pairs, whole, _) = paired(Call.packets(wire: Wire(snap: 178)), as: .sip)
    #expect(pairs.count == 7 && whole.truncated == 0)
    // Forwarding wants From, too, which may stand behind the cut.
    let cut = Wire(snap: Call.packets()[0].length - 9)
    let forwarded = paired(Call.packets([Call.whole[0], Call.whole[2]], wire: cut), as: .sipForward).tally
    #expect(forwarded.truncated == 2 && forwarded.requests == 0)
  }
}

extension String {
  fileprivate func replacingOccurrence(of part: String, with other: String) -> String {
    guard let range = firstRange(of: part) else { return self }
    return String(self[..<range.lowerBound]) + other + self[range.upperBound...]
  }
}
