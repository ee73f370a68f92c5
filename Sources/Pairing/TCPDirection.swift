// SPDX-License-Identifier: GPL-2.0-or-later

/// One direction of a TCP connection: puts segments in order, by sequence numbers that wrap, first copies first.
///
/// Offsets count the payload from where this direction was first seen. Holds only what cannot be handed on yet.
struct TCPDirection {
  private struct Piece {
    var range: Range<Int>
    var time: Int64
    /// Not captured: its length is known, its bytes are not, and have no place in ``buffer``.
    var isBlank: Bool
    /// What of it came again while it waited: from the first such byte to the last one.
    var copied: Range<Int>

    /// What it takes in memory beside the bytes.
    static let cost = MemoryLayout<Piece>.stride
  }
  private struct Segment {
    var range: Range<Int>
    var time: Int64
    var payload: ByteView
    /// As in ``Piece``.
    var copied = 0..<0

    /// What it takes in memory: with its headers, however short it is.
    var cost: Int { payload.count + 128 }
  }
  enum Arrival {
    case nothing
    /// New bytes in order; `repeated` came before.
    case inOrder(repeated: Range<Int>?)
    case waiting
    case repeated(Range<Int>)
    /// So far off that it is not of this stream.
    case stray
  }

  /// The sequence number of `end`.
  private var next: UInt32
  /// Up to here all bytes were seen.
  private(set) var end = 0
  /// Up to here they are used up.
  private(set) var start = 0
  /// The bytes that were captured, used up as far as `head`.
  private var buffer: [UInt8] = []
  private var head = 0
  private var pieces: [Piece] = []
  private var held: [Segment] = []
  private(set) var heldBytes = 0
  /// Where the stream ends, once its FIN was seen.
  private var closedAt: Int?
  var lastACK: UInt32?
  /// An acknowledgment of bytes that were not seen yet, and when the first such one came.
  var awaited: (upTo: UInt32, since: Int64)?

  // The message that has begun.
  private var first: Int64?
  private var complete: Int64 = .min
  private var messageStart = 0
  private var isRepeated = false
  /// Bytes still to be passed over, and whether they finish the message.
  var skip = 0
  var skipEnds = false

  init(next: UInt32) { self.next = next }

  /// Bytes kept in memory.
  var buffered: Int { buffer.count - head + pieces.count * Piece.cost + heldBytes }
  /// Payload that has come and was not used up.
  var unread: Int { available + held.reduce(0) { $0 + $1.range.count } }
  /// Bytes in order that are not used up.
  var available: Int { end - start }
  var hasHeld: Bool { !held.isEmpty }
  var heldSegments: Int { held.count }
  var isClosed: Bool { closedAt.map { $0 <= end } ?? false }
  var hasBegun: Bool { first != nil }

  private func offset(of sequence: UInt32) -> Int { end + Int(Int32(bitPattern: sequence &- next)) }

  /// The bytes that an acknowledgment says have arrived although they were never seen here; 0 if none.
  func missing(before acknowledgment: UInt32) -> Int {
    let offset = offset(of: acknowledgment)
    guard offset - end < 1 << 30 else { return 0 }
    return max(0, offset - end - (isClosed ? 1 : 0))
  }

  /// Notes an acknowledgment that came before its bytes.
  mutating func expect(_ acknowledgment: UInt32, _ time: Int64) {
    guard let earlier = awaited else { return awaited = (acknowledgment, time) }
    if offset(of: acknowledgment) > offset(of: earlier.upTo) { awaited?.upTo = acknowledgment }
  }

  /// Whether an acknowledgment covers all that was seen.
  func isAcknowledged(_ acknowledgment: UInt32) -> Bool { offset(of: acknowledgment) >= end }

  func isAtEnd(_ sequence: UInt32) -> Bool { sequence == next }

  mutating func close(at sequence: UInt32) {
    let offset = offset(of: sequence)
    if offset >= start { closedAt = offset }
  }

  mutating func take(sequence: UInt32, payload: ByteView, length: Int, time: Int64) -> Arrival {
    guard length > 0 else { return .nothing }
    let from = offset(of: sequence)
    let range = from..<from + length
    guard abs(from - end) < 1 << 30 else { return .stray }
    if range.upperBound <= end {
      // One byte before the end is how some systems keep a connection alive.
      return length == 1 && range.upperBound == end ? .nothing : repeats(range)
    }
    let earlier = from < end ? from..<end : nil
    if let earlier { _ = repeats(earlier) }
    let new = Segment(
      range: max(from, end)..<range.upperBound, time: time, payload: payload.dropFirst(max(0, end - from)))
    if from <= end && held.isEmpty {
      append(new)
      return .inOrder(repeated: earlier)
    }
    hold(new)
    if from > end { return .waiting }
    var following = 0
    while following < held.count, held[following].range.lowerBound == end {
      append(held[following])
      heldBytes -= held[following].cost
      following += 1
    }
    held.removeFirst(following)
    return .inOrder(repeated: earlier)
  }

