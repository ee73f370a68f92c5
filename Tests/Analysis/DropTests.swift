// SPDX-License-Identifier: GPL-2.0-or-later
import Recording
import Testing

@testable import Analysis

/// What the kernel says that it threw away is lost; what it did not throw away is not.
@Suite struct DropTests {
  private static let eastWest: [HookPoint] = [.txg0, .txg1, .txg2, .txh0, .rxh1, .rxg0, .rxg1]

  private func drop(
    at time: Int64, key: UInt64, flow: UInt32 = 7, kind: StampKind = .udp, sequence: UInt32 = 0, length: UInt32 = 100,
    header: UInt16 = 28, place: UInt32 = 1
  ) -> Drop {
    Drop(
      time: UInt64(Int64(Lab.start) + time), key: key, flow: flow, sequence: sequence, length: length,
      headerLength: header, kind: kind, reason: place == 2 ? 2 : 12, place: place)
  }

  private func lab() -> Lab {
    var lab = Lab()
    lab.recording.machine.drops = [
      DropPlace(place: 1, reason: 12, name: "NETFILTER_DROP", function: "nft_do_chain", count: 3),
      DropPlace(place: 2, reason: 2, name: "NOT_SPECIFIED", function: "veth_xmit", count: 2),
    ]
    lab.recording.machine.dropsLost = 0
    return lab
  }

  @Test func lostIsWhatWasThrownAway() throws {
    var lab = lab()
    for packet in 0..<23 {
      let at = Int64(packet) * millisecond
      let key = 100 + UInt64(packet)
      switch packet % 5 {
      case 1:
        lab.packet([.txg0, .txg1, .txg2, .txh0], from: at, key: key)
        lab.recording.drops.append(drop(at: at + 4_000, key: key))
      case 2:
        lab.packet([.txg0, .txg1, .txg2], from: at, key: key)
        lab.recording.drops.append(drop(at: at + 3_000, key: key, place: 2))
      // Gone another way.
      case 3: lab.packet([.txg0, .txg1, .txg2, .txh0], from: at, key: key)
      default: lab.packet(DropTests.eastWest, from: at, key: key)
      }
    }
    let result = try lab.analysed()
    let bridge = try result.segment("east-west", "txh0-rxh1")
    #expect(bridge.fates == Fates(count: 9, lost: 5, unmatched: 4))
    #expect(bridge.dropped == ["NETFILTER_DROP": 5])
    let whole = try result.segment("east-west", "txg0-rxg1")
    #expect(whole.fates == Fates(count: 9, lost: 10, unmatched: 4))
    #expect(whole.dropped == ["NETFILTER_DROP": 5, "NOT_SPECIFIED at veth_xmit": 5])
  }

  /// Without the kernel's word, or with a part of it, absence is loss as ever.
  @Test(arguments: [nil, 1] as [UInt64?]) func whereTheKernelDidNotTellAllAbsenceIsLoss(lost: UInt64?) throws {
    var lab = lab()
    lab.recording.machine.dropsLost = lost
    if lost == nil { lab.recording.machine.drops = nil }
    for packet in 0..<23 {
      lab.packet(
        packet % 5 == 1 ? [.txg0, .txg1, .txg2] : DropTests.eastWest, from: Int64(packet) * millisecond,
        key: 100 + UInt64(packet))
    }
    #expect(try lab.analysed().segment("east-west", "txg2-txh0").fates == Fates(count: 18, lost: 5))
  }

  @Test func aDropOutsideTheWindowIsAnotherPacket() throws {
    var lab = lab()
    lab.packet([.txg0, .txg1, .txg2], from: 5_000 * millisecond, key: 1)
    lab.packet(DropTests.eastWest, from: 6_000 * millisecond, key: 2)
    lab.recording.drops = [drop(at: 100 * millisecond, key: 1), drop(at: 9_000 * millisecond, key: 1)]
    #expect(try lab.analysed().segment("east-west", "txg2-txh0").fates == Fates(count: 1, unmatched: 1))
  }

