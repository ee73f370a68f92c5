// SPDX-License-Identifier: GPL-2.0-or-later
import Foundation
import Glibc
import Pairing
import Testing

/// Input made to cost more than its length: twice as much of it costs at most two and a half times the work.
///
/// With `LATPROBE_TELL` sizes and ratios are printed, for docs/reliability.md.
@Suite struct WorkTests {
  struct Attack: Sendable, CustomTestStringConvertible {
    var name: String
    var protocols: [PairingProtocol]
    var rules: [PairingRule] = []
    /// The smaller of two sizes.
    var size: Int
    /// After each packet the capture tells of a loss.
    var misses = false
    var packets: @Sendable (Int) -> [PairingPacket]
    var testDescription: String { name }
  }

  /// Nanoseconds of CPU of this thread: other work on the machine hardly changes them.
  private static func work(_ attack: Attack, _ packets: [PairingPacket]) -> Int {
    func now() -> Int {
      var time = timespec()
      unsafe clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
      return time.tv_sec * 1_000_000_000 + time.tv_nsec
    }
    let start = now()
    let pairer = Pairer(attack.protocols, rules: attack.rules)
    for packet in packets {
      pairer.take(packet)
      if attack.misses { pairer.miss() }
    }
    pairer.finish()
    return now() - start
  }

  @Test(arguments: attacks) func costsNoMoreThanItsLength(attack: Attack) {
    let (small, large) = (attack.packets(attack.size), attack.packets(2 * attack.size))
    #expect(large.count >= small.count)
    var ratios: [Double] = []
    // What is quadratic takes four times as long each time; what is not does so only if something disturbs it.
    for _ in 0..<6 {
      let (most, least) = (WorkTests.work(attack, large), max(1, WorkTests.work(attack, small)))
      let ratio = Double(most) / Double(least)
      ratios.append(ratio)
      guard ratio <= 2.5 else { continue }
      if ProcessInfo.processInfo.environment["LATPROBE_TELL"] != nil {
        let names = (attack.protocols.map(\.rawValue) + attack.rules.map(\.name)).joined(separator: ", ")
        print("growth pairing \(names): \(attack.name), \(small.count) packets, \(least / 1000) us, ratio \(ratio)")
      }
      return
    }
    Issue.record("\(attack.name): twice the input took \(ratios) times the work")
  }

  @Test func eachProtocolIsAttacked() {
    #expect(Set(WorkTests.attacks.flatMap(\.protocols)) == Set(PairingProtocol.allCases))
  }

  static let attacks: [Attack] = messageAttacks + networkAttacks

  private static let messageAttacks: [Attack] = [
    shredded("http", 80, .http, "GET / HTTP/1.1\r\nX: ", "y\r\n"),
    shredded("redis", 6_379, .redis, "GET ", "k"),
    shredded("memcached", 11_211, .memcached, "get ", "k"),
    shredded("sip", 5_060, .sip, "INVITE sip:b@x SIP/2.0\r\nX: ", "y"),
    shredded("one line of http", 80, .http, "GET /", "y"),
    shredded("chunk", 80, .http, "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5;", "y"),
    shredded("trailer", 80, .http, "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", "y\r\n"),
    shredded("folded header", 80, .http, "GET / HTTP/1.1\r\nContent-Length: \r\n", " \r\n"),
    shredded("arrays in arrays", 6_379, .redis, "", "*1\r\n"),
    shredded("empty lines", 5_060, .sip, "", "\r\n"),
    Attack(name: "losses", protocols: [.http], size: 2_000, misses: true) { count in
      (0..<count).flatMap { number -> [PairingPacket] in
        var talk = Talk(port: 80, clientPort: 1_024 + number)
        talk.ask(3, "GET / HTTP/1.1\r\n\r\n")
        return talk.packets
      }
    },
    Attack(name: "reversed segments", protocols: [.http], size: 4_000) { count in
      var talk = Talk(port: 80)
      for _ in 0..<count { talk.ask(3, "x") }
      return talk.packets[..<3] + talk.packets[3...].reversed()
    },
    Attack(name: "repeated segments", protocols: [.redis, .tcpAcknowledgment], size: 3_000) { count in
      var talk = Talk(port: 6_379)
      for _ in 0..<min(count, 3_500) { talk.ask(3, "PING\r\n") }
      let copies = talk.packets[3...]
      return talk.packets + (0..<count).map { copies[copies.startIndex + $0 % copies.count] }
    },
    Attack(name: "acknowledged one by one", protocols: [.tcpAcknowledgment], size: 3_000) { count in
      var talk = Talk(port: 80)
      let (client, server, wire) = (talk.client, talk.server, talk.wire)
      for _ in 0..<count { talk.ask(3, "x") }
      let last = talk.clientNext
      let answers = (0..<count).map { number in
        wire.tcp(
          4_000, server, client, sequence: talk.serverNext,
          acknowledgment: last &- UInt32(count) &+ UInt32(number + 1), flags: 0x10)
      }
      return talk.packets + answers
    },
    binary("unmatched binary answers", waiting: 4_000) { _ in 0xffff_ffff },
    binary("binary answers in reverse", waiting: 4_000) { UInt32(4_000 - $0 % 4_000) },
    Attack(name: "quiet commands", protocols: [.memcached], size: 2_000) { count in
      var talk = Talk(port: 11_211)
      for number in 0..<count { talk.ask(3, "mg k v q O\(number)\r\n") }
      for number in 0..<count { talk.answer(4, "HD O\(number)\r\n") }
      return talk.packets
    },
    Attack(name: "quiet and loud commands", protocols: [.memcached], size: 2_000) { count in
      var talk = Talk(port: 11_211)
      for number in 0..<count { talk.ask(3, "mg k v q O\(number)\r\nmg k v Ox\r\n") }
      for _ in 0..<count { talk.answer(4, "HD Ox\r\n") }
      return talk.packets
    },
  ]

