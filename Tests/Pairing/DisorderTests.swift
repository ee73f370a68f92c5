// SPDX-License-Identifier: GPL-2.0-or-later
import Pairing
import Testing

/// Packets that a capture shows a little out of order, though nothing is missing.
@Suite struct DisorderTests {
  private static let header = "HTTP/1.1 200 OK\r\nContent-Length: 2400000\r\n\r\n"

  /// Two requests, each answered with 40 packets of 60 000 bytes as before segmentation, 10 µs apart. The last request, with
  /// a small answer, comes `pause` µs after them.
  private func downloads(pause: Int64 = 1_000) -> Talk {
    var talk = Talk(port: 80)
    for start in [10_000, 20_000] as [Int64] {
      talk.ask(start, "GET /large HTTP/1.1\r\n\r\n")
      talk.answer(start + 23, DisorderTests.header)
      for number in 1...40 as ClosedRange<Int64> {
        talk.answer(start + 23 + 10 * number, [UInt8](repeating: 0x78, count: 60_000))
        talk.acknowledge(start + 26 + 10 * number)
      }
    }
    talk.ask(30_000 + pause, "GET /small HTTP/1.1\r\n\r\n")
    talk.answer(30_029 + pause, "HTTP/1.1 204 None\r\n\r\n")
    return talk
  }

  private func sorted(_ packets: [PairingPacket]) -> [PairingPacket] {
    packets.enumerated().sorted { ($0.element.time, $0.offset) < ($1.element.time, $1.offset) }.map(\.element)
  }

  @Test func acknowledgmentsMayComeBeforeTheirData() {
    let order = downloads().packets
    for early in [5_000, 100_000, 3_000_000] as [Int64] {
      var packets = order
      for index in packets.indices where index % 3 == 0 && index > 3 && packets[index].length == 60 {
        packets[index].time -= early
      }
      let (pairs, tally, _) = paired(sorted(packets), as: .http)
      let about = "acknowledgments \(early) ns early: \(tally)"
      #expect(pairs.map(\.delay) == [23_000, 23_000, 29_000] && tally.gaps == 0, "\(about)")
    }
  }

  @Test func dataThatNeverComesIsAGap() {
    var packets = downloads(pause: 30_000).packets
    // The tenth packet of the second answer, whose acknowledgment is there.
    let missing = 3 + 82 + 2 + 2 * 9
    #expect(packets[missing].length == 14 + 40 + 60_000)
    packets.remove(at: missing)
    let (pairs, tally, _) = paired(packets, as: .http)
    // The first byte of the answer came.
    #expect(pairs.map(\.delay) == [23_000, 23_000, 29_000] && tally.gaps == 1 && tally.abandoned == 0, "\(tally)")
    #expect(pairs[0].endLast != nil && pairs[1].endLast == nil)
  }

  @Test func aGapIsToldAtTheEndOfTheCapture() {
    var talk = Talk(port: 80)
    talk.ask(10, "GET / HTTP/1.1\r\n\r\n")
    talk.answer(20, "HTTP/1.1 204 None\r\n\r\n")
    talk.acknowledge(30)
    let tally = paired(talk.without(4).packets, as: .http).tally
    #expect(tally.gaps == 1 && tally.abandoned == 1 && tally.waiting == 0)
  }

  /// One packet comes behind 30 of its followers: 1.8 MB wait, as their lengths alone.
  @Test func largePacketsMayBeFarOutOfOrder() {
    var packets = downloads().packets
    let late = packets.firstIndex { $0.length > 60_000 }!
    packets.insert(packets.remove(at: late), at: late + 60)
    for index in packets.indices { packets[index].time = Int64(index) * 1_000 }
    let pairer = Pairer([.http])
    for packet in packets {
      pairer.take(packet)
      #expect(pairer.heldBytes < 10_000)
    }
    pairer.finish()
    let tally = pairer.ledger.protocols[0].tally
    #expect(pairer.takePairs().map(\.delay) == [1_000, 1_000, 1_000] && tally.gaps == 0, "\(tally)")
  }

  /// However short they are, only so many segments wait.
  @Test func waitingSegmentsAreCounted() {
    var limits = PairingLimits()
    limits.heldOnDirection = 23
    for (count, gaps) in [(23, 0), (24, 1)] {
      var talk = Talk(port: 80)
      talk.ask(10, "GET / HTTP/1.1\r\n\r\n")
      for number in 0...count { talk.answer(20 + Int64(number), "x") }
      let pairer = Pairer([.http], limits: limits)
      for packet in talk.without(4).packets { pairer.take(packet) }
      #expect(pairer.ledger.protocols[0].tally.gaps == gaps)
    }
  }

  /// Five requests, each in a packet of its own, the third of which is lost, and their answers.
  private func commands(_ count: Int = 5) -> Talk {
    var talk = Talk(port: 6_379)
    for number in 1...count { talk.ask(10 * Int64(number), "*2\r\n$3\r\nGET\r\n$1\r\na\r\n") }
    return talk
  }

  /// A sender puts what it sends again into fewer segments. The bytes that were seen before keep their times.
  @Test func aMergedRetransmissionLeavesTimesAlone() {
    let size: UInt32 = 20
    var talk = commands()
    let (client, server, first) = (talk.client, talk.server, talk.clientNext - 5 * size)
    func again(_ time: Int64, _ range: Range<UInt32>) -> PairingPacket {
      let bytes = Array("*2\r\n$3\r\nGET\r\n$1\r\na\r\n".utf8)
      return talk.wire.tcp(
        time * 1_000, client, server, sequence: first + range.lowerBound, acknowledgment: talk.serverNext,
        (range.lowerBound..<range.upperBound).map { bytes[Int($0 % size)] })
    }
    // All that follows the hole; its first part, once it waits; and with half of what comes before.
    for copies in [[again(200, 40..<100)], [again(100, 50..<80), again(200, 40..<60)], [again(200, 30..<90)]] {
      talk = commands().without(5)
      for copy in copies { talk.add(copy) }
      talk.answer(250, String(repeating: "$1\r\nx\r\n", count: 5))
      let (pairs, tally, _) = paired(talk.packets, as: .redis)
      #expect(pairs.map(\.start) == [10, 20, 200, 40, 50].map { $0 * 1_000 }, "\(copies.map(\.length))")
      #expect(tally.gaps == 0 && tally.paired == 5 && tally.repeatedRequests == tally.retransmitted)
      switch copies[0].bytes.count {
      case 54 + 30: #expect(pairs.map(\.retransmitted) == [false, false, true, true, false])
      default: #expect(pairs.map(\.retransmitted).suffix(3) == [false, true, true])
      }
    }
  }

  @Test func aMergedRetransmissionOfAnswersLeavesTimesAlone() {
    var talk = commands(3)
    let first = talk.serverNext
    talk.answer(60, "$1\r\na\r\n")
    talk.answer(70, "$1\r\nb\r\n")
    talk.answer(80, "$1\r\nc\r\n")
    talk.add(
      talk.wire.tcp(
        200_000, talk.server, talk.client, sequence: first, acknowledgment: talk.clientNext,
        Array("$1\r\na\r\n$1\r\nb\r\n$1\r\nc\r\n".utf8)))
    let (pairs, tally, _) = paired(talk.without(6).packets, as: .redis)
    #expect(pairs.map(\.end) == [200_000, 70_000, 80_000] && pairs.map(\.endLast) == [200_000, 70_000, 80_000])
    #expect(tally.gaps == 0 && tally.retransmitted == 0)
  }
}
