// SPDX-License-Identifier: GPL-2.0-or-later
internal import CTraffic
internal import Clocks
internal import Glibc

/// What routers and hosts said of packets that were sent (ICMP): each kind once, and how often.
package struct HeardErrors: Sendable {
  struct Kind: Sendable, Hashable {
    /// What the kernel makes of it.
    var error: Int32
    var type: UInt8
    var code: UInt8
    var isIPv6: Bool
    /// This machine says so itself: no neighbour answers, or its own firewall rejects.
    var isOwn: Bool
    /// Address of who said it.
    var from: String

    /// `ICMP type 3, code 1`.
    var text: String { "ICMP\(isIPv6 ? "v6" : "") type \(type), code \(code)" }

    enum Meaning { case nobodyListens, rejected, noWay, noRoom, loop, other }

    var meaning: Meaning {
      switch (isIPv6, type, code) {
      case (false, 3, 3), (true, 1, 4): .nobodyListens
      case (false, 3, 9), (false, 3, 10), (false, 3, 13), (true, 1, 1), (true, 1, 5), (true, 1, 6): .rejected
      case (false, 3, 4), (true, 2, _): .noRoom
      case (false, 3, _), (true, 1, _): .noWay
      case (false, 11, _), (true, 3, _): .loop
      default: .other
      }
    }
  }

  /// Anybody may say anything: more kinds than this are not kept.
  private static let limit = 16
  private var counts: [Kind: Int] = [:]
  /// CLOCK_MONOTONIC of when the last was read, nanoseconds.
  package private(set) var lastAt: Int64 = 0

  package var isEmpty: Bool { counts.isEmpty }
  /// What was said most often.
  var main: Kind? { counts.max { ($0.value, $0.key.text) < ($1.value, $1.key.text) }?.key }

  mutating func take(_ heard: lp_heard) {
    let from = unsafe withUnsafeBytes(of: heard.from) {
      unsafe String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self)
    }
    take(
      Kind(
        error: heard.error, type: heard.type, code: heard.code, isIPv6: heard.is_v6 != 0, isOwn: heard.is_own != 0,
        from: from), at: Instant<Monotonic>.now.nanoseconds)
  }

  mutating func take(_ kind: Kind, at time: Int64) {
    if counts[kind] != nil || counts.count < HeardErrors.limit { counts[kind, default: 0] += 1 }
    lastAt = time
  }
}

/// Why packets were not answered, as far as it shows, and what to do.
package struct Silence {
  /// Where they went: host and port as given, and the address.
  var peer: String
  var address: String
  var heard: HeardErrors
  /// Errors of send calls that told of earlier packets, where nothing more is known; 0 if none.
  package var error: Int32 = 0
  /// Packets that came back and are no answers.
  package var malformed = 0
  /// Whether packets left this machine, where that is known.
  package var haveLeft = true
  /// Bytes of UDP payload are fewer than a stateful reflector answers.
  package var isCut = false

  /// One line, without a full stop.
  package var reason: String {
    if let main = heard.main { return reason(main) }
    if error == ECONNREFUSED { return nobodyListens + ", or name its port" }
    if error != 0 { return unsafe String(cString: strerror(error)) }
    if malformed > 0 {
      return
        "what comes back from there is no answer of a STAMP reflector (\(malformed) packets): does another service "
        + "have the port, or the reflector another --key?"
    }
    // The stack tells nobody that a neighbour does not answer.
    if !haveLeft { return "and none has left: 'ip neigh' shows whether the next hop is there" }
    if isCut { return "a stateful reflector refuses packets below \(Reflection.shortest) bytes" }
    return "and nothing came back, not even an error: a firewall drops the packets or their answers, \(address) is not "
      + "there, or the reflector does not answer this machine (--allow, --key); what it says at its end tells what came to it"
  }

  private let nobodyListens = "nobody listens there: start 'latprobe reflect'"

  private func reason(_ kind: HeardErrors.Kind) -> String {
    let from = kind.isOwn ? "this machine" : kind.from.isEmpty ? "somebody on the way" : kind.from
    switch kind.meaning {
    case .nobodyListens where kind.from == address || kind.from.isEmpty:
      return "\(nobodyListens), or name its port (\(from) says so: port unreachable; a firewall there may, too)"
    case .nobodyListens, .rejected:
      return "a firewall at \(from) rejects them (\(kind.text)): have it let UDP to \(peer) and its answers pass"
    case .noWay where kind.isOwn:
      return "\(address) or the next hop to it does not answer: is it up? See 'ip neigh' and 'ip route get \(address)'"
    case .noWay: return "\(from) has no way to \(address) (\(kind.text)): is that machine up, and routed to?"
    case .noRoom: return "\(from) says that they are too long for the way (\(kind.text)): give --size less"
    case .loop: return "\(from) says that they were under way for too long (\(kind.text)): a loop of routes?"
    case .other: return "\(from) says \(unsafe String(cString: strerror(kind.error))) (\(kind.text))"
    }
  }

  package init(peer: Destination, heard: HeardErrors) {
    (self.peer, address, self.heard) = (peer.name, peer.addressText, heard)
  }

  init(peer: String, address: String, heard: HeardErrors) {
    (self.peer, self.address, self.heard) = (peer, address, heard)
  }
}