  /// Of datagrams, connections and stations.
  private static let networkAttacks: [Attack] = [
    Attack(name: "questions of one number", protocols: [.dns], size: 4_000) { count in
      datagrams(count, 53) { dns(7, "a\($0).example") }
    },
    Attack(name: "answers to nothing", protocols: [.dns], size: 4_000) { count in
      (0..<count).map {
        Wire().udp(
          Int64($0), Station(number: 2, port: 53), Station(number: 1, port: 9), dns($0, "a", isResponse: true))
      }
    },
    Attack(name: "unfinished answers", protocols: [.memcached], size: 4_000) { count in
      (0..<count).map {
        Wire().udp(
          Int64($0), Station(number: 2, port: 11_211), Station(number: 1, port: 9),
          bytes16($0) + [0, 0, 0x0f, 0xff, 0, 0])
      }
    },
    Attack(name: "brackets", protocols: [.sipForward, .sip], size: 100) { count in
      datagrams(count, 5_060) { number in
        Array("INVITE sip:b SIP/2.0\r\ni: \(number)\r\nCSeq: 1 INVITE\r\nf: ".utf8)
          + Array(String(repeating: "<;\">", count: 1_000).utf8) + Array("\r\n\r\n".utf8)
      }
    },
    Attack(name: "messages in circles", protocols: [.sipForward], size: 1_500) { count in
      (0..<count).map { number in
        Wire().udp(
          Int64(number), Station(number: number % 200, port: 5_060), Station(number: (number + 1) % 200, port: 5_060),
          Call.message("INVITE", "INVITE", number / 150))
      }
    },
    Attack(name: "opened connections", protocols: [.tcpHandshake, .http, .tcpAcknowledgment], size: 4_000) { count in
      let (client, server) = (Station(number: 1, port: 40_000), Station(number: 2, port: 80))
      return (0..<count).map {
        Wire().tcp(Int64($0), client, server, sequence: UInt32($0) &* 0x9e37_79b9, acknowledgment: 0, flags: 2)
      }
    },
    Attack(name: "tags", protocols: [.dns, .http, .tcpHandshake], size: 2_000) { count in
      let (client, server) = (Station(number: 1, port: 40_000), Station(number: 2, port: 80))
      return (0..<count).map { number in
        var wire = Wire()
        wire.vlans = [1 + number % 4_000, 1 + number / 4_000]
        return wire.tcp(Int64(number), client, server, sequence: 9, acknowledgment: 0, flags: 2)
      }
    },
    Attack(name: "echoes of one number", protocols: [.icmp], size: 4_000) { count in
      (0..<count).map { Wire().echo(Int64($0), Station(number: 1), Station(number: 2), data: bytes16($0)) }
    },
    Attack(name: "replies first", protocols: [.icmp], size: 4_000) { count in
      let (client, server) = (Station(number: 1), Station(number: 2))
      return (0..<count).map { Wire().echo(Int64($0), server, client, isReply: true, id: $0 / 60_000, sequence: $0) }
        + (0..<count).map { Wire().echo(Int64(count + $0), client, server, id: $0 / 60_000, sequence: $0) }
    },
    Attack(name: "refusals of what nobody sent", protocols: [.icmp, .dns, .stamp], size: 4_000) { count in
      let (client, server) = (Station(number: 1, port: 40_000), Station(number: 2, port: 53))
      return (0..<count).map { number in
        let asked = Wire(link: 101).udp(0, client, server, dns(number, "a")).bytes
        return Wire().packet(Int64(number), server, client, 1, [3, 3, 0, 0, 0, 0, 0, 0] + asked)
      }
    },
    Attack(name: "test packets of one number", protocols: [.stamp], size: 4_000) { count in
      datagrams(count, 862) { [0, 0, 0, 7] + bytes32(UInt32($0)) + [UInt8](repeating: 0, count: 36) }
    },
    Attack(name: "reflections of nothing", protocols: [.stamp], size: 4_000) { count in
      (0..<count).map { number in
        let payload = bytes32(UInt32(number)) + [UInt8](repeating: 0, count: 20) + bytes32(UInt32(number))
        return Wire().udp(
          Int64(number), Station(number: 2, port: 862), Station(number: 1, port: 9),
          payload + [UInt8](repeating: 0, count: 16))
      }
    },
    Attack(name: "the same words", protocols: [.udpEcho], size: 4_000) { count in
      (0..<count).map { number in
        let (client, server) = (Station(number: 1, port: 40_000), Station(number: 2, port: 7))
        return Wire().udp(
          Int64(number), number % 3 == 2 ? server : client, number % 3 == 2 ? client : server, [1, 2, 3])
      }
    },
    Attack(name: "one key", protocols: [], rules: [rule], size: 4_000) { count in
      datagrams(count, 9_001) { _ in [1, 2, 3] }
    },
    Attack(name: "an open network", protocols: PairingProtocol.allCases, rules: [rule], size: 6_000) { count in
      var random = Seeded(state: 7)
      let ports = PairingProtocol.allCases.flatMap(\.defaultPorts).map(Int.init) + [9_001]
      return (0..<count).map { number in
        let client = Station(
          number: Int.random(in: 1...250, using: &random), port: Int.random(in: 1...65_535, using: &random))
        let server = Station(
          number: Int.random(in: 1...250, using: &random), port: ports.randomElement(using: &random) ?? 53)
        let payload = (0..<40).map { _ in UInt8.random(in: 0...255, using: &random) }
        guard Bool.random(using: &random) else { return Wire().udp(Int64(number), client, server, payload) }
        return Wire().tcp(
          Int64(number), client, server, sequence: UInt32.random(in: 0 ... .max, using: &random), acknowledgment: 1,
          flags: Int.random(in: 0..<64, using: &random), payload)
      }
    },
    Attack(name: "answers before their requests", protocols: [.http], size: 3_000) { count in
      var talk = Talk(port: 80)
      let (client, server, wire, ask) = (talk.client, talk.server, talk.wire, talk.clientNext)
      let answers = (0..<count).map {
        wire.tcp(
          3_000, server, client, sequence: talk.serverNext &+ UInt32($0), acknowledgment: ask &+ 100, Array("x".utf8))
      }
      talk.ask(4, String(repeating: "x", count: 99))
      return talk.packets + answers
    },
  ]

