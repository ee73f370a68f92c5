// SPDX-License-Identifier: GPL-2.0-or-later

/// What a packet begins with: a number of capture files (LINKTYPE_…). The one table of those that are read.
package struct LinkType: Sendable, Hashable {
  package var number: Int

  package init(number: Int) { self.number = number }

  package static let null = LinkType(number: 0)
  package static let ethernet = LinkType(number: 1)
  package static let raw = LinkType(number: 101)
  package static let loop = LinkType(number: 108)
  package static let linuxSLL = LinkType(number: 113)
  package static let linuxSLL2 = LinkType(number: 276)

  private enum Layout {
    /// A type of Ethernet's stands here, VLAN tags behind it, then the packet.
    case typed(Int)
    /// The type in front, a header of 20 bytes, then tags and the packet.
    case cooked2
    /// A number of an address family, then the packet.
    case family
    case bare
  }

  private var layout: Layout? {
    switch number {
    case 1: .typed(12)
    case 113: .typed(14)
    case 276: .cooked2
    case 0, 108: .family
    // 12 and 14: DLT_RAW of most systems and of OpenBSD, as some programs write it; 228 and 229: one IP version only.
    case 12, 14, 101, 228, 229: .bare
    default: nil
    }
  }

  /// Whether packets that begin so are read.
  package var isRead: Bool { layout != nil }
}

/// What lies behind a link layer's header.
package enum LinkPayload: Sendable, Equatable {
  /// IPv4 or IPv6, from this byte on.
  case ip(Int, VLANTags)
  case notIP
  /// The bytes end before it can be told.
  case ends
}

/// The VLANs of a packet, the outermost first. A priority tag (VLAN 0) names none, and is no part of it.
package struct VLANTags: Sendable, Hashable {
  /// More are no packet that is read: a frame is not to be walked for the sake of its tags alone.
  package static let limit = 8

  /// 16 bits each, with a bit above the number that tells it from nothing.
  private var stacked: UInt128 = 0
  private var tags = 0

  package init() {}

  package var isEmpty: Bool { stacked == 0 }

  package init(_ numbers: [UInt16]) {
    for number in numbers { _ = push(number) }
  }

  /// Takes one more, inside of the others; false where there are too many.
  mutating func push(_ control: UInt16) -> Bool {
    guard tags < VLANTags.limit else { return false }
    tags += 1
    let number = control & 0x0fff
    if number != 0 { stacked = stacked << 16 | UInt128(number | 0x1000) }
    return true
  }

  package static func == (left: VLANTags, right: VLANTags) -> Bool { left.stacked == right.stacked }
  package func hash(into hasher: inout Hasher) { hasher.combine(stacked) }
}

extension LinkType {
  /// Finds the IP packet in a frame.
  ///
  /// - Parameter vlan: the outermost tag where it was taken out of the frame, as the kernel does with received ones.
  /// - Complexity: O(1).
  package func payload(of frame: Span<UInt8>, vlan: UInt16? = nil) -> LinkPayload {
    var tags = VLANTags()
    if let vlan { _ = tags.push(vlan) }
    switch layout {
    case .typed(let place): return LinkType.behindTags(frame, typeAt: place, tags)
    case .cooked2:
      guard frame.count >= 20 else { return .ends }
      let type = LinkType.type(frame, 0)
      if LinkType.isIP(type) { return LinkType.ip(frame, at: 20, tags) }
      guard LinkType.isVLAN(type) else { return .notIP }
      return LinkType.behindTags(frame, tagAt: 20, tags)
    case .family:
      guard frame.count >= 4 else { return .ends }
      return LinkType.isInternetFamily(frame) ? LinkType.ip(frame, at: 4, tags) : .notIP
    case .bare: return LinkType.ip(frame, at: 0, tags)
    case nil: return .notIP
    }
  }

  private static func behindTags(_ frame: Span<UInt8>, typeAt place: Int, _ tags: VLANTags) -> LinkPayload {
    guard place + 2 <= frame.count else { return .ends }
    let type = type(frame, place)
    if isIP(type) { return ip(frame, at: place + 2, tags) }
    return isVLAN(type) ? behindTags(frame, tagAt: place + 2, tags) : .notIP
  }

  private static func behindTags(_ frame: Span<UInt8>, tagAt first: Int, _ tags: VLANTags) -> LinkPayload {
    var (place, tags) = (first, tags)
    while place + 4 <= frame.count {
      guard tags.push(type(frame, place)) else { return .notIP }
      let type = type(frame, place + 2)
      place += 4
      if isIP(type) { return ip(frame, at: place, tags) }
      guard isVLAN(type) else { return .notIP }
    }
    return .ends
  }

  private static func ip(_ frame: Span<UInt8>, at place: Int, _ tags: VLANTags) -> LinkPayload {
    guard place < frame.count else { return .ends }
    let version = frame[place] >> 4
    return version == 4 || version == 6 ? .ip(place, tags) : .notIP
  }

  private static func type(_ frame: Span<UInt8>, _ place: Int) -> UInt16 {
    UInt16(frame[place]) << 8 | UInt16(frame[place + 1])
  }

  private static func isIP(_ type: UInt16) -> Bool { type == 0x0800 || type == 0x86dd }
  private static func isVLAN(_ type: UInt16) -> Bool { type == 0x8100 || type == 0x88a8 || type == 0x9100 }

  /// AF_INET, or AF_INET6 of Linux, the BSDs, macOS, Windows or Solaris, in whichever byte order.
  private static func isInternetFamily(_ frame: Span<UInt8>) -> Bool {
    let (first, last) = (frame[0], frame[3])
    guard frame[1] == 0, frame[2] == 0, first == 0 || last == 0 else { return false }
    return [2, 10, 23, 24, 26, 28, 30].contains(first | last)
  }
}
