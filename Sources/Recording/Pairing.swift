// SPDX-License-Identifier: GPL-2.0-or-later
internal import CLatprobeABI

/// A request and its answer at a tap, or a message that entered a station and left it; nanoseconds of the capture.
package struct RecordedPair: Sendable, Hashable, BitwiseCopyable {
  /// Place in ``Pairing/names``.
  package var name: UInt16
  /// The request came more than once before its answer.
  package var isRepeated: Bool
  // Apart, so that a pair takes 40 bytes.
  private var isNumbered: Bool
  private var storedNumber: UInt32
  /// The packet that completes the request, its first copy.
  package var start: Int64
  /// The packet with the first byte of the answer.
  package var end: Int64
  /// The packet that completes the answer; nil where its last byte was not seen.
  package var last: Int64?

  /// Of the sender's packet, modulo 2^32: packets sent in succession differ by 1. Nil where nobody numbered them.
  package var number: UInt32? { isNumbered ? storedNumber : nil }

  package init(name: UInt16, start: Int64, end: Int64, last: Int64?, isRepeated: Bool, number: UInt32? = nil) {
    self.name = name
    self.start = start
    self.end = end
    self.last = last
    self.isRepeated = isRepeated
    isNumbered = number != nil
    storedNumber = number ?? 0
  }

  init(_ raw: lp_pair) {
    name = raw.name
    start = raw.start_ns
    end = raw.end_ns
    last = UInt32(raw.flags) & LP_PAIR_WHOLE.rawValue != 0 ? raw.last_ns : nil
    isRepeated = UInt32(raw.flags) & LP_PAIR_REPEATED.rawValue != 0
    isNumbered = UInt32(raw.flags) & LP_PAIR_NUMBERED.rawValue != 0
    storedNumber = isNumbered ? raw.number : 0
  }

  /// The record in a stream.
  package var bytes: [UInt8] { bytes(at: end) }

  /// The same, in its stream at another time than its end.
  package func bytes(at time: Int64) -> [UInt8] {
    var raw = lp_pair()
    raw.time_ns = UInt64(clamping: time)
    raw.event = UInt8(LP_EVENT_PAIR.rawValue)
    raw.name = name
    raw.start_ns = start
    raw.end_ns = end
    raw.last_ns = last ?? 0
    raw.number = storedNumber
    raw.flags = UInt8(
      (isRepeated ? LP_PAIR_REPEATED.rawValue : 0) | (last != nil ? LP_PAIR_WHOLE.rawValue : 0)
        | (isNumbered ? LP_PAIR_NUMBERED.rawValue : 0))
    return unsafe withUnsafeBytes(of: raw) { unsafe Array($0) }
  }
}

/// What was paired of a capture, and what was not: `docs/pairing.md`.
package struct PairingAccount: Codable, Sendable, Equatable {
  package struct Name: Codable, Sendable, Equatable {
    /// `dns`, `memcached-get`: a segment's name.
    package var name: String
    /// ``Tally/name``.
    package var ofProtocol: String
    /// Bound of the clock error of each delay, nanoseconds; null where both its times are one clock's.
    package var error: Int64?
    /// As in ``Tally``, of the requests whose pairs have this name; nil where a request alone does not tell which name that is.
    package var counts: [String: Count]?

    enum CodingKeys: String, CodingKey {
      case name
      case ofProtocol = "protocol"
      case error = "error_ns"
      case counts
    }

    package init(name: String, ofProtocol: String, error: Int64? = nil) {
      self.name = name
      self.ofProtocol = ofProtocol
      self.error = error
    }
  }

  /// Counts of one protocol.
  package struct Tally: Codable, Sendable, Equatable {
    package var name: String
    /// `requests`, `paired`, `retransmitted`, `unanswered` and so on.
    package var counts: [String: Count]

    package init(name: String, counts: [String: Int]) {
      self.name = name
      self.counts = counts.mapValues { Count($0) }
    }
  }

  package var names: [Name]
  package var protocols: [Tally]
  /// IP fragments, which are not paired; a key of ``packets``.
  package static let fragments = "fragments"
  /// Packets left out because they came too late for the order of time, and are in the ledger as lost; a key of ``packets``.
  package static let outOfOrder = "out_of_order"

  /// Times that an interface's clock went back; a key of ``packets``.
  package static let stepsBack = "steps_back"

  /// UDP packets of which nobody says whether they are several datagrams; a key of ``packets``.
  package static let perhapsSeveral = "perhaps_several"
  /// Times that the clock of live packets was set; a key of ``packets``.
  package static let clockSteps = "clock_steps"

  /// Of all packets: `packets`, `not_ip` and so on.
  package var packets: [String: Count]

  package init(names: [Name], protocols: [Tally], packets: [String: Int]) {
    self.names = names
    self.protocols = protocols
    self.packets = packets.mapValues { Count($0) }
  }
}
