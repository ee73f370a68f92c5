// SPDX-License-Identifier: GPL-2.0-or-later
import Recording
import Testing

@testable import Analysis

@Suite struct TCPTests {
  /// A flow that shows the whole east-west path, so that every segment exists.
  private func lab(isTail: Bool = false) -> Lab {
    var lab = Lab()
    lab.packet(.eastWest, from: -second, key: 900, flow: 3)
    return lab
  }

  @Test func aSplitPacketIsThereWithItsLastByte() throws {
    var lab = Lab(hooks: ["txg1", "txg2", "txh0"])
    lab.data(.txg1, at: 0, 1_000..<4_000, key: 1)
    // The first part keeps the key of the whole.
    lab.data(.txg2, at: 10_000, 1_000..<2_000, key: 1)
    lab.data(.txg2, at: 11_000, 2_000..<3_000, key: 2)
    lab.data(.txg2, at: 12_000, 3_000..<4_000, key: 3)
    for (part, at) in [20_000, 21_000, 22_000].enumerated() {
      let start = UInt64(1_000 * (part + 1))
      lab.data(.txh0, at: Int64(at), start..<(start + 1_000), key: UInt64(part) + 1)
    }
    let result = try lab.analysed()
    let split = try result.segment("tx", "txg1-txg2")
    #expect(split.fates == Fates(count: 1))
    #expect(split.delays == [12_000])
    let parts = try result.segment("tx", "txg2-txh0")
    #expect(parts.fates == Fates(count: 3))
    #expect(parts.delays == [10_000, 10_000, 10_000])
    #expect(try result.segment("tx", "txg1-txh0").delays == [22_000])
  }

  @Test func mergedPacketsAreThereWithTheWhole() throws {
    var lab = Lab(hooks: ["rxh1", "rxg0", "rxg1"])
    for part in 0..<3 {
      let start = UInt64(1_000 * (part + 1))
      lab.data(.rxh1, at: Int64(part) * 1_000, start..<(start + 1_000), key: UInt64(part) + 1)
    }
    lab.data(.rxg0, at: 10_000, 1_000..<4_000, key: 77)
    lab.read(at: 30_000, 1_000..<4_000)
    let result = try lab.analysed()
    let merged = try result.segment("rx", "rxh1-rxg0")
    #expect(merged.fates == Fates(count: 3))
    #expect(merged.delays == [10_000, 9_000, 8_000])
    let read = try result.segment("rx", "rxg0-rxg1")
    #expect(read.delays == [20_000])
    #expect(try result.segment("rx", "rxh1-rxg1").delays == [30_000, 29_000, 28_000])
  }

  @Test func aMergedPacketWithTheFirstPartsKeyStandsForAll() throws {
    var lab = Lab(hooks: ["rxh1", "rxg0"])
    lab.data(.rxh1, at: 0, 1_000..<2_000, key: 1)
    lab.data(.rxh1, at: 1_000, 2_000..<3_000, key: 2)
    lab.data(.rxg0, at: 10_000, 1_000..<3_000, key: 1)
    let merged = try lab.analysed().segment("rx", "rxh1-rxg0")
    #expect(merged.fates == Fates(count: 2))
    #expect(merged.delays == [10_000, 9_000])
  }

