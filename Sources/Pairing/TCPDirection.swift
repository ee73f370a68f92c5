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
  /// Used up as far as `pieceHead`.
  private var pieces: [Piece] = []
  private var pieceHead = 0
  /// The first piece that was not captured; none before `pieceHead`.
  private var firstBlank: Int?
  /// So many bytes of what can be read hold no line end.
  private var searched = 0
  private var held: [Segment] = []
  private(set) var heldBytes = 0
  /// Where the stream ends, once its FIN was seen.
  private var closedAt: Int?
  var lastACK: UInt32?
  /// An acknowledgment of bytes that were not seen yet, and when the first such one came.
  var awaited: (upTo: UInt32, since: Int64)?

  /// Where a reset stands that lies beyond what was seen.
  private var resetAt: Int?

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
  var buffered: Int { buffer.count - head + (pieces.count - pieceHead) * Piece.cost + heldBytes }
  /// Payload that has come and was not used up.
  var unread: Int { available + held.reduce(0) { $0 + $1.range.count } }
  /// Bytes in order that are not used up.
  var available: Int { end - start }
  var hasHeld: Bool { !held.isEmpty }
  var heldSegments: Int { held.count }
  var isClosed: Bool { closedAt.map { $0 <= end } ?? false }
  var hasBegun: Bool { first != nil }
  /// Bytes that were seen nowhere come before the end of the stream, or before others that were seen.
  var lacksBytes: Bool { hasHeld || (closedAt ?? end) > end || (resetAt ?? end) > end }

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

  /// Whether bytes are missing before this number.
  func leavesHole(_ sequence: UInt32) -> Bool { offset(of: sequence) > end }

  func isAtEnd(_ sequence: UInt32) -> Bool { sequence == next }

  mutating func close(at sequence: UInt32) {
    let offset = offset(of: sequence)
    if offset >= start, offset - end < TCPTracker.farthest { closedAt = offset }
  }

  mutating func reset(at sequence: UInt32) { resetAt = offset(of: sequence) }

  mutating func take(sequence: UInt32, payload: ByteView, length: Int, time: Int64) -> Arrival {
    guard length > 0 else { return .nothing }
    let from = offset(of: sequence)
    let range = from..<from + length
    guard abs(from - end) < 1 << 30 else { return .stray }
    resetAt = nil
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
    let first = firstHeld(endingBehind: at)
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

  /// - Complexity: O(log of those that wait).
  private func firstHeld(endingBehind offset: Int) -> Int {
    var (low, high) = (0, held.count)
    while low < high {
      let middle = (low + high) / 2
      if held[middle].range.upperBound > offset { high = middle } else { low = middle + 1 }
    }
    return low
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
      if isBlank && firstBlank == nil { firstBlank = pieces.count }
      pieces.append(Piece(range: range, time: segment.time, isBlank: isBlank, copied: segment.copied))
    }
    add(end..<seen, isBlank: false)
    add(seen..<upTo, isBlank: true)
    end = upTo
  }

  /// What can be read: up to the first byte that was not captured.
  var readable: ByteView {
    let blank = firstBlank.map { pieces[$0].range.lowerBound } ?? end
    // A blank piece may be used up in part.
    var bytes = ByteView(buffer, head..<head + max(0, blank - start))
    bytes.searched = min(searched, bytes.count)
    return bytes
  }

  /// Bytes that were not captured come next, or behind what can be read.
  var isCut: Bool { firstBlank != nil }

  /// There is no line end in what can be read.
  mutating func noteSearched(_ bytes: Int) { searched = bytes }

  /// Uses up bytes, of the message that has begun unless they belong to none.
  /// - Complexity: O(pieces that are used up) amortised.
  mutating func consume(_ bytes: Int, ofMessage: Bool = true) {
    guard bytes > 0 else { return }
    searched = 0
    let upTo = start + bytes
    if ofMessage && first == nil { messageStart = start }
    while pieceHead < pieces.count, pieces[pieceHead].range.lowerBound < upTo {
      let piece = pieces[pieceHead]
      if ofMessage {
        if first == nil { first = piece.time }
        complete = max(complete, piece.time)
        if piece.copied.overlaps(start..<upTo) { isRepeated = true }
      }
      if !piece.isBlank { head += min(upTo, piece.range.upperBound) - max(start, piece.range.lowerBound) }
      guard piece.range.upperBound <= upTo else { break }
      pieceHead += 1
    }
    start = upTo
    if let blank = firstBlank, blank < pieceHead {
      firstBlank = pieces[pieceHead...].firstIndex { $0.isBlank }
    }
    dropUsed()
  }

  private mutating func dropUsed() {
    if pieceHead == pieces.count {
      pieces.removeAll(keepingCapacity: pieces.count <= 64)
      (pieceHead, firstBlank) = (0, nil)
    } else if pieceHead > 64 && pieceHead > pieces.count / 2 {
      pieces.removeFirst(pieceHead)
      firstBlank = firstBlank.map { $0 - pieceHead }
      pieceHead = 0
    }
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
    (buffer, head, pieces, pieceHead, firstBlank, searched) = ([], 0, [], 0, nil, 0)
    (held, heldBytes) = ([], 0)
    (first, complete, isRepeated, skip, skipEnds) = (nil, .min, false, 0, false)
    awaited = nil
  }
}
