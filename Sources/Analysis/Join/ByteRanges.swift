// SPDX-License-Identifier: GPL-2.0-or-later

/// The bytes of TCP streams that passed one hook point of late: which stamps cover a byte, at which times.
///
/// Sequence numbers are unwrapped to 64 bits flow by flow in time order (RFC 1982 differences), so that a byte is found
/// again only in its own lap of 2³².
struct ByteRanges {
  struct Range {
    var start: Int64
    var end: Int64
    var time: UInt64
    /// Number of the stamp.
    var stamp: Int
  }

  /// Ranges that are looked at for one byte. A packet of half a MiB that was sent again piece by piece has some 350.
  static let steps = 1_024

  /// By flow number.
  private var streams: [UInt32: Stream] = [:]

  /// `time` runs upwards over all calls.
  /// - Complexity: O(1) for bytes in order, else O(√n) at most in the number of ranges of the flow that are kept.
  mutating func add(flow: UInt32, sequence: UInt32, length: UInt32, time: UInt64, stamp: Int) {
    streams[flow, default: Stream()].add(sequence: sequence, length: length, time: time, stamp: stamp)
  }

  /// Calls `body` with each range that covers `byte` of the flow, in no order; `time` tells which lap is meant.
  ///
  /// - Returns: false where more than ``steps`` ranges overlap there, so that not all were looked at.
  func forEachCover(of byte: UInt32, flow: UInt32, near time: UInt64, _ body: (Range) -> Void) -> Bool {
    streams[flow]?.forEachCover(of: byte, near: time, body) ?? true
  }

  /// Whether the byte lies before the end of what is forgotten, so that it passed long ago; of a flow that was kept in mind.
  func wasForgotten(_ byte: UInt32, flow: UInt32, near time: UInt64) -> Bool {
    streams[flow]?.wasForgotten(byte, near: time) ?? false
  }

  /// Forgets what is older than `time`, at least roughly.
  ///
  /// - Parameter keepsMark: keeps in mind how far each flow had come.
  mutating func drop(before time: UInt64, keepsMark: Bool) {
    for flow in streams.keys {
      let isEmpty = streams[flow]?.drop(before: time) ?? false
      if isEmpty, !keepsMark { streams[flow] = nil }
    }
  }
}

/// The ranges of one flow in order of their starts, in blocks, so that one that comes out of order moves few others.
private struct Stream {
  private struct Block {
    static let room = 512

    var ranges: [ByteRanges.Range] = []
    /// The greatest end among the ranges up to this one.
    var reach: [Int64] = []
    var latest: UInt64 = 0

    /// Numbers `reach` anew from a place on.
    mutating func update(from place: Int) {
      var furthest = place > 0 ? reach[place - 1] : Int64.min
      for index in place..<ranges.count {
        furthest = max(furthest, ranges[index].end)
        if index < reach.count { reach[index] = furthest } else { reach.append(furthest) }
      }
    }
  }

  private var blocks: [Block] = []
  /// By block: the greatest end in the blocks before it.
  private var reach: [Int64] = []
  private var last: Int64?
  /// Where the stream was at times that are at most 2²⁸ bytes apart.
  private var marks: [(time: UInt64, position: Int64)] = []
  /// The greatest end that is forgotten.
  private var forgotten = Int64.min

  mutating func add(sequence: UInt32, length: UInt32, time: UInt64, stamp: Int) {
    let start = last.map { unwrap(sequence, near: $0) } ?? Int64(sequence)
    last = start
    if marks.last.map({ ($0.position - start).magnitude >= 1 << 28 }) ?? true { marks.append((time, start)) }
    let range = ByteRanges.Range(start: start, end: start + Int64(length), time: time, stamp: stamp)
    var number = blocks.partitioningIndex { ($0.ranges.first?.start ?? .max) > start } - 1
    if number < 0 {
      if blocks.isEmpty { appendBlock() }
      number = 0
    }
    let isLast = number == blocks.count - 1
    if isLast, blocks[number].ranges.count == Block.room, blocks[number].ranges[Block.room - 1].start <= start {
      appendBlock()
      number += 1
    }
    let place =
      blocks[number].ranges.last.map { $0.start <= start } ?? true
      ? blocks[number].ranges.count : blocks[number].ranges.partitioningIndex { $0.start > start }
    blocks[number].ranges.insert(range, at: place)
    blocks[number].update(from: place)
    blocks[number].latest = max(blocks[number].latest, time)
    if blocks[number].ranges.count > Block.room { split(number) }
    updateReach(from: number + 1, reaching: range.end)
  }

  private mutating func appendBlock() {
    reach.append(blocks.last.map { max(reach[blocks.count - 1], $0.reach.last ?? .min) } ?? .min)
    blocks.append(Block())
  }

  private mutating func split(_ number: Int) {
    let half = Block.room / 2
    var behind = Block()
    behind.ranges = Array(blocks[number].ranges[half...])
    behind.update(from: 0)
    behind.latest = blocks[number].latest
    blocks[number].ranges.removeLast(blocks[number].ranges.count - half)
    blocks[number].reach.removeLast(blocks[number].reach.count - half)
    blocks.insert(behind, at: number + 1)
    reach.insert(max(reach[number], blocks[number].reach.last ?? .min), at: number + 1)
  }

  private mutating func updateReach(from number: Int, reaching end: Int64) {
    var number = number
    while number < reach.count, reach[number] < end {
      reach[number] = end
      number += 1
    }
  }

  func forEachCover(of byte: UInt32, near time: UInt64, _ body: (ByteRanges.Range) -> Void) -> Bool {
    let mark = max(0, marks.partitioningIndex { $0.time > time } - 1)
    guard mark < marks.count else { return true }
    let position = unwrap(byte, near: marks[mark].position)
    var number = blocks.partitioningIndex { ($0.ranges.first?.start ?? .max) > position } - 1
    var steps = 0
    while number >= 0 {
      let block = blocks[number]
      var place =
        block.ranges.last.map { $0.start <= position } ?? true
        ? block.ranges.count - 1 : block.ranges.partitioningIndex { $0.start > position } - 1
      while place >= 0, block.reach[place] > position {
        if steps == ByteRanges.steps { return false }
        steps += 1
        if block.ranges[place].end > position { body(block.ranges[place]) }
        place -= 1
      }
      guard reach[number] > position else { return true }
      number -= 1
    }
    return true
  }

  func wasForgotten(_ byte: UInt32, near time: UInt64) -> Bool {
    guard forgotten > .min, case let mark = max(0, marks.partitioningIndex { $0.time > time } - 1), mark < marks.count
    else { return false }
    return unwrap(byte, near: marks[mark].position) < forgotten
  }

  /// True where nothing is left.
  mutating func drop(before time: UInt64) -> Bool {
    guard blocks.contains(where: { $0.latest < time }) else { return blocks.isEmpty }
    for block in blocks where block.latest < time { forgotten = max(forgotten, block.reach.last ?? .min) }
    blocks.removeAll { $0.latest < time }
    reach = []
    var furthest = Int64.min
    for block in blocks {
      reach.append(furthest)
      furthest = max(furthest, block.reach.last ?? .min)
    }
    marks.removeFirst(min(marks.count - 1, max(0, marks.partitioningIndex { $0.time >= time } - 1)))
    return blocks.isEmpty
  }
}

/// The number nearest to `reference` whose low 32 bits are `sequence`.
func unwrap(_ sequence: UInt32, near reference: Int64) -> Int64 {
  reference + Int64(Int32(truncatingIfNeeded: Int64(sequence) - reference))
}
