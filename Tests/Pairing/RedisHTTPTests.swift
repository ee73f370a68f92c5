// SPDX-License-Identifier: GPL-2.0-or-later
import Pairing
import Testing

@Suite struct RedisTests {
  @Test func pairsPipelinedCommands() {
    var talk = Talk(port: 6_379)
    talk.ask(100, "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$5\r\n*1\r\n$\r\n*2\r\n$3\r\nget\r\n$1")
    talk.ask(110, "\r\nk\r\nPING\r\n")
    talk.answer(150, "+OK\r\n$5\r\n*1")
    talk.answer(160, "\r\n$\r\n+PONG\r\n")
    let (pairs, tally, _) = paired(talk.packets, as: .redis)
    #expect(pairs.map(\.name) == ["redis-SET", "redis-GET", "redis-PING"])
    #expect(pairs.map(\.start) == [100_000, 110_000, 110_000] && pairs.map(\.end) == [150_000, 150_000, 160_000])
    #expect(pairs.map(\.endLast) == [150_000, 160_000, 160_000] && tally.paired == 3)
  }

  @Test func readsRESP3() {
    var talk = Talk(port: 6_379)
    talk.ask(100, "*2\r\n$5\r\nHELLO\r\n$1\r\n3\r\n*1\r\n$3\r\nGET\r\n*1\r\n$4\r\nKEYS\r\n")
    // A push message between the answers, and one answer behind attributes.
    talk.answer(150, "%2\r\n+server\r\n+redis\r\n+list\r\n*2\r\n:1\r\n*0\r\n>2\r\n+invalidate\r\n*1\r\n+k\r\n")
    talk.answer(160, "|1\r\n+ttl\r\n:5\r\n_\r\n~2\r\n,1.5\r\n#t\r\n")
    let (pairs, tally, _) = paired(talk.packets, as: .redis)
    #expect(pairs.map(\.name) == ["redis-HELLO", "redis-GET", "redis-KEYS"])
    #expect(pairs.map(\.delay) == [50_000, 60_000, 60_000] && tally.malformed == 0)
  }

  @Test func leavesSubscriptionsAlone() {
    var talk = Talk(port: 6_379)
    talk.ask(100, "*1\r\n$4\r\nPING\r\n")
    talk.answer(123, "+PONG\r\n")
    talk.ask(200, "*2\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n")
    talk.answer(210, "*3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$1\r\nx\r\n")
    talk.ask(300, "*1\r\n$4\r\nPING\r\n")
    let (pairs, tally, _) = paired(talk.packets, as: .redis)
    #expect(pairs.map(\.delay) == [23_000] && tally.requests == 1 && tally.malformed == 0)
    // The channel's name, the answer and the message, and the last command.
    #expect(tally.unreadBytes == 7 + 61 + 14)
  }

  /// One answer a channel with RESP2, pushes alone with RESP3: what follows must not be paired with them.
  @Test(arguments: ["UNSUBSCRIBE", "PUNSUBSCRIBE", "SUNSUBSCRIBE"]) func leavesAfterUnsubscribing(verb: String) {
    let word = "$\(verb.utf8.count)\r\n\(verb)\r\n"
    for (type, count) in [("*", 1), ("*", 2), ("*", 0), (">", 1), (">", 2)] {
      var talk = Talk(port: 6_379)
      talk.ask(100, "PING\r\n")
      talk.answer(123, "+PONG\r\n")
      let channels = String(repeating: "$1\r\nx\r\n", count: count)
      let get = "*2\r\n$3\r\nGET\r\n$1\r\na\r\n"
      talk.ask(200, "*\(1 + count)\r\n\(word)\(channels)\(get)")
      talk.answer(
        210, String(repeating: "\(type)3\r\n\(word.lowercased())$1\r\nx\r\n:0\r\n", count: max(1, count)))
      talk.answer(220, "$1\r\ny\r\n")
      talk.ask(30_000, get)
      talk.answer(30_010, "$1\r\ny\r\n")
      let (pairs, tally, _) = paired(talk.packets, as: .redis)
      #expect(pairs.map(\.delay) == [23_000] && tally.requests == 1 && tally.unreadBytes > 0, "\(type) \(count)")
    }
  }

