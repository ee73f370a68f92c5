// SPDX-License-Identifier: GPL-2.0-or-later

/// The packet of one CPU that is being filled, and the stream file it goes to.
///
/// Trade: one fixed buffer a CPU (256 KiB by default), so that a packet is one write and no allocation
/// happens while recording; a CPU that never speaks costs nothing.
@safe final class CPUBuffer {
  let cpu: Int
  /// Bytes of the largest packet, header included.
  let capacity: Int
  private let memory: UnsafeMutableRawPointer
  private(set) var used = Format.headerSize
  private(set) var count: UInt32 = 0
  private(set) var first: UInt64 = 0
  /// Latest time in the packet.
  private(set) var last: UInt64 = 0
  private var isDisordered = false

  /// Events lost on this CPU since the recording began, and how many of them packets have told.
  var lost: UInt64 = 0
  var lostTold: UInt64 = 0
  var nextSequence = 0
  var stream: OpenStream?

  init(cpu: Int, capacity: Int) {
    self.cpu = cpu
    self.capacity = capacity
    unsafe memory = .allocate(byteCount: capacity, alignment: 16)
  }

  deinit { unsafe memory.deallocate() }

  var isEmpty: Bool { count == 0 }

  /// Takes the leading whole records of `bytes` that fit; returns their size.
  /// Stops before a record that is none (unknown event id, or longer than what is left).
  func take(_ bytes: UnsafeRawBufferPointer) -> Int {
    guard let base = bytes.baseAddress else { return 0 }
    let room = min(bytes.count, capacity - used)
    var offset = 0
    var newest = last
    var taken = count
    while room - offset >= Format.smallestRecord {
      let record = unsafe base + offset
      let size = unsafe Format.recordSize(record.load(fromByteOffset: 8, as: UInt8.self))
      if size == 0 || size > room - offset { break }
      let time = unsafe record.loadUnaligned(as: UInt64.self)
      if taken == 0 {
        first = time
        newest = time
      } else if time < newest {
        isDisordered = true
      } else {
        newest = time
      }
      taken += 1
      offset += size
    }
    unsafe (memory + used).copyMemory(from: base, byteCount: offset)
    used += offset
    count = taken
    last = newest
    return offset
  }

  /// Brings the packet's events into ascending order of time; equal times keep their order.
  func sort() {
    guard isDisordered else { return }
    var records: [(time: UInt64, offset: Int)] = []
    records.reserveCapacity(Int(count))
    var offset = Format.headerSize
    while offset < used {
      records.append((unsafe (memory + offset).load(as: UInt64.self), offset))
      offset += unsafe Format.recordSize((memory + offset).load(fromByteOffset: 8, as: UInt8.self))
    }
    records.sort { $0.time != $1.time ? $0.time < $1.time : $0.offset < $1.offset }
    let sorted = UnsafeMutableRawPointer.allocate(byteCount: used, alignment: 16)
    defer { unsafe sorted.deallocate() }
    var end = 0
    for record in records {
      let size = unsafe Format.recordSize((memory + record.offset).load(fromByteOffset: 8, as: UInt8.self))
      unsafe (sorted + end).copyMemory(from: memory + record.offset, byteCount: size)
      end += size
    }
    unsafe (memory + Format.headerSize).copyMemory(from: sorted, byteCount: end)
    if let earliest = records.first { first = earliest.time }
    isDisordered = false
  }

  /// The whole packet with its header in front; valid until the next change.
  func packet(header: PacketHeader) -> UnsafeRawBufferPointer {
    unsafe header.store(memory)
    return unsafe UnsafeRawBufferPointer(start: memory, count: used)
  }

  func clear() {
    used = Format.headerSize
    count = 0
    isDisordered = false
  }
}

/// What is known of a stream file on disk; shared by the list of all and the CPU that writes it.
final class StreamInfo {
  let path: String
  /// In `ctf/`.
  let name: String
  let begin: UInt64
  var size = 0
  var events: UInt64 = 0
  /// Last `events_discarded` of the file.
  var discarded: UInt64 = 0

  init(path: String, name: String, begin: UInt64) {
    self.path = path
    self.name = name
    self.begin = begin
  }
}

/// The stream file that a CPU's packets go to.
struct OpenStream: ~Copyable {
  let file: File
  let info: StreamInfo
  /// Losses told by earlier files of this CPU: babeltrace2 takes each file as a stream of its own
  /// and counts from 0.
  let lostBefore: UInt64
  var end: UInt64
  var packets: UInt32 = 0
}
