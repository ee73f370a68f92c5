// SPDX-License-Identifier: GPL-2.0-or-later
import Recording
import Testing

@testable import Analysis

@Suite struct SegmentTests {
  @Test func plainChainHasEverySegmentInOrder() throws {
    var lab = Lab()
    for packet in 0..<23 { lab.packet(.tx, from: Int64(packet) * millisecond, key: 100 + UInt64(packet)) }
    let result = try lab.analysed()
    #expect(result.segments.map(\.name) == ["txg0-txg1", "txg1-txg2", "txg2-txh0", "txg0-txh0"])
    #expect(result.segments.allSatisfy { $0.direction == "tx" })
    #expect(result.segments.map(\.isNeighbour) == [true, true, true, false])
    for segment in result.segments {
      #expect(segment.fates == Fates(count: 23))
      #expect(segment.packets == (0..<23).map { UInt32($0) })
      #expect(segment.delays.allSatisfy { $0 == (segment.isNeighbour ? 1_000 : 3_000) })
      #expect(segment.starts == segment.starts.sorted())
      #expect(segment.summary?.count == 23)
    }
    let third = 1.0 / 3
    let shares: [Double?] = [third, third, third, nil]
    #expect(result.segments.map(\.share) == shares)
    #expect(result.clockMethod == "same clock")
    #expect(result.clockError == 0)
    #expect(result.warnings == [])
  }

  @Test func delaysKeepTheQueueOfTheirFirstHookPointIfAsked() throws {
    var lab = Lab()
    for packet in 0..<23 { lab.packet(.tx, from: Int64(packet) * millisecond, key: 100 + UInt64(packet)) }
    for index in lab.recording.stamps.indices where lab.recording.stamps[index].hook == .txg2 {
      lab.recording.stamps[index].queue = index < 40 ? 1 : 6
    }
    #expect(try lab.analysed().segment("tx", "txg2-txh0").queues == [])
    lab.options.byQueue = true
    let result = try lab.analysed()
    let queues = try result.segment("tx", "txg2-txh0").byQueue
    #expect(queues.map(\.queue) == [1, 6] && queues.map(\.summary.count) == [10, 13])
    #expect(try result.segment("tx", "txg1-txg2").byQueue.map(\.queue) == [0])
  }

  @Test func lossInTheMiddleCountsWhereItHappened() throws {
    var lab = Lab()
    for packet in 0..<23 {
      let at = Int64(packet) * millisecond
      lab.packet(packet % 5 == 3 ? [.txg0, .txg1] : .tx, from: at, key: UInt64(packet) + 1)
    }
    let result = try lab.analysed()
    #expect(try result.segment("tx", "txg0-txg1").fates == Fates(count: 23))
    #expect(try result.segment("tx", "txg1-txg2").fates == Fates(count: 19, lost: 4))
    #expect(try result.segment("tx", "txg2-txh0").fates == Fates(count: 19))
    #expect(try result.segment("tx", "txg0-txh0").fates == Fates(count: 19, lost: 4))
  }

  /// One packet in five is dropped, sent all the while: a packet of the last window counts neither way.
  @Test(arguments: [(950, nil), (1_010, 0.2), (2_000, 0.2), (5_000, 0.2)] as [(Int64, Double?)])
  func lossIsAShareOfThePacketsAskedFor(milliseconds: Int64, loss: Double?) throws {
    var lab = Lab()
    lab.recording.machine.startedAt = Lab.start
    lab.recording.machine.stoppedAt = Lab.start + UInt64(milliseconds * millisecond)
    for packet in 0..<milliseconds {
      lab.packet(packet % 5 == 3 ? [.txg0, .txg1] : .tx, from: packet * millisecond, key: UInt64(packet) + 1)
    }
    let segment = try lab.analysed().segment("tx", "txg1-txg2")
    #expect(segment.count == Int(milliseconds) * 4 / 5)
    #expect(segment.lost + segment.cutOff == Int(milliseconds) / 5)
    #expect(segment.loss == loss, "\(segment.fates), \(segment.countNearEnd) near the end")
  }

