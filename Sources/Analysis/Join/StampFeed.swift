// SPDX-License-Identifier: GPL-2.0-or-later
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

  init(_ recordings: [TimedRecording]) {
    members = recordings.map { TimedCursor($0) }
    for member in members.indices {
      if let time = members[member].time { heads.append(Head(time: time, member: member)) }
    }
    heads.sort { $1 < $0 }
  }

  /// Fills `block` with the next stamps; false at the end.
  mutating func next(_ block: inout [TimedStamp]) -> Bool {
    block.removeAll(keepingCapacity: true)
    // The least head is the last one: there are few.
    while block.count < StampFeed.blockSize, let head = heads.popLast() {
      let rival = heads.last
      var time: UInt64?
      repeat {
        time = members[head.member].take(&block)
      } while block.count < StampFeed.blockSize && (time.map { time in
        rival.map { Head(time: time, member: head.member) < $0 } ?? true
      } ?? false)
      guard let time else { continue }
      let next = Head(time: time, member: head.member)
      heads.insert(next, at: heads.partitioningIndex { !(next < $0) })
    }
    return !block.isEmpty
  }
}

/// Where a recording is read.
private struct TimedCursor {
  private let stamps: [Stamp]
  private let ownTimes: [UInt64]
  private var place = 0

  init(_ timed: TimedRecording) {
    stamps = timed.recording.stamps
    ownTimes = timed.ownTimes
  }

  var time: UInt64? { place < stamps.count ? stamps[place].time : nil }

  /// Hands out the next stamp, which there must be; returns the time of the one behind it.
  @inline(__always)
  mutating func take(_ block: inout [TimedStamp]) -> UInt64? {
    let stamp = stamps[place]
    block.append(TimedStamp(stamp: stamp, own: ownTimes.isEmpty ? stamp.time : ownTimes[place]))
    place += 1
    return time
  }
}
