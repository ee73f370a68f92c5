// SPDX-License-Identifier: GPL-2.0-or-later
internal import CLatprobeABI

/// A packet that the kernel threw away, as the tracepoint `kfree_skb` tells.
package struct Drop: Sendable, Hashable {
  /// Nanoseconds of the recording machine's CLOCK_MONOTONIC.
  package var time: UInt64
  /// This and what follows as in ``Stamp``.
  package var key: UInt64
  package var flow: UInt32
  package var sequence: UInt32
  package var length: UInt32
  package var headerLength: UInt16
  package var kind: StampKind
  /// Number of the machine's kernel, 0 where it knows none.
  package var reason: UInt32
  /// ``DropPlace/place``.
  package var place: UInt32

  package init(
    time: UInt64, key: UInt64, flow: UInt32, sequence: UInt32 = 0, length: UInt32, headerLength: UInt16 = 0,
    kind: StampKind, reason: UInt32, place: UInt32
  ) {
    self.time = time
    self.key = key
    self.flow = flow
    self.sequence = sequence
    self.length = length
    self.headerLength = headerLength
    self.kind = kind
    self.reason = reason
    self.place = place
  }

  package var payloadLength: UInt32 { length > UInt32(headerLength) ? length - UInt32(headerLength) : 0 }

  /// Nil for a kind of a later version.
  init?(_ raw: lp_drop) {
    guard let kind = StampKind(rawValue: UInt8(raw.stamp.kind)) else { return nil }
    self.init(
      time: raw.stamp.time_ns, key: raw.stamp.key, flow: raw.stamp.flow, sequence: raw.stamp.sequence,
      length: raw.stamp.length, headerLength: UInt16(raw.stamp.header_words) * 4, kind: kind, reason: raw.reason,
      place: raw.place)
  }
}

/// Where and why the kernel threw packets away: what the numbers of ``Drop`` mean.
package struct DropPlace: Codable, Sendable, Equatable {
  /// A number that says nothing by itself: an address of the kernel's code is not for everybody to know.
  package var place: UInt32
  /// In the kernel's `enum skb_drop_reason`.
  package var reason: UInt32
  /// Without `SKB_DROP_REASON_`; null where the kernel does not tell.
  package var name: String?
  /// The function that threw it away; null where the kernel does not tell.
  package var function: String?
  package var count: UInt64

  package init(place: UInt32, reason: UInt32, name: String?, function: String?, count: UInt64) {
    self.place = place
    self.reason = reason
    self.name = name
    self.function = function
    self.count = count
  }

  /// What a report calls it: `NETFILTER_DROP`, or where no reason is given `NOT_SPECIFIED at veth_xmit`.
  package var cause: String {
    let reason = self.reason == 0 ? "NOT_SPECIFIED" : name ?? "reason \(self.reason)"
    return reason == "NOT_SPECIFIED" ? reason + (function.map { " at \($0)" } ?? "") : reason
  }
}