  /// A message in segments of two bytes.
  private static func shredded(
    _ name: String, _ port: Int, _ kind: PairingProtocol, _ start: String, _ more: String
  ) -> Attack {
    Attack(name: "shredded \(name)", protocols: [kind], size: 12_000) { count in
      var talk = Talk(port: port)
      talk.ask(3, start)
      let bytes = Array(String(repeating: more, count: count / more.utf8.count).utf8)
      for place in stride(from: 0, to: bytes.count, by: 2) {
        talk.ask(4 + Int64(place), Array(bytes[place..<min(place + 2, bytes.count)]))
      }
      return talk.packets
    }
  }

  private static let rule = PairingRule(name: "rule", transport: .udp, ports: [9_001])

  private static func binary(
    _ name: String, waiting: Int, _ opaque: @escaping @Sendable (Int) -> UInt32
  ) -> Attack {
    Attack(name: name, protocols: [.memcached], size: 2_000) { count in
      var talk = Talk(port: 11_211)
      for number in 0..<waiting { talk.ask(3, MemcachedTests.binary(0x80, 0, UInt32(number + 1), key: "k")) }
      for number in 0..<count { talk.answer(4, MemcachedTests.binary(0x81, 0, opaque(number))) }
      return talk.packets
    }
  }

  private static func datagrams(_ count: Int, _ port: Int, _ payload: (Int) -> [UInt8]) -> [PairingPacket] {
    (0..<count).map {
      Wire().udp(Int64($0), Station(number: 1, port: 40_000), Station(number: 2, port: port), payload($0))
    }
  }
}
