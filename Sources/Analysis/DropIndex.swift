// SPDX-License-Identifier: GPL-2.0-or-later
import Recording

/// What the kernels of a clock domain threw away, by packet.
struct DropIndex {
  private struct Entry {
    var time: UInt64
    var cause: UInt32
  }

  private struct End: Hashable {
    var flow: UInt32
    var sequence: UInt32
  }

  /// Why a packet was thrown away.
  struct Cause: Equatable {
    var name: String
    /// It was a copy for somebody else: flooded, mirrored, or heard by a device that takes all. Where the packet itself went is
    /// not known.
    var isForAnother: Bool
  }

  private(set) var causes: [Cause] = []
  /// In order of time, like those below.
  private var byKey: [UInt64: [Entry]] = [:]
  /// TCP data by its last byte: a packet that was cut has another key than its parts.
  private var byEnd: [End: [Entry]] = [:]

  init(_ recordings: [MachineRecording]) {
    var numbers: [String: UInt32] = [:]
    for recording in recordings where !recording.drops.isEmpty {
      let names = Dictionary(
        (recording.machine.drops ?? []).map { ($0.place, $0.cause) }, uniquingKeysWith: { "\($0) or \($1)" })
      for drop in recording.drops {
        let cause = names[drop.place] ?? (drop.reason == 0 ? "NOT_SPECIFIED" : "reason \(drop.reason)")
        // A packet socket's own copy, which found no room: the packet goes on.
        if cause == "PACKET_SOCK_ERROR" { continue }
        let number = numbers[cause] ?? UInt32(causes.count)
        if number == UInt32(causes.count) {
          numbers[cause] = number
          causes.append(Cause(name: cause, isForAnother: cause == "OTHERHOST"))
        }
        let entry = Entry(time: drop.time, cause: number)
        byKey[drop.key, default: []].append(entry)
        if drop.kind == .tcp, drop.payloadLength > 0 {
          byEnd[End(flow: drop.flow, sequence: drop.sequence &+ drop.payloadLength), default: []].append(entry)
        }
      }
    }
    for key in byKey.keys { byKey[key]?.sort { $0.time < $1.time } }
    for end in byEnd.keys { byEnd[end]?.sort { $0.time < $1.time } }
  }

  /// Why the packet of a stamp was thrown away in a span of time; nil if that is not known.
  /// - Complexity: O(log n) in the number of drops with one key.
  func cause(of stamp: Stamp, from start: UInt64, to end: UInt64) -> Cause? {
    guard !causes.isEmpty else { return nil }
    func first(_ entries: [Entry]?) -> Cause? {
      guard let entries else { return nil }
      var low = 0
      var high = entries.count
      while low < high {
        let middle = low + (high - low) / 2
        if entries[middle].time < start { low = middle + 1 } else { high = middle }
      }
      return low < entries.count && entries[low].time <= end ? causes[Int(entries[low].cause)] : nil
    }
    if let cause = first(byKey[stamp.key]) { return cause }
    guard stamp.kind == .tcp, stamp.payloadLength > 0 else { return nil }
    return first(byEnd[End(flow: stamp.flow, sequence: stamp.sequence &+ stamp.payloadLength)])
  }
}
