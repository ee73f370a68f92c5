// SPDX-License-Identifier: GPL-2.0-or-later
import Pairing
import Testing

/// The hard cases of TCP, shown with memcached's text protocol, whose answers come in order.
@Suite struct StreamTests {
  /// `count` gets of which the n-th is answered after n µs, one every millisecond.
  func lockstep(_ count: Int, sequences: (UInt32, UInt32) = (1_000, 2_000), wire: Wire = Wire()) -> Talk {
    var talk = Talk(port: 11_211, sequences: sequences, wire: wire)
    for number in 1...count {
      talk.ask(Int64(number) * 1_000, "get key\r\n")
      talk.answer(Int64(number) * 1_000 + Int64(number), "VALUE key 0 4\r\nabcd\r\nEND\r\n")
    }
    return talk
  }

  @Test func wrapsSequenceNumbers() {
    let (pairs, tally, _) = paired(lockstep(23, sequences: (0xffff_ffd0, 0xffff_ff00)).packets, as: .memcached)
    #expect(pairs.map(\.delay) == multiples(1...23) && tally.gaps == 0)
  }

  @Test func countsFromTheFirstCopy() {
    var talk = Talk(port: 11_211)
    talk.ask(100, "get key\r\n")
    talk.add(talk.packets[3].at(300_000))
    talk.answer(350, "END\r\n")
    talk.add(talk.packets[5].at(600_000))
    talk.ask(700, "get key\r\n")
    talk.answer(713, "END\r\n")
    let (pairs, tally, _) = paired(talk.packets, as: .memcached)
    #expect(pairs.map(\.delay) == [250_000, 13_000] && pairs.map(\.retransmitted) == [true, false])
    #expect(tally.retransmitted == 1 && tally.repeatedRequests == 1 && tally.requests == 2)
  }

  @Test func putsSegmentsInOrder() {
    var talk = Talk(port: 11_211)
    talk.ask(100, "get ")
    talk.ask(110, "k")
    talk.ask(120, "ey\r\nget other\r\n")
    talk.answer(200, "VALUE key 0 4\r\nab")
    talk.answer(210, "cd\r\nEND\r\n")
    talk.answer(220, "END\r\n")
    var packets = talk.packets
    packets.swapAt(3, 5)
    packets.swapAt(6, 8)
    for index in 3..<packets.count { packets[index].time = Int64(index) * 1_000 }
    let (pairs, tally, _) = paired(packets, as: .memcached)
    // The first command is complete with the packet that came last (5), the second one with its only packet (3).
    #expect(pairs.map(\.start) == [5_000, 3_000])
    // The answer's first byte came last (8); the second answer came before it.
    #expect(pairs.map(\.end) == [8_000, 6_000] && pairs.map(\.endLast) == [8_000, 6_000])
    #expect(tally.paired == 2 && tally.gaps == 0 && tally.disordered == 0)
  }

  /// Times at the ends of what 64 bits hold, as an interface's time offset can make them: no delay wraps.
  @Test func delaysBeyond64BitsAreDisordered() {
    var talk = Talk(port: 11_211)
    talk.ask(100, "get one\r\nget two\r\n")
    talk.answer(200, "END\r\n")
    talk.answer(300, "VALUE two 0 4\r\n")
    talk.answer(400, "abcd\r\nEND\r\n")
    let early: Int64 = -9_000_000_000_000_000_000
    var packets = talk.packets
    for index in packets.indices { packets[index].time = early + Int64(index) }
    #expect(paired(packets, as: .memcached).pairs.map(\.delay) == [1, 2])
    // Only the last byte of the second answer is too late, then both answers.
    packets[6].time = -early
    let second = paired(packets, as: .memcached)
    #expect(second.pairs.map(\.delay) == [1] && second.tally.disordered == 1 && second.tally.abandoned == 1)
    for index in 4...6 { packets[index].time = -early }
    let both = paired(packets, as: .memcached, .tcpAcknowledgment)
    #expect(both.pairs.allSatisfy { $0.delay >= 0 } && both.tally.disordered == 2 && both.tally.waiting == 0)

    let (client, server) = (Station(number: 1), Station(number: 2))
    let echoes = [Wire().echo(early, client, server), Wire().echo(-early, server, client, isReply: true)]
    let (pairs, tally, _) = paired(echoes, as: .icmp)
    #expect(pairs.isEmpty && tally.disordered + tally.unanswered == 1)
  }