  /// Puts a segment among those that wait. Where one waits already, that came first and keeps its time.
  private mutating func hold(_ segment: Segment) {
    var at = segment.range.lowerBound
    var parts: [Segment] = []
    func add(upTo: Int) {
      guard at < upTo else { return }
      // Of what will be passed over the length is enough. Else a copy, as the payload keeps the whole packet in memory.
      let payload = segment.payload.dropFirst(at - segment.range.lowerBound).prefix(upTo - at)
      let part = Segment(
        range: at..<upTo, time: segment.time, payload: ByteView(upTo <= start + skip ? [] : payload.bytes))
      heldBytes += part.cost
      parts.append(part)
    }
    let first = held.firstIndex { $0.range.upperBound > at } ?? held.count
    let covered = held[first...].prefix { $0.range.lowerBound < segment.range.upperBound }
    for var earlier in covered {
      add(upTo: earlier.range.lowerBound)
      let again = earlier.range.clamped(to: segment.range)
      let before = earlier.copied.isEmpty ? again : earlier.copied
      earlier.copied = min(before.lowerBound, again.lowerBound)..<max(before.upperBound, again.upperBound)
      parts.append(earlier)
      at = earlier.range.upperBound
    }
    add(upTo: segment.range.upperBound)
    held.replaceSubrange(covered.indices, with: parts)
  }

  private mutating func repeats(_ range: Range<Int>) -> Arrival {
    if first != nil && range.upperBound > messageStart { isRepeated = true }
    // Bytes of a message whose first step is still to come.
    if first == nil && range.upperBound > start { isRepeated = true }
    return .repeated(range)
  }

  private mutating func append(_ segment: Segment) {
    let upTo = segment.range.upperBound
    next = next &+ UInt32(truncatingIfNeeded: upTo - end)
    buffer += segment.payload.bytes
    let seen = end + segment.payload.count
    func add(_ range: Range<Int>, isBlank: Bool) {
      guard !range.isEmpty else { return }
      pieces.append(Piece(range: range, time: segment.time, isBlank: isBlank, copied: segment.copied))
    }
    add(end..<seen, isBlank: false)
    add(seen..<upTo, isBlank: true)
    end = upTo
  }

  /// What can be read: up to the first byte that was not captured.
  var readable: ByteView {
    let blank = pieces.first { $0.isBlank }?.range.lowerBound ?? end
    // A blank piece may be used up in part.
    return ByteView(buffer, head..<head + max(0, blank - start))
  }

  /// More pieces than a header has in good faith: each one would be looked at again with the next.
  var isShredded: Bool { pieces.count > 1_024 }

  var isCut: Bool { pieces.contains { $0.isBlank } }

  /// Uses up bytes of the message that has begun.
  mutating func consume(_ bytes: Int) {
    guard bytes > 0 else { return }
    let upTo = start + bytes
    if first == nil { messageStart = start }
    var used = 0
    for piece in pieces {
      guard piece.range.lowerBound < upTo else { break }
      if first == nil { first = piece.time }
      complete = max(complete, piece.time)
      if piece.copied.overlaps(start..<upTo) { isRepeated = true }
      if !piece.isBlank { head += min(upTo, piece.range.upperBound) - max(start, piece.range.lowerBound) }
      if piece.range.upperBound <= upTo { used += 1 }
    }
    pieces.removeFirst(used)
    start = upTo
    if head == buffer.count {
      buffer.removeAll(keepingCapacity: buffer.count <= 4_096)
      head = 0
    } else if head > 4_096 && head > buffer.count / 2 {
      // Into an array of its own size.
      buffer = Array(buffer[head...])
      head = 0
    }
  }

  /// The message is complete; the next one begins.
  mutating func endMessage() -> StreamMessage {
    let message = StreamMessage(
      first: first ?? complete, complete: complete, range: messageStart..<start, isRepeated: isRepeated)
    (first, complete, isRepeated) = (nil, .min, false)
    return message
  }

  /// Drops all bytes; goes on at `sequence`, or behind everything that was seen.
  mutating func forget(goingOnAt sequence: UInt32? = nil) {
    var to = max(end, held.map(\.range.upperBound).max() ?? end)
    if let sequence { to = max(to, offset(of: sequence)) }
    next = next &+ UInt32(truncatingIfNeeded: to - end)
    (start, end) = (to, to)
    (buffer, head, pieces, held, heldBytes) = ([], 0, [], [], 0)
    (first, complete, isRepeated, skip, skipEnds) = (nil, .min, false, 0, false)
    awaited = nil
  }
}
