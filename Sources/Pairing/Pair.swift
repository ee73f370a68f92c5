// SPDX-License-Identifier: GPL-2.0-or-later

/// A captured packet, as a capture file or a tap gives it.
package struct PairingPacket: Sendable {
  /// Nanoseconds, of whatever clock captured the packets; all of one run by the same clock.
  package var time: Int64
  /// Number of a ``LinkType``.
  package var linkType: Int
  /// Bytes on the wire; more than `bytes` holds if the capture cut the packet short.
  package var length: Int
  package var bytes: [UInt8]
  /// The capture interface, counted from 0.
  package var interface: Int
  /// The outermost VLAN tag, where it was taken out of the bytes.
  package var vlan: UInt16?
  /// UDP payload of each datagram where the packet holds several (UDP_SEGMENT, UDP_GRO); 0 where it is known to hold one; nil
  /// where nobody says.
  package var segmentSize: Int?

  package init(
    time: Int64, linkType: Int, length: Int, bytes: [UInt8], interface: Int = 0, vlan: UInt16? = nil,
    segmentSize: Int? = nil
  ) {
    self.time = time
    self.linkType = linkType
    self.length = length
    self.bytes = bytes
    self.interface = interface
    self.vlan = vlan
    self.segmentSize = segmentSize
  }
}

/// A request and its answer, or a message that entered a station and left it. Times are nanoseconds of the capture.
package struct Pair: Sendable, Equatable {
  /// What was paired, the name of the segment: `dns`, `memcached-get`, `sip-forward-180-INVITE`.
  package var name: String
  /// The packet that completes the request, its first copy; forwarded: the packet that enters.
  package var start: Int64
  /// The packet with the first byte of the answer; forwarded: the packet that leaves.
  package var end: Int64
  /// The packet that completes the answer; nil if its last byte was not seen.
  package var endLast: Int64?
  var label: PairLabel
  /// The request came more than once before its answer.
  package var retransmitted: Bool
  package var client: Endpoint
  package var server: Endpoint

  /// For people: what told this pair from others.
  package var key: String { label.description }

  /// Response time or forward delay.
  package var delay: Int64 { span(from: start, to: end) }

  /// Whether no part of the answer comes before the request, or so long after it that 64 bits cannot hold the delay.
  var isOrdered: Bool {
    let last = endLast ?? end
    return min(end, last) >= start && !max(end, last).subtractingReportingOverflow(start).overflow
  }
}

/// What told a pair from others; text only where somebody reads it, since there are millions.
enum PairLabel: Sendable, Equatable, CustomStringConvertible {
  case text(String)
  /// `sequence 8`
  case number(String, UInt32)
  case echo(id: UInt16, sequence: UInt16)
  /// Offsets in the client's stream.
  case stream(Range<Int>)
  /// Id and first question of DNS.
  case question([UInt8])
  /// The first bytes of a rule's key.
  case bytes([UInt8])

  var description: String {
    switch self {
    case .text(let text): return text
    case .number(let what, let number): return "\(what) \(number)"
    case .echo(let id, let sequence): return "id \(id) sequence \(sequence)"
    case .stream(let range): return "TCP bytes \(range.lowerBound)–\(range.upperBound)"
    case .question(let match): return DNSMessage.label(of: match)
    case .bytes(let bytes):
      let digits = bytes.prefix(8).map { $0 < 16 ? "0" + String($0, radix: 16) : String($0, radix: 16) }
      return "key \(digits.joined())"
    }
  }
}

