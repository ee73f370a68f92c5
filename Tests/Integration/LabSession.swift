// SPDX-License-Identifier: GPL-2.0-or-later
import Analysis
import Foundation
import Recording
import Testing

/// A delay or a number of packets that emulation may have spoilt: worth a second look.
struct Unmet: Error, CustomStringConvertible { var description: String }

func need(_ condition: Bool, _ what: String) throws {
  if !condition { throw Unmet(description: what) }
}

/// A session of the lab, analysed.
struct LabSession {
  let session: Session
  let machines: [MachineRecording]
  let result: SessionResult

  init(_ folder: String) throws {
    let recorded = try RecordedSession.load(paths: [folder])
    #expect(recorded.damage == [])
    session = recorded.session
    machines = recorded.machines
    result = try analyse(session: session, recordings: machines)
    for row in machines.flatMap(\.machine.ledger) { #expect(row.lost == 0, "\(row)") }
  }

  /// ε of the guest's alignment with the host.
  var error: Int64 { result.clockError ?? .max / 4 }

  func segment(_ name: String) throws -> SegmentResult {
    guard let segment = result.segments.first(where: { $0.name == name }) else {
      throw TestbedError(description: "no segment \(name) among \(result.segments.map(\.name)): \(result.warnings)")
    }
    return segment
  }

  /// Keys of the UDP packets at a hook point that go to the port, or that come from it.
  func keys(at hook: String, to port: UInt16, _ isTo: Bool) -> Set<UInt64> {
    var keys: Set<UInt64> = []
    for machine in machines {
      for stamp in machine.stamps where stamp.hook.name == hook && stamp.kind == .udp {
        let flow = machine.flows[stamp.flow]
        if isTo ? flow?.destinationPort == port : flow?.sourcePort == port { keys.insert(stamp.key) }
      }
    }
    return keys
  }

  func count(at hook: String, port: UInt16) -> Int {
    machines.reduce(0) { sum, machine in
      sum
        + machine.stamps.count { stamp in
          let flow = machine.flows[stamp.flow]
          return stamp.hook.name == hook && (flow?.destinationPort == port || flow?.sourcePort == port)
        }
    }
  }

  /// By packet key: the sum of a path's segments, but for one; of packets that have them all.
  func inside(_ path: String, leavingOut: String?) -> [UInt64: Int64] {
    let segments = result.segments.filter { $0.direction == path && $0.isNeighbour }
    var sums: [UInt32: (count: Int, sum: Int64)] = [:]
    for segment in segments {
      for (packet, delay) in zip(segment.packets, segment.delays) {
        sums[packet, default: (0, 0)].count += 1
        if segment.name != leavingOut { sums[packet, default: (0, 0)].sum += delay }
      }
    }
    // The host's times are those of the session, so a stamp there tells whose packet it is.
    var keys: [UInt64: UInt64] = [:]
    for machine in machines where machine.machine.role == "host" {
      for stamp in machine.stamps where stamp.hook.name == (path == "tx" ? "txh0" : "rxh0") {
        keys[stamp.time] = stamp.key
      }
    }
    var result: [UInt64: Int64] = [:]
    guard let known = segments.first(where: { $0.name == (path == "tx" ? "txh0-txh1" : "rxh0-rxh1") }) else {
      return [:]
    }
    for (packet, start) in zip(known.packets, known.starts) {
      if let key = keys[start], let sum = sums[packet], sum.count == segments.count { result[key] = sum.sum }
    }
    return result
  }

  /// TSC and ptp_kvm, and the agent's exchanges, agree within their errors.
  func expectAlignment() throws {
    let clock = try #require(result.clocks.first, "\(result.warnings)")
    #expect(clock.method == "tsc")
    for name in ["tsc", "ptp_kvm", "exchange"] {
      let method = try #require(clock.methods.first { $0.name == name })
      #expect(method.failure == nil, "\(name): \(method.failure ?? "")")
      if let distance = method.disagreement, let allowance = method.allowance {
        #expect(distance <= allowance, "\(name): \(distance) of \(allowance)")
      }
    }
    #expect(result.clockFaults == [])
  }

  /// The median of the planted segments is greater than in another session by a delay, that of the others is not.
  func expect(planted: [String], comparedWith before: LabSession, median delay: Int64) throws {
    for segment in result.segments where segment.isNeighbour {
      let now = try #require(segment.summary?.quantiles.first?.value, "\(segment.name)")
      let then = try #require(before.segment(segment.name).summary?.quantiles.first?.value)
      if planted.contains(segment.name) {
        try need(now >= then + delay, "\(segment.name): \(then) → \(now)")
      } else {
        try need(now <= then + delay / 2, "\(segment.name): \(then) → \(now)")
      }
    }
  }

  /// Every tenth packet takes 12 ms longer through some segments than in another session, and not half as much through others:
  /// threads that stand still for 40 ms add about 30 ms there, emulation alone has added up to 9 ms elsewhere.
  func expect(slower: [String], alike: [String], comparedWith before: LabSession) throws {
    func p90(_ session: LabSession, _ name: String) throws -> Int64 {
      try #require(session.segment(name).summary?.quantiles.first { $0.probability == 0.9 }?.value)
    }
    func growth(_ names: [String]) throws -> [Int64] { try names.map { try p90(self, $0) - p90(before, $0) } }
    let (planted, rest) = (try growth(slower), try growth(alike))
    let least = try #require(planted.min())
    try need(
      least >= 12_000_000 && rest.allSatisfy { $0 < least / 2 }, "\(slower): \(planted), \(alike): \(rest)")
  }

  /// Whether each delay of a segment within the host is between two stamps of the same bytes of the same flow.
  func expectSameBytes(_ name: String) throws {
    let segment = try segment(name)
    let host = try #require(machines.first { $0.machine.role == "host" })
    let ends = name.split(separator: "-").map(String.init)
    let stamps = ends.map { hook in
      Dictionary(grouping: host.stamps.filter { $0.hook.name == hook && $0.kind == .tcp }, by: \.time)
    }
    var wrong = 0
    for (start, delay) in zip(segment.starts, segment.delays) {
      let (from, to) = (stamps[0][start] ?? [], stamps[1][start.advanced(by: Int(delay))] ?? [])
      let isSame = from.contains { first in
        to.contains { second in
          // Sequence numbers wrap. A segment may leave in pieces or arrive as part of a larger one.
          let ahead = Int64(Int32(bitPattern: second.sequence &- first.sequence))
          return first.flow == second.flow && ahead <= Int64(first.payloadLength)
            && ahead + Int64(second.payloadLength) >= 0
        }
      }
      if !isSame { wrong += 1 }
    }
    #expect(wrong == 0, "\(name): \(wrong) of \(segment.count)")
  }

  /// The delay that a tenth of the packets keep below, among those that began in a part of the segment's time.
  func p10(_ name: String, from: Double, to: Double) throws -> Int64 {
    let segment = try segment(name)
    let (first, last) = (try #require(segment.starts.first), try #require(segment.starts.last))
    let length = Double(last - first)
    let delays = zip(segment.starts, segment.delays)
      .filter { Double($0.0 - first) >= from * length && Double($0.0 - first) <= to * length }.map(\.1).sorted()
    try need(delays.count >= 20, "\(name): \(delays.count) packets")
    return delays[delays.count / 10]
  }
}
