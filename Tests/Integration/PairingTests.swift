// SPDX-License-Identifier: GPL-2.0-or-later
import Pairing
import Testing

extension IntegrationSuites {
  @Suite struct PairingTests {
    /// What one pair is: when its answer came, and how long it took.
    struct Timing: Hashable, Comparable {
      var end: Int64
      var delay: Int64

      static func < (left: Timing, right: Timing) -> Bool { (left.end, left.delay) < (right.end, right.delay) }
    }
    let traffic: PairingTraffic

    init() throws { traffic = try PairingTraffic.captured.get() }

    private func pair(_ protocols: PairingProtocol...) -> (pairs: [Pair], tally: PairTally) {
      let pairer = Pairer(protocols)
      for packet in traffic.packets { pairer.take(packet) }
      pairer.finish()
      return (pairer.takePairs(), pairer.ledger.protocols[0].tally)
    }

    /// A decimal number as printed, in units of its `digits`-th digit: nothing is rounded.
    private func fixed(_ text: String, _ digits: Int) -> Int64 {
      let parts = text.split(separator: ".", omittingEmptySubsequences: false)
      let fraction = parts.count > 1 ? String(parts[1]) : ""
      guard fraction.count <= digits else { return -1 }
      let padded = fraction + String(repeating: "0", count: digits - fraction.count)
      return Int64(parts[0] + padded) ?? -1
    }

    /// tshark's frame times and a field of seconds (9 digits) or milliseconds (6), in nanoseconds.
    private func tshark(_ filter: String, digits: Int = 9) throws -> [Timing] {
      try traffic.tshark(filter).flatMap { row in
        row[1].split(separator: ",").map { Timing(end: fixed(row[0], 9), delay: fixed(String($0), digits)) }
      }.sorted()
    }

    private func timings(_ pairs: [Pair]) -> [Timing] { pairs.map { Timing(end: $0.end, delay: $0.delay) }.sorted() }

    @Test func dnsTimesAreThoseOfTshark() throws {
      let (pairs, tally) = pair(.dns)
      #expect(try timings(pairs) == tshark("dns.time"))
      #expect(pairs.count >= 30 && tally.paired == pairs.count && tally.malformed == 0 && tally.gaps == 0)
    }

    @Test func echoTimesAreThoseOfTshark() throws {
      let (pairs, tally) = pair(.icmp)
      let expected = try tshark("icmp.resptime", digits: 6) + tshark("icmpv6.resptime", digits: 6)
      #expect(timings(pairs) == expected.sorted())
      #expect(pairs.count == 46 && tally.requests == 46)
    }

    @Test func webTimesAreThoseOfTshark() throws {
      // tshark's reach to the packet that completes the answer.
      let (pairs, tally) = pair(.http)
      let ours = pairs.map { Timing(end: $0.endLast ?? 0, delay: ($0.endLast ?? 0) - $0.start) }.sorted()
      #expect(try ours == tshark("http.time"))
      #expect(pairs.map(\.name).filter { $0 == "http-HEAD" }.count == 5 && pairs.count == 23 && tally.malformed == 0)
    }

    @Test func acknowledgmentTimesAreThoseOfTshark() throws {
      let ours = Set(timings(pair(.tcpAcknowledgment).pairs + pair(.tcpHandshake).pairs))
      let theirs = try tshark("tcp.analysis.ack_rtt")
      // Of several segments acknowledged at once tshark takes one; what acknowledges a FIN is no data.
      #expect(theirs.filter { ours.contains($0) }.count >= theirs.count - 2 * 5 && theirs.count > 200)
    }

    @Test func sipTimesAreThoseOfTshark() throws {
      let (pairs, tally) = pair(.sip)
      let theirs = Dictionary(
        try traffic.tshark("sip.response-time and sip.Status-Code").map { (fixed($0[0], 9), Int64($0[1])) }
      ) { first, _ in first }
      // Whole milliseconds: tshark subtracts seconds and nanoseconds apart and cuts each towards 0.
      let second: Int64 = 1_000_000_000
      for pair in pairs {
        let seconds = pair.end / second - pair.start / second
        let expected = seconds * 1_000 + (pair.end % second - pair.start % second) / 1_000_000
        #expect(theirs[pair.end] == expected, "\(pair)")
      }
      #expect(theirs.count == pairs.count + tally.repeatedResponses)
      // A call is two legs with INVITE, ACK and BYE each.
      #expect(tally.requests == 7 * 6 && tally.paired == 7 * 4 && tally.silent == 7 * 2)
      #expect(pairs.contains { $0.retransmitted } && tally.unanswered == 0)
    }

    @Test func forwardDelaysAreWhatTsharkSawEnterAndLeave() throws {
      let (pairs, tally) = pair(.sipForward)
      // When each message first came to the proxy, and first left it.
      var entered: [String: Int64] = [:]
      var left: [String: Int64] = [:]
      for row in try traffic.tshark("sip") {
        let kind = row[4].isEmpty ? row[3] : "\(row[4])-\(row[5])"
        let key = "\(row[6]) \(kind)"
        let time = fixed(row[0], 9)
        if row[2] == "10.77.0.2", entered[key] == nil { entered[key] = time }
        if row[1] == "10.77.0.2", left[key] == nil { left[key] = time }
      }
      var expected: [Timing] = []
      for (key, end) in left {
        if let start = entered[key] { expected.append(Timing(end: end, delay: end - start)) }
      }
      #expect(timings(pairs) == expected.sorted())
      for name in ["INVITE", "180-INVITE", "200-INVITE", "ACK", "BYE", "200-BYE"] {
        #expect(pairs.filter { $0.name == "sip-forward-\(name)" }.count == 7, "\(name)")
      }
      #expect(pairs.allSatisfy { $0.delay >= 2_000_000 } && tally.paired == 42 && tally.unanswered == 0)
    }

