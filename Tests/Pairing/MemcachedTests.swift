// SPDX-License-Identifier: GPL-2.0-or-later
import Pairing
import Testing

@Suite struct MemcachedTests {
  static func binary(
    _ magic: UInt8, _ opcode: UInt8, _ opaque: UInt32, key: String = "", extras: [UInt8] = [], value: String = ""
  ) -> [UInt8] {
    let body = extras + Array(key.utf8) + Array(value.utf8)
    return [magic, opcode] + bytes16(key.utf8.count) + [UInt8(extras.count), 0, 0, 0] + bytes32(UInt32(body.count))
      + bytes32(opaque) + [UInt8](repeating: 0, count: 8) + body
  }

  @Test func pairsTextInOrder() {
    var talk = Talk(port: 11_211)
    // A value whose bytes look like the protocol, in two segments; three commands at once; answers cut anywhere.
    talk.ask(100, "set k 0 0 10\r\nEND\r\n")
    talk.ask(110, "get k\r\n")
    talk.answer(150, "STORED\r\n")
    talk.ask(200, "get a b\r\ndelete k noreply\r\nincr n 1\r\n")
    talk.answer(210, "VALUE a 0 5\r\nEN")
    talk.answer(220, "D\r\n\r\nEND\r")
    talk.answer(230, "\n18446744073709551615\r\n")
    talk.ask(300, "gets x\r\n")
    talk.answer(307, "END\r\n")
    let (pairs, tally, _) = paired(talk.packets, as: .memcached)
    #expect(pairs.map(\.name) == ["memcached-set", "memcached-get", "memcached-incr", "memcached-gets"])
    #expect(pairs.map(\.start) == [110_000, 200_000, 200_000, 300_000])
    #expect(pairs.map(\.end) == [150_000, 210_000, 230_000, 307_000])
    #expect(pairs.map(\.endLast) == [150_000, 230_000, 230_000, 307_000])
    #expect(tally.requests == 5 && tally.paired == 4 && tally.silent == 1 && tally.waiting == 0)
  }

  @Test func knowsQuietMetaCommands() {
    var talk = Talk(port: 11_211)
    // A hit among quiet gets is told by its opaque; the fence ends them.
    talk.ask(100, "mg a v q O1\r\nmg b v q O2\r\nmg c v q O3\r\nmn\r\n")
    talk.answer(150, "VA 3 O2\r\nEN\n\r\nMN\r\n")
    talk.ask(200, "ms a 2 q\r\nhi\r\nmn\r\n")
    talk.answer(223, "MN\r\n")
    // Which of the two it was cannot be told: nothing is paired until the connection has been quiet.
    talk.ask(300, "mg a v q\r\nmg b v q\r\nmn\r\n")
    talk.answer(310, "HD\r\nMN\r\n")
    talk.ask(320, "mg d v\r\n")
    talk.answer(330, "EN\r\n")
    talk.ask(40_000, "mg e v\r\n")
    talk.answer(40_011, "EN\r\n")
    let (pairs, tally, _) = paired(talk.packets, as: .memcached)
    #expect(pairs.map(\.name) == ["mg", "mn", "mn", "mg"].map { "memcached-\($0)" })
    #expect(pairs.map(\.delay) == [50_000, 50_000, 23_000, 11_000])
    #expect(tally.ambiguous == 1 && tally.requests == 10 && tally.paired == 4 && tally.silent == 5)
    #expect(tally.abandoned == 1 && tally.unreadBytes == 4 + 8 + 4)
  }

  @Test func pairsBinaryByOpaque() {
    var talk = Talk(port: 11_211)
    let ask = { MemcachedTests.binary(0x80, $0, $1, key: "k") }
    talk.ask(100, ask(0x09, 1) + ask(0x09, 2) + MemcachedTests.binary(0x80, 0x0a, 3))
    talk.answer(150, MemcachedTests.binary(0x81, 0x09, 2, extras: [0, 0, 0, 0], value: "value"))
    talk.answer(160, MemcachedTests.binary(0x81, 0x0a, 3))
    // libmemcached leaves the opaque 0.
    talk.ask(200, ask(0x00, 0) + ask(0x00, 0))
    talk.answer(210, MemcachedTests.binary(0x81, 0x00, 0))
    talk.answer(220, MemcachedTests.binary(0x81, 0x00, 0))
    talk.ask(300, MemcachedTests.binary(0x80, 0x10, 9))
    talk.answer(310, MemcachedTests.binary(0x81, 0x10, 9, key: "pid", value: "1"))
    talk.answer(330, MemcachedTests.binary(0x81, 0x10, 9))
    talk.answer(340, MemcachedTests.binary(0x81, 0x00, 77))
    let (pairs, tally, _) = paired(talk.packets, as: .memcached)
    #expect(pairs.map(\.name) == ["get", "noop", "get", "get", "stat"].map { "memcached-\($0)" })
    #expect(pairs.map(\.delay) == [50_000, 60_000, 10_000, 20_000, 10_000] && pairs.last?.endLast == 330_000)
    #expect(tally.silent == 1 && tally.unmatchedResponses == 1 && tally.requests == 6)
  }

