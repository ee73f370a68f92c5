// SPDX-License-Identifier: GPL-2.0-or-later
import Pairing
import Testing

@Suite struct TimingTests {
  let client = Station(number: 1, port: 40_000)

  @Test func pairsSTAMPProbes() {
    let server = Station(number: 2, port: 862)
    func probe(_ sequence: UInt32, _ stamp: UInt8, size: Int = 44) -> [UInt8] {
      let head = bytes32(sequence) + [UInt8](repeating: stamp, count: 8) + [0x80, 1]
      return head + [UInt8](repeating: 0, count: size - head.count)
    }
    func reflected(_ own: UInt32, _ sequence: UInt32, _ stamp: UInt8) -> [UInt8] {
      let head = bytes32(own) + [UInt8](repeating: 0xaa, count: 20)
      return head + bytes32(sequence) + [UInt8](repeating: stamp, count: 8) + [0, 0, 0, 0, 64, 0, 0, 0]
    }
    // Authenticated: sequence, 12 zeros, time at 16; reflected at 48 and 64.
    let secret = bytes32(9) + [UInt8](repeating: 0, count: 12) + [UInt8](repeating: 5, count: 96)
    let answer =
      bytes32(0) + [UInt8](repeating: 0, count: 44) + bytes32(9) + [UInt8](repeating: 0, count: 12)
      + [UInt8](repeating: 5, count: 48)
    let wire = Wire()
    let both = Station(number: 1, port: 862)
    let (pairs, tally, _) = paired(
      [
        wire.udp(100, client, server, probe(7, 1)), wire.udp(110, client, server, probe(8, 2, size: 200)),
        // The reflector counts its own packets.
        wire.udp(123, server, client, reflected(0, 8, 2)), wire.udp(131, server, client, reflected(1, 7, 1)),
        wire.udp(200, client, server, secret), wire.udp(217, server, client, answer),
        wire.udp(300, both, server, probe(1, 3)), wire.udp(311, server, both, reflected(5, 1, 3)),
        wire.udp(400, server, client, reflected(6, 1, 3)), wire.udp(500, client, server, [1, 2, 3]),
      ], as: .stamp)
    #expect(pairs.map(\.delay) == [13, 31, 17, 11] && pairs.map(\.key).first == "sequence 8")
    #expect(tally.requests == 4 && tally.unmatchedResponses == 1 && tally.malformed == 1)
  }

  @Test func pairsEchoesByWhatTheyCarry() {
    let server = Station(number: 2, port: 7)
    let wire = Wire()
    let (pairs, tally, _) = paired(
      [
        wire.udp(100, client, server, Array("one".utf8)), wire.udp(110, client, server, Array("two".utf8)),
        wire.udp(120, server, client, Array("two".utf8)), wire.udp(123, server, client, Array("one".utf8)),
        wire.udp(130, server, client, Array("six".utf8)),
      ], as: .udpEcho)
    #expect(pairs.map(\.delay) == [10, 23] && tally.unmatchedResponses == 1)
    #expect(pairs.first?.name == "udp-echo")
  }

  @Test func tellsRequestsWhereBothPortsAreTheServers() {
    let (low, high) = (Station(number: 1, port: 7), Station(number: 2, port: 7))
    let wire = Wire()
    let pairs = paired(
      [
        wire.udp(100, low, high, [1]), wire.udp(110, high, low, [2]), wire.udp(123, high, low, [1]),
        wire.udp(131, low, high, [2]),
      ], as: .udpEcho
    ).pairs
    #expect(pairs.map(\.delay) == [23, 21] && pairs.map(\.client.description) == ["10.77.0.1:7", "10.77.0.2:7"])
  }

  @Test func timesHandshakes() {
    var talk = Talk(port: 4_711, handshake: 10)
    // The SYN and the SYN/ACK once more; then data, whose ACK is not the handshake's.
    var packets = [talk.packets[0].at(1_000)]
    packets += [talk.packets[0], talk.packets[1], talk.packets[1].at(11_500), talk.packets[2]]
    talk.ask(20, "x")
    packets.append(talk.packets[3])
    let (pairs, tally, _) = paired(packets, as: .tcpHandshake)
    #expect(pairs.map(\.name) == ["tcp-syn-synack", "tcp-synack-ack"])
    #expect(pairs.map(\.delay) == [10_000, 1_000] && pairs.map(\.retransmitted) == [true, true])
    #expect(tally.requests == 2 && tally.repeatedRequests == 2 && tally.unmatchedResponses == 0)
  }