/// What became of one protocol's messages, or of those of one name. `requests` = `paired` + `unanswered` + `refused` +
/// `silent` + `abandoned` + `evicted` once the pairer has finished.
package struct PairTally: Sendable, Equatable {
  /// Distinct requests: further copies are `repeatedRequests`. Forwarding: messages that entered a station.
  package var requests = 0
  package var paired = 0
  /// Of `paired`: the request came more than once.
  package var retransmitted = 0
  /// No answer came, in time or before the capture ended.
  package var unanswered = 0
  /// What came instead of an answer is a refusal: a reset by the other side, an ICMP error.
  package var refused = 0
  /// Due no answer: quiet memcached commands, SIP ACK, a message at its last station.
  package var silent = 0
  /// The answer can no longer be told: lost to a gap, to a cut packet, to malformed or ambiguous bytes, to disorder.
  package var abandoned = 0
  /// Given up because a limit was reached.
  package var evicted = 0
  package var repeatedRequests = 0
  /// Provisional answers (SIP 1xx), each of them a pair beside `paired`.
  package var provisional = 0
  package var repeatedResponses = 0
  /// Answers without a request.
  package var unmatchedResponses = 0
  /// Times that bytes of a TCP connection were missing.
  package var gaps = 0
  /// Messages that could not be read because the capture cut packets short.
  package var truncated = 0
  package var malformed = 0
  /// Answers that may belong to more than one request.
  package var ambiguous = 0
  /// Answers whose time lies before their request's, or beyond what 64 bits can hold after it.
  package var disordered = 0
  /// TCP payload passed over while requests and answers of its connection could not be told apart, or after the protocol
  /// had left it.
  package var unreadBytes = 0

  package init() {}

  /// Requests still waiting; 0 once the pairer has finished.
  package var waiting: Int { requests - paired - unanswered - refused - silent - abandoned - evicted }
}

/// What became of the captured packets before any protocol looked at them.
package struct PacketTally: Sendable, Equatable {
  package var packets = 0
  /// Neither IPv4 nor IPv6, or a link type that is not read.
  package var notIP = 0
  /// IP, but neither UDP nor TCP nor ICMP.
  package var otherProtocols = 0
  /// Cut short within their headers.
  package var cutHeaders = 0
  /// Of a protocol that was asked for, by port and transport.
  package var askedFor = 0
  /// UDP packets of those, longer than usual networks carry, of which nobody says whether they are several datagrams.
  package var perhapsSeveral = 0
  /// IP fragments: counted, not paired.
  package var fragments = 0
  /// Headers that end before they should, or contradict themselves.
  package var malformed = 0
  /// Captured shorter than they were on the wire.
  package var truncated = 0
  /// TCP connections forgotten because there were too many.
  package var evictedConnections = 0

  package init() {}
}

package struct PairLedger: Sendable, Equatable {
  package var packets = PacketTally()
  /// By protocol, in the order in which they were asked for.
  package var protocols: [(name: String, tally: PairTally)] = []
  /// The same by the names of pairs, where a request alone tells which name its pair will have.
  package var names: [(name: String, ofProtocol: String, tally: PairTally)] = []

  package init() {}

  package subscript(name: String) -> PairTally? { protocols.first { $0.name == name }?.tally }

  package static func == (left: PairLedger, right: PairLedger) -> Bool {
    left.packets == right.packets && left.protocols.elementsEqual(right.protocols) { $0 == $1 }
  }
}

/// Bounds of all state.
package struct PairingLimits: Sendable {
  /// Requests waiting for an answer: by protocol over datagrams, and on each TCP connection.
  package var pending = 65_536
  package var pendingOnConnection = 4_096
  /// Of all connections together.
  package var pendingOnConnections = 262_144
  package var connections = 65_536
  /// TCP payload held back behind missing segments, or for a message that is not complete: on one direction of a
  /// connection, and altogether.
  package var bufferedOnDirection = 1 << 20
  package var buffered = 1 << 26
  /// Segments held back behind missing ones on one direction, however short they are.
  package var heldOnDirection = 2_048
  /// For so long, in nanoseconds, an acknowledgment may be ahead of its data: two CPUs stamp packets, or two clocks.
  package var disorder: Int64 = 5_000_000
  /// The part of a message that must be looked at as one, such as the header of an HTTP request.
  package var header = 1 << 16
  /// After a gap, a connection counts as idle (so that the next request is the first one waiting) if nothing was owed
  /// visibly and no payload passed for this long, in nanoseconds.
  package var quiet: Int64 = 20_000_000

  package init() {}
}
