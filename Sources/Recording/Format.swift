// SPDX-License-Identifier: GPL-2.0-or-later
import CLatprobeABI

#if _endian(big)
  #error("recordings are little-endian and read as they lie in memory")
#endif

/// Numbers and names of the stream format; `docs/format.md` describes every byte.
enum Format {
  /// Version of the CTF streams, in the metadata's `env` as `latprobe_format`.
  static let current = 6
  static let magic: UInt32 = 0xC1FC_1FC1
  /// Bytes of packet header and packet context before the first event.
  static let headerSize = 72
  /// Largest packet a reader accepts; the writer stays far below.
  static let packetLimit = 16 << 20
  static let metadataLimit = 1 << 20
  static let smallestRecord = MemoryLayout<lp_stamp>.size

  /// CPU and sequence number of a stream's file name, `stream_CPU_SEQ`; nil for any other name.
  static func parse(streamName: String) -> (cpu: Int, sequence: Int)? {
    let parts = streamName.split(separator: "_", omittingEmptySubsequences: false)
    guard parts.count == 3, parts[0] == "stream", let cpu = number(parts[1]), let sequence = number(parts[2]),
      cpu <= Int(UInt16.max)
    else { return nil }
    return (cpu, sequence)
  }

  static func streamName(cpu: Int, sequence: Int) -> String { "stream_\(cpu)_\(sequence)" }

  private static func number(_ text: Substring) -> Int? {
    guard !text.isEmpty, text.utf8.allSatisfy({ UInt8(ascii: "0")...UInt8(ascii: "9") ~= $0 }) else { return nil }
    return Int(text)
  }
}

/// CTF packet header and packet context: the 72 bytes before a packet's first event.
struct PacketHeader: Equatable {
  var uuid: TraceID
  /// Time of the first and of the last event, nanoseconds of CLOCK_MONOTONIC; equal in a packet without events.
  var begin: UInt64
  var end: UInt64
  /// Bytes of the whole packet, header included (on disk: bits).
  var size: Int
  /// Events lost on this CPU since the stream file began.
  var discarded: UInt64
  var cpu: UInt32
  /// Number of the packet in its file, from 0.
  var sequence: UInt32

  func store(_ p: UnsafeMutableRawPointer) {
    unsafe p.storeBytes(of: Format.magic, as: UInt32.self)
    unsafe p.storeBytes(of: uuid.low, toByteOffset: 4, as: UInt64.self)
    unsafe p.storeBytes(of: uuid.high, toByteOffset: 12, as: UInt64.self)
    unsafe p.storeBytes(of: 0, toByteOffset: 20, as: UInt32.self)  // stream_id
    unsafe p.storeBytes(of: begin, toByteOffset: 24, as: UInt64.self)
    unsafe p.storeBytes(of: end, toByteOffset: 32, as: UInt64.self)
    unsafe p.storeBytes(of: UInt64(size) * 8, toByteOffset: 40, as: UInt64.self)
    unsafe p.storeBytes(of: UInt64(size) * 8, toByteOffset: 48, as: UInt64.self)
    unsafe p.storeBytes(of: discarded, toByteOffset: 56, as: UInt64.self)
    unsafe p.storeBytes(of: cpu, toByteOffset: 64, as: UInt32.self)
    unsafe p.storeBytes(of: sequence, toByteOffset: 68, as: UInt32.self)
  }

  init(
    uuid: TraceID, begin: UInt64, end: UInt64, size: Int, discarded: UInt64, cpu: UInt32,
    sequence: UInt32
  ) {
    self.uuid = uuid
    self.begin = begin
    self.end = end
    self.size = size
    self.discarded = discarded
    self.cpu = cpu
    self.sequence = sequence
  }