    /// Pairs of a client that waits for each answer, from tshark's list of segments with data.
    private func lockstep(_ rows: [[String]], port: String) -> [Timing] {
      var timings: [Timing] = []
      var asked: Int64?
      for row in rows {
        let time = fixed(row[0], 9)
        if row[1] == port {
          asked = time
        } else if let start = asked {
          timings.append(Timing(end: time, delay: time - start))
          asked = nil
        }
      }
      return timings
    }

    @Test func redisTimesAreThoseOfTheSegments() throws {
      let (pairs, tally) = pair(.redis)
      #expect(
        timings(Array(pairs.prefix(97)))
          == Array(lockstep(try traffic.tshark("tcp.port == 6379 and tcp.len > 0"), port: "6379").prefix(97)))
      #expect(pairs.map(\.name).filter { $0 == "redis-GET" }.count == 48)
      #expect(pairs.map(\.name).filter { $0 == "redis-PING" }.count == 5)
      #expect(tally.requests == 102 && tally.paired == 102 && tally.malformed == 0)
    }

    @Test func memcachedTimesAreThoseOfTheSegments() throws {
      let (pairs, tally) = pair(.memcached)
      let rows = try traffic.tshark("tcp.port == 11211 and tcp.len > 0")
      #expect(timings(Array(pairs.prefix(97))) == Array(lockstep(rows, port: "11211").prefix(97)))
      var counts: [String: Int] = [:]
      for pair in pairs { counts[pair.name, default: 0] += 1 }
      // 48 gets in turn, 2 at once, a quiet binary one that hit, 13 datagrams.
      #expect(counts["memcached-get"] == 48 + 2 + 1 + 13 && counts["memcached-set"] == 49 + 1)
      #expect(counts["memcached-delete"] == 1 && counts["memcached-noop"] == 1 && counts["memcached-mn"] == 1)
      // A quiet meta get and a quiet binary one that missed.
      #expect(counts["memcached-mg"] == 1 && tally.silent == 2)
      #expect(tally.malformed == 0 && tally.gaps == 0 && tally.unanswered == 0 && tally.paired == pairs.count)
    }

    /// Whatever packets the capture lacks, the pairs that are left are those of the whole capture.
    @Test func lossesMakeNoWrongPairs() {
      var random = Numbers(state: 7)
      for kind in [PairingProtocol.memcached, .redis, .http] {
        let whole = pair(kind).pairs
        let truth = Set(timings(whole))
        var total = 0
        for round in 0..<40 {
          let pairer = Pairer([kind])
          for packet in traffic.packets where Int.random(in: 0..<100, using: &random) >= 1 + round % 5 {
            pairer.take(packet)
          }
          pairer.finish()
          let pairs = pairer.takePairs()
          #expect(Set(timings(pairs)).isSubset(of: truth), "\(kind), round \(round)")
          total += pairs.count
        }
        // A loss among a connection's first requests costs all until its next pause, and these clients hardly pause.
        #expect(total > 4 * whole.count, "\(kind): \(total) of \(40 * whole.count)")
      }
    }

    /// Damaged captures: no crash, sums that hold, nothing held for ever.
    @Test func survivesDamage() {
      var random = Numbers(state: 23)
      for round in 0..<30 {
        var limits = PairingLimits()
        if round % 2 == 1 {
          (limits.pending, limits.connections, limits.bufferedOnDirection, limits.buffered) = (7, 2, 2_000, 3_000)
        }
        let pairer = Pairer(PairingProtocol.allCases, limits: limits)
        var pairs = 0
        for packet in traffic.packets {
          for damaged in random.damage(packet) { pairer.take(damaged) }
          pairs += pairer.takePairs().count
          #expect(pairer.heldBytes <= limits.buffered)
        }
        pairer.finish()
        pairs += pairer.takePairs().count
        var expected = 0
        for (name, tally) in pairer.ledger.protocols {
          #expect(tally.waiting == 0, "round \(round): \(name) \(tally)")
          expected += tally.paired + (name == "sip" ? tally.provisional : 0)
        }
        #expect(pairs == expected && pairs > 0)
      }
    }
  }
}

/// SplitMix64: the same damage in every run.
private struct Numbers: RandomNumberGenerator {
  var state: UInt64
  mutating func next() -> UInt64 {
    state &+= 0x9e37_79b9_7f4a_7c15
    var z = state
    z = (z ^ z >> 30) &* 0xbf58_476d_1ce4_e5b9
    z = (z ^ z >> 27) &* 0x94d0_49bb_1331_11eb
    return z ^ z >> 31
  }

  /// Of ten packets one is lost, doubled, cut short, changed in some bytes or given a wild time or link type.
  mutating func damage(_ packet: PairingPacket) -> [PairingPacket] {
    var copy = packet
    switch Int.random(in: 0..<60, using: &self) {
    case 0: return []
    case 1: return [packet, packet]
    case 2: copy.bytes = Array(copy.bytes.prefix(Int.random(in: 0...copy.bytes.count, using: &self)))
    case 3, 4:
      for _ in 0..<Int.random(in: 1...8, using: &self) where !copy.bytes.isEmpty {
        copy.bytes[Int.random(in: 0..<copy.bytes.count, using: &self)] = UInt8.random(in: 0...255, using: &self)
      }
    case 5:
      let wild: [Int64] = [.min, .max, 0, packet.time - 1_000_000, packet.time + 10_000_000_000]
      copy.time = wild.randomElement(using: &self) ?? 0
      copy.linkType = [1, 0, 101, 108, 113, 276, 7].randomElement(using: &self) ?? 1
    default: break
    }
    return [copy]
  }
}
