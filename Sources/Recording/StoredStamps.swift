// SPDX-License-Identifier: GPL-2.0-or-later
import CLatprobeABI

/// The stamps of one machine's hook points where they lie on disk, to be read in order of time as often as asked for.
///
/// Where each run of stamps begins and ends was found when the recording was opened: what is written to it later is not
/// read.
package struct StoredStamps: Sendable {
  /// Stamps of one CPU in one order of time.
  struct Run: Sendable {
    /// Pieces of stream files, in order; all of one CPU.
    var pieces: [Piece] = []
    /// Only those that were held back (``lp_stamp_held``): how much earlier than its place in the stream one may be, in
    /// nanoseconds; nil of a run of all others.
    var heldFor: UInt64?
  }

  struct Piece: Sendable {
    var path: String
    var cpu: Int
    var range: Range<Int>
  }

  var runs: [Run] = []
  var uuid: TraceID
  package internal(set) var count = 0
  package internal(set) var lastTime: UInt64?

  /// One for each run; of equal times the stamps of the first one come first.
  package func cursors() -> [StampCursor] { runs.map { StampCursor($0, uuid) } }
}

/// Where a run of stamps is read.
package final class StampCursor {
  private let run: StoredStamps.Run
  private let uuid: TraceID
  private var piece = 0
  private var reader: StreamReader?
  /// The stamps at hand, and the next one among them.
  private var stamps: [Stamp] = []
  private var place = 0
  /// Held ones that may not be the next yet, and the latest time in the stream.
  private var waiting: [Stamp] = []
  private var reached: UInt64 = 0

  init(_ run: StoredStamps.Run, _ uuid: TraceID) {
    self.run = run
    self.uuid = uuid
  }

  /// The next stamps in order of time, at least one; empty at the end.
  package func next() throws(RecordingError) -> [Stamp] {
    while true {
      var found: [Stamp] = []
      let isMore = try unsafe readPacket { records, cpu in unsafe take(records, cpu, &found) }
      guard let heldFor = run.heldFor else {
        if !found.isEmpty || !isMore { return found }
        continue
      }
      waiting += found
      waiting.sort { $0.time < $1.time }
      // Whatever comes later in the stream is not earlier than this.
      let limit = isMore ? reached > heldFor ? reached - heldFor : 0 : UInt64.max
      let ready = waiting.prefix { $0.time < limit || !isMore }
      waiting.removeFirst(ready.count)
      if !ready.isEmpty || !isMore { return Array(ready) }
    }
  }

  private func take(_ records: UnsafeRawBufferPointer, _ cpu: UInt16, _ found: inout [Stamp]) {
    guard let base = records.baseAddress else { return }
    var offset = 0
    if run.heldFor == nil { found.reserveCapacity(records.count / MemoryLayout<lp_stamp>.size) }
    while offset < records.count {
      let record = unsafe base + offset
      let id = unsafe record.load(fromByteOffset: 8, as: UInt8.self)
      offset += Format.recordSize(id)
      if run.heldFor == nil {
        guard id == UInt8(LP_EVENT_STAMP.rawValue) else { continue }
        if let stamp = unsafe Stamp(record.load(as: lp_stamp.self), cpu: cpu) { found.append(stamp) }
      } else {
        reached = unsafe max(reached, record.load(as: UInt64.self))
        guard id == UInt8(LP_EVENT_STAMP_HELD.rawValue) else { continue }
        let raw = unsafe record.load(as: lp_stamp_held.self)
        guard var stamp = Stamp(raw.stamp, cpu: cpu) else { continue }
        stamp.time = raw.at_ns
        found.append(stamp)
      }
    }
  }

  /// Hands out the records of the next sound packet; false at the end.
  private func readPacket(_ body: (UnsafeRawBufferPointer, UInt16) -> Void) throws(RecordingError) -> Bool {
    while piece < run.pieces.count {
      let here = run.pieces[piece]
      if reader == nil { reader = try StreamReader(here.path, cpu: here.cpu, uuid: uuid, from: here.range.lowerBound) }
      guard let reader else { break }
      while let step = try reader.next() {
        guard reader.offset <= here.range.upperBound else { break }
        guard case .packet = step else { continue }
        unsafe body(reader.events, UInt16(here.cpu))
        return true
      }
      self.reader = nil
      piece += 1
    }
    return false
  }
}

extension Stamp {
  /// Nil where this version does not know the hook point or the kind.
  @inline(__always)
  init?(_ raw: lp_stamp, cpu: UInt16) {
    guard let hook = HookPoint(rawValue: raw.hook), let kind = StampKind(rawValue: UInt8(raw.kind)) else { return nil }
    self.init(
      time: raw.time_ns, key: raw.key, flow: raw.flow, sequence: raw.sequence, length: raw.length,
      headerLength: UInt16(raw.header_words) * 4, queue: raw.queue, cpu: cpu, hook: hook, kind: kind)
  }
}
