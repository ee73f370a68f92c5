// SPDX-License-Identifier: GPL-2.0-or-later
import Foundation
import Glibc
import Testing

@testable import Recording

/// Recordings made to cost more than their size: twice as much, at most two and a half times the CPU time.
///
/// With `LATPROBE_TELL` sizes and ratios are printed, for docs/reliability.md.
@Suite(.serialized) struct GrowthTests {
  /// Seconds of this thread, so that what else runs does not count.
  private func cost(_ body: () throws -> Void) rethrows -> Double {
    func now() -> Double {
      var time = timespec()
      unsafe clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
      return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
    }
    let start = now()
    try body()
    return now() - start
  }

  /// The least of some tries: what is quadratic has four in each.
  private func expectLinear<Input>(
    _ name: String, _ size: Int, _ make: (Int) throws -> Input, _ use: (Input) throws -> Void
  ) throws {
    let (small, large) = (try make(size), try make(2 * size))
    var (least, most) = (Double.infinity, Double.infinity)
    for _ in 0..<6 {
      least = min(least, try cost { try use(small) })
      most = min(most, try cost { try use(large) })
      if most / least <= 2.5 { break }
    }
    #expect(most / least <= 2.5, "\(name), \(size): \(least) s, twice as much: \(most) s")
    guard ProcessInfo.processInfo.environment["LATPROBE_TELL"] != nil else { return }
    print("growth recording: \(name), \(size), \(Int(least * 1e6)) us, ratio \(most / least)")
  }

  private func load(_ scratch: Scratch) throws { _ = try RecordedSession.load(paths: [scratch.path]) }

  /// Each event in a packet of its own.
  @Test func packetsOfOneEvent() throws {
    try expectLinear(
      "packets of a stream", 2_000,
      { count in
        let scratch = try Scratch()
        let writer = try begin(scratch)
        for number in 0..<UInt64(count) {
          var batch = Batch()
          batch.stamp(1_000 + number)
          try writer.append(cpu: 0, batch)
          try writer.flush()
        }
        try writer.close(sampleMachine())
        return scratch
      }, load)
  }

  /// Each packet in a stream of its own, and all of them with the same times.
  @Test func manyStreams() throws {
    func make(_ count: Int) throws -> Scratch {
      let scratch = try Scratch()
      let writer = try begin(scratch, options: .init(rotateSize: 1))
      for _ in 0..<count {
        var batch = Batch()
        batch.stamp(1_000)
        try writer.append(cpu: 0, batch)
        try writer.flush()
      }
      try writer.close(sampleMachine())
      #expect(try scratch.list("host-a/ctf").count > count / 2)
      return scratch
    }
    try expectLinear("streams", 500, make, load)
    try expectLinear("streams to repair", 500, make) { _ = try repair(directory: $0.path) }
  }

  @Test func sessionsOfManyMembers() throws {
    try expectLinear(
      "members", 10_000,
      { count in
        let scratch = try Scratch()
        try writeSmall(scratch)
        try sampleSession(members: ["host-a"] + (1..<count).map { "m\($0)" }).write(to: scratch.path)
        return scratch
      }, load)
  }

  /// All that a ledger may have: a row for each hook point and CPU, and as many that are not of this machine.
  @Test func aLargeManifest() throws {
    try expectLinear(
      "rows of machine.json", 2_000,
      { count in
        let scratch = try Scratch()
        try writeSmall(scratch)
        var machine = sampleMachine()
        machine.ledger = (0..<count).map { LedgerRow(hook: "txg\($0)", cpu: $0, seen: 1) }
        try scratch.put("host-a/machine.json", JSONFile.encode(machine, "machine.json"))
        return scratch
      }, load)
  }

  /// Pairs in the reverse order of both their starts and their ends, in many parts.
  @Test func spilledPairs() throws {
    let scratch = try Scratch()
    try expectLinear("spilled pairs", 20_000, { $0 }) { count in
      let spill = PairSpill(in: scratch.path, byEnd: true, limit: 8_192)
      for start in stride(from: count, to: 0, by: -100) {
        var part = (0..<100).map {
          RecordedPair(name: 0, start: Int64(start - $0), end: Int64(start - $0), last: nil, isRepeated: false)
        }
        try spill.take(&part)
      }
      var found = 0
      try spill.forEachByStart { _ in found += 1 }
      try spill.forEachByEnd { _ in found += 1 }
      #expect(found == 2 * spill.count)
    }
  }
}