  @Test(arguments: ["ledger", "unbound", "missed", "rotation", "damage"])
  func lossThatTheRecordingMayHaveMadeIsUnmatched(cause: String) throws {
    var lab = Lab()
    lab.packet(.tx, from: 0, key: 1)
    lab.packet([.txg0, .txg1], from: millisecond, key: 2)
    switch cause {
    case "ledger": lab.recording.machine.ledger = [LedgerRow(hook: "txg2", cpu: 1, seen: 3, emitted: 2, lost: 1)]
    case "unbound": lab.recording.machine.ledger = [LedgerRow(hook: "txg2", cpu: 1, seen: 3, emitted: 2, unbound: 1)]
    case "missed": lab.recording.machine.missed = ["txg2": 1]
    case "rotation": lab.recording.machine.rotation = Machine.Rotation(deletedStreams: 1)
    default: lab.recording.damage = ["stream_0_0: torn at 17"]
    }
    let result = try lab.analysed()
    #expect(try result.segment("tx", "txg1-txg2").fates == Fates(count: 1, unmatched: 1))
    let isWholeRecording = cause == "rotation" || cause == "damage"
    let expected = isWholeRecording ? Fates(count: 1, unmatched: 1) : Fates(count: 1, lost: 1)
    #expect(try result.segment("tx", "txg0-txh0").fates == expected)
  }

  @Test func packetsNearTheEndAreCutOff() throws {
    var lab = Lab()
    lab.packet(.tx, from: 0, key: 1)
    lab.packet([.txg0, .txg1], from: 100 * second - 500 * millisecond, key: 2)
    lab.packet([.txg0, .txg1], from: 98 * second, key: 3)
    #expect(try lab.analysed().segment("tx", "txg1-txg2").fates == Fates(count: 1, lost: 1, cutOff: 1))
  }

  @Test func aRecordingCutOffEndsWithItsLastStamp() throws {
    var lab = Lab()
    lab.recording.machine.stoppedAt = nil
    lab.packet(.tx, from: 0, key: 1)
    lab.packet([.txg0, .txg1], from: 3 * second, key: 2)
    lab.packet([.txg0, .txg1], from: 5 * second, key: 3)
    let result = try lab.analysed()
    #expect(try result.segment("tx", "txg1-txg2").fates == Fates(count: 1, lost: 1, cutOff: 1))
    #expect(result.warnings.contains { $0.contains("cut off") })
    lab.recording.machine.isBeingRecorded = true
    let running = try lab.analysed().warnings
    #expect(running.count == 1 && running[0].contains("still being recorded"), "\(running)")
  }

  @Test func furtherCopiesAreDuplicates() throws {
    var lab = Lab()
    lab.packet(.eastWest, from: 0, key: 1)
    lab.stamp(.rxh1, at: 4_500, key: 1)
    let result = try lab.analysed()
    let flooded = try result.segment("east-west", "txh0-rxh1")
    #expect(flooded.fates == Fates(count: 1, duplicate: 1))
    #expect(flooded.delays == [1_000])
    // Which of the two copies went on is not guessed.
    #expect(try result.segment("east-west", "rxh1-rxg0").fates == Fates(ambiguous: 2))
    #expect(try result.segment("east-west", "txg0-rxg1").fates == Fates(count: 1))
  }

  @Test func aKeyTwiceWithinTheWindowIsAmbiguous() throws {
    var lab = Lab()
    lab.packet(.tx, from: 0, key: 1)
    lab.packet(.tx, from: 400 * millisecond, key: 1)
    lab.packet(.tx, from: millisecond, key: 2)
    for segment in try lab.analysed().segments {
      #expect(segment.fates == Fates(count: 1, ambiguous: 2))
    }
  }

  @Test func aKeyTwiceBehindTxg0IsAmbiguousThereToo() throws {
    var lab = Lab()
    lab.packet(.tx, from: 0, key: 2)
    lab.packet([.txg1, .txg2, .txh0], from: millisecond, key: 1)
    lab.packet(.tx, from: 2 * millisecond, key: 1)
    let result = try lab.analysed()
    #expect(try result.segment("tx", "txg0-txg1").fates == Fates(count: 1, ambiguous: 1))
    #expect(try result.segment("tx", "txg1-txg2").fates == Fates(count: 1, ambiguous: 2))
  }

  @Test func aCopyBeforeItsPacketIsNotTaken() throws {
    var lab = Lab(hooks: ["txg1", "txg2"])
    lab.stamp(.txg2, at: 0, key: 1)
    lab.packet([.txg1, .txg2], from: millisecond, key: 1)
    let segment = try lab.analysed().segment("tx", "txg1-txg2")
    #expect(segment.fates == Fates(count: 1, unmatched: 1))
    #expect(segment.delays == [1_000])
  }

