// SPDX-License-Identifier: GPL-2.0-or-later

/// A capture file that became stamps: what it was, what it held, and whose clock its times are of.
package struct Capture: Codable, Sendable, Equatable {
  package struct Interface: Codable, Sendable, Equatable {
    /// Number in the file, from 0.
    package var number: Int
    package var name: String?
    /// Hook point of its packets.
    package var hook: String
    /// LINKTYPE number: 1 Ethernet, 101 raw IP and so on.
    package var linkType: Int
    /// Bytes kept of a packet at most; 0 for no limit.
    package var snapLength: Int
    /// `10^-9 s`, `2^-32 s`.
    package var resolution: String
    /// `file`, `kernel-software`, `hardware-raw`, `hardware-converted`.
    package var timeSource: String
    package var packets: Count
    package var stamps: Count
    /// Lost, as the file says; null where it says nothing.
    package var drops: Count?

    /// The largest span, in nanoseconds, that two equal times may be apart: the unit of ``resolution``; 0 where it is a
    /// nanosecond or finer, or not of that form.
    package var step: Int64 {
      guard resolution.hasSuffix(" s"), let minus = resolution.firstIndex(of: "-"),
        let digits = Int(resolution[resolution.index(after: minus)...].dropLast(2))
      else { return 0 }
      switch resolution[..<minus] {
      case "10^" where 0..<9 ~= digits: return (digits..<9).reduce(1) { power, _ in power * 10 }
      case "2^" where 0..<30 ~= digits: return (1_000_000_000 + (1 << digits) - 1) >> digits
      default: return 0
      }
    }

    enum CodingKeys: String, CodingKey {
      case number, name, hook, resolution, packets, stamps, drops
      case linkType = "link_type"
      case snapLength = "snap_length"
      case timeSource = "time_source"
    }

    package init(
      number: Int, name: String?, hook: String, linkType: Int, snapLength: Int, resolution: String, timeSource: String,
      packets: UInt64, stamps: UInt64, drops: UInt64?
    ) {
      self.number = number
      self.name = name
      self.hook = hook
      self.linkType = linkType
      self.snapLength = snapLength
      self.resolution = resolution
      self.timeSource = timeSource
      self.packets = Count(packets)
      self.stamps = Count(stamps)
      self.drops = drops.map { Count($0) }
    }
  }

  package var file: String
  /// `pcap`, `pcapng`, `erf`, with ` in gzip` and the like.
  package var format: String
  package var interfaces: [Interface]
  /// Records that gave no packet, by reason.
  package var skipped: [String: Count]
  /// Packets that became no stamp, by reason (the names below); null in recordings of pairs, and in older ones.
  package var leftOut: [String: Count]?
  /// Why the file could not be read to its end.
  package var error: String?

  package static let notIP = "not_ip"
  package static let cutHeaders = "cut_headers"
  package static let malformed = "malformed"
  package static let beforeEpoch = "before_1970"
  private static let linkType = "link_type_"
  /// They are counted as not IP, too.
  package static func unreadLinkType(_ number: Int) -> String { "\(linkType)\(number)" }
  /// The number in such a name; nil of another one.
  package static func unreadLinkType(_ name: String) -> Int? {
    name.hasPrefix(linkType) ? Int(name.dropFirst(linkType.count)) : nil
  }

  enum CodingKeys: String, CodingKey {
    case file, format, interfaces, skipped, error
    case leftOut = "left_out"
  }

  package init(
    file: String, format: String, interfaces: [Interface], skipped: [String: UInt64],
    leftOut: [String: UInt64]? = nil, error: String?
  ) {
    self.leftOut = leftOut?.mapValues { Count($0) }
    self.file = file
    self.format = format
    self.interfaces = interfaces
    self.skipped = skipped.mapValues { Count($0) }
    self.error = error
  }
}
