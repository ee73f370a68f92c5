// SPDX-License-Identifier: GPL-2.0-or-later
import Pairing
import Testing

/// Seeded damage to packets of every protocol; what servers really send is damaged in IntegrationTests.
@Suite struct DamageTests {
  /// A conversation in every protocol, each on its own connection.
  static let packets: [PairingPacket] = {
    let (client, wire) = (Station(number: 1, port: 40_000), Wire())
    var packets: [PairingPacket] = Call.packets()
    for (port, bytes) in [(53, dns(7, "a.example")), (862, [UInt8](repeating: 9, count: 44)), (7, [1, 2, 3])] {
      packets.append(wire.udp(100, client, Station(number: 2, port: port), bytes))
      packets.append(wire.udp(200, Station(number: 2, port: port), client, bytes))
    }
    packets.append(wire.udp(300, Station(number: 2, port: 53), client, dns(7, "a.example", isResponse: true)))
    let datagram = bytes16(1) + [0, 0, 0, 1, 0, 0]
    packets.append(wire.udp(100, client, Station(number: 2, port: 11_211), datagram + Array("get a\r\n".utf8)))
    packets.append(wire.udp(200, Station(number: 2, port: 11_211), client, [0, 1, 0, 1, 0, 2, 0, 0]))
    packets += [wire.echo(1, client, Station(number: 2)), wire.echo(9, Station(number: 2), client, isReply: true)]
    let lines: [(Int, String, String)] = [
      (11_211, "set k 0 0 3\r\nabc\r\nget k\r\nmg a v q\r\nmn\r\n", "STORED\r\nVALUE k 0 3\r\nabc\r\nEND\r\nMN\r\n"),
      (6_379, "*2\r\n$3\r\nGET\r\n$1\r\nk\r\nPING\r\n", "%1\r\n+a\r\n*1\r\n$3\r\nabc\r\n|1\r\n+t\r\n:1\r\n+PONG\r\n"),
      (
        80, "POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabcGET / HTTP/1.1\r\n\r\n",
        "HTTP/1.1 204 No\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
      ),
    ]
    for (port, question, answer) in lines {
      for (size, clientPort) in [(5, 41_000), (1_000, 42_000)] {
        var talk = Talk(port: port, clientPort: clientPort, sequences: (0xffff_fff0, 0xffff_ff00))
        for round in 0..<3 {
          let time = Int64(1_000 + 30_000 * round)
          for (index, part) in Array(question.utf8).chunks(size).enumerated() { talk.ask(time + Int64(index), part) }
          for (index, part) in Array(answer.utf8).chunks(size).enumerated() {
            talk.answer(time + 500 + Int64(index), part)
          }
        }
        packets += talk.packets
      }
    }
    return packets
  }()

  @Test(arguments: 0..<40) func survives(seed: Int) {
    var random = Seeded(state: UInt64(seed))
    var limits = PairingLimits()
    if seed % 2 == 1 {
      (limits.pending, limits.connections, limits.pendingOnConnection) = (3, 2, 2)
      (limits.bufferedOnDirection, limits.buffered, limits.header) = (300, 500, 40)
    }
    let pairer = Pairer(PairingProtocol.allCases, limits: limits)
    var packets = DamageTests.packets
    for _ in 0..<seed { packets.swapAt(.random(in: packets.indices, using: &random), packets.count / 2) }
    for var packet in packets {
      switch Int.random(in: 0..<20, using: &random) {
      case 0: continue
      case 1: packet.bytes = Array(packet.bytes.prefix(.random(in: 0...packet.bytes.count, using: &random)))
      case 2:
        let at = Int.random(in: packet.bytes.indices, using: &random)
        packet.bytes[at] = .random(in: 0...255, using: &random)
      case 3: packet.time = .random(in: .min ... .max, using: &random)
      case 4: packet.linkType = .random(in: 0..<300, using: &random)
      case 5: pairer.take(packet)
      default: break
      }
      pairer.take(packet)
      #expect(pairer.heldBytes <= limits.buffered)
    }
    pairer.finish()
    let expected = pairer.ledger.protocols.reduce(0) { sum, entry in
      #expect(entry.tally.waiting == 0, "\(entry.name): \(entry.tally)")
      return sum + entry.tally.paired + (entry.name == "sip" ? entry.tally.provisional : 0)
    }
    #expect(pairer.takePairs().count == expected && pairer.heldBytes == 0)
  }

  @Test func pairsAllOfItUndamaged() {
    let pairer = Pairer(PairingProtocol.allCases)
    for packet in DamageTests.packets { pairer.take(packet) }
    pairer.finish()
    for (name, tally) in pairer.ledger.protocols {
      #expect(tally.paired > 0 && tally.malformed == 0 || name == "dns" || name == "stamp", "\(name): \(tally)")
    }
  }
}

extension [UInt8] {
  fileprivate func chunks(_ size: Int) -> [[UInt8]] {
    stride(from: 0, to: count, by: size).map { Array(self[$0..<Swift.min($0 + size, count)]) }
  }
}