  @Test func aKeyThatComesBackLaterIsAnotherPacket() throws {
    var lab = Lab()
    for packet in 0..<23 { lab.packet(.tx, from: Int64(packet) * (second + 1), step: 100 * millisecond, key: 1) }
    let result = try lab.analysed()
    for segment in result.segments {
      #expect(segment.fates == Fates(count: 23))
      #expect(segment.delays.allSatisfy { $0 == (segment.isNeighbour ? 100 : 300) * millisecond })
    }
  }

  @Test func afterTheWindowIsLate() throws {
    var lab = Lab()
    lab.packet([.txg0, .txg1, .txg2], from: 0, key: 1)
    lab.stamp(.txh0, at: 1_500 * millisecond, key: 1)
    lab.packet(.tx, from: 2 * second, key: 2)
    let result = try lab.analysed()
    #expect(try result.segment("tx", "txg1-txg2").fates == Fates(count: 2))
    #expect(try result.segment("tx", "txg2-txh0").fates == Fates(count: 1, late: 1))
    #expect(try result.segment("tx", "txg0-txh0").fates == Fates(count: 1, late: 1))
  }

  /// What a socket has packets of, pings too, is waited for beyond the window.
  @Test(arguments: [StampKind.udp, .icmp]) func aSocketThatIsReadLate(kind: StampKind) throws {
    var lab = Lab()
    for (hook, at) in [(HookPoint.rxh1, Int64(0)), (.rxg0, 1_000), (.rxg1, 3 * second)] {
      lab.stamp(hook, at: at, key: 5, kind: kind)
    }
    // Others in between, so that the first packet is forgotten.
    for number in 0..<50 { lab.packet(.rx, from: Int64(number) * 100 * millisecond, key: 100 + UInt64(number)) }
    let result = try lab.analysed()
    #expect(try result.segment("rx", "rxg0-rxg1").fates == Fates(count: 50, late: 1))
    #expect(try result.segment("rx", "rxh1-rxg1").fates == Fates(count: 50, late: 1))
  }

  /// An application that reads a stream after three seconds: late, not lost.
  @Test func aStreamThatIsReadLate() throws {
    var lab = Lab()
    for number in 0..<UInt64(50) {
      let (at, bytes) = (Int64(number) * 100 * millisecond, (number * 100)..<(number * 100 + 100))
      lab.data(.rxh1, at: at, bytes, key: 100 + number)
      lab.data(.rxg0, at: at + 1_000, bytes, key: 100 + number)
      if number % 10 != 9 { lab.read(at: at + (number < 10 ? 3 * second : 2_000), bytes) }
    }
    // Sent again when it was read long ago: needless, not lost.
    lab.data(.rxh1, at: 30 * second, 1_000..<1_100, key: 7)
    lab.data(.rxg0, at: 30 * second + 1_000, 1_000..<1_100, key: 7)
    let result = try lab.analysed()
    let fates = try result.segment("rx", "rxg0-rxg1").fates
    #expect(fates == Fates(count: 36, lost: 5, duplicate: 1, late: 9), "\(fates)")
  }

  @Test func afterTenWindowsItIsAnotherPacket() throws {
    var lab = Lab()
    lab.packet([.txg0, .txg1, .txg2], from: 0, key: 1)
    lab.packet(.tx, from: 2 * second, key: 2)
    lab.stamp(.txh0, at: 11 * second, key: 1)
    #expect(try lab.analysed().segment("tx", "txg2-txh0").fates == Fates(count: 1, lost: 1, unmatched: 1))
  }

  @Test func theWindowIsAnOption() throws {
    var lab = Lab()
    lab.options.matchWindow = 2 * second
    lab.packet([.txg0, .txg1, .txg2], from: 0, key: 1)
    lab.stamp(.txh0, at: 1_500 * millisecond, key: 1)
    #expect(try lab.analysed().segment("tx", "txg2-txh0").fates == Fates(count: 1))
  }

  @Test func negativeDelaysAreKeptWithAWarning() throws {
    var lab = Lab()
    lab.packet([.txg0, .txg1], from: 0, key: 1)
    lab.stamp(.txg2, at: 900, key: 1)
    lab.stamp(.txh0, at: 2_000, key: 1)
    let result = try lab.analysed()
    let segment = try result.segment("tx", "txg1-txg2")
    #expect(segment.delays == [-100])
    #expect(segment.summary?.quantiles.first?.isResolved == false)
    #expect(result.warnings.contains { $0.contains("tx txg1-txg2: 1 delays are negative") })
  }