  @Test func timesAcknowledgments() {
    var talk = Talk(port: 4_711, sequences: (0xffff_fff0, 5))
    talk.ask(100, String(repeating: "x", count: 10))
    talk.ask(110, String(repeating: "x", count: 10))
    talk.answer(123, "y")
    talk.acknowledge(130)
    talk.ask(200, "z")
    talk.add(talk.packets[7].at(210_000))
    talk.ask(220, "zz")
    talk.add(talk.packets[9].at(230_000))
    talk.answer(241, [])
    let (pairs, tally, _) = paired(talk.packets, as: .tcpAcknowledgment)
    #expect(pairs.map(\.delay) == [23_000, 13_000, 7_000, 41_000, 21_000])
    #expect(pairs.map(\.retransmitted) == [false, false, false, false, true])
    #expect(tally.requests == 5 && tally.repeatedRequests == 1)
  }
}

@Suite struct RuleTests {
  static let yaml = """
    format: 1
    name: game-server
    transport: udp
    ports: [9000, 9001]
    timeout_ms: 5
    request:
      match: [{offset: 0, mask: 0x80, value: 0x00}, {offset: 1, length: 2, value: 0xcafe}]
      key: [{offset: 3, length: 2}, {offset: 5, mask: 0x0f}]
    response:
      match: [{offset: 0, mask: 0x80, value: 0x80}]
      key: [{offset: 1, length: 2}, {offset: 3, mask: 0x0f}]
    """

  @Test func pairsByARuleOfOnesOwn() throws {
    let rule = try PairingRule(yaml: RuleTests.yaml, file: "game.yaml")
    let (client, server) = (Station(number: 1, port: 40_000), Station(number: 2, port: 9_001))
    let pairer = Pairer([], rules: [rule])
    let wire = Wire()
    pairer.take(wire.udp(100, client, server, [0x01, 0xca, 0xfe, 7, 8, 0x39]))
    // Not a request; too short for its key; cut short.
    pairer.take(wire.udp(101, client, server, [0x81, 0xca, 0xfe, 7, 9, 0x39]))
    pairer.take(wire.udp(102, client, server, [0x01, 0xca, 0xfe, 7]))
    pairer.take(
      Wire(snap: 46).udp(103, client, server, [0x01, 0xca, 0xfe, 7, 8, 0x3a, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]))
    pairer.take(wire.udp(123, server, client, [0x80, 7, 8, 0xf9]))
    // 5 ms later nobody waits any more.
    pairer.take(wire.udp(1_000, client, server, [0x01, 0xca, 0xfe, 7, 8, 0x39]))
    pairer.take(wire.udp(5_002_000, server, client, [0x80, 7, 8, 0xf9]))
    pairer.finish()
    let pairs = pairer.takePairs()
    #expect(pairs.map(\.delay) == [23] && pairs.map(\.name) == ["game-server"] && pairs.map(\.key) == ["key 070809"])
    let tally = try #require(pairer.ledger["game-server"])
    #expect(tally.requests == 2 && tally.unanswered == 1 && tally.unmatchedResponses == 1)
    #expect(tally.malformed == 1 && tally.truncated == 1)
  }

  @Test func pairsSegments() throws {
    let rule = try PairingRule(
      yaml: "{format: 1, name: t, transport: tcp, ports: [4711], key: [{offset: 0, length: 4}]}", file: "t.yaml")
    var talk = Talk(port: 4_711)
    talk.ask(100, "key1 question")
    talk.add(talk.packets[3].at(110_000))
    talk.answer(123, "key1 answer")
    let pairer = Pairer([], rules: [rule])
    for packet in talk.packets { pairer.take(packet) }
    pairer.finish()
    #expect(pairer.takePairs().map(\.delay) == [23_000] && pairer.ledger["t"]?.retransmitted == 1)
  }

  @Test(arguments: [
    ("", "empty"), ("a: 1", "unknown key"), ("format: 2", "`format`"), ("name: x", "no `format: 1`"),
    ("{format: 1, name: A}", "`name`"), ("{format: 1, name: a, transport: sctp}", "udp or tcp"),
    ("{format: 1, name: a, transport: udp, ports: [0]}", "from 1 to 65535"),
    ("{format: 1, name: a, transport: udp, ports: [1], key: [{length: 2}]}", "no `offset`"),
    ("{format: 1, name: a, transport: udp, ports: [1], key: [{offset: 0, length: 9, mask: 1}]}", "`mask`"),
    ("{format: 1, name: a, transport: udp, ports: [1], request: {match: [{offset: 0, value: 256}]}}", "`value`"),
    ("{format: 1, name: a, transport: udp, ports: [1], request: {match: [{offset: 0, mask: 1, value: 2}]}}", "never"),
    ("{format: 1, name: a, transport: udp, ports: [1], request: {key: [{offset: 0}]}}", "differ in length"),
    ("{format: 1, name: a, ports: &a [1]}", "anchors"), ("{", "YAML"),
  ])
  func refusesWhatIsWrong(yaml: String, expected: String) {
    let error = #expect(throws: PairingRuleError.self) { try PairingRule(yaml: yaml, file: "rule.yaml") }
    #expect(error?.description.contains(expected) == true, "\(error?.description ?? "")")
    #expect(error?.description.hasPrefix("rule.yaml") == true)
  }
}
