// SPDX-License-Identifier: GPL-2.0-or-later
import Pairing
import Testing

/// What servers and clients understand, however it is written.
@Suite struct GrammarTests {
  private static let ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

  /// Each request is answered 1 ms later, in turn.
  private func talk(_ port: Int, _ steps: [(String, String)], snap: Int = .max) -> Talk {
    var talk = Talk(port: port, wire: Wire(snap: snap))
    for (number, step) in steps.enumerated() {
      talk.ask(Int64(number) * 10_000 + 1_000, step.0)
      if !step.1.isEmpty { talk.answer(Int64(number) * 10_000 + 2_000, step.1) }
    }
    return talk
  }

  private func expectPairs(
    _ kind: PairingProtocol, _ talk: Talk, _ names: [String], location: SourceLocation = #_sourceLocation
  ) {
    let (pairs, tally, _) = paired(talk.packets, as: kind)
    #expect(pairs.map(\.name) == names.map { "\(kind.rawValue)-\($0)" }, "\(tally)", sourceLocation: location)
    #expect(pairs.allSatisfy { $0.delay == 1_000_000 }, sourceLocation: location)
    #expect(
      tally.malformed == 0 && tally.unreadBytes == 0 && tally.abandoned == 0, "\(tally)", sourceLocation: location)
  }

  // MARK: HTTP

  @Test func methodsAreTokens() {
    let methods = ["RPC_IN_DATA", "M-SEARCH", "get", "X!#$%&'*+-.^_`|~9", String(repeating: "x", count: 80)]
    expectPairs(
      .http, talk(80, methods.map { ("\($0) / HTTP/1.1\r\n\r\n", GrammarTests.ok) }),
      methods.dropLast() + ["other"])
  }

  @Test(arguments: [
    "Transfer-Encoding:\r\n chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", "Content-Length : 2\r\n\r\nok",
    "Content-Length: 2, 2\r\n\r\nok", "Content-Length: 00000000000000000000002\r\n\r\nok",
    "Transfer-Encoding: gzip,\r\n\tchunked\r\n\r\n002 ;a=b\r\nok\r\n0\r\nT: x\r\n\r\n",
    "transfer-encoding: identity\r\nContent-Length: 2\r\n\r\nok", "Content-Length: 2\r\nContent-Length: 2\r\n\r\nok",
    "X: a\r\n Content-Length: 9\r\nContent-Length: 2\r\n\r\nok",
    "Transfer-Encoding: chunked\r\nContent-Length: 900\r\n\r\n2\r\nok\r\n0\r\n\r\n", "Content-Length: 2\r\n\r\nok\r\n",
    "TRANSFER-ENCODING\t: x, Chunked ,\r\n\r\n2\r\nok\r\n00\r\n\r\n",
  ])
  func findsTheEndOfABody(header: String) {
    let request = "GET / HTTP/1.1\r\n\r\n"
    expectPairs(
      .http, talk(80, [(request, "HTTP/1.1 200 OK\r\n" + header), (request, GrammarTests.ok)]), ["GET", "GET"])
  }

  /// Never taken as "up to the end of the connection".
  @Test(arguments: ["2, 3", "+2", "0x2", "99999999999999999999", "", "2 2"])
  func lengthsThatAreNoneAreMalformed(length: String) {
    let request = "GET / HTTP/1.1\r\n\r\n"
    let (pairs, tally, _) = paired(
      talk(80, [(request, "HTTP/1.1 200 OK\r\nContent-Length: \(length)\r\n\r\nok"), (request, GrammarTests.ok)])
        .packets,
      as: .http)
    #expect(tally.malformed == 1 && tally.unanswered == 0 && pairs.count == 1 && pairs[0].endLast == nil)
  }

  @Test func connectionsThatChangeTheirLanguageAreLeftAlone() {
    let inner = "GET /inner HTTP/1.1\r\n\r\n"
    let starts = [
      ("GET / HTTP/1.1\r\nUpgrade: x\r\n\r\n", "HTTP/1.1 101 Switching Protocols\r\n\r\n", 1),
      ("CONNECT h:1 HTTP/1.1\r\n\r\n", "HTTP/1.1 200 Established\r\n\r\n", 1), ("PRI * HTTP/2.0\r\n\r\n", "x", 0),
    ]
    for (request, answer, count) in starts {
      var packets = talk(80, [(request, answer)])
      packets.answer(3_000, "hello")
      packets.acknowledge(3_100)
      packets.ask(100_000, inner)
      packets.answer(150_000, GrammarTests.ok)
      let (pairs, tally, _) = paired(packets.packets, as: .http)
      #expect(pairs.count == count && tally.malformed == 0 && tally.requests == count, "\(request)")
      let passed = 5 + inner.utf8.count + GrammarTests.ok.utf8.count
      #expect(tally.unreadBytes == passed + (count == 0 ? request.utf8.count + 1 : 0), "\(request)")
    }
  }

  @Test func whatFollowsCONNECTWaitsForItsAnswer() {
    let connect = "CONNECT h:1 HTTP/1.1\r\n\r\n"
    let early = paired(talk(80, [(connect + "\u{16}\n\n", "HTTP/1.1 200 OK\r\n\r\n")]).packets, as: .http)
    #expect(early.pairs.count == 1 && early.tally.malformed == 0 && early.tally.unreadBytes == 3)
    expectPairs(
      .http,
      talk(
        80,
        [(connect + "GET / HTTP/1.1\r\n\r\n", "HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n" + GrammarTests.ok)]),
      ["CONNECT", "GET"])
  }

  // MARK: Redis

  @Test func redisCommandsHaveManyNames() {
    func array(_ words: String...) -> String {
      "*\(words.count)\r\n" + words.map { "$\($0.utf8.count)\r\n\($0)\r\n" }.joined()
    }
    let requests = [
      (array("sort_ro", "k"), "SORT_RO"), (array("FT.SEARCH", "i"), "FT.SEARCH"), (array("cmd2"), "CMD2"),
      (array("CLIENT", "LIST"), "CLIENT"), ("  get  a\n", "GET"), ("georadius_ro x\r\n", "GEORADIUS_RO"),
      ("\"get\" a\r\n", "GET"), (array("é"), "other"), ("\r\n   \r\n*0\r\n*-1\r\nPING\r\n", "PING"),
    ]
    expectPairs(.redis, talk(6_379, requests.map { ($0.0, "+OK\r\n") }), requests.map(\.1))
  }

  @Test func keysAndValuesMayBeCutShort() {
    let (key, value) = (String(repeating: "k", count: 40), String(repeating: "v", count: 900))
    let requests = [
      ("*2\r\n$3\r\nGET\r\n$40\r\n\(key)\r\n", "$900\r\n\(value)\r\n"),
      ("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$900\r\n\(value)\r\n", "+OK\r\n"),
    ]
    expectPairs(.redis, talk(6_379, requests, snap: 96), ["GET", "SET"])
  }

  // MARK: memcached

  @Test func memcachedLooksAtWholeWords() {
    let steps = [
      ("delete noreply.user.7\r\n", "DELETED\r\n", "delete"), ("delete noreply\r\n", "NOT_FOUND\r\n", "delete"),
      ("set noreply 0 0 2\r\nok\r\n", "STORED\r\n", "set"), ("touch noreply 0\r\n", "TOUCHED\r\n", "touch"),
      ("get noreply\r\n", "END\r\n", "get"), ("incr noreply 1\r\n", "NOT_FOUND\r\n", "incr"),
      (
        "delete k noreply\r\nflush_all noreply\r\nset k 0 0 2 noreply\r\nok\r\nincr k 1 noreply\r\nversion\r\n",
        "VERSION 1\r\n", "version"
      ),
      ("bogus noreply\r\n", "ERROR\r\n", "other"), ("get\r\n", "ERROR\r\n", "get"),
      ("set k 0 0 x\r\n", "CLIENT_ERROR bad data chunk\r\n", "set"),
      ("slabs reassign 1 2\r\n", "BUSY currently\r\n", "slabs"),
      ("lru_crawler metadump all\r\n", "key=a exp=1\r\nkey=b exp=2\r\nEND\r\n", "lru_crawler"),
    ]
    let talk = talk(11_211, steps.map { ($0.0, $0.1) })
    expectPairs(.memcached, talk, steps.map(\.2))
    #expect(paired(talk.packets, as: .memcached).tally.silent == 4)
  }

  /// A request that comes while a long answer is on its way.
  @Test func binaryMessagesOfBothSidesOverlap() {
    var talk = Talk(port: 11_211)
    let answer = MemcachedTests.binary(0x81, 0, 7, extras: [0, 0, 0, 0], value: String(repeating: "v", count: 2_000))
    talk.ask(1_000, MemcachedTests.binary(0x80, 0, 7, key: "a"))
    talk.answer(2_000, Array(answer.prefix(1_000)))
    talk.ask(2_100, MemcachedTests.binary(0x80, 1, 9, key: "k", extras: [UInt8](repeating: 0, count: 8), value: "v"))
    talk.answer(2_200, Array(answer.dropFirst(1_000)))
    talk.answer(2_300, MemcachedTests.binary(0x81, 1, 9))
    let (pairs, tally, _) = paired(talk.packets, as: .memcached)
    #expect(pairs.map(\.name) == ["memcached-get", "memcached-set"] && pairs.map(\.delay) == [1_000_000, 200_000])
    #expect(tally.unmatchedResponses == 0)
  }

  // MARK: SIP

  private func message(_ start: String, _ lines: [String]) -> [UInt8] {
    Array(([start] + lines + ["", ""]).joined(separator: "\r\n").utf8)
  }

  @Test(arguments: [false, true]) func sipHeadersMayBeWrittenInManyWays(isTCP: Bool) {
    let plain = ["Call-ID: c1@a", "From: <sip:a@x>;tag=t1", "CSeq: 7 x-Foo.1", "Content-Length: 0"]
    let folded = [
      "v: SIP/2.0/UDP x", "CALL-ID   :  c1@a", "f :\r\n \"x;tag=no\" <sip:a@x;tag=9>\r\n\t;tag\r\n = t1",
      "cseq\t:\t0007\r\n  x-Foo.1", "l : 0",
    ]
    let (caller, proxy, callee) = (
      Station(number: 1, port: 5_060), Station(number: 2, port: 5_060), Station(number: 3, port: 5_060)
    )
    var packets: [PairingPacket] = []
    func pass(_ time: Int64, _ from: Station, _ to: Station, _ bytes: [UInt8]) {
      packets.append(Wire().udp(time * 1_000, from, to, bytes))
    }
    if isTCP {
      var talk = Talk(port: 5_060)
      talk.ask(100, message("x-Foo.1 sip:b SIP/2.0", folded))
      // An empty line long before the answer is none of its bytes.
      talk.answer(110, "\r\n")
      talk.answer(150, message("sip/2.0 200", plain))
      let (pairs, tally, _) = paired(talk.packets, as: .sip)
      #expect(pairs.map(\.name) == ["sip-200-x-Foo.1"] && pairs.map(\.delay) == [50_000] && tally.malformed == 0)
      return
    }
    pass(100, caller, proxy, message("x-Foo.1 sip:b SIP/2.0", folded))
    pass(110, proxy, callee, message("x-Foo.1 sip:c SIP/2.0", plain))
    pass(150, callee, proxy, message("SIP/2.0 200 OK", folded))
    pass(170, proxy, caller, message("SIP/2.0 200 OK", plain))
    let (pairs, tally, ledger) = paired(packets, as: .sip, .sipForward)
    #expect(pairs.map(\.delay) == [40, 70, 10, 20].map { $0 * 1_000 } && tally.malformed == 0, "\(ledger)")
  }

  /// What a station answers itself it does not forward.
  @Test func aStationThatAnswersHasLostNothing() {
    var lines = Call.whole
    for (number, method) in ["REGISTER", "OPTIONS"].enumerated() {
      let time = Int64(1_000 + 100 * number)
      lines.append((time, 1, 2, method, 5 + number, method))
      lines.append((time + 9, 2, 1, "404 Not Found", 5 + number, method))
    }
    // A request of the proxy's own, and of two final answers the one that is not passed on.
    lines.append((2_000, 2, 3, "OPTIONS", 9, "OPTIONS"))
    lines.append((2_010, 3, 2, "200 OK", 9, "OPTIONS"))
    lines += [
      (3_000, 1, 2, "INVITE", 11, "INVITE"), (3_010, 2, 3, "INVITE", 11, "INVITE"),
      (3_011, 2, 4, "INVITE", 11, "INVITE"), (3_020, 3, 2, "486 Busy", 11, "INVITE"),
      (3_030, 4, 2, "404 Not Found", 11, "INVITE"), (3_040, 2, 1, "486 Busy", 11, "INVITE"),
    ]
    let tally = paired(Call.packets(lines), as: .sipForward).tally
    #expect(tally.unanswered == 0 && tally.paired == 8, "\(tally)")
  }
}
