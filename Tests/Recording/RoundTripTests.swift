// SPDX-License-Identifier: GPL-2.0-or-later
import Foundation
import Recording
import Testing

@Suite struct RoundTripTests {
  @Test func everyFieldComesBack() throws {
    let scratch = try Scratch()
    let writer = try begin(scratch)
    var batch = Batch()
    batch.stamp(
      1000, hook: .wireOut, kind: .fragment, key: .max, length: 0xF_FFFF, queue: 0xFFFE, flow: 0xFFFF_FFF1,
      sequence: 0x8000_0001)
    batch.held(2000, at: 900, key: 1)
    batch.clocks(2001)
    batch.flow(2002, id: 8, family: 4)
    batch.flow(2003, id: 9, family: 6)
    try writer.append(cpu: 3, batch)
    try writer.close(sampleMachine())

    let recording = try MachineRecording.load(directory: writer.directory)
    #expect(recording.damage.isEmpty)
    #expect(
      recording.stamps == [
        Stamp(time: 900, key: 1, flow: 7, length: 92, headerLength: 28, cpu: 3, hook: .txg0, kind: .udp),
        Stamp(
          time: 1000, key: .max, flow: 0xFFFF_FFF1, sequence: 0x8000_0001, length: 0xF_FFFF, headerLength: 28,
          queue: 0xFFFE, cpu: 3, hook: .wireOut, kind: .fragment),
      ])
    #expect(
      recording.clockSamples == [
        ClockSample(
          monotonic: 2001, window: 80, monotonicRaw: 1996, realtime: 1_700_000_000_000_000_000,
          tai: 1_700_000_037_000_000_000, boottime: 2010, tsc: 123_456)
      ])
    #expect(
      recording.flows[8]
        == Flow(
          id: 8, ipProtocol: 17, source: [10, 0, 0, 1], destination: [10, 0, 0, 2], sourcePort: 40_000,
          destinationPort: 53))
    #expect(recording.flows[9]?.source == [10, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])
    #expect(recording.eventsByType == ["stamp": 1, "stamp_held": 1, "clock_sample": 1, "flow": 2])
    var machine = sampleMachine()
    machine.events = 5
    #expect(recording.machine == machine)
  }

  @Test func manyStampsOfManyCPUsComeBackInOrder() throws {
    let scratch = try Scratch()
    let writer = try begin(scratch, options: .init(packetSize: 8192, rotateSize: 40_000))
    var random = Seeded(state: 23)
    var expected: [UInt64: [UInt64]] = [:]
    var time: UInt64 = 1000
    for _ in 0..<60 {
      let cpu = Int.random(in: 0..<5, using: &random)
      var batch = Batch()
      for _ in 0..<Int.random(in: 0..<400, using: &random) {
        time += .random(in: 0..<3, using: &random)
        let key = random.next()
        if key % 5 == 0 {
          let at = time - key % 50
          batch.held(time, at: at, key: key)
          expected[at, default: []].append(key)
        } else {
          batch.stamp(time, key: key)
          expected[time, default: []].append(key)
        }
      }
      try writer.append(cpu: cpu, batch)
      if cpu == 0 { try writer.flush() }
    }
    try writer.close(sampleMachine())
    let recording = try MachineRecording.load(directory: writer.directory)
    #expect(recording.damage.isEmpty)
    #expect(zip(recording.stamps, recording.stamps.dropFirst()).allSatisfy { $0.time <= $1.time })
    var found: [UInt64: [UInt64]] = [:]
    for stamp in recording.stamps { found[stamp.time, default: []].append(stamp.key) }
    #expect(found.mapValues { $0.sorted() } == expected.mapValues { $0.sorted() })
    #expect(try scratch.list("host-a/ctf").count > 6)
    #expect(try Babeltrace(scratch.path).eventsByType == recording.eventsByType)
  }

  @Test func disorderIsSortedWithinAPacketAndSplitsAcross() throws {
    let scratch = try Scratch()
    let writer = try begin(scratch)
    var batch = Batch()
    for (key, time) in [(0, 1010), (1, 1000), (2, 1020), (3, 1000), (4, 1015)] {
      batch.stamp(UInt64(time), key: UInt64(key))
    }
    try writer.append(cpu: 0, batch)
    try writer.flush()
    #expect(try scratch.list("host-a/ctf") == ["metadata", "stream_0_0"])
    batch = Batch()
    batch.stamp(1019, key: 5)
    batch.stamp(1021, key: 6)
    try writer.append(cpu: 0, batch)
    try writer.close(sampleMachine())
    #expect(try scratch.list("host-a/ctf") == ["metadata", "stream_0_0", "stream_0_1"])

    let recording = try MachineRecording.load(directory: writer.directory)
    #expect(recording.damage.isEmpty)
    // Equal times keep the order in which they came.
    #expect(recording.stamps.map(\.key) == [1, 3, 0, 4, 5, 2, 6])
    let babeltrace = try Babeltrace(scratch.path)
    #expect(babeltrace.status == 0)
    #expect(babeltrace.eventsByType == ["stamp": 7])
  }

  /// A new file begins to count losses anew, or babeltrace2 would count the old ones twice.
  @Test func lossesAreCountedOnceOverSeveralFiles() throws {
    let scratch = try Scratch()
    let writer = try begin(scratch, options: .init(rotateTime: 100))
    var time: UInt64 = 1000
    for total in [2, 2, 7, 11, 11, 23] as [UInt64] {
      var batch = Batch()
      for _ in 0..<5 {
        time += 30
        batch.stamp(time)
      }
      writer.discarded(cpu: 1, total: Count(total))
      try writer.append(cpu: 1, batch)
      try writer.flush()
    }
    // Losses on a CPU without a single event, and a count that must not fall.
    writer.discarded(cpu: 4, total: 13)
    try writer.flush()
    writer.discarded(cpu: 4, total: 12)
    try writer.close(sampleMachine())
    #expect(try scratch.list("host-a/ctf").count == 8)
    let recording = try MachineRecording.load(directory: writer.directory)
    #expect(recording.damage.isEmpty)
    #expect(recording.discardedByCPU == [1: 23, 4: 13])
    let babeltrace = try Babeltrace(scratch.path)
    #expect(babeltrace.status == 0)
    #expect(babeltrace.discarded == 36, "\(babeltrace.errors)")
  }

  @Test func aBatchThatIsNoneIsRefused() throws {
    let scratch = try Scratch()
    let writer = try begin(scratch)
    var batch = Batch()
    batch.stamp(1000)
    batch.stamp(1001)
    var broken = batch
    broken.bytes[32 + 8] = 9
    #expect(throws: RecordingError.self) { try writer.append(cpu: 0, broken) }
    var short = batch
    short.bytes.removeLast()
    #expect(throws: RecordingError.self) { try writer.append(cpu: 0, short) }
    #expect(throws: RecordingError.self) { try writer.append(cpu: -1, batch) }
    #expect(throws: RecordingError.self) { try writer.append(cpu: 65_536, batch) }
    try writer.close(sampleMachine())
    #expect(try MachineRecording.load(directory: writer.directory).stamps.count == 2)
  }

  @Test func twoMachinesOfOneSessionReadAsOneForBabeltrace() throws {
    let scratch = try Scratch()
    try writeSmall(scratch, name: "guest-a")
    try writeSmall(scratch, name: "host-a")
    let babeltrace = try Babeltrace(scratch.path)
    #expect(babeltrace.status == 0)
    #expect(babeltrace.eventsByType == ["stamp": 40, "stamp_held": 2, "flow": 2, "clock_sample": 2])
    #expect(babeltrace.discarded == 16)
  }
}
