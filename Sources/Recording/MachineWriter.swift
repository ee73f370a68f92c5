// SPDX-License-Identifier: GPL-2.0-or-later

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

/// Writes one machine's part of a recording: `DIR/MACHINE/machine.json` and the CTF streams.
///
/// Records go to disk as they are drained, grouped into one packet a CPU; a packet is written with one
/// call, so that a killed recorder leaves whole packets and at most one torn tail a stream.
/// For one thread: the recorder's.
package final class MachineWriter {
  package struct Options: Sendable {
    /// Largest packet in bytes; a full one is written at once.
    package var packetSize: Int
    /// Bytes after which a CPU begins a new stream file; nil for no limit.
    package var rotateSize: Int?
    /// Nanoseconds after which a CPU begins a new stream file; nil for no limit.
    package var rotateTime: UInt64?
    /// Bytes that `ctf/` never exceeds: the oldest stream files go first; nil for no limit.
    package var maxSize: Int?
    /// `metadata`, and a packet of each of a few CPUs.
    package static let leastMaxSize = 80 << 10
    /// write(2), or a test's.
    package var write: WriteCall

    package init(
      packetSize: Int = 256 << 10, rotateSize: Int? = nil, rotateTime: UInt64? = nil, maxSize: Int? = nil,
      write: @escaping WriteCall = systemWrite
    ) {
      self.packetSize = packetSize
      self.rotateSize = rotateSize
      self.rotateTime = rotateTime
      self.maxSize = maxSize
      self.write = write
    }
  }

  /// `DIR/MACHINE`.
  package let directory: String
  /// Stream files that rotation deleted.
  package private(set) var rotation = Machine.Rotation()
  /// Events that were taken but could not be written, because writing failed.
  package private(set) var unwritten: UInt64 = 0
  /// Bytes in `ctf/`.
  package private(set) var size = 0

  private let options: Options
  private let uuid = TraceID.random()
  private let ballast: Ballast
  private let folder: MachineFolder
  private let packetCapacity: Int
  private let startedAt: UInt64
  private var machine: Machine
  private var buffers: [Int: CPUBuffer] = [:]
  private var streams: [StreamInfo] = []
  private var failure: RecordingError?

  /// - Parameters:
  ///   - parent: `DIR`, which holds `session.json` (``Session/prepare(directory:force:)``, ``Session/write(to:)``).
  ///   - machine: its name becomes the folder's (``MachineName``).
  ///   - utcOffset: CLOCK_REALTIME − CLOCK_MONOTONIC now, in nanoseconds; lets CTF readers show wall time.
  package init(
    directory parent: String, machine: Machine, session: Session, utcOffset: Int64, options: Options = Options()
  ) throws(RecordingError) {
    guard MachineName.isSafe(machine.name) else {
      throw RecordingError(.invalid, path: parent, "\"\(machine.name)\" cannot be a machine's folder name")
    }
    directory = "\(parent)/\(machine.name)"
    let text = Metadata(
      uuid: uuid, machine: machine.name, hostname: machine.hostname, bootID: machine.bootID, session: session.id,
      utcOffset: utcOffset
    ).text
    let bytes = Array(text.utf8)
    if let limit = options.maxSize, limit < Options.leastMaxSize {
      throw RecordingError(
        .invalid, path: directory,
        "a size limit of \(limit) bytes is too small: allow at least \(Options.leastMaxSize)")
    }
    let bounds = [options.packetSize, options.rotateSize, options.maxSize.map { ($0 - bytes.count) / 8 }]
    packetCapacity = max(4096, min(bounds.compactMap(\.self).min() ?? 0, Format.packetLimit)) & ~7
    self.options = options
    self.machine = machine
    startedAt = machine.startedAt
    ballast = Ballast(machine: machine)
    size = bytes.count
    do throws(RecordingError) {
      folder = try MachineFolder(directory: parent, name: machine.name, metadata: bytes)
    } catch {
      MachineFolder.removeLoneSession(parent, session)
      throw error.beforeAnything
    }
    do throws(RecordingError) {
      try ballast.create(in: folder.folder)
      try updateMachine(machine)
    } catch {
      ballast.remove(from: folder.folder)
      folder.remove(from: parent)
      MachineFolder.removeLoneSession(parent, session)
      throw error.beforeAnything
    }
  }

  deinit { ballast.remove(from: folder.folder) }

  /// Takes a batch of records of one CPU, concatenated as drained.
  ///
  /// Times may run backwards within and between batches: a packet is sorted before it is written, and one
  /// that begins before the end of the stream's last packet opens a new stream file.
  /// - Complexity: one pass and one copy; O(n log n) for a packet with disorder.
  package func append(cpu: Int, bytes: UnsafeRawBufferPointer) throws(RecordingError) {
    guard cpu >= 0, cpu <= Int(UInt16.max) else {
      throw RecordingError(.invalid, path: directory, "there is no CPU \(cpu)")
    }
    let buffer = buffer(cpu)
    var offset = 0
    while offset < bytes.count {
      let rest = unsafe UnsafeRawBufferPointer(rebasing: bytes[offset...])
      if let failure {
        unwritten += unsafe MachineWriter.count(rest)
        throw failure
      }
      let taken = unsafe buffer.take(rest)
      offset += taken
      if offset == bytes.count { break }
      let next = unsafe MachineWriter.recordSize(bytes, at: offset)
      guard next > 0 else {
        throw RecordingError(
          .invalid, path: directory,
          "byte \(offset) of a batch of \(bytes.count) from CPU \(cpu) begins no whole record; the rest of the batch is dropped"
        )
      }
      // The record is whole, so it was the room that ended.
      do throws(RecordingError) { try write(buffer) } catch {
        unwritten += unsafe MachineWriter.count(UnsafeRawBufferPointer(rebasing: bytes[offset...]))
        throw error
      }
    }
  }

  /// As ``append(cpu:bytes:)``.
  package func append(cpu: Int, _ records: [UInt8]) throws(RecordingError) {
    try unsafe records.withUnsafeBufferPointer { (bytes) throws(RecordingError) in
      try unsafe append(cpu: cpu, bytes: UnsafeRawBufferPointer(bytes))
    }
  }

  /// Sets how many events this CPU has lost since the recording began; the next packet tells it.
  package func discarded(cpu: Int, total: Count) {
    guard cpu >= 0, cpu <= Int(UInt16.max) else { return }
    if total == 0 && buffers[cpu] == nil { return }
    let buffer = buffer(cpu)
    buffer.lost = max(buffer.lost, total.unsigned)
  }

  /// Writes each CPU's packet as far as it is filled, and a packet without events where only losses are new.
  package func flush() throws(RecordingError) {
    if let failure { throw failure }
    for cpu in buffers.keys.sorted() {
      guard let buffer = buffers[cpu] else { continue }
      if !buffer.isEmpty || buffer.lost != buffer.lostTold { try write(buffer) }
    }
  }

  /// Replaces `machine.json`, whole or not at all; rotation and unwritten events are filled in.
  package func updateMachine(_ machine: Machine) throws(RecordingError) {
    self.machine = machine
    self.machine.rotation = rotation
    self.machine.unwritten = Count(unwritten)
    let bytes = try JSONFile.encode(self.machine, "\(directory)/\(Machine.fileName)")
    try folder.folder.replace(Machine.fileName, bytes)
  }

  /// Writes what is left and the last `machine.json`, also on a full disk.
  ///
  /// Throws only what was not thrown before. If the disk fills up here, `stoppedBy` says so.
  package func close(_ machine: Machine) throws(RecordingError) {
    var machine = machine
    var error: RecordingError?
    if failure == nil {
      do throws(RecordingError) { try flush() } catch let problem {
        error = problem
        if problem.kind == .diskFull { machine.stoppedBy = Machine.diskFull }
      }
    }
    buffers = [:]
    machine.events = Count(streams.reduce(0) { $0 + $1.events })
    if failure == nil { failure = RecordingError(.invalid, path: directory, "is closed") }
    ballast.remove(from: folder.folder)
    defer { folder.unlock() }
    try updateMachine(machine)
    if let error { throw error }
  }

  private func buffer(_ cpu: Int) -> CPUBuffer {
    if let buffer = buffers[cpu] { return buffer }
    let buffer = CPUBuffer(cpu: cpu, capacity: packetCapacity)
    buffers[cpu] = buffer
    return buffer
  }

  // MARK: - Packets

  private func write(_ buffer: CPUBuffer) throws(RecordingError) {
    do throws(RecordingError) {
      try writePacket(buffer)
      buffer.clear()
    } catch {
      failure = error
      for buffer in buffers.values {
        unwritten += UInt64(buffer.count)
        buffer.clear()
      }
      throw error
    }
  }

  private func writePacket(_ buffer: CPUBuffer) throws(RecordingError) {
    buffer.sort()
    // A packet that only tells losses lies where its stream ends.
    let idle = buffer.stream?.end ?? startedAt
    let begin = buffer.isEmpty ? idle : buffer.first
    let end = buffer.isEmpty ? idle : buffer.last
    if needsNewStream(buffer, begin: begin, end: end) { buffer.stream = nil }
    try makeRoom(for: buffer.used + Format.headerSize)
    if buffer.stream == nil {
      try openStream(buffer, begin: begin)
      // babeltrace2 counts losses from one packet to the next: without one that tells none, the losses
      // of a file's first packet would be "may have discarded", without a number.
      if buffer.lost != buffer.lostTold {
        try put(buffer, begin: begin, end: begin, lost: buffer.lostTold, events: false)
      }
    }
    try put(buffer, begin: begin, end: end, lost: buffer.lost, events: true)
  }

  /// Writes a packet to the CPU's open stream: what the buffer holds, or one without events.
  private func put(_ buffer: CPUBuffer, begin: UInt64, end: UInt64, lost: UInt64, events: Bool) throws(RecordingError) {
    guard var stream = buffer.stream.take() else { return }
    let info = stream.info
    let bytes = events ? buffer.used : Format.headerSize
    let header = PacketHeader(
      uuid: uuid, begin: begin, end: end, size: bytes, discarded: lost - stream.lostBefore, cpu: UInt32(buffer.cpu),
      sequence: stream.packets)
    do throws(RecordingError) {
      let packet = unsafe UnsafeRawBufferPointer(rebasing: buffer.packet(header: header)[..<bytes])
      try unsafe stream.file.write(packet, info.path, call: options.write)
    } catch {
      try? stream.file.truncate(to: info.size, info.path)
      if info.size == 0 {
        try? folder.streams.remove(info.name)
        streams.removeAll { $0 === info }
      }
      throw error
    }
    stream.packets += 1
    stream.end = end
    info.size += bytes
    info.events += events ? UInt64(buffer.count) : 0
    info.discarded = header.discarded
    size += bytes
    buffer.lostTold = lost
    buffer.stream = consume stream
  }

  private func openStream(_ buffer: CPUBuffer, begin: UInt64) throws(RecordingError) {
    let name = Format.streamName(cpu: buffer.cpu, sequence: buffer.nextSequence)
    let file = try folder.streams.makeFile(name)
    buffer.nextSequence += 1
    let info = StreamInfo(path: folder.streams.path(of: name), name: name, begin: begin)
    streams.append(info)
    buffer.stream = OpenStream(file: file, info: info, lostBefore: buffer.lostTold, end: begin)
  }

  // MARK: - Rotation

  private func needsNewStream(_ buffer: CPUBuffer, begin: UInt64, end: UInt64) -> Bool {
    guard let streamEnd = buffer.stream?.end, let info = buffer.stream?.info else { return true }
    if begin < streamEnd { return true }
    if let limit = options.rotateTime, end >= info.begin, end - info.begin > limit { return true }
    return sizeLimit.map { info.size + buffer.used > $0 } ?? false
  }

  /// Without its own limit a stream file under `maxSize` gets a share small enough that deleting one
  /// loses an eighth at most.
  private var sizeLimit: Int? {
    let share = options.maxSize.map { max(packetCapacity, $0 / (8 * buffers.count)) }
    guard let limit = options.rotateSize else { return share }
    return min(limit, share ?? limit)
  }

  /// Deletes the oldest stream files until a packet of `bytes` fits under the bound.
  private func makeRoom(for bytes: Int) throws(RecordingError) {
    guard let limit = options.maxSize else { return }
    while size + bytes > limit {
      guard let oldest = streams.indices.min(by: { streams[$0].begin < streams[$1].begin }) else { return }
      let info = streams[oldest]
      for buffer in buffers.values where buffer.stream?.info === info { buffer.stream = nil }
      try folder.streams.remove(info.name)
      streams.remove(at: oldest)
      size -= info.size
      rotation.deletedStreams += 1
      rotation.deletedEvents += Count(info.events)
      rotation.deletedBytes += Count(info.size)
      rotation.deletedDiscarded += Count(info.discarded)
    }
  }

  // MARK: - Records

  private static func recordSize(_ bytes: UnsafeRawBufferPointer, at offset: Int) -> Int {
    guard bytes.count - offset >= Format.smallestRecord else { return 0 }
    let size = unsafe Format.recordSize(bytes[offset + 8])
    return size <= bytes.count - offset ? size : 0
  }

  /// Number of whole records in front.
  private static func count(_ bytes: UnsafeRawBufferPointer) -> UInt64 {
    var offset = 0
    var count: UInt64 = 0
    while offset < bytes.count, case let size = unsafe recordSize(bytes, at: offset), size > 0 {
      offset += size
      count += 1
    }
    return count
  }
}
