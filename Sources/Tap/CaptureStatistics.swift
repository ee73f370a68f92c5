// SPDX-License-Identifier: GPL-2.0-or-later

/// What a capture held beside its packets.
package struct CaptureStatistics: Sendable, Equatable {
  package var packets: UInt64 = 0
  /// Records that are no usable packets, by reason.
  package var skipped: [SkipReason: UInt64] = [:]
  /// Packets earlier than the one before them on the same interface.
  package var backwards: UInt64 = 0

  package init() {}
}

/// Why a record gave no packet.
package enum SkipReason: Sendable, Hashable, CustomStringConvertible {
  /// A microsecond field of a million or more, and the like.
  case impossibleFraction
  /// Not within 64 bits of nanoseconds around 1970.
  case timeOutOfRange

  /// A packet was there, and is missing now.
  package var isPacket: Bool { true }

  package var description: String {
    switch self {
    case .impossibleFraction: "impossible fraction of a second"
    case .timeOutOfRange: "time out of range"
    }
  }
}

/// An interface that a capture names.
package struct CaptureInterface: Sendable, Equatable {
  package var name: String?
  package var linkType: LinkType
  /// Bytes kept of a packet at most; 0 for no limit.
  package var snapLength: Int
  package var resolution: TimeResolution
  package var source = TimeSource.file
  package var packets: UInt64 = 0
  /// Packets that the file says were lost; nil where it says nothing.
  package var drops: UInt64?
}

/// Unit of a file's times.
package enum TimeResolution: Sendable, Hashable, CustomStringConvertible {
  /// 10⁻ⁿ seconds.
  case decimal(Int)
  /// 2⁻ⁿ seconds.
  case binary(Int)

  package var description: String {
    switch self {
    case .decimal(let digits): "10^-\(digits) s"
    case .binary(let bits): "2^-\(bits) s"
    }
  }
}

/// What a parser tells besides packets.
struct CaptureLog {
  var statistics = CaptureStatistics()
  var interfaces: [CaptureInterface] = []
  private var lastTimes: [Int64] = []

  mutating func skip(_ reason: SkipReason) { statistics.skipped[reason, default: 0] += 1 }

  mutating func count(_ packet: CapturedPacket) {
    statistics.packets += 1
    interfaces[packet.interface].packets += 1
    while lastTimes.count <= packet.interface { lastTimes.append(.min) }
    if packet.time < lastTimes[packet.interface] { statistics.backwards += 1 }
    lastTimes[packet.interface] = packet.time
  }
}
