// SPDX-License-Identifier: GPL-2.0-or-later
import Foundation
import Recording
import Synchronization
import Testing

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

/// A disk with so many bytes left; counts calls.
private final class Disk: Sendable {
  private let left: Mutex<Int>
  private let number: Int32

  init(bytes: Int, errno number: Int32 = ENOSPC) {
    left = Mutex(bytes)
    self.number = number
  }

  func write(_ descriptor: Int32, _ bytes: RawSpan) -> Int {
    left.withLock { left in
      let count = min(left, bytes.byteCount)
      if count == 0 {
        errno = number
        return -1
      }
      left -= count
      return systemWrite(descriptor, bytes.extracting(first: count))
    }
  }
}

@Suite struct DiskTests {
  @Test(arguments: [ENOSPC, EDQUOT, EFBIG])
  func aFullDiskEndsWithAnErrorAndAReadableRecording(_ number: Int32) throws {
    let scratch = try Scratch()
    let disk = Disk(bytes: 10_000, errno: number)
    let writer = try begin(scratch, options: .init(packetSize: 4096, write: disk.write))
    #expect(try scratch.bytes("host-a/.ballast").count >= 64 << 10)
    var batch = Batch()
    for i in 0..<500 { batch.stamp(1000 + UInt64(i)) }
    let problem = try error { try writer.append(cpu: 0, batch) }
    #expect(problem.kind == .diskFull)
    #expect(problem.errno == number)
    #expect(problem.path.hasSuffix("host-a/ctf/stream_0_0"))
    #expect(problem.description.contains("--max-size"))
    // 4096 = 72 + 125 · 32 + 24: two whole packets of 125 events fit into 10 000 bytes.
    #expect(writer.unwritten == 250)
    #expect(try error { try writer.append(cpu: 1, batch) } == problem)
    #expect(try error { try writer.flush() } == problem)
    #expect(writer.unwritten == 750)
    try writer.close(sampleMachine())
    #expect(!scratch.exists("host-a/.ballast"))
    #expect(throws: RecordingError.self) { try writer.append(cpu: 0, batch) }
    let recording = try MachineRecording.load(directory: writer.directory)
    #expect(recording.damage.isEmpty)
    #expect(recording.stamps.count == 250)
    #expect(recording.machine.unwritten == 750)
    #expect(try repair(directory: scratch.path).isEmpty)
    #expect(try Babeltrace(scratch.path).eventsByType == ["stamp": 250])
  }

  @Test func aDiskFullAtTheFirstPacketOrAtTheEndLeavesNoTornFile() throws {
    for bytes in [0, 50] {
      let scratch = try Scratch()
      let writer = try begin(scratch, options: .init(write: Disk(bytes: bytes).write))
      var batch = Batch()
      batch.stamp(1000)
      try writer.append(cpu: 0, batch)
      #expect(try error { try writer.close(sampleMachine()) }.kind == .diskFull)
      #expect(try scratch.list("host-a/ctf") == ["metadata"])
      let recording = try MachineRecording.load(directory: writer.directory)
      #expect(recording.machine.stoppedBy == "disk full")
      #expect(recording.machine.unwritten == 1)
      #expect(recording.damage.isEmpty)
    }
  }