  @Test func packetsMissingAtFromAreUnmatched() throws {
    var lab = Lab()
    lab.packet(.tx, from: 0, key: 1)
    lab.packet([.txg2, .txh0], from: second, key: 2)
    let result = try lab.analysed()
    #expect(try result.segment("tx", "txg1-txg2").fates == Fates(count: 1, unmatched: 1))
    #expect(try result.segment("tx", "txg2-txh0").fates == Fates(count: 2))
    // txg0 has a stamp only for some packets.
    #expect(try result.segment("tx", "txg0-txh0").fates == Fates(count: 1))
  }

  @Test func packetsUnderWayAtTheStartAreNotCounted() throws {
    var lab = Lab()
    lab.recording.machine.startedAt = Lab.start
    lab.packet([.txg2, .txh0], from: 10 * millisecond, key: 1)
    lab.packet(.tx, from: 2 * second, key: 2)
    #expect(try lab.analysed().segment("tx", "txg1-txg2").fates == Fates(count: 1))
  }

  @Test func onlySomePacketsHaveAStampAtTxg0() throws {
    var lab = Lab()
    for packet in 0..<23 {
      let at = Int64(packet) * millisecond
      lab.packet(packet % 4 == 0 ? .tx : [.txg1, .txg2, .txh0], from: at, key: UInt64(packet) + 1)
    }
    let result = try lab.analysed()
    #expect(try result.segment("tx", "txg0-txg1").fates == Fates(count: 6))
    #expect(try result.segment("tx", "txg1-txg2").fates == Fates(count: 23))
    #expect(try result.segment("tx", "txg0-txh0").fates == Fates(count: 6))
  }

  @Test(arguments: [StampKind.icmp, .other, .fragment, .tcp])
  func packetsWithoutDataAreNotAskedForAtASocket(kind: StampKind) throws {
    var lab = Lab()
    lab.packet(.rx, from: 0, key: 1)
    for hook in [HookPoint.rxh1, .rxg0] {
      lab.stamp(hook, at: Int64(hook.rawValue) * 1_000, key: 2, flow: 8, kind: kind, length: 52, header: 52)
    }
    let result = try lab.analysed()
    #expect(try result.segment("rx", "rxh1-rxg0").fates == Fates(count: 2))
    #expect(try result.segment("rx", "rxg0-rxg1").fates == Fates(count: 1))
    #expect(try result.segment("rx", "rxh1-rxg1").fates == Fates(count: 1))
  }

  @Test func udpThatNobodyReadsIsLost() throws {
    var lab = Lab()
    lab.packet(.rx, from: 0, key: 1)
    lab.packet([.rxh1, .rxg0], from: millisecond, key: 2)
    #expect(try lab.analysed().segment("rx", "rxg0-rxg1").fates == Fates(count: 1, lost: 1))
  }

  @Test func datagramsThatAreSplitOrMergedAreNotCalledLost() throws {
    var lab = Lab()
    // Flow 7 is split at the socket, flow 8 merged before it.
    lab.stamp(.rxg0, at: 0, key: 1, length: 2_028, sequence: 1_000)
    lab.stamp(.rxg1, at: 1_000, key: 2, length: 1_028)
    lab.stamp(.rxg1, at: 1_000, key: 3, length: 1_028)
    lab.stamp(.rxg0, at: millisecond, key: 4, flow: 8, length: 1_028)
    lab.stamp(.rxg0, at: millisecond, key: 5, flow: 8, length: 1_028)
    lab.stamp(.rxg1, at: millisecond + 1_000, key: 6, flow: 8, length: 2_028, sequence: 1_000)
    // Another flow's loss stays one, and so does one of TCP, whose sequence numbers say something else.
    lab.stamp(.rxg0, at: millisecond, key: 7, flow: 9)
    lab.stamp(.rxg0, at: 2 * millisecond, key: 9, flow: 9)
    lab.stamp(.rxg1, at: 2 * millisecond + 1_000, key: 9, flow: 9)
    lab.data(.rxh1, at: millisecond, 100..<200, key: 8, flow: 10)
    let result = try lab.analysed()
    #expect(try result.segment("rx", "rxg0-rxg1").fates == Fates(count: 1, lost: 1, unmatched: 6))
    #expect(try result.segment("rx", "rxh1-rxg0").lost == 1)
  }

  @Test func aProtocolThatThePartlyAttachedSocketCannotSeeIsNotAskedFor() throws {
    var lab = Lab()
    lab.recording.machine.hooks[6].absentBecause = "udp: skb_consume_udp: fentry refused"
    lab.packet([.rxh1, .rxg0], from: millisecond, key: 2)
    let result = try lab.analysed()
    #expect(try result.segment("rx", "rxg0-rxg1").fates == Fates())
    #expect(result.warnings.contains { $0.contains("1 packets were not asked for at rxg1") })
  }