  /// A flow that a firewall stops altogether takes the path that ends where it was seen last: no segment tells of it.
  @Test func whatIsThrownAwayBehindAPathsEndIsSaid() throws {
    var lab = lab()
    for packet in 0..<23 {
      let at = Int64(packet) * millisecond
      lab.packet([.txg0, .txg1, .txg2, .txh0], from: at, key: 100 + UInt64(packet))
      if packet % 5 != 0 { lab.recording.drops.append(drop(at: at + 4_000, key: 100 + UInt64(packet))) }
    }
    let result = try lab.analysed()
    #expect(result.segments.allSatisfy { $0.lost == 0 })
    #expect(
      result.warnings.contains(
        "tx: 18 packets were thrown away behind txh0, where this path ends (NETFILTER_DROP 18)"), "\(result.warnings)")
  }

  /// A packet that is forwarded passes a hook point twice; what it passed before is no arrival behind.
  @Test func ofTwoStampsTheOneBehindIsTheArrival() throws {
    var lab = lab()
    for packet in 0..<23 {
      let at = Int64(packet) * millisecond
      lab.stamp(.rxh1, at: at, key: 100 + UInt64(packet))
      lab.stamp(.rxg0, at: at + 1_000, key: 100 + UInt64(packet))
      lab.stamp(.txh0, at: at + 4_000, key: 100 + UInt64(packet))
      lab.stamp(.rxh1, at: at + 5_000, key: 100 + UInt64(packet))
      lab.stamp(.rxg0, at: at + 7_000, key: 100 + UInt64(packet))
    }
    let result = try lab.analysed()
    let segment = try result.segment("east-west", "txh0-rxh1")
    #expect(segment.delays == [Int64](repeating: 1_000, count: 23))
    #expect(!result.warnings.contains { $0.contains("negative") }, "\(result.warnings)")
  }

  /// A super-packet is thrown away in parts, which have other keys.
  @Test func theLastPartOfASuperPacketIsKnownByItsEnd() throws {
    var lab = lab()
    for hook in DropTests.eastWest.dropFirst().dropLast() {
      lab.data(hook, at: Int64(hook.rawValue), 0..<1_000, key: 5)
    }
    lab.read(at: 20_000, 0..<1_000)
    lab.data(.txg1, at: millisecond, 1_000..<9_000, key: 6)
    lab.recording.drops = [
      drop(at: millisecond + 9, key: 77, flow: 9, kind: .tcp, sequence: 8_000, length: 1_052, header: 52)
    ]
    let segment = try lab.analysed().segment("east-west", "txg1-txg2")
    #expect(segment.lost == 1 && segment.dropped == ["NETFILTER_DROP": 1])
  }

  /// Tunnels read in the kernel, some reads are not to be seen: nobody asked rxg1 for those flows.
  @Test(arguments: [true, false]) func aFlowThatNobodyReadIsNotLost(isTold: Bool) throws {
    var lab = lab()
    if !isTold { lab.recording.machine.drops = nil }
    for packet in 0..<23 {
      lab.packet(DropTests.eastWest, from: Int64(packet) * millisecond, key: 100 + UInt64(packet))
      lab.packet(
        [.txg1, .txg2, .txh0, .rxh1, .rxg0], from: Int64(packet) * millisecond, key: 200 + UInt64(packet), flow: 8)
    }
    let read = try lab.analysed().segment("east-west", "rxg0-rxg1")
    #expect(read.fates == Fates(count: 23) && read.notAsked == 23)
  }

  /// A copy that a bridge flooded, or that was mirrored, is thrown away by whom it was not for: the packet went elsewhere.
  @Test func aCopyForSomebodyElseIsNotLost() throws {
    var lab = lab()
    lab.recording.machine.drops = [
      DropPlace(place: 1, reason: 12, name: "OTHERHOST", function: "ip_rcv_core", count: 1),
      DropPlace(place: 2, reason: 2, name: "PACKET_SOCK_ERROR", function: "tpacket_rcv", count: 1),
      DropPlace(place: 3, reason: 9, name: "NO_SOCKET", function: "udp_unicast_rcv_skb", count: 1),
    ]
    let address: [UInt8] = [10, 0, 0, 1]
    lab.recording.flows[8] = Flow(
      id: 8, ipProtocol: 17, source: address, destination: [239, 1, 2, 3], sourcePort: 1, destinationPort: 2)
    for packet in 0..<23 {
      let at = Int64(packet) * millisecond
      let key = UInt64(packet) + 100
      lab.packet(Array(DropTests.eastWest.dropLast(packet % 5 == 0 ? 0 : 1)), from: at, key: key)
      if packet % 5 == 1 { lab.recording.drops.append(drop(at: at + 7_000, key: key)) }
      if packet % 5 == 2 { lab.recording.drops.append(drop(at: at + 7_000, key: key, place: 2)) }
      if packet % 5 == 3 { lab.recording.drops.append(drop(at: at + 7_000, key: key, place: 3)) }
      // A multicast group that this receiver has not joined.
      lab.packet(Array(DropTests.eastWest.dropLast()), from: at, key: 1_000 + key, flow: 8)
      lab.recording.drops.append(drop(at: at + 7_000, key: 1_000 + key, place: 3))
    }
    let read = try lab.analysed().segment("east-west", "rxg0-rxg1")
    #expect(read.fates == Fates(count: 5, lost: 4, unmatched: 5 + 5 + 4 + 23))
    #expect(read.dropped == ["NO_SOCKET": 4] && read.discarded == ["OTHERHOST": 5, "NO_SOCKET": 23])
  }
}
