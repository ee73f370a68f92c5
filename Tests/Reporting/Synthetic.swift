// SPDX-License-Identifier: GPL-2.0-or-later
import Analysis
import Foundation
import Recording

/// Sessions made by hand: the reports of them are known.
enum Synthetic {
  static let machine = "both-testhost"

  static func session(_ segments: [SegmentResult] = []) -> SessionResult {
    var machine = Machine(
      name: Synthetic.machine, role: "both", hostname: "testhost", bootID: "boot", topology: "veth")
    machine.kernel = "6.18.5"
    machine.architecture = "x86_64"
    machine.clockSource = "tsc"
    machine.cpuModel = "Test CPU"
    machine.cpus = 2
    machine.filter = "udp port 5001"
    machine.stampCost = 118
    machine.startedAt = 1_000_000_000
    machine.stoppedAt = 11_000_000_000
    machine.stoppedBy = "duration"
    let session = Session(
      id: "7d1c", members: [Synthetic.machine], labels: ["run": "1"], commandLine: ["latprobe", "record"],
      createdAt: 1_700_000_000)
    var result = SessionResult(session: session, machines: [machine])
    result.segments = segments
    result.clockMethod = "same clock"
    result.clockError = 0
    var points: [Point] = []
    for point in segments.flatMap({ [$0.from, $0.to] }) where !points.contains(point) { points.append(point) }
    result.hooks = points.map { hook($0.hook, emitted: 997) }
    return result
  }

  static func hook(_ hook: HookPoint, emitted: UInt64, lost: UInt64 = 0, missed: UInt64 = 0) -> HookResult {
    HookResult(
      point: Point(hook: hook, machine: machine), attachedAs: "tp_btf:net_dev_queue", absentBecause: nil,
      ledger: LedgerRow(hook: hook.name, cpu: 0, seen: emitted + lost + 23, filtered: 23, emitted: emitted, lost: lost),
      missed: Count(missed))
  }

  static func segment(
    _ from: HookPoint, _ to: HookPoint, direction: String = "tx", neighbour: Bool = true, share: Double? = nil,
    delays: [Int64], spacing: UInt64 = 1_000_000
  ) -> SegmentResult {
    var segment = SegmentResult(
      name: "\(from.name)-\(to.name)", direction: direction, from: Point(hook: from, machine: machine),
      to: Point(hook: to, machine: machine), isNeighbour: neighbour)
    segment.delays = Column(delays)
    segment.starts = Column(delays.indices.map { 2_000_000_000 + UInt64($0) * spacing })
    segment.packets = Column(delays.indices.map { UInt32($0) })
    segment.share = share
    segment.summary = Summary(delays: delays)
    return segment
  }

  /// `good` delays of 100 ns and `bad` of 300 ns, spread evenly among them, so that none depends on another.
  static func spread(count: Int, bad: Int) -> [Int64] {
    var random = SplitMix(seed: 7)
    var delays = [Int64](repeating: 100, count: count)
    for index in 0..<bad { delays[index] = 300 }
    delays.shuffle(using: &random)
    return delays
  }

  /// Delays as real ones look: a body around `median` and a heavy tail.
  static func realistic(_ count: Int, median: Double, seed: UInt64) -> [Int64] {
    var random = SplitMix(seed: seed)
    return (0..<count).map { _ in
      let u = Double.random(in: 1e-9..<1, using: &random)
      let v = Double.random(in: 0..<1, using: &random)
      let body = median * (0.85 + 0.3 * v)
      return Int64(u < 0.02 ? body * Foundation.pow(0.02 / u, 0.8) : body)
    }
  }

  static func intervals(_ hook: HookPoint, direction: String = "tx", mean: Double, count: Int, seed: UInt64)
    -> PITHistogram
  {
    var random = SplitMix(seed: seed)
    var bins: [Int64: Int] = [:]
    for _ in 0..<count {
      let u = Double.random(in: 1e-12..<1, using: &random)
      bins[Int64(mean * (0.6 - 0.4 * Foundation.log(u)) / 1000), default: 0] += 1
    }
    return PITHistogram(
      point: Point(hook: hook, machine: machine), direction: direction, binWidth: 1000,
      bins: bins.sorted { $0.key < $1.key }.map { (index: $0.key, count: $0.value) }, count: count, mean: mean)
  }

  /// A session as `make demo` leaves one: three directions, all kinds of pictures.
  static func demo() -> SessionResult {
    let chain: [(HookPoint, HookPoint, Double)] = [
      (.txg0, .txg1, 4_200), (.txg1, .txg2, 900), (.txg2, .txh0, 800), (.txh0, .rxh1, 2_600), (.rxh1, .rxg0, 750),
      (.rxg0, .rxg1, 21_000),
    ]
    let count = 49_999
    let total = chain.reduce(0) { $0 + $1.2 }
    var sum = [Int64](repeating: 0, count: count)
    var segments: [SegmentResult] = []
    for (number, link) in chain.enumerated() {
      let delays = realistic(count, median: link.2, seed: UInt64(number + 1))
      for index in sum.indices { sum[index] += delays[index] }
      segments.append(segment(link.0, link.1, direction: "east-west", share: link.2 / total, delays: delays))
    }
    segments.append(segment(.txg0, .rxg1, direction: "east-west", neighbour: false, delays: sum))
    let back = realistic(997, median: 3_100, seed: 41)
    segments.append(segment(.rxh1, .rxg0, direction: "rx", share: 1, delays: back))
    segments.append(segment(.rxg0, .rxg1, direction: "rx", share: 0, delays: []))
    var result = session(segments)
    result.intervals = [
      intervals(.txg2, direction: "east-west", mean: 50_000, count: count - 1, seed: 5),
      intervals(.txh0, direction: "east-west", mean: 50_000, count: count - 1, seed: 6),
      intervals(.rxh1, direction: "rx", mean: 9_000_000, count: 996, seed: 8),
    ]
    return result
  }
}

/// A small generator with a seed (Steele, Lea and Flood 2014), so that every run sees the same samples.
struct SplitMix: RandomNumberGenerator {
  var state: UInt64
  init(seed: UInt64) { state = seed }
  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }
}