  /// GETKQ, as clients send it: all of them with opaque 0, the key in the answer.
  @Test func tellsQuietBinaryGetsByTheirKeys() {
    let ask = { MemcachedTests.binary(0x80, $0, 0, key: $1) }
    let answer = { MemcachedTests.binary(0x81, $0, 0, key: $1, extras: [0, 0, 0, 0], value: "value") }
    for split in [10, 24, 25] {
      let (question, reply) = (ask(0x0d, "bb"), answer(0x0d, "bb"))
      var talk = Talk(port: 11_211)
      // bb, cc and e are there; e's command is none of the quiet ones. Packets end in headers, behind them and in keys.
      talk.ask(100, ask(0x0d, "a") + Array(question[..<split]))
      talk.ask(110, Array(question[split...]) + ask(0x0d, "cc") + ask(0x0d, "d") + ask(0x0c, "e"))
      talk.answer(150, Array(reply[..<(split + 4)]))
      talk.answer(160, Array(reply[(split + 4)...]) + answer(0x0d, "cc"))
      talk.answer(170, answer(0x0c, "e"))
      let (pairs, tally, _) = paired(talk.packets, as: .memcached)
      #expect(pairs.map(\.start) == [110_000, 110_000, 110_000], "split at \(split)")
      #expect(pairs.map(\.end) == [150_000, 160_000, 170_000], "split at \(split)")
      #expect(tally.silent == 2 && tally.ambiguous == 0 && tally.waiting == 0, "\(tally)")
    }
    // An error carries no key: with one command waiting it is clear whose it is, with two it is not.
    for (keys, count) in [(["a"], 2), (["a", "b"], 0)] {
      var talk = Talk(port: 11_211)
      talk.ask(100, keys.flatMap { ask(0x0d, $0) } + MemcachedTests.binary(0x80, 0x0a, 0))
      talk.answer(
        123, MemcachedTests.binary(0x81, 0x0d, 0, value: "Out of memory") + MemcachedTests.binary(0x81, 0x0a, 0))
      let (pairs, tally, _) = paired(talk.packets, as: .memcached)
      #expect(pairs.count == count && tally.ambiguous == (count == 0 ? 1 : 0))
    }
  }

  /// GETQ answers without the key: with one opaque for several it is open which of them was there.
  @Test func quietBinaryGetsOfOneOpaqueAreAmbiguous() {
    let (ask, noop) = (MemcachedTests.binary(0x80, 0x09, 0, key: "k"), MemcachedTests.binary(0x80, 0x0a, 0))
    let (hit, done) = (
      MemcachedTests.binary(0x81, 0x09, 0, extras: [0, 0, 0, 0], value: "v"), MemcachedTests.binary(0x81, 0x0a, 0)
    )
    var talk = Talk(port: 11_211)
    // One before the no-op and one behind it: answers come in order.
    talk.ask(100, ask + noop + ask + noop)
    talk.answer(123, hit)
    talk.answer(130, done + hit + done)
    talk.ask(200, ask + noop)
    talk.answer(210, done)
    talk.ask(300, ask + ask + noop)
    talk.answer(310, hit)
    talk.answer(320, done)
    talk.ask(40_000, ask + noop)
    talk.answer(40_011, hit + done)
    let (pairs, tally, _) = paired(talk.packets, as: .memcached)
    #expect(pairs.map(\.delay) == [23, 30, 30, 30, 10, 11, 11].map { $0 * 1_000 })
    #expect(tally.ambiguous == 1 && tally.silent == 3 && tally.abandoned == 1 && tally.waiting == 0, "\(tally)")
  }

  private func datagram(_ id: Int, _ number: Int, _ total: Int, _ text: String) -> [UInt8] {
    bytes16(id) + bytes16(number) + bytes16(total) + [0, 0] + Array(text.utf8)
  }

  @Test func aDatagramWithAnotherCommandIsNoCopy() {
    let (client, server) = (Station(number: 1, port: 40_000), Station(number: 2, port: 11_211))
    let wire = Wire()
    // The first answer is lost; three seconds later the id is used again.
    for (second, delay) in [("set b 0 0 1\r\nx\r\n", 50), ("get a\r\n", 3_000_000_050)] as [(String, Int64)] {
      let (pairs, tally, _) = paired(
        [
          wire.udp(0, client, server, datagram(7, 0, 1, "get a\r\n")),
          wire.udp(3_000_000_000, client, server, datagram(7, 0, 1, second)),
          wire.udp(3_000_000_050, server, client, datagram(7, 0, 1, "STORED\r\n")),
        ], as: .memcached)
      let isCopy = second == "get a\r\n"
      #expect(pairs.map(\.delay) == [delay] && pairs.map(\.retransmitted) == [isCopy])
      #expect(pairs.map(\.name) == [isCopy ? "memcached-get" : "memcached-set"])
      #expect(tally.unanswered == (isCopy ? 0 : 1) && tally.repeatedRequests == (isCopy ? 1 : 0))
    }
  }

  @Test func pairsDatagramsByRequestID() {
    let (client, server) = (Station(number: 1, port: 40_000), Station(number: 2, port: 11_211))
    let wire = Wire()
    let (pairs, tally, _) = paired(
      [
        wire.udp(100, client, server, datagram(1, 0, 1, "get a\r\n")),
        wire.udp(110, client, server, datagram(2, 0, 1, "get b\r\n")),
        wire.udp(120, client, server, datagram(3, 0, 1, "get c\r\n")),
        wire.udp(150, server, client, datagram(2, 0, 1, "END\r\n")),
        wire.udp(160, server, client, datagram(1, 1, 3, "x")), wire.udp(170, server, client, datagram(1, 0, 3, "x")),
        wire.udp(180, server, client, datagram(3, 0, 2, "x")), wire.udp(190, server, client, datagram(1, 2, 3, "x")),
      ], as: .memcached)
    #expect(pairs.map(\.delay) == [40, 70, 60] && pairs.map(\.endLast) == [150, 190, nil])
    #expect(tally.requests == 3 && tally.paired == 3)
  }
}