  @Test func readsCommandsWhereverTheyAreSplit() {
    let get = Array("*2\r\n$3\r\nGET\r\n$1\r\na\r\n".utf8)
    for split in 1..<get.count {
      var talk = Talk(port: 6_379)
      talk.ask(100, Array(get[..<split]))
      talk.ask(110, Array(get[split...]))
      talk.answer(133, "$-1\r\n")
      let (pairs, _, _) = paired(talk.packets, as: .redis)
      #expect(pairs.map(\.name) == ["redis-GET"] && pairs.map(\.delay) == [23_000], "split at \(split)")
    }
    var talk = Talk(port: 6_379)
    talk.ask(100, "*2")
    talk.ask(110, "\r\n$9\r\nSUBSCRIBE\r\n$1\r\nc\r\n")
    talk.answer(133, ">3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n")
    talk.ask(200, "PING\r\n")
    talk.answer(210, "+PONG\r\n")
    #expect(paired(talk.packets, as: .redis).pairs.isEmpty)
  }
}

@Suite struct HTTPTests {
  @Test func findsTheEndOfEveryBody() {
    var talk = Talk(port: 80)
    let get = "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
    talk.ask(100, "\r\n" + get + get + "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n" + get + get)
    talk.answer(110, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nHTTP/")
    talk.answer(120, "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, Chunked\r\n\r\n5;x=y\r\n0\r\n\r\n\r\n")
    talk.answer(125, "0\r\nTrailer: yes\r\n\r\n")
    talk.answer(130, "HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n")
    talk.answer(140, "HTTP/1.1 304 Not Modified\r\nContent-Length: 500\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n")
    talk.ask(200, "POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n")
    talk.answer(210, "HTTP/1.1 100 Continue\r\n\r\n")
    talk.ask(220, "body")
    talk.answer(243, "HTTP/1.0 200 OK\r\n\r\nuntil")
    talk.answer(250, Array("the end".utf8), flags: 0x19)
    let (pairs, tally, _) = paired(talk.packets, as: .http)
    #expect(pairs.map(\.name) == ["GET", "GET", "HEAD", "GET", "GET", "POST"].map { "http-\($0)" })
    #expect(pairs.map(\.start) == [100, 100, 100, 100, 100, 220].map { $0 * 1_000 })
    #expect(pairs.map(\.end) == [110, 120, 130, 140, 140, 243].map { $0 * 1_000 })
    #expect(pairs.map(\.endLast) == [110, 125, 130, 140, 140, 250].map { $0 * 1_000 })
    #expect(tally.requests == 6 && tally.provisional == 1 && tally.malformed == 0)
  }

  @Test func stopsAtAnAnswerBeforeItsRequestIsComplete() {
    var talk = Talk(port: 80)
    talk.ask(100, "POST / HTTP/1.1\r\nContent-Length: 400\r\n\r\nxx")
    talk.answer(110, "HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n")
    talk.ask(120, String(repeating: "x", count: 398))
    talk.ask(30_000, "GET / HTTP/1.1\r\n\r\n")
    let (pairs, tally, _) = paired(talk.packets, as: .http)
    #expect(pairs.isEmpty && tally.unmatchedResponses == 1)
  }

  @Test func leavesUpgradedConnections() {
    var talk = Talk(port: 80)
    talk.ask(100, "GET /chat HTTP/1.1\r\nUpgrade: websocket\r\n\r\n")
    talk.answer(123, "HTTP/1.1 101 Switching Protocols\r\n\r\n\u{1}\u{2}")
    talk.ask(200, "\u{1}\u{2}")
    let (pairs, tally, _) = paired(talk.packets, as: .http)
    #expect(pairs.map(\.delay) == [23_000] && tally.malformed == 0 && tally.waiting == 0)
  }
}