  @Test func sequenceNumbersWrapAround() throws {
    var lab = Lab(hooks: ["rxh1", "rxg0", "rxg1"])
    let lap: UInt64 = 1 << 32
    var position = lap - 5_500
    // Three laps of the same keys' neighbourhood: 2³² bytes apart, far outside the window.
    for round in 0..<3 {
      let base = Int64(round) * 5 * second
      for part in 0..<11 {
        let range = position..<(position + 1_000)
        let at = base + Int64(part) * 10_000
        lab.data(.rxh1, at: at, range, key: UInt64(round * 100 + part) + 1)
        lab.data(.rxg0, at: at + 2_000, range, key: UInt64(round * 100 + part) + 1)
        lab.read(at: at + 5_000, range)
        position += 1_000
      }
      position += lap / 3
    }
    let result = try lab.analysed()
    for segment in result.segments { #expect(segment.fates == Fates(count: 33)) }
    #expect(try result.segment("rx", "rxg0-rxg1").delays == [Int64](repeating: 3_000, count: 33))
  }

  @Test func theSameBytesOfAnotherLapAreOthers() throws {
    var lab = Lab(hooks: ["rxh1", "rxg0", "rxg1"])
    let lap: UInt64 = 1 << 32
    // The lap is walked in steps that signed differences can follow.
    for (index, step) in [UInt64(0), lap / 3, 2 * (lap / 3), lap].enumerated() {
      let at = Int64(index) * 100 * millisecond
      let range = (5_000 + step)..<(6_000 + step)
      lab.data(.rxh1, at: at, range, key: UInt64(index) + 1)
      lab.data(.rxg0, at: at + 1_000, range, key: UInt64(index) + 1)
      // The first packet's bytes are never read; those of the next lap are.
      if index > 0 { lab.read(at: at + 2_000, range) }
    }
    let read = try lab.analysed().segment("rx", "rxg0-rxg1")
    #expect(read.fates == Fates(count: 3, lost: 1))
  }

  @Test func aPacketSentAgainStandsForItself() throws {
    var lab = Lab(hooks: ["rxh1", "rxg0", "rxg1"])
    lab.data(.rxh1, at: 0, 0..<1_000, key: 1)
    lab.data(.rxg0, at: 1_000, 0..<1_000, key: 1)
    lab.read(at: 2_000, 0..<1_000)
    // Lost between rxh1 and rxg0, then sent again under another key.
    lab.data(.rxh1, at: 10_000, 1_000..<2_000, key: 2)
    lab.data(.rxh1, at: 200 * millisecond, 1_000..<2_000, key: 3)
    lab.data(.rxg0, at: 200 * millisecond + 1_500, 1_000..<2_000, key: 3)
    lab.read(at: 200 * millisecond + 4_000, 1_000..<2_000)
    let result = try lab.analysed()
    #expect(try result.segment("rx", "rxh1-rxg0").fates == Fates(count: 2, lost: 1))
    #expect(try result.segment("rx", "rxh1-rxg0").delays == [1_000, 1_500])
    #expect(try result.segment("rx", "rxg0-rxg1").delays == [1_000, 2_500])
    #expect(try result.segment("rx", "rxh1-rxg1").fates == Fates(count: 2, lost: 1))
  }

  @Test func aPacketSentAgainNeedlesslyIsADuplicateAtTheSocket() throws {
    var lab = Lab(hooks: ["rxh1", "rxg0", "rxg1"])
    for (index, at) in [Int64(0), 50 * millisecond].enumerated() {
      lab.data(.rxh1, at: at, 0..<1_000, key: UInt64(index) + 1)
      lab.data(.rxg0, at: at + 1_000, 0..<1_000, key: UInt64(index) + 1)
    }
    lab.read(at: 2_000, 0..<1_000)
    let result = try lab.analysed()
    #expect(try result.segment("rx", "rxh1-rxg0").fates == Fates(count: 2))
    #expect(try result.segment("rx", "rxg0-rxg1").fates == Fates(count: 1, duplicate: 1))
    #expect(try result.segment("rx", "rxh1-rxg1").fates == Fates(count: 1, duplicate: 1))
  }

  @Test func aSplitAfterALossTakesTheFirstThatCoversTheLastByte() throws {
    var lab = Lab(hooks: ["txg1", "txg2"])
    lab.data(.txg1, at: 0, 0..<3_000, key: 1)
    lab.data(.txg2, at: 1_000, 0..<1_000, key: 1)
    lab.data(.txg2, at: 2_000, 1_000..<2_000, key: 2)
    // The last part goes out twice.
    lab.data(.txg2, at: 3_000, 2_000..<3_000, key: 3)
    lab.data(.txg2, at: 9_000, 2_000..<3_000, key: 4)
    #expect(try lab.analysed().segment("tx", "txg1-txg2").delays == [3_000])
  }

  @Test func readsInPiecesCountWithTheLastByte() throws {
    var lab = lab()
    for packet in 0..<23 {
      let range = UInt64(packet) * 1_000..<(UInt64(packet) + 1) * 1_000
      for (index, hook) in [HookPoint.txg1, .txg2, .txh0, .rxh1, .rxg0].enumerated() {
        lab.data(hook, at: Int64(packet) * millisecond + Int64(index) * 1_000, range, key: UInt64(packet) + 1)
      }
      let at = Int64(packet) * millisecond + 10_000
      lab.read(at: at, range.lowerBound..<(range.lowerBound + 400))
      lab.read(at: at + 500, (range.lowerBound + 400)..<(range.lowerBound + 999))
      lab.read(at: at + 900, (range.lowerBound + 999)..<range.upperBound)
    }
    let result = try lab.analysed()
    let socket = try result.segment("east-west", "rxg0-rxg1")
    #expect(socket.fates == Fates(count: 24))
    #expect(socket.delays.dropFirst().allSatisfy { $0 == 6_900 })
    #expect(try result.segment("east-west", "txg0-rxg1").fates == Fates(count: 1))
  }

  @Test func oneReadOfManyPackets() throws {
    var lab = lab()
    for packet in 0..<23 {
      let range = UInt64(packet) * 1_000..<(UInt64(packet) + 1) * 1_000
      for (index, hook) in [HookPoint].eastWest.dropLast().enumerated() where hook != .txg0 || packet % 10 == 0 {
        lab.data(hook, at: Int64(packet) * 10_000 + Int64(index) * 1_000, range, key: UInt64(packet) + 1)
      }
    }
    lab.read(at: millisecond, 0..<23_000)
    let result = try lab.analysed()
    #expect(try result.segment("east-west", "rxg0-rxg1").fates == Fates(count: 24))
    #expect(try result.segment("east-west", "rxg0-rxg1").delays.last == millisecond - 22 * 10_000 - 5_000)
    let endToEnd = try result.segment("east-west", "txg0-rxg1")
    #expect(endToEnd.fates == Fates(count: 4))
    #expect(endToEnd.delays == [6_000, millisecond, millisecond - 100_000, millisecond - 200_000])
    // Complete journeys: the UDP packet and the three that txg0 saw.
    #expect(abs(result.segments.compactMap(\.share).reduce(0, +) - 1) < 1e-12)
  }

  @Test func dataLostBeforeTheSocketIsLost() throws {
    var lab = lab()
    for hook in [HookPoint.txg1, .txg2, .txh0, .rxh1, .rxg0] {
      lab.data(hook, at: Int64(hook.rawValue) * 1_000, 0..<500, key: 5)
    }
    lab.read(at: millisecond, 0..<499)
    let result = try lab.analysed()
    #expect(try result.segment("east-west", "rxg0-rxg1").fates == Fates(count: 1, lost: 1))
  }

  @Test func aPartlyAttachedSocketDoesNotLoseTCP() throws {
    var lab = Lab(hooks: ["rxh1", "rxg0", "rxg1"])
    lab.recording.machine.hooks[2].absentBecause = "tcp: no skb_copy_datagram_iovec"
    lab.data(.rxh1, at: 0, 0..<500, key: 5)
    lab.data(.rxg0, at: 1_000, 0..<500, key: 5)
    let result = try lab.analysed()
    #expect(try result.segment("rx", "rxg0-rxg1").fates == Fates())
    #expect(result.warnings.count == 2)
  }

  @Test func unwrappingFindsTheNearestNumber() {
    #expect(unwrap(5, near: 0xFFFF_FFF0) == 0x1_0000_0005)
    #expect(unwrap(0xFFFF_FFF0, near: 0x1_0000_0005) == 0xFFFF_FFF0)
    #expect(unwrap(0xFFFF_FFF0, near: 5) == -16)
    #expect(unwrap(17, near: 17) == 17)
  }
}
