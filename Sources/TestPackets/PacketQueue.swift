// SPDX-License-Identifier: GPL-2.0-or-later
internal import Synchronization

/// Packets on their way from the thread that sends them to the one that takes them, in order; neither waits for the other.
///
/// Holds a fixed number, so that sending neither allocates nor touches new memory: it is full where nobody takes them.
/// For one thread that appends and one that takes. Unchecked: each slot belongs to one of the two, as the counters say.
@safe final class PacketQueue: @unchecked Sendable {
  private let slots: UnsafeMutableBufferPointer<SentPacket>
  private let appended = Atomic<Int>(0)
  private let taken = Atomic<Int>(0)

  /// - Parameter capacity: rounded up to a power of two.
  init(capacity: Int) {
    let size = 1 << (Int.bitWidth - (max(capacity, 2) - 1).leadingZeroBitCount)
    unsafe slots = .allocate(capacity: size)
    // Also touches each page.
    unsafe slots.initialize(repeating: SentPacket(number: 0, due: 0, actual: 0, time: 0))
  }

  deinit { unsafe slots.deallocate() }

  var capacity: Int { unsafe slots.count }

  /// For the thread that appends: there is room once it is not.
  var isFull: Bool { appended.load(ordering: .relaxed) - taken.load(ordering: .acquiring) == capacity }

  /// Traps where it is full.
  func append(_ packet: SentPacket) {
    precondition(!isFull, "a packet queue has no room")
    let place = appended.load(ordering: .relaxed)
    unsafe slots[place & (capacity - 1)] = packet
    appended.store(place + 1, ordering: .releasing)
  }

  /// Those since the last time.
  func take() -> [SentPacket] {
    let (begin, end) = (taken.load(ordering: .relaxed), appended.load(ordering: .acquiring))
    let packets = (begin..<end).map { unsafe slots[$0 & (capacity - 1)] }
    taken.store(end, ordering: .releasing)
    return packets
  }
}
