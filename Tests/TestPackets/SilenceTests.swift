// SPDX-License-Identifier: GPL-2.0-or-later
import Glibc
import Testing

@testable import TestPackets

/// What is said of packets that nobody answers.
@Suite struct SilenceTests {
  private func reason(
    _ type: UInt8, _ code: UInt8, _ error: Int32, isIPv6: Bool = false, isOwn: Bool = false, from: String = "10.0.0.9"
  ) -> String {
    var heard = HeardErrors()
    let kind = HeardErrors.Kind(error: error, type: type, code: code, isIPv6: isIPv6, isOwn: isOwn, from: from)
    for _ in 0..<3 { heard.take(kind, at: 5) }
    heard.take(HeardErrors.Kind(error: 1, type: 12, code: 0, isIPv6: isIPv6, isOwn: false, from: "10.0.0.8"), at: 6)
    #expect(heard.lastAt == 6)
    return Silence(peer: "peer:862", address: "10.0.0.2", heard: heard).reason
  }

  @Test func whatWasHeard() {
    #expect(reason(3, 3, ECONNREFUSED, from: "10.0.0.2").hasPrefix("nobody listens there: start 'latprobe reflect'"))
    #expect(reason(1, 4, ECONNREFUSED, isIPv6: true, from: "10.0.0.2").hasPrefix("nobody listens there"))
    #expect(reason(3, 3, ECONNREFUSED).hasPrefix("a firewall at 10.0.0.9 rejects them"))
    #expect(reason(3, 13, EHOSTUNREACH).contains("have it let UDP to peer:862 and its answers pass"))
    #expect(reason(1, 1, EACCES, isIPv6: true).hasPrefix("a firewall at 10.0.0.9"))
    #expect(reason(3, 1, EHOSTUNREACH).hasPrefix("10.0.0.9 has no way to 10.0.0.2"))
    #expect(reason(3, 1, EHOSTUNREACH, isOwn: true).hasPrefix("10.0.0.2 or the next hop to it does not answer"))
    #expect(reason(11, 0, EHOSTUNREACH).contains("a loop of routes"))
    #expect(reason(3, 4, EMSGSIZE).contains("give --size less"))
    #expect(reason(12, 0, EPROTO).contains("ICMP type 12, code 0"))
  }

  @Test func whatIsKnownWithoutAWord() {
    var silence = Silence(peer: "peer:862", address: "10.0.0.2", heard: HeardErrors())
    #expect(silence.reason.contains("a firewall drops"))
    silence.isCut = true
    #expect(silence.reason.contains("a stateful reflector refuses"))
    silence.haveLeft = false
    #expect(silence.reason.contains("ip neigh"))
    silence.malformed = 3
    #expect(silence.reason.contains("no answer of a STAMP reflector (3 packets)"))
    silence.error = ECONNREFUSED
    #expect(silence.reason.hasPrefix("nobody listens there"))
  }

  /// Anybody may say anything.
  @Test func kindsAreBounded() {
    var heard = HeardErrors()
    for number in 0..<1000 {
      heard.take(HeardErrors.Kind(error: 1, type: 3, code: 1, isIPv6: false, isOwn: false, from: "\(number)"), at: 0)
    }
    #expect(Mirror(reflecting: heard).children.compactMap { ($0.value as? [HeardErrors.Kind: Int])?.count } == [16])
  }
}
