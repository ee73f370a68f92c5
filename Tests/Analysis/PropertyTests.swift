// SPDX-License-Identifier: GPL-2.0-or-later
import CLatprobeABI
import Foundation
import Recording
import Testing

@testable import Analysis

/// The join against the truth of random recordings: the generator knows which stamps are of one packet, and the
/// definitions are spelled out packet by packet, without keys and tables.
@Suite struct PropertyTests {
  private static let window = 100 * millisecond

  /// Random packets, each with all its stamps; packets of one key within the window are one group.
  private struct Truth {
    var lab: Lab
    var groups: [[Stamp]] = []

    mutating func begin() { groups.append([]) }

    mutating func stamp(_ hook: HookPoint, at time: Int64, key: UInt64, flow: UInt32) {
      lab.stamp(hook, at: time, key: key, flow: flow)
      if let stamp = lab.recording.stamps.last { groups[groups.count - 1].append(stamp) }
    }
  }

  @Test(arguments: 0..<97)
  func joinAgreesWithTheTruth(seed: Int) throws {
    let truth = random(seed: UInt64(seed))
    let result = try truth.lab.analysed()
    #expect(result.segments.count == 11)
    var total = Fates()
    for segment in result.segments {
      let expected = reference(segment, truth)
      #expect(segment.fates == expected.fates, "\(segment.direction) \(segment.name) seed \(seed)")
      #expect(segment.delays == expected.delays, "\(segment.direction) \(segment.name) seed \(seed)")
      #expect(segment.starts == segment.starts.sorted())
      total.count += segment.count
      total.lost += segment.lost
      total.unmatched += segment.unmatched
      total.ambiguous += segment.ambiguous
      total.duplicate += segment.duplicate
      total.late += segment.late
    }
    // The generator does make every case.
    #expect(
      [total.count, total.lost, total.unmatched, total.ambiguous, total.duplicate, total.late].allSatisfy { $0 > 0 })
  }

  /// Stamps in streams of several processors, a little out of order, against the same ones sorted and held.
  @Test(arguments: 0..<17)
  func anyInterleavingIsTheSame(seed: Int) throws {
    var generator = SeededGenerator(state: UInt64(seed))
    var lab = random(seed: UInt64(seed)).lab
    // Of equal times it is not defined which comes first.
    var times: Set<UInt64> = []
    for index in lab.recording.stamps.indices {
      while !times.insert(lab.recording.stamps[index].time).inserted { lab.recording.stamps[index].time += 1 }
    }
    let directory = FileManager.default.temporaryDirectory.appending(path: "latprobe-\(UUID().uuidString)").path
    defer { try? FileManager.default.removeItem(atPath: directory) }
    let machine = lab.recording.machine
    let session = Session(id: "lab", members: [machine.name], labels: [:], commandLine: [], createdAt: 0)
    try Session.prepare(directory: directory, force: false)
    try session.write(to: directory)
    let writer = try MachineWriter(directory: directory, machine: machine, session: session, utcOffset: 0)
    var streams = [[Stamp]](repeating: [], count: 3)
    for stamp in lab.sorted.stamps { streams[Int.random(in: 0..<3, using: &generator)].append(stamp) }
    for cpu in streams.indices {
      for place in streams[cpu].indices.dropFirst() where Int.random(in: 0..<9, using: &generator) == 0 {
        streams[cpu].swapAt(place - 1, place)
      }
      for (place, stamp) in streams[cpu].enumerated() {
        var record = [stamp.record]
        try unsafe record.withUnsafeMutableBytes {
          try unsafe writer.append(cpu: cpu, bytes: UnsafeRawBufferPointer($0))
        }
        if place % 50 == 49 { try writer.flush() }
      }
    }
    try writer.close(machine)
    let stored = try MachineRecording.open(directory: "\(directory)/\(machine.name)")
    #expect(stored.stampCount == lab.recording.stamps.count && stored.stamps.isEmpty)
    let found = try analyse(session: session, recordings: [stored], options: lab.options)
    let expected = try analyse(session: session, recordings: [lab.sorted], options: lab.options)
    for (found, expected) in zip(found.segments, expected.segments) {
      #expect(found.name == expected.name && found.fates == expected.fates)
      #expect(found.delays == expected.delays && found.starts == expected.starts && found.packets == expected.packets)
      #expect(found.successive == expected.successive && found.share == expected.share)
    }
  }

  private func random(seed: UInt64) -> Truth {
    var generator = SeededGenerator(state: seed)
    var truth = Truth(lab: Lab())
    truth.lab.options.matchWindow = PropertyTests.window
    // What txg2 misses may have been lost in the recording.
    truth.lab.recording.machine.ledger = [LedgerRow(hook: "txg2", cpu: 0, seen: 2, emitted: 1, lost: 1)]
    for (flow, path) in [(UInt32(1), [HookPoint].eastWest), (2, .tx)] {
      truth.begin()
      for (index, hook) in path.enumerated() {
        truth.stamp(hook, at: Int64(index) * 100, key: UInt64(flow), flow: flow)
      }
    }
    var keys: [(key: UInt64, flow: UInt32, packet: Int)] = []
    for packet in 0..<211 {
      truth.begin()
      let flow = UInt32.random(in: 1...2, using: &generator)
      var key = generator.next()
      // A key that comes back, 1.2 s or more after its last packet began.
      let free = keys.filter { $0.flow == flow && packet - $0.packet >= 5 }
      if packet % 5 == 4, let old = free.randomElement(using: &generator) { key = old.key }
      keys.removeAll { $0.key == key }
      keys.append((key, flow, packet))
      let isTwice = packet % 11 == 3
      let mayBeHeldUp = !isTwice && packet % 7 == 5
      for copy in 0..<(isTwice ? 2 : 1) {
        var time = second + Int64(packet) * 251 * millisecond + Int64(copy) * 3 * millisecond
        var wasHeldUp = false
        for hook in flow == 1 ? [HookPoint].eastWest : [HookPoint].tx {
          if Int.random(in: 0..<12, using: &generator) == 0 { break }
          time += Int64.random(in: 500...50_000, using: &generator)
          // txg0 sees some packets, and any hook point may have missed one.
          if Int.random(in: 0..<(hook == .txg0 ? 2 : 25), using: &generator) == 0 { continue }
          truth.stamp(hook, at: time, key: key, flow: flow)
          if Int.random(in: 0..<20, using: &generator) == 0 {
            truth.stamp(hook, at: time + 700_000, key: key, flow: flow)
          }
          // Longer than the window once; the rest of the way follows.
          if mayBeHeldUp, !wasHeldUp, Bool.random(using: &generator) {
            time += 120 * millisecond
            wasHeldUp = true
          }
        }
      }
    }
    // The last packets are too near the end to be lost.
    truth.lab.recording.machine.stoppedAt = Lab.start + UInt64(second + 211 * 251 * millisecond - 150 * millisecond)
    return truth
  }

  /// Not lost where it was seen later on the path.
  private func isSeenBehind(_ hook: HookPoint, _ group: [Stamp], from time: UInt64) -> Bool {
    let place = [HookPoint].eastWest.firstIndex(of: hook) ?? 0
    return group.contains { stamp in
      ([HookPoint].eastWest.firstIndex(of: stamp.hook) ?? 0) > place && stamp.time >= time - 10_000
    }
  }

  private func reference(_ segment: SegmentResult, _ truth: Truth) -> (fates: Fates, delays: [Int64]) {
    let window = UInt64(PropertyTests.window)
    let stopped = truth.lab.recording.machine.stoppedAt ?? 0
    var fates = Fates()
    var delays: [(start: UInt64, delay: Int64)] = []
    for group in truth.groups where group.first?.flow == (segment.direction == "east-west" ? 1 : 2) {
      let from = group.filter { $0.hook == segment.from.hook }
      let to = group.filter { $0.hook == segment.to.hook }.sorted { $0.time < $1.time }
      // txg0 sees only some packets: several at the device behind it are several packets.
      let isShared = segment.from.hook == .txg0 && group.filter { $0.hook == .txg1 }.count > 1
      if from.count > 1 || (isShared && !from.isEmpty) {
        fates.ambiguous += from.count
        continue
      }
      let canMiss = segment.from.hook != .txg0
      guard let start = from.first else {
        if canMiss, let first = to.first, first.time <= stopped { fates.unmatched += 1 }
        continue
      }
      let before = to.filter { $0.time < start.time - 10_000 }
      if canMiss { fates.unmatched += before.filter { $0.time <= stopped }.count }
      let after = to.dropFirst(before.count)
      fates.duplicate += max(0, after.count - 1)
      if let end = after.first {
        if end.time - start.time > window {
          fates.late += 1
        } else {
          fates.count += 1
          delays.append((start.time, Int64(end.time - start.time)))
        }
      } else if isSeenBehind(segment.to.hook, group, from: start.time) {
        fates.unmatched += 1
      } else if start.time + window > stopped {
        fates.cutOff += 1
      } else if segment.to.hook == .txg2 {
        fates.unmatched += 1
      } else {
        fates.lost += 1
      }
    }
    return (fates, delays.sorted { $0.start < $1.start }.map(\.delay))
  }
}

extension Stamp {
  /// As it lies in a stream.
  fileprivate var record: lp_stamp {
    var record = lp_stamp()
    record.time_ns = time
    record.event = UInt8(LP_EVENT_STAMP.rawValue)
    record.hook = hook.rawValue
    record.queue = queue
    record.length = length
    record.header_words = UInt32(headerLength / 4)
    record.kind = UInt32(kind.rawValue)
    record.flow = flow
    record.sequence = sequence
    record.key = key
    return record
  }
}
