// SPDX-License-Identifier: GPL-2.0-or-later

/// TCP data of one flow at one socket of which the application has not read the last byte yet, by place in the stream.
struct UnreadData<Packet> {
  /// As much as a socket holds, packets: of more, those that lie first in the stream are not waited for.
  static var most: Int { 4_096 }

  private var waiting: [(place: Int64, packet: Packet)] = []
  /// Where the stream is; sequence numbers are unwrapped near it.
  private var position: Int64?

  var isEmpty: Bool { waiting.isEmpty }

  /// - Complexity: O(1) for data in order, else O(n).
  mutating func add(_ packet: Packet, lastByte: UInt32) {
    let place = unwrapped(lastByte)
    let isLast = waiting.last.map { $0.place <= place } ?? true
    waiting.insert((place, packet), at: isLast ? waiting.count : waiting.partitioningIndex { $0.place > place })
    // A quarter at once, so that moving up the rest costs little.
    if waiting.count > UnreadData.most * 5 / 4 { waiting.removeFirst(UnreadData.most / 4) }
  }

  /// Takes out the packets whose last byte is among those read.
  /// - Complexity: O(log n) where there are none.
  mutating func read(from sequence: UInt32, length: UInt32) -> [Packet] {
    let start = unwrapped(sequence)
    let first = waiting.partitioningIndex { $0.place >= start }
    guard first < waiting.count, waiting[first].place < start + Int64(length) else { return [] }
    let end = waiting.partitioningIndex { $0.place >= start + Int64(length) }
    defer { waiting.removeSubrange(first..<end) }
    return waiting[first..<end].map(\.packet)
  }

  private mutating func unwrapped(_ sequence: UInt32) -> Int64 {
    let place = position.map { unwrap(sequence, near: $0) } ?? Int64(sequence)
    position = place
    return place
  }
}
