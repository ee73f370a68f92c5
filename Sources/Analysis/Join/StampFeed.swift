// SPDX-License-Identifier: GPL-2.0-or-later
import Clocks
import Recording

/// A stamp on the clock of its domain, and on its machine's own.
struct TimedStamp {
  var stamp: Stamp
  var own: UInt64
}

/// The stamps of several recordings in one order of time, block by block; of equal times those of the recording that was
/// named first.
struct StampFeed {
  /// Stamps that are handed out at once.
  static let blockSize = 8_192

  private struct Head {
    var time: UInt64
    var member: Int

    @inline(__always)
    static func < (a: Head, b: Head) -> Bool { a.time != b.time ? a.time < b.time : a.member < b.member }
  }

  private var members: [TimedCursor]
  private var heads: [Head] = []

  init(_ recordings: [TimedRecording]) throws(RecordingError) {
    members = []
    for recording in recordings { members += try TimedCursor.all(of: recording) }
    for member in members.indices {
      if let time = members[member].time { heads.append(Head(time: time, member: member)) }
    }
    heads.sort { $1 < $0 }
  }

  /// Fills `block` with the next stamps; false at the end.
  mutating func next(_ block: inout [TimedStamp]) throws(RecordingError) -> Bool {
    block.removeAll(keepingCapacity: true)
    // The least head is the last one: there are few.
    while block.count < StampFeed.blockSize, let head = heads.popLast() {
      let rival = heads.last
      var time: UInt64?
      repeat {
        time = try members[head.member].take(&block)
      } while block.count < StampFeed.blockSize
        && (time.map { time in
          rival.map { Head(time: time, member: head.member) < $0 } ?? true
        } ?? false)
      guard let time else { continue }
      let next = Head(time: time, member: head.member)
      heads.insert(next, at: heads.partitioningIndex { !(next < $0) })
    }
    return !block.isEmpty
  }
}

/// Where a run of a recording is read.
private struct TimedCursor {
  private var stamps: [Stamp]
  private let ownTimes: [UInt64]
  private let file: StampCursor?
  private var map: ClockMap.Cursor?
  private var place = 0
  /// The next stamp, on the domain's clock.
  private var next: TimedStamp?

  static func all(of timed: TimedRecording) throws(RecordingError) -> [TimedCursor] {
    guard let stored = timed.recording.stored else {
      return [try TimedCursor(timed.recording.stamps, timed.ownTimes, nil, timed.map)]
    }
    var cursors: [TimedCursor] = []
    for cursor in stored.cursors() { cursors.append(try TimedCursor([], [], cursor, timed.map)) }
    return cursors
  }

  private init(
    _ stamps: [Stamp], _ ownTimes: [UInt64], _ file: StampCursor?, _ map: ClockMap?
  ) throws(RecordingError) {
    self.stamps = stamps
    self.ownTimes = ownTimes
    self.file = file
    self.map = map?.cursor()
    try advance()
  }

  var time: UInt64? { next?.stamp.time }

  /// Hands out the next stamp, which there must be; returns the time of the one behind it.
  @inline(__always)
  mutating func take(_ block: inout [TimedStamp]) throws(RecordingError) -> UInt64? {
    if let next { block.append(next) }
    try advance()
    return next?.stamp.time
  }

  @inline(__always)
  private mutating func advance() throws(RecordingError) {
    let last = next?.stamp.time ?? 0
    while true {
      if place == stamps.count {
        guard let file, case let more = try file.next(), !more.isEmpty else {
          next = nil
          return
        }
        stamps = more
        place = 0
      }
      var stamp = stamps[place]
      let own = ownTimes.isEmpty ? stamp.time : ownTimes[place]
      place += 1
      if map != nil {
        guard let time = map?.host(Int64(clamping: stamp.time)) else { continue }
        stamp.time = UInt64(clamping: time)
      }
      // A map may turn by what it is rounded to.
      stamp.time = max(stamp.time, last)
      next = TimedStamp(stamp: stamp, own: own)
      return
    }
  }
}
