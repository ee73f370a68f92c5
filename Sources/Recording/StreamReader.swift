// SPDX-License-Identifier: GPL-2.0-or-later
import CLatprobeABI

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

/// Walks the packets of one stream file. Nothing in the file is believed before it is checked:
/// a packet is taken whole or not at all.
///
/// Trade: one packet in memory at a time, read rather than mapped, because a file that shrinks under a
/// mapping kills the process.
@safe final class StreamReader {
  /// What lies at one place of the file.
  enum Step: Equatable {
    /// A sound packet; ``events`` holds its records until the next step.
    case packet(PacketHeader, at: Range<Int>)
    /// A whole packet whose content makes no sense; the next one may be fine.
    case damaged(HeaderProblem, at: Range<Int>)
    /// No packet can begin here: nothing behind is readable.
    case unreadable(HeaderProblem, at: Range<Int>)
    /// The file ends within a packet.
    case torn(at: Range<Int>)
  }

  let path: String
  let cpu: Int
  let size: Int
  private let uuid: TraceID
  private let file: File
  /// Where the next step begins.
  private(set) var offset: Int
  private var previous: PacketHeader?
  private var buffer: UnsafeMutableRawBufferPointer
  private var filled = 0

  /// - Parameter start: where a packet begins.
  init(_ path: String, cpu: Int, uuid: TraceID, from start: Int = 0) throws(RecordingError) {
    guard Files.type(path) == .file else { throw RecordingError(.damaged, path: path, "is not a regular file") }
    self.path = path
    self.cpu = cpu
    self.uuid = uuid
    file = try File(path, flags: O_NOFOLLOW)
    size = try file.size(path)
    offset = start
    unsafe buffer = .allocate(byteCount: 256 << 10, alignment: 16)
  }

  deinit { unsafe buffer.deallocate() }

  /// The records of the packet at hand.
  var events: UnsafeRawBufferPointer {
    unsafe UnsafeRawBufferPointer(rebasing: buffer[min(Format.headerSize, filled)..<filled])
  }

  /// The packet at hand as it lies in the file.
  var packet: UnsafeRawBufferPointer { unsafe UnsafeRawBufferPointer(rebasing: buffer[..<filled]) }

  /// The next place of the file; nil at its end. Nothing follows `unreadable` and `torn`.
  func next() throws(RecordingError) -> Step? {
    let start = offset
    filled = 0
    guard start < size else { return nil }
    let rest = start..<size
    guard rest.count >= Format.headerSize, try fill(Format.headerSize, at: start) else {
      offset = size
      return .torn(at: rest)
    }
    let header: PacketHeader
    switch unsafe PacketHeader.load(packet, uuid: uuid, cpu: cpu) {
    case .success(let value): header = value
    case .failure(let problem):
      offset = size
      return .unreadable(problem, at: rest)
    }
    guard header.size <= rest.count, try fill(header.size, at: start) else {
      offset = size
      return .torn(at: rest)
    }
    offset += header.size
    if let problem = check(header) { return .damaged(problem, at: start..<offset) }
    previous = header
    return .packet(header, at: start..<offset)
  }

  /// Packets that are missing between the last sound packet and this one.
  func gap(before header: PacketHeader, after last: PacketHeader?) -> UInt32 {
    last.map { header.sequence - $0.sequence - 1 } ?? header.sequence
  }

  /// False where the file has become shorter meanwhile.
  private func fill(_ count: Int, at start: Int) throws(RecordingError) -> Bool {
    if unsafe buffer.count < count {
      unsafe buffer.deallocate()
      unsafe buffer = .allocate(byteCount: count, alignment: 16)
      filled = 0
    }
    let target = unsafe UnsafeMutableRawBufferPointer(rebasing: buffer[filled..<count])
    guard try unsafe file.read(into: target, at: start + filled, path) == target.count else { return false }
    filled = count
    return true
  }

  /// A time beside the event's own that is beyond ``Format/timeLimit``; clocks are looked at where they are compared.
  private func hasImpossibleTime(_ id: UInt8, _ record: UnsafeRawBufferPointer) -> Bool {
    let limit = Format.timeLimit
    switch id {
    case UInt8(LP_EVENT_STAMP_HELD.rawValue):
      return unsafe record.load(as: lp_stamp_held.self).at_ns >= UInt64(limit)
    case UInt8(LP_EVENT_STAMP_WIRE.rawValue):
      // A clock that was never set may be before 1970.
      return unsafe record.load(as: lp_stamp_wire.self).at_ns.magnitude >= UInt64(limit)
    case UInt8(LP_EVENT_PAIR.rawValue):
      let pair = unsafe record.load(as: lp_pair.self)
      let last = UInt32(pair.flags) & LP_PAIR_WHOLE.rawValue != 0 ? pair.last_ns : pair.end_ns
      return pair.start_ns.magnitude >= UInt64(limit) || pair.end_ns.magnitude >= UInt64(limit)
        || last.magnitude >= UInt64(limit) || (pair.end_ns - pair.start_ns).magnitude >= UInt64(limit)
        || (last - pair.start_ns).magnitude >= UInt64(limit)
    default: return false
    }
  }

  /// Whether the packet's content and its place after the packets before make sense.
  private func check(_ header: PacketHeader) -> HeaderProblem? {
    if let previous {
      if header.begin < previous.end { return "the packet begins before the one before it ends" }
      if header.discarded < previous.discarded { return "the packet has fewer lost events than the one before it" }
      if header.sequence <= previous.sequence { return "the packet's number runs backwards" }
    }
    if header.end >= UInt64(Format.timeLimit) { return .impossible("an impossible time, \(header.end) ns") }
    if header.discarded > UInt64(Count.limit) {
      return .impossible("an impossible number of lost events, \(header.discarded)")
    }
    let events = unsafe self.events
    var offset = 0
    var last = header.begin
    while offset < events.count {
      guard events.count - offset >= Format.smallestRecord else { return "an event runs out of its packet" }
      let id = unsafe events[offset + 8]
      let size = Format.recordSize(id)
      if size == 0 { return "unknown event id \(id)" }
      if size > events.count - offset { return "an event runs out of its packet" }
      let time = unsafe events.load(fromByteOffset: offset, as: UInt64.self)
      if time < last { return "time runs backwards" }
      if offset == 0 && time != last { return "the first event is not at the packet's begin" }
      if unsafe hasImpossibleTime(id, UnsafeRawBufferPointer(rebasing: events[offset...])) {
        return .impossible("an event has an impossible time")
      }
      last = time
      offset += size
    }
    if last != header.end { return "the last event is not at the packet's end" }
    return nil
  }
}
