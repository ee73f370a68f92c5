// SPDX-License-Identifier: GPL-2.0-or-later
package import Pairing

/// Puts packets of capture files into order of time.
///
/// A file of several interfaces has their packets as its writer got hold of them: a ring each, some 100 ms at a time.
/// Trade: a packet may come behind as many later ones as half of what is held, 32 768 packets or 16 MiB; one that comes still
/// later is left out and counted, since what it belongs to may have been paired already.
package struct CaptureOrder {
  package struct Entry {
    package var packet: PairingPacket
    /// Packets are missing right before it.
    package var isAfterGap: Bool
  }

  private let packetLimit: Int
  private let byteLimit: Int
  private var waiting: [Entry] = []
  private var bytes = 0
  private var isAscending = true
  private var handedOn = Int64.min
  private var hasGap = false
  /// Packets that were left out.
  package private(set) var late: UInt64 = 0

  /// - Parameters:
  ///   - packetLimit: packets held at most.
  ///   - byteLimit: bytes of theirs, but for the last one.
  package init(packetLimit: Int = 65_536, byteLimit: Int = 32 << 20) {
    self.packetLimit = packetLimit
    self.byteLimit = byteLimit
  }

  package var isFull: Bool { waiting.count >= packetLimit || bytes >= byteLimit }

  package mutating func add(_ packet: PairingPacket, isAfterGap: Bool = false) {
    hasGap = hasGap || isAfterGap
    guard packet.time >= handedOn else {
      late += 1
      hasGap = true
      return
    }
    if let last = waiting.last, packet.time < last.packet.time { isAscending = false }
    bytes += packet.bytes.count
    waiting.append(Entry(packet: packet, isAfterGap: hasGap))
    hasGap = false
  }

  /// The earlier half of what is held, in order of time.
  /// - Complexity: linear but for packets out of order; O(n log n) at most.
  package mutating func takeHalf() -> [Entry] {
    sort()
    var count = 0
    var rest = bytes
    while waiting.count - count > packetLimit / 2 || rest > byteLimit / 2 {
      rest -= waiting[count].packet.bytes.count
      count += 1
    }
    guard count > 0 else { return [] }
    let half = Array(waiting[..<count])
    waiting.removeFirst(count)
    bytes = rest
    handedOn = half[count - 1].packet.time
    return half
  }

  /// The capture is over: all that is held, in order of time.
  package mutating func takeRest() -> [Entry] {
    sort()
    defer { waiting = [] }
    return waiting
  }

  /// Equal times stay in the order in which they were read.
  private mutating func sort() {
    if !isAscending { waiting.sort { $0.packet.time < $1.packet.time } }
    isAscending = true
  }
}