  /// Reads the first 72 bytes; the reason as text where they are no header of this recording.
  static func load(_ p: UnsafeRawBufferPointer, uuid: TraceID, cpu: Int) -> Result<PacketHeader, HeaderProblem> {
    guard p.count >= Format.headerSize, unsafe p.loadUnaligned(as: UInt32.self) == Format.magic else {
      return .failure("no packet magic here")
    }
    let id = unsafe TraceID(
      low: p.loadUnaligned(fromByteOffset: 4, as: UInt64.self),
      high: p.loadUnaligned(fromByteOffset: 12, as: UInt64.self))
    guard id == uuid else { return .failure("the packet belongs to another recording (uuid)") }
    guard unsafe p.loadUnaligned(fromByteOffset: 20, as: UInt32.self) == 0 else { return .failure("unknown stream id") }
    let content = unsafe p.loadUnaligned(fromByteOffset: 40, as: UInt64.self)
    let packet = unsafe p.loadUnaligned(fromByteOffset: 48, as: UInt64.self)
    guard content == packet, packet % 64 == 0, packet / 8 >= UInt64(Format.headerSize),
      packet / 8 <= UInt64(Format.packetLimit)
    else { return .failure("impossible packet size (\(packet) bits, content \(content))") }
    let header = unsafe PacketHeader(
      uuid: id, begin: p.loadUnaligned(fromByteOffset: 24, as: UInt64.self),
      end: p.loadUnaligned(fromByteOffset: 32, as: UInt64.self), size: Int(packet / 8),
      discarded: p.loadUnaligned(fromByteOffset: 56, as: UInt64.self),
      cpu: p.loadUnaligned(fromByteOffset: 64, as: UInt32.self),
      sequence: p.loadUnaligned(fromByteOffset: 68, as: UInt32.self))
    guard header.cpu == UInt32(cpu) else { return .failure("the packet is of CPU \(header.cpu), not \(cpu)") }
    guard header.begin <= header.end else { return .failure("the packet ends before it begins") }
    return .success(header)
  }
}

/// What is wrong with a packet, for people.
struct HeaderProblem: Error, ExpressibleByStringInterpolation, Equatable {
  var text: String
  /// No interruption and no flipped bit: a number that cannot be.
  var isImpossible = false

  init(stringLiteral value: String) { text = value }

  static func impossible(_ text: String) -> HeaderProblem {
    var problem = HeaderProblem(stringLiteral: text)
    problem.isImpossible = true
    return problem
  }
}

/// UUID of one machine's trace: in its metadata and in each packet.
struct TraceID: Equatable, CustomStringConvertible {
  /// Bytes 0–7 and 8–15, as they lie in memory.
  var low: UInt64
  var high: UInt64

  init(low: UInt64, high: UInt64) {
    self.low = low
    self.high = high
  }

  /// A random UUID (version 4, variant 1).
  static func random() -> TraceID {
    var id = TraceID(low: .random(in: .min ... .max), high: .random(in: .min ... .max))
    id.low = id.low & ~(0xF0 << 48) | 0x40 << 48  // high half of byte 6
    id.high = id.high & ~0xC0 | 0x80  // top bits of byte 8
    return id
  }

  var bytes: [UInt8] {
    (0..<8).map { UInt8(truncatingIfNeeded: low >> (8 * $0)) }
      + (0..<8).map { UInt8(truncatingIfNeeded: high >> (8 * $0)) }
  }

  /// 8-4-4-4-12 hexadecimal digits in byte order.
  var description: String {
    var text = ""
    for (i, byte) in bytes.enumerated() {
      if [4, 6, 8, 10].contains(i) { text += "-" }
      text += (byte < 16 ? "0" : "") + String(byte, radix: 16)
    }
    return text
  }

  init?(_ text: some StringProtocol) {
    let digits = String(text.filter { $0 != "-" })
    guard digits.utf8.count == 32, text.utf8.count == 36 else { return nil }
    var halves: [UInt64] = []
    for half in [digits.prefix(16), digits.suffix(16)] {
      guard let value = UInt64(half, radix: 16) else { return nil }
      halves.append(value.byteSwapped)
    }
    low = halves[0]
    high = halves[1]
  }
}