  @Test func trimsOverlaps() {
    var talk = Talk(port: 11_211)
    let (client, server) = (talk.client, talk.server)
    let at = talk.clientNext
    let command = Array("get key\r\nget two\r\n".utf8)
    // 0..<7, then 3..<12, then 9..<18
    for (time, range) in [(10, 0..<7), (20, 3..<12), (30, 9..<18)] as [(Int64, Range<Int>)] {
      talk.add(
        talk.wire.tcp(
          time * 1_000, client, server, sequence: at &+ UInt32(range.lowerBound), acknowledgment: talk.serverNext,
          Array(command[range])))
    }
    talk.answer(41, "END\r\nEND\r\n")
    let (pairs, _, _) = paired(talk.packets, as: .memcached)
    #expect(pairs.map(\.start) == [20_000, 30_000] && pairs.map(\.end) == [41_000, 41_000])
  }

  /// Whatever one packet is missing, no pair is wrong, and all requests but few are accounted for.
  @Test func neverMispairs() {
    // Up to four commands under way, answered in bursts; command n is answered n µs after it was sent.
    var talk = Talk(port: 11_211)
    var truth: [Int64: Int64] = [:]
    var time: Int64 = 1_000
    for round in 0..<40 {
      let depth = 1 + round % 4
      for number in 0..<depth {
        talk.ask(time + Int64(number), "get key\(number)\r\n")
        truth[(time + Int64(number)) * 1_000] = (time + 100 + 3 * Int64(number)) * 1_000
      }
      for number in 0..<depth { talk.answer(time + 100 + 3 * Int64(number), "VALUE k 0 2\r\nab\r\nEND\r\n") }
      time += round % 5 == 4 ? 30_000 : 500
    }
    #expect(paired(talk.packets, as: .memcached).pairs.count == truth.count)
    for missing in 0..<talk.packets.count {
      var packets = talk.packets
      packets.remove(at: missing)
      let (pairs, tally, _) = paired(packets, as: .memcached)
      for pair in pairs { #expect(truth[pair.start] == pair.end, "without packet \(missing)") }
      #expect(tally.waiting == 0)
      if missing > 2 && missing < talk.packets.count - 1 { #expect(tally.gaps == 1, "without packet \(missing)") }
      #expect(pairs.count >= truth.count - 20, "without packet \(missing): \(tally)")
    }
    // Several at once, and some of them only later than others.
    var random = Seeded(state: 23)
    for round in 0..<300 {
      var packets = talk.packets
      for _ in 0..<Int.random(in: 2...9, using: &random) {
        packets.remove(at: .random(in: packets.indices, using: &random))
      }
      if round % 3 == 0 {
        let at = Int.random(in: 1..<packets.count, using: &random)
        packets.swapAt(at, at - 1)
      }
      for pair in paired(packets, as: .memcached).pairs { #expect(truth[pair.start] == pair.end, "round \(round)") }
    }
    // From the middle on: the first packets are missing.
    for first in stride(from: 1, to: talk.packets.count, by: 7) {
      let (pairs, tally, _) = paired(Array(talk.packets[first...]), as: .memcached)
      for pair in pairs { #expect(truth[pair.start] == pair.end, "from packet \(first) on") }
      let expected = truth.count * (talk.packets.count - first) / talk.packets.count
      #expect(tally.waiting == 0 && pairs.count + 60 >= expected)
    }
  }

  @Test func losesOneExchangeOfALockstepClient() {
    var packets = lockstep(100).packets
    packets.remove(at: 3 + 2 * 49 + 1)
    packets.remove(at: 3 + 2 * 29)
    let (pairs, tally, _) = paired(packets, as: .memcached)
    // Of 100 one lacks its request, another one its answer.
    #expect(pairs.map(\.delay) == multiples(1...29) + multiples(31...49) + multiples(51...100))
    #expect(tally.gaps == 2 && tally.abandoned == 1 && tally.requests == 99)
  }

  /// Whoever captures knows that it lost packets, and not which.
  @Test func aLossSomewhereEndsWhatWaits() {
    var talk = Talk(port: 11_211)
    talk.ask(100, "get one\r\n")
    let before = talk.packets
    talk.answer(150, "END\r\n")
    // 1 ms later this may be anybody's answer; after a pause it is this request's.
    talk.ask(1_150, "get two\r\n")
    talk.answer(1_160, "END\r\n")
    talk.ask(60_000, "get three\r\n")
    talk.answer(60_023, "END\r\n")
    let pairer = Pairer([.memcached])
    for packet in before { pairer.take(packet) }
    pairer.miss()
    for packet in talk.packets[before.count...] { pairer.take(packet) }
    pairer.miss()
    pairer.finish()
    let tally = pairer.ledger.protocols[0].tally
    #expect(pairer.takePairs().map(\.delay) == [23_000])
    #expect(tally.gaps == 2 && tally.abandoned == 1 && tally.requests == 2 && tally.waiting == 0)
  }

  @Test func beginsInTheMiddle() {
    // 1 ms between requests is not enough of a pause, 20 ms are.
    var talk = lockstep(7)
    talk.ask(60_000, "get key\r\n")
    talk.answer(60_023, "END\r\n")
    let (pairs, tally, _) = paired(Array(talk.packets[3...]), as: .memcached)
    #expect(pairs.map(\.delay) == [23_000] && tally.requests == 1 && tally.unreadBytes == 7 * (9 + 26))
  }

  @Test func passesOverValuesThatWereCut() {
    var talk = Talk(port: 11_211, wire: Wire(snap: 14 + 20 + 20 + 40))
    talk.ask(100, "get key\r\n")
    talk.answer(150, "VALUE key 0 1000\r\n" + String(repeating: "x", count: 1_000) + "\r\n")
    talk.answer(160, "END\r\n")
    talk.ask(200, "get " + String(repeating: "k", count: 100) + "\r\n")
    talk.answer(210, "END\r\n")
    let (pairs, tally, ledger) = paired(talk.packets, as: .memcached)
    #expect(pairs.map(\.delay) == [50_000] && pairs.first?.endLast == 160_000)
    #expect(tally.truncated == 1 && tally.unreadBytes > 0 && ledger.packets.truncated == 2)
  }

  @Test(arguments: [false, true]) func packetsOfImpossibleLengthAreMalformed(isIPv6: Bool) {
    let (client, server) = (
      Station(number: 1, port: 40_000, isIPv6: isIPv6), Station(number: 2, port: 80, isIPv6: isIPv6)
    )
    func ledger(_ length: Int) -> PairLedger {
      let wire = Wire()
      var packets = [
        wire.tcp(0, client, server, sequence: 99, acknowledgment: 0, flags: 2),
        wire.tcp(1, server, client, sequence: 199, acknowledgment: 100, flags: 0x12),
        wire.tcp(2, client, server, sequence: 100, acknowledgment: 200, Array("GET / HTTP/1.1\r\n".utf8)),
      ]
      packets[2].bytes.replaceSubrange(isIPv6 ? 18..<20 : 16..<18, with: [0, 0])
      packets[2].length = length
      return paired(packets, as: .http).ledger
    }
    let whole = ledger(14 + 1 << 19)
    #expect(whole.packets.malformed == 0 && whole["http"]?.truncated == 1)
    for length in [15 + 1 << 19, 1_000_000_000, 0xffff_fff0] {
      let ledger = ledger(length)
      #expect(ledger.packets.malformed == 1 && ledger["http"]?.unreadBytes == 0)
    }
  }

  /// The first byte of an answer is enough for a pair, however the connection ends before the last one.
  @Test func pairsAnswersThatAreCutOff() {
    let answers: [(port: Int, kind: PairingProtocol, request: String, answer: String, count: Int)] = [
      (80, .http, "GET / HTTP/1.1\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\nxx", 1),
      (80, .http, "GET / HTTP/1.0\r\n\r\n", "HTTP/1.0 200 OK\r\n\r\nxx", 1),
      (80, .http, "GET / HTTP/1.1\r\n\r\n", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nxx", 1),
      // May be 100 Continue.
      (80, .http, "GET / HTTP/1.1\r\n\r\n", "HTTP/1.1 ", 0),
      (6_379, .redis, "GET a\r\n", "$9999\r\nxx", 1), (6_379, .redis, "KEYS a\r\n", "*2\r\n+x\r\n", 1),
      (6_379, .redis, "GET a\r\n", ">2\r\n+invalidate\r\n", 0),
      (11_211, .memcached, "get a\r\n", "VALUE a 0 9999\r\nxx", 1),
      (11_211, .memcached, "get a b\r\n", "VALUE a 0 1\r\nx\r\nVALU", 1),
      (11_211, .memcached, "mg a v\r\n", "VA 9999\r\nxx", 1),
      // No answer to this.
      (11_211, .memcached, "set a 0 0 1\r\nx\r\n", "VALUE a 0 9999\r\nxx", 0),
    ]
    for (port, kind, request, answer, count) in answers {
      for end in 0..<4 {
        var talk = Talk(port: port)
        talk.ask(100, request)
        talk.answer(123, answer)
        switch end {
        case 1: talk.answer(200, [], flags: 0x14)
        case 2: talk.ask(200, [], flags: 0x14)
        case 3: Talk(port: port, handshake: 1_000, sequences: (77_000, 88_000)).packets.forEach { talk.add($0) }
        default: break
        }
        let (pairs, tally, _) = paired(talk.packets, as: kind)
        #expect(pairs.map(\.delay) == (count == 0 ? [] : [23_000]), "\(request) \(answer) \(end)")
        let rest = tally.unanswered + tally.abandoned + tally.refused
        #expect(pairs.allSatisfy { $0.endLast == nil } && rest == 1 - count && tally.waiting == 0)
      }
    }
  }

  @Test func startsAnewWithAReusedPort() {
    var first = Talk(port: 11_211)
    first.ask(100, "get key\r\n")
    var second = Talk(port: 11_211, handshake: 1_000, sequences: (77_000, 88_000))
    second.ask(1_100, "get key\r\n")
    second.answer(1_123, "END\r\n")
    let (pairs, tally, _) = paired(first.packets + second.packets, as: .memcached)
    #expect(pairs.map(\.delay) == [23_000] && tally.requests == 2 && tally.unanswered == 1)
  }

  @Test func boundsItsState() {
    var limits = PairingLimits()
    limits.connections = 7
    limits.bufferedOnDirection = 1_000
    var packets: [PairingPacket] = []
    for port in 0..<23 {
      var talk = Talk(port: 11_211, clientPort: 40_000 + port, handshake: Int64(port))
      talk.ask(100 + Int64(port), "get key\r\n")
      packets += talk.packets
    }
    let (_, tally, ledger) = paired(packets, as: .memcached, limits: limits)
    #expect(ledger.packets.evictedConnections == 16 && tally.evicted == 16 && tally.unanswered == 7)

    var talk = Talk(port: 11_211)
    for number in 0..<200 { talk.ask(Int64(number), "get key\r\n") }
    // The first segment after the handshake never comes, and nobody acknowledges.
    talk = talk.without(3)
    let held = paired(talk.packets, as: .memcached, limits: limits).tally
    #expect(held.gaps == 1 && held.requests == 0)

    limits.pendingOnConnection = 23
    var many = Talk(port: 11_211)
    for number in 0..<100 { many.ask(Int64(number), "get key\r\n") }
    #expect(paired(many.packets, as: .memcached, limits: limits).tally.evicted == 24)

    limits.buffered = 500
    var partial = Talk(port: 11_211)
    partial.ask(1, "get " + String(repeating: "k", count: 600))
    #expect(paired(partial.packets, as: .memcached, limits: limits).tally.unreadBytes == 604)
  }
}

/// Microseconds in nanoseconds.
private func multiples(_ range: ClosedRange<Int64>) -> [Int64] { range.map { $0 * 1_000 } }

extension PairingPacket {
  func at(_ time: Int64) -> PairingPacket {
    var copy = self
    copy.time = time
    return copy
  }
}
