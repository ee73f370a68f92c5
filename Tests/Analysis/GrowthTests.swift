// SPDX-License-Identifier: GPL-2.0-or-later
import Foundation
import Glibc
import Recording
import Testing

@testable import Analysis

/// Recordings made to be slow: twice as much takes at most two and a half times as long, or a bound holds.
///
/// CPU time of this thread, as the least of three runs: whatever is quadratic takes four times as long. With
/// `LATPROBE_TELL` sizes and ratios are printed, for docs/reliability.md.
@Suite(.serialized) struct GrowthTests {
  private func time(_ lab: Lab) throws -> Double {
    func now() -> Double {
      var time = timespec()
      unsafe clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
      return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
    }
    let sorted = lab.sorted
    let session = Session(id: "lab", members: [], labels: [:], commandLine: [], createdAt: 0)
    return try (0..<3).map { _ in
      let begin = now()
      _ = try analyse(session: session, recordings: [sorted])
      return now() - begin
    }.min() ?? 0
  }

  private func expectLinear(
    _ size: Int, test: String = #function, sourceLocation: SourceLocation = #_sourceLocation, _ make: (Int) -> Lab
  ) throws {
    let small = try time(make(size))
    let large = try time(make(2 * size))
    if ProcessInfo.processInfo.environment["LATPROBE_TELL"] != nil {
      print("growth analysis: \(test), \(size) events, \(Int(small * 1e6)) us, ratio \(large / small)")
    }
    #expect(
      large < 2.5 * small + 0.05, "\(size): \(small) s, twice as much: \(large) s", sourceLocation: sourceLocation)
  }

  /// Each read takes in all bytes again.
  @Test func rangesThatAllCoverAByte() throws {
    try expectLinear(8_000) { count in
      var lab = Lab(hooks: ["txg1", "rxg1"], paths: [Path(name: "p", hooks: ["txg1", "rxg1"])])
      for number in 0..<UInt64(count / 2) {
        lab.data(.txg1, at: Int64(number) * 1_000, number..<(number + 1_000), key: number + 1)
        lab.read(at: Int64(number) * 1_000 + 500, 0..<500_000)
      }
      return lab
    }
  }

  @Test func packetsOfTheSameBytes() throws {
    try expectLinear(8_000) { count in
      var lab = Lab(hooks: ["txg1", "txg2"], paths: [Path(name: "p", hooks: ["txg1", "txg2"])])
      for number in 0..<UInt64(count / 2) {
        lab.data(.txg1, at: Int64(number) * 1_000, 0..<1_000, key: 2 * number + 1)
        lab.data(.txg2, at: Int64(number) * 1_000 + 500, 0..<1_200, key: 2 * number + 2)
      }
      return lab
    }
  }

  @Test func packetsOfOneKey() throws {
    try expectLinear(8_000) { count in
      var lab = Lab(hooks: ["txg1", "txg2"], paths: [Path(name: "p", hooks: ["txg1", "txg2"])])
      for number in 0..<(count / 2) { lab.packet([.txg1, .txg2], from: Int64(number) * 1_000, key: 1) }
      return lab
    }
  }

  @Test func aFlowForEachPacket() throws {
    try expectLinear(8_000) { count in
      var lab = Lab(hooks: ["txg1", "txg2"], paths: [Path(name: "p", hooks: ["txg1", "txg2"])])
      for number in 0..<(count / 2) {
        lab.packet([.txg1, .txg2], from: Int64(number) * 1_000, key: UInt64(number), flow: UInt32(number))
      }
      return lab
    }
  }

  @Test func manyLedgerRows() throws {
    try expectLinear(20_000) { count in
      var lab = Lab()
      for number in 0..<count {
        lab.recording.machine.ledger.append(LedgerRow(hook: "txg\(number)", cpu: number, seen: 1))
      }
      for number in 0..<256 { lab.recording.machine.hooks.append(AttachedHook(name: "txg\(number)", attachedAs: "x")) }
      return lab
    }
  }

  /// A tap's stamps of as many hardware clocks as there are numbers for them, at as many devices.
  @Test func stampsOfManyClocks() throws {
    try expectLinear(8_000) { count in
      var lab = Lab(hooks: ["wire-in", "wire-out"], paths: [Path(name: "wire", hooks: ["wire-in", "wire-out"])])
      lab.recording.machine.interfaces = (0..<UInt8.max).map {
        TapInterface(
          number: $0, name: "e\($0)", hooks: ["wire-in", "wire-out"], driver: "", hardwareClock: nil, hardware: "")
      }
      for number in 0..<count {
        let stamp = Stamp(
          time: Lab.start + UInt64(number) * 1_000, key: UInt64(number / 2), flow: 1, length: 100, headerLength: 28,
          hook: number % 2 == 0 ? .wireIn : .wireOut, kind: .udp)
        lab.recording.wireStamps.append(
          WireStamp(
            stamp: stamp, at: Int64(stamp.time), clock: .hardware, interface: UInt8(number % 255),
            device: UInt16(number % 60_000)))
      }
      return lab
    }
  }

  @Test func peersThatAreNone() throws {
    try expectLinear(4_000) { count in
      var lab = Lab()
      lab.recording.machine.peers = (0..<UInt32(count)).map {
        Peer(number: $0, machine: "m\($0)", bootID: "boot-a", url: "vsock:\($0)")
      }
      lab.recording.clockExchanges = (0..<UInt32(count)).map {
        ClockExchange(time: UInt64($0), peer: $0, sent: 1, peerReceived: 2, peerSent: 3, received: 4)
      }
      return lab
    }
  }
}
