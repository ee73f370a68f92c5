// SPDX-License-Identifier: GPL-2.0-or-later
import Pairing
import Tap
import Testing

@Suite struct PacketOrderTests {
  private let millisecond: Int64 = 1_000_000

  private func packet(_ time: Int64, _ interface: Int = 0) -> PairingPacket {
    PairingPacket(time: time, linkType: 1, length: 0, bytes: [], interface: interface)
  }

  /// Two rings, read in turn: what the second one had all along comes before what was read of the first one.
  @Test func ringsAreMergedByTime() {
    var order = PacketOrder()
    for time in [10, 20, 30] as [Int64] { order.add(packet(time)) }
    order.endRound(0, isGap: false)
    for time in [15, 25, 35] as [Int64] { order.add(packet(time, 1)) }
    order.endRound(20 * millisecond, isGap: false)
    let early = order.due(59 * millisecond)
    let first = order.due(60 * millisecond)
    let second = order.due(80 * millisecond)
    let late = order.due(.max)
    // The second round may still be preceded from 30 on.
    #expect(first?.packets.map(\.time) == [10, 15, 20, 25, 30] && first?.hasGap == false)
    #expect(second?.packets.map(\.time) == [35])
    #expect(early == nil && late == nil)
  }

  @Test func equalTimesStayAsTheyWereRead() {
    var order = PacketOrder()
    for interface in 0..<23 { order.add(packet(7, interface)) }
    order.endRound(0, isGap: false)
    let all = order.due(.max)
    #expect(all?.packets.map(\.interface) == Array(0..<23))
  }

  @Test func gapsComeWithTheirRound() {
    var order = PacketOrder()
    order.add(packet(1))
    order.endRound(0, isGap: false)
    order.add(packet(2))
    order.endRound(10 * millisecond, isGap: true)
    order.endRound(30 * millisecond, isGap: true)
    let rounds = [60, 70, 90].map { order.due($0 * millisecond) }
    // In the third one nothing came, but something was lost.
    #expect(rounds.map { $0?.hasGap } == [false, true, true])
    #expect(rounds.map { $0?.packets.map(\.time) } == [[1], [2], []])
  }
}
