// SPDX-License-Identifier: GPL-2.0-or-later
package import Pairing

/// Puts packets that several rings, and several CPUs within one, hand over into order of time.
///
/// A ring hands over a block 20 ms after its first packet at the latest. So when a packet was read some time ago, all that
/// were stamped before it have been read too.
package struct PacketOrder {
  /// Nanoseconds from reading a packet to handing it on.
  private static let patience: Int64 = 60_000_000

  private struct Round {
    /// When it was read, nanoseconds of CLOCK_MONOTONIC.
    var read: Int64
    /// The latest stamp in it; nil if there were no packets.
    var latest: Int64?
    var isGap: Bool
  }

  private var waiting: [PairingPacket] = []
  private var rounds: [Round] = []
  private var latest: Int64?

  package init() {}

  package mutating func add(_ packet: PairingPacket) {
    waiting.append(packet)
    latest = max(latest ?? .min, packet.time)
  }

  /// All rings were read.
  /// - Parameters:
  ///   - now: after that.
  ///   - isGap: packets were lost since the last round.
  package mutating func endRound(_ now: Int64, isGap: Bool) {
    if latest != nil || isGap { rounds.append(Round(read: now, latest: latest, isGap: isGap)) }
    latest = nil
  }

  /// The packets that none can precede any more, in order of time; nil if there are none and there is no gap.
  /// - Parameter now: before the last round was read; `.max` for all.
  package mutating func due(_ now: Int64) -> (packets: [PairingPacket], hasGap: Bool)? {
    let count = rounds.prefix { now == .max || now - $0.read >= PacketOrder.patience }.count
    guard count > 0 else { return nil }
    let hasGap = rounds[..<count].contains { $0.isGap }
    let upTo = rounds[..<count].compactMap(\.latest).max()
    rounds.removeFirst(count)
    guard let upTo else { return ([], hasGap) }
    var packets: [PairingPacket] = []
    var rest: [PairingPacket] = []
    for packet in waiting {
      if packet.time <= upTo { packets.append(packet) } else { rest.append(packet) }
    }
    waiting = rest
    // Equal times stay in the order in which they were read.
    packets.sort { $0.time < $1.time }
    return (packets, hasGap)
  }
}
