// SPDX-License-Identifier: GPL-2.0-or-later
package import Pairing
package import Recording
internal import Stamping

/// What a capture held beside its packets.
package struct CaptureStatistics: Sendable, Equatable {
  package var packets: UInt64 = 0
  /// Records that are no usable packets, by reason.
  package var skipped: [SkipReason: UInt64] = [:]
  /// Packets earlier than the one before them on the same interface by more than CPUs and rings put packets out of order:
  /// somebody set the clock back, or captures were put together.
  package var stepsBack: UInt64 = 0
  /// Packets and statistics whose options could not be read; the rest of them is good.
  package var damagedOptions: UInt64 = 0

  package init() {}
}

/// Why a record gave no packet.
package enum SkipReason: Sendable, Hashable, CustomStringConvertible {
  /// pcap: more micro- or nanoseconds than a second has.
  case impossibleFraction
  /// Not within 64 bits of nanoseconds around 1970.
  case timeOutOfRange
  /// pcapng: simple packet blocks have none.
  case noTime
  /// pcapng: not described before.
  case unknownInterface
  /// Its packet is longer than itself.
  case tooShort
  /// pcapng: none of those that the format describes.
  case otherBlock
  /// ERF: not Ethernet.
  case otherType(Int)
  /// ERF: the card says that its content is wrong.
  case recordError

  /// What the loss ledger makes of it.
  package enum Ledger: Sendable { case lost, filtered, nothing }
  package var ledger: Ledger {
    switch self {
    case .impossibleFraction, .timeOutOfRange, .noTime, .unknownInterface, .tooShort, .recordError: .lost
    case .otherType: .filtered
    case .otherBlock: .nothing
    }
  }

  package var description: String {
    switch self {
    case .impossibleFraction: "impossible fraction of a second"
    case .timeOutOfRange: "time out of range"
    case .noTime: "no time: simple packet block"
    case .unknownInterface: "unknown interface"
    case .tooShort: "packet longer than its record"
    case .otherBlock: "unknown block"
    case .otherType(let type): "ERF type \(type)"
    case .recordError: "ERF record error"
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
  package var source = WireClock.file
  package var packets: UInt64 = 0
  /// Lost packets as single records tell them; nil where none does.
  package var countedDrops: UInt64?
  /// Lost packets as interface statistics tell them, the last of each section; nil where there are none.
  package var reportedDrops: UInt64?

  package init(name: String? = nil, linkType: LinkType, snapLength: Int = 0, resolution: TimeResolution) {
    self.name = name
    self.linkType = linkType
    self.snapLength = snapLength
    self.resolution = resolution
  }

  /// Packets that the file says were lost, nil where it says nothing: both ways may tell the same loss, so the larger one.
  package var drops: UInt64? {
    guard let countedDrops else { return reportedDrops }
    return max(countedDrops, reportedDrops ?? 0)
  }

  fileprivate mutating func add(drops: UInt64) { countedDrops = UInt64.capped(countedDrops ?? 0, plus: drops) }
}

extension CaptureReader {
  /// Packets that are missing, as the file says, or because they could not be read.
  package var lost: UInt64 {
    let drops = interfaces.reduce(0) { UInt64.capped($0, plus: $1.drops ?? 0) }
    return statistics.skipped.reduce(drops) { $1.key.ledger == .lost ? UInt64.capped($0, plus: $1.value) : $0 }
  }

  /// Records that are no packets of a kind that is read.
  package var filtered: UInt64 {
    statistics.skipped.reduce(0) { $1.key.ledger == .filtered ? UInt64.capped($0, plus: $1.value) : $0 }
  }
}

/// What a parser tells besides packets.
struct CaptureLog {
  var statistics = CaptureStatistics()
  var interfaces: [CaptureInterface] = []
  /// Times that packets were found to be missing.
  var gaps = 0
  private var lastTimes: [Int64] = []
  /// Nanoseconds. Smaller errors time daemons slew away (ntpd 128 ms, systemd-timesyncd 400 ms).
  private static let leastStep: Int64 = 100_000_000

  mutating func skip(_ reason: SkipReason) {
    statistics.skipped[reason, default: 0] += 1
    if reason.ledger == .lost { gaps += 1 }
  }

  /// Lost before the packet at hand.
  mutating func add(drops: UInt64, of interface: Int) {
    interfaces[interface].add(drops: drops)
    if drops > 0 { gaps += 1 }
  }

  mutating func count(_ packet: CapturedPacket) {
    statistics.packets += 1
    interfaces[packet.interface].packets += 1
    while lastTimes.count <= packet.interface { lastTimes.append(.min) }
    let (back, overflow) = lastTimes[packet.interface].subtractingReportingOverflow(packet.time)
    if overflow ? packet.time < 0 : back > CaptureLog.leastStep { statistics.stepsBack += 1 }
    lastTimes[packet.interface] = packet.time
  }
}

extension UInt64 {
  /// Counts from hostile files must not trap.
  static func capped(_ first: UInt64, plus second: UInt64) -> UInt64 {
    let (sum, overflow) = first.addingReportingOverflow(second)
    return overflow ? .max : sum
  }
}