  @Test func absentHooksTakeNoPart() throws {
    var lab = Lab()
    lab.recording.machine.hooks[2].attachedAs = nil
    lab.recording.machine.hooks[2].absentBecause = "no such tracepoint"
    lab.packet([.txg0, .txg1, .txh0], from: 0, key: 1)
    let result = try lab.analysed()
    #expect(result.segments.map(\.name) == ["txg0-txg1", "txg1-txh0", "txg0-txh0"])
    #expect(result.hooks[2].absentBecause == "no such tracepoint")
  }

  @Test func longerSegmentsOfTheTopologyLieOnThePathsThatHoldBoth() throws {
    var lab = Lab()
    lab.recording.machine.segments = ["txg1-rxg0", "txg1-txh0", "txg0-rxg1"]
    lab.packet(.eastWest, from: 0, key: 1)
    lab.packet(.tx, from: millisecond, key: 2, flow: 8)
    let result = try lab.analysed()
    #expect(try result.segment("east-west", "txg1-rxg0").delays == [4_000])
    #expect(try result.segment("east-west", "txg1-txh0").delays == [2_000])
    #expect(try result.segment("tx", "txg1-txh0").delays == [2_000])
    #expect(result.segments.contains { $0.direction == "tx" && $0.name == "txg1-rxg0" } == false)
    let eastWest = result.segments.filter { $0.direction == "east-west" && !$0.isNeighbour }
    #expect(eastWest.map(\.name) == ["txg1-rxg0", "txg1-txh0", "txg0-rxg1"])
  }

  @Test func twoHookPointsMakeOneSegment() throws {
    var lab = Lab(hooks: ["txg1", "txg2"])
    lab.packet([.txg1, .txg2], from: 0, key: 1)
    let result = try lab.analysed()
    #expect(result.segments.map(\.name) == ["txg1-txg2"])
    #expect(result.segments[0].share == 1)
  }

  @Test func sharesOfNeighboursSumToOne() throws {
    var lab = Lab()
    var generator = SeededGenerator(state: 5)
    for packet in 0..<997 {
      var at = Int64(packet) * millisecond
      for hook in [HookPoint].eastWest {
        lab.stamp(hook, at: at, key: UInt64(packet) + 1)
        at += Int64.random(in: 1...(hook == .txh0 ? 50_000 : 2_000), using: &generator)
      }
    }
    let shares = try lab.analysed().segments.compactMap(\.share)
    #expect(shares.count == 6)
    #expect(abs(shares.reduce(0, +) - 1) < 1e-12)
    #expect(try #require(shares.max()) > 0.7)
  }

  @Test func anEmptyRecordingHasNoSegments() throws {
    let result = try Lab().analysed()
    #expect(result.segments.isEmpty)
    #expect(result.intervals.isEmpty)
    #expect(result.hooks.count == 7)
  }

  @Test func wrongInputIsRefused() {
    let session = Session(id: "lab", members: [], labels: [:], commandLine: [], createdAt: 0)
    #expect(throws: AnalysisError.noRecordings) { try analyse(session: session, recordings: []) }
    let recordings = [Lab().recording]
    #expect(throws: AnalysisError.windowNotPositive(0)) {
      try analyse(session: session, recordings: recordings, options: AnalysisOptions(matchWindow: 0))
    }
    #expect(throws: AnalysisError.binNotPositive(-3)) {
      try analyse(session: session, recordings: recordings, options: AnalysisOptions(pitBin: -3))
    }
  }

  @Test func ledgersAndCountersAreSummedUp() throws {
    var lab = Lab()
    lab.recording.machine.ledger = [
      LedgerRow(hook: "txg1", cpu: 0, seen: 23, filtered: 1, sampledOut: 2, emitted: 17, lost: 3),
      LedgerRow(hook: "txg1", cpu: 1, seen: 5, emitted: 5),
    ]
    lab.recording.machine.missed = ["txg1": 11]
    lab.recording.eventsByType = ["stamp": 22]
    lab.recording.discardedByCPU = [0: 3]
    let result = try lab.analysed()
    let hook = try #require(result.hooks.first { $0.point.hook == .txg1 })
    #expect(hook.ledger == LedgerRow(hook: "txg1", cpu: -1, seen: 28, filtered: 1, sampledOut: 2, emitted: 22, lost: 3))
    #expect(hook.missed == 11)
    #expect(result.eventsByType == ["stamp": 22])
    #expect(result.discardedByCPU == ["both-lab": [0: 3]])
  }
}