  @Test func theSizeBoundHoldsAtEveryWrite() throws {
    let scratch = try Scratch()
    let limit = 100_000
    let folder = "\(scratch.path)/host-a/ctf"
    let largest = Mutex(0)
    let check: WriteCall = { descriptor, bytes in
      let written = systemWrite(descriptor, bytes)
      let names = (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
      let sizes = names.map {
        ((try? FileManager.default.attributesOfItem(atPath: "\(folder)/\($0)"))?[.size] as? Int) ?? 0
      }
      largest.withLock { $0 = max($0, sizes.reduce(0, +)) }
      return written
    }
    let writer = try begin(scratch, options: .init(maxSize: limit, write: check))
    var written: UInt64 = 0
    var lost: UInt64 = 0
    for round in 0..<60 {
      for cpu in 0..<3 {
        var batch = Batch()
        for i in 0..<(40 + 31 * cpu) { batch.stamp(1000 * UInt64(round + 1) + UInt64(i)) }
        written += UInt64(40 + 31 * cpu)
        try writer.append(cpu: cpu, batch)
      }
      lost += 2
      writer.discarded(cpu: 1, total: Count(lost))
      try writer.flush()
    }
    try writer.close(sampleMachine())
    let peak = largest.withLock { $0 }
    #expect(peak <= limit && peak > limit * 3 / 4, "peak \(peak)")
    #expect(writer.size <= limit)

    let recording = try MachineRecording.load(directory: writer.directory)
    let rotation = recording.machine.rotation
    #expect(recording.damage.isEmpty)
    #expect(rotation == writer.rotation)
    #expect(rotation.deletedStreams > 3)
    #expect(Count(recording.stamps.count) + rotation.deletedEvents == Count(written))
    #expect((recording.discardedByCPU[1] ?? 0) + rotation.deletedDiscarded == Count(lost))
    // The oldest went: what is left ends with the last round.
    #expect(recording.stamps.last?.time ?? 0 >= 60_000)
    #expect(recording.stamps.first?.time ?? 0 > 10_000)
    let babeltrace = try Babeltrace(scratch.path)
    #expect(babeltrace.eventsByType == recording.eventsByType)
    #expect(babeltrace.discarded == recording.discardedByCPU.values.sum())
  }

  @Test func aSizeBoundTooSmallToKeepIsRefused() throws {
    let scratch = try Scratch()
    #expect(try error { try begin(scratch, options: .init(maxSize: 1000)) }.kind == .invalid)
    #expect(!scratch.exists("host-a"))
  }

  @Test func filesRotateBySizeAndByTime() throws {
    let scratch = try Scratch()
    let writer = try begin(scratch, options: .init(rotateSize: 20_000, rotateTime: 1_000_000))
    for round in 0..<100 as Range<UInt64> {
      var batch = Batch()
      for i in 0..<20 as Range<UInt64> { batch.stamp(round * 10_000 + i) }
      try writer.append(cpu: 0, batch)
      try writer.flush()
    }
    // 712 bytes a packet: 28 packets a file.
    #expect(try scratch.list("host-a/ctf").count == 1 + 4)
    for name in try scratch.list("host-a/ctf") where name != "metadata" {
      #expect(try scratch.bytes("host-a/ctf/\(name)").count <= 20_000)
    }
    var batch = Batch()
    batch.stamp(2_000_000)
    try writer.append(cpu: 0, batch)
    try writer.close(sampleMachine())
    #expect(try scratch.list("host-a/ctf").count == 1 + 5)
    #expect(try MachineRecording.load(directory: writer.directory).stamps.count == 2001)
  }

  /// The kernel's own limit on a file's size, in a process of its own.
  @Test func aRealLimitOnFileSizeIsADiskThatIsFull() async throws {
    await #expect(processExitsWith: .success) {
      let scratch = try Scratch()
      let writer = try begin(scratch)
      signal(SIGXFSZ, SIG_IGN)
      var limit = rlimit(rlim_cur: 300_000, rlim_max: 300_000)
      try #require(unsafe setrlimit(__rlimit_resource_t(1), &limit) == 0)  // RLIMIT_FSIZE
      var batch = Batch()
      for i in 0..<12_000 as Range<UInt64> { batch.stamp(1000 + i) }
      let problem = try error {
        try writer.append(cpu: 0, batch); try writer.flush()
      }
      try #require(problem.kind == .diskFull && problem.errno == EFBIG)
      try writer.close(sampleMachine())
      let recording = try MachineRecording.load(directory: writer.directory)
      try #require(recording.damage.isEmpty && recording.stamps.count == 8189)
      try #require(recording.machine.unwritten == Count(12_000 - 8189))
    }
  }

  @Test func aKilledRecorderLeavesAReadableRecording() async throws {
    let directory = FileManager.default.temporaryDirectory.appendingPathComponent("latprobe-killed-\(getpid())").path
    defer { try? FileManager.default.removeItem(atPath: directory) }
    await #expect(processExitsWith: .signal(SIGKILL)) { [directory = directory as String] in
      try Session.prepare(directory: directory, force: true)
      let session = sampleSession()
      try session.write(to: directory)
      let writer = try MachineWriter(
        directory: directory, machine: sampleMachine(), session: session, utcOffset: utcOffset)
      for round in 0..<23 as Range<UInt64> {
        var batch = Batch()
        batch.stamp(1000 + round)
        try writer.append(cpu: 0, batch)
        if round == 12 { try writer.flush() }
      }
      kill(getpid(), SIGKILL)
    }
    let recording = try MachineRecording.load(directory: "\(directory)/host-a")
    #expect(recording.stamps.count == 13)
    #expect(recording.machine.stoppedAt == nil)
    #expect(recording.damage.isEmpty)
    #expect(try Babeltrace(directory).eventsByType == ["stamp": 13])
    // The dead recorder's lock is gone, its ballast is not.
    #expect(try repair(directory: directory).map(\.kind) == [.removedLeftover])
  }
}
