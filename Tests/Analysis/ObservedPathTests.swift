// SPDX-License-Identifier: GPL-2.0-or-later
import Recording
import Testing

@testable import Analysis

/// Paths are what packets did, and a packet seen later was not lost before.
@Suite struct ObservedPathTests {
  private static let hostHooks = ["txg0", "txg1", "txh1", "txh2", "rxh0", "rxg1"]
  private static let hostPaths = [
    Path(name: "tx", hooks: ["txg0", "txg1", "txh1", "txh2"]),
    Path(name: "rx", hooks: ["rxh0", "rxg1"]),
    Path(name: "forward", hooks: ["rxh0", "txg1", "txh1", "txh2"]),
  ]

  /// The loopback device hands what it is to send to its own reception, and lets go of it when it was read.
  @Test func aDeviceThatHandsPacketsToItselfHasAPathOfItsOwn() throws {
    var lab = Lab(hooks: Self.hostHooks, paths: Self.hostPaths)
    for packet in 0..<23 {
      lab.packet(
        [.txg0, .txg1, .txh1, .rxh0, .rxg1, .txh2], from: Int64(packet) * millisecond, key: UInt64(packet) + 1)
    }
    let result = try lab.analysed()
    #expect(Set(result.segments.map(\.direction)) == ["tx+rx"])
    #expect(result.segments.map(\.name) == ["txg0-txg1", "txg1-txh1", "txh1-rxh0", "rxh0-rxg1", "txg0-rxg1"])
    for segment in result.segments {
      #expect(segment.fates == Fates(count: 23), "\(segment.name)")
      #expect(segment.delays.allSatisfy { $0 > 0 })
    }
    #expect(
      result.warnings == [
        "path tx+rx: no path of the topology, but the way that packets took: txg0 txg1 txh1 rxh0 rxg1"
      ])
  }

  /// What applications say to each other over the loopback device, or within a tunnel, passes no device that is watched.
  @Test func whatIsReadWithoutADeviceIsOnNoPath() throws {
    var lab = Lab(hooks: Self.hostHooks, paths: Self.hostPaths)
    func flow(_ id: UInt32, _ source: UInt8, _ destination: UInt8, _ ports: (UInt16, UInt16)) {
      lab.recording.flows[id] = Flow(
        id: id, ipProtocol: 17, source: [10, 0, 0, source], destination: [10, 0, 0, destination],
        sourcePort: ports.0, destinationPort: ports.1)
    }
    flow(1, 2, 1, (53, 4_000))
    flow(2, 9, 9, (53, 4_000))
    flow(3, 1, 3, (4_000, 53))
    flow(4, 3, 1, (53, 4_000))
    for packet in 0..<23 {
      let at = Int64(packet) * millisecond
      let key = UInt64(packet) + 1
      lab.packet([.rxh0, .rxg1], from: at, key: key, flow: 1)
      lab.stamp(.rxg1, at: at, key: 100 + key, flow: 2)
      lab.read(at: at, UInt64(packet) * 100..<UInt64(packet + 1) * 100, flow: 5)
    }
    let result = try lab.analysed()
    #expect(result.segments.map(\.name) == ["rxh0-rxg1"])
    #expect(try result.segment("rx", "rxh0-rxg1").fates == Fates(count: 23))
    #expect(result.warnings.count { $0.hasPrefix("2 flows were read by applications and seen at no device") } == 1)

    // Its answers were seen to leave: so it came by a device that does not tell of it.
    for packet in 0..<23 {
      let at = Int64(packet) * millisecond
      lab.packet([.txg0, .txg1, .txh1], from: at, key: 200 + UInt64(packet), flow: 3)
      lab.stamp(.rxg1, at: at + 10_000, key: 300 + UInt64(packet), flow: 4)
    }
    #expect(try lab.analysed().segment("rx", "rxh0-rxg1").fates == Fates(count: 23, unmatched: 23))
  }

  @Test func tcpOfSuchADeviceIsReadFromTheBytes() throws {
    var lab = Lab(hooks: Self.hostHooks, paths: Self.hostPaths)
    for packet in 0..<23 {
      let at = Int64(packet) * millisecond
      let range = UInt64(packet) * 1_000..<(UInt64(packet) + 1) * 1_000
      for (place, hook) in [HookPoint.txg1, .txh1, .rxh0].enumerated() {
        lab.data(hook, at: at + Int64(place) * 1_000, range, key: UInt64(packet) + 1)
      }
      lab.read(at: at + 3_000, range)
    }
    let result = try lab.analysed()
    #expect(try result.segment("tx+rx", "rxh0-rxg1").delays == [Int64](repeating: 1_000, count: 23))
    #expect(try result.segment("tx+rx", "txg1-rxg1").fates == Fates(count: 23))
  }

  /// From one guest of a host to another: the topology has the ways out and in alone.
  @Test func hookPointsBeyondThePathAreOnTheWay() throws {
    let tx: [HookPoint] = [.txg1, .txg2, .txh0, .txh1]
    let rx: [HookPoint] = [.rxh0, .rxh1, .rxg0]
    var lab = Lab(
      hooks: (tx + rx).map(\.name),
      paths: [Path(name: "tx", hooks: tx.map(\.name)), Path(name: "rx", hooks: rx.map(\.name))])
    for packet in 0..<23 {
      let at = Int64(packet) * millisecond
      lab.packet([.txg1, .txg2, .txh0, .rxh1, .rxg0], from: at, key: UInt64(packet) + 1, flow: 1)
      lab.packet(tx, from: at, key: UInt64(packet) + 100, flow: 2)
      lab.packet(rx, from: at, key: UInt64(packet) + 200, flow: 3)
    }
    let result = try lab.analysed()
    #expect(try result.segment("tx+rx", "txh0-rxh1").fates == Fates(count: 23))
    #expect(try result.segment("tx+rx", "txg1-rxg0").fates == Fates(count: 23))
    #expect(try result.segment("tx", "txg1-txh1").fates == Fates(count: 23))
    #expect(try result.segment("rx", "rxh0-rxg0").fates == Fates(count: 23))
    #expect(result.segments.allSatisfy { $0.lost == 0 })
  }

  @Test func oneFloodedPacketMovesNoFlow() throws {
    var lab = Lab(paths: Array(Lab.vethPaths.prefix(2)))
    for packet in 0..<23 { lab.packet(.tx, from: Int64(packet) * millisecond, key: UInt64(packet) + 1) }
    lab.packet([.rxh1, .rxg0], from: 4_000, key: 1)
    let result = try lab.analysed()
    #expect(Set(result.segments.map(\.direction)) == ["tx"])
  }

  @Test func clocksOfTwoProcessorsMoveNoFlow() throws {
    var lab = Lab()
    for packet in 0..<23 {
      let at = Int64(packet) * millisecond
      lab.packet(.eastWest, from: at, key: UInt64(packet) + 1)
      if packet % 3 == 0 { lab.packet([.txg1, .txg2], from: at + 500_000, step: -200, key: UInt64(packet) + 100) }
    }
    #expect(Set(try lab.analysed().segments.map(\.direction)) == ["east-west"])
  }

  // MARK: A hook point that misses packets

  @Test(arguments: [HookPoint.txg2, .txh0, .rxg0])
  func aHookPointThatSawNothingIsNamedAndNothingIsLostThere(_ blind: HookPoint) throws {
    var lab = Lab()
    for packet in 0..<23 {
      lab.packet(
        [HookPoint].eastWest.filter { $0 != blind }, from: Int64(packet) * millisecond, key: UInt64(packet) + 1)
    }
    let result = try lab.analysed()
    #expect(result.segments.allSatisfy { $0.lost == 0 })
    let invalid = result.segments.filter { $0.invalid != nil }
    #expect(invalid.count == 2 && invalid.allSatisfy { $0.name.contains(blind.name) && $0.count == 0 })
    #expect(result.warnings.count == 1)
    #expect(
      result.warnings.first?.hasPrefix(
        "\(blind.name) saw none of the packets of east-west, which were seen behind it") == true)
    // The others close the gap.
    let neighbours = result.segments.filter(\.isNeighbour)
    #expect(neighbours.count == 5 && neighbours.allSatisfy { $0.fates == Fates(count: 23) })
    #expect(abs(neighbours.compactMap(\.share).reduce(0, +) - 1) < 1e-9)
    #expect(try result.segment("east-west", "txg0-rxg1").fates == Fates(count: 23))
  }

  @Test func tcpPassesABlindHookPointToo() throws {
    var lab = Lab()
    for packet in 0..<23 {
      let range = UInt64(packet) * 1_000..<(UInt64(packet) + 1) * 1_000
      let hooks = [HookPoint.txg0, .txg1, .txg2, .txh0, .rxh1]
      for (place, hook) in hooks.enumerated() {
        lab.data(hook, at: Int64(packet) * millisecond + Int64(place) * 1_000, range, key: UInt64(packet) + 1)
      }
      lab.read(at: Int64(packet) * millisecond + 6_000, range)
    }
    let result = try lab.analysed()
    #expect(try result.segment("east-west", "rxh1-rxg1").fates == Fates(count: 23))
    #expect(try result.segment("east-west", "txg0-rxg1").fates == Fates(count: 23))
    #expect(try result.segment("east-west", "rxh1-rxg0").invalid != nil)
    #expect(result.segments.allSatisfy { $0.lost == 0 })
  }

  @Test func aPacketThatWasMissedOnceIsNotLostEither() throws {
    var lab = Lab()
    for packet in 0..<23 {
      let hooks = [HookPoint].eastWest.filter { $0 != .rxh1 || packet != 7 }
      lab.packet(hooks, from: Int64(packet) * millisecond, key: UInt64(packet) + 1)
    }
    lab.packet(.tx, from: 50 * millisecond, key: 99)
    let result = try lab.analysed()
    #expect(try result.segment("east-west", "txh0-rxh1").fates == Fates(count: 22, lost: 1, unmatched: 1))
    #expect(try result.segment("east-west", "rxh1-rxg0").fates == Fates(count: 22, unmatched: 1))
    #expect(try result.segment("east-west", "txg0-rxg1").fates == Fates(count: 23, lost: 1))
    #expect(
      result.warnings == [
        "east-west txh0-rxh1: 1 packets were not seen at rxh1 but behind it: they are not lost, rxh1 missed them (unmatched)"
      ])
  }
}

@Suite struct FlowGroupTests {
  private func flow(_ id: UInt32, _ source: UInt8, _ destination: UInt8, _ from: UInt16, _ to: UInt16, udp: Bool = true)
    -> Flow
  {
    Flow(
      id: id, ipProtocol: udp ? 17 : 6, source: [10, 0, 0, source], destination: [10, 0, 0, destination],
      sourcePort: from,
      destinationPort: to)
  }

  /// Both ways of a ping-pong, slow one way, and another application beside it.
  private func lab() -> Lab {
    var lab = Lab()
    for packet in 0..<200 {
      let at = Int64(packet) * millisecond
      lab.packet(.eastWest, from: at, step: 1_000, key: 1_000 + UInt64(packet), flow: 1)
      lab.packet(.eastWest, from: at + 100_000, step: 5_000, key: 2_000 + UInt64(packet), flow: 2)
      if packet % 2 == 0 {
        lab.packet(.eastWest, from: at + 300_000, step: 2_000, key: 3_000 + UInt64(packet), flow: 3)
      }
    }
    lab.packet(.tx, from: 500 * millisecond, key: 9_999, flow: 3)
    for flow in [flow(1, 1, 2, 40_000, 53), flow(2, 2, 1, 53, 40_000), flow(3, 1, 2, 40_001, 80, udp: false)] {
      lab.recording.flows[flow.id] = flow
    }
    return lab
  }

  private func groups(_ keys: [FlowKey]) throws -> [String: SegmentResult] {
    var lab = lab()
    lab.options.groupBy = keys
    let result = try lab.analysed()
    return Dictionary(
      result.groups.filter { $0.name == "txg0-rxg1" }.map { ($0.group ?? "", $0) }, uniquingKeysWith: { $1 })
  }

  @Test func withoutKeysThereAreNone() throws {
    let result = try lab().analysed()
    #expect(result.groups.isEmpty)
    #expect(try result.segment("east-west", "txg0-rxg1").fates == Fates(count: 500, lost: 1))
  }

  @Test func byHost() throws {
    let groups = try groups([.host])
    #expect(groups.keys.sorted() == ["10.0.0.1 -> 10.0.0.2", "10.0.0.2 -> 10.0.0.1"])
    #expect(groups["10.0.0.2 -> 10.0.0.1"]?.delays == Column([Int64](repeating: 30_000, count: 200)))
    #expect(groups["10.0.0.1 -> 10.0.0.2"]?.fates == Fates(count: 300, lost: 1))
  }

  @Test func byPortProtocolAndFlow() throws {
    #expect(try groups([.port]).mapValues(\.count) == ["udp to 53": 200, "udp from 53": 200, "tcp to 80": 100])
    #expect(try groups([.proto]).mapValues(\.count) == ["udp": 400, "tcp": 100])
    #expect(
      try groups([.flow]).keys.sorted() == [
        "tcp 10.0.0.1:40001 -> 10.0.0.2:80", "udp 10.0.0.1:40000 -> 10.0.0.2:53", "udp 10.0.0.2:53 -> 10.0.0.1:40000",
      ])
    #expect(try groups([.proto, .host])["tcp, 10.0.0.1 -> 10.0.0.2"]?.lost == 1)
  }

  @Test func groupsAddUpToTheWhole() throws {
    var lab = lab()
    lab.options.groupBy = [.port]
    let result = try lab.analysed()
    for whole in result.segments {
      let parts = result.groups.filter { $0.name == whole.name }
      #expect(parts.reduce(0) { $0 + $1.count } == whole.count)
      #expect(parts.reduce(0) { $0 + $1.lost } == whole.lost)
      #expect(parts.flatMap(\.delays).sorted() == whole.delays.sorted())
    }
  }

  @Test func onlyOneGroupIsTheWhole() throws {
    var lab = lab()
    lab.options.groupBy = [.port]
    lab.options.filter = try FlowFilter("tcp")
    let result = try lab.analysed()
    #expect(result.groups.isEmpty)
    #expect(try result.segment("east-west", "txg0-rxg1").fates == Fates(count: 100, lost: 1))
  }

  @Test func theSlowestHaveAShareOfTheirOwn() throws {
    var lab = Lab()
    for packet in 0..<1_000 {
      let at = Int64(packet) * millisecond
      let isSlow = packet % 100 == 50
      for (place, hook) in [HookPoint].eastWest.enumerated() {
        let wait: Int64 = isSlow && place >= 5 ? 90_000 : 0
        lab.stamp(hook, at: at + Int64(place) * 1_000 + wait, key: UInt64(packet) + 1)
      }
    }
    // 10 of 1 000 took 96 µs, 91 of them in rxh1-rxg0; the p99 is that of the others.
    let segment = try lab.analysed().segment("east-west", "rxh1-rxg0")
    #expect(segment.slowCount == 10)
    #expect(abs((segment.slowShare ?? 0) - 91.0 / 96) < 1e-9)
    #expect(abs((segment.share ?? 0) - 1_900.0 / 6_900) < 1e-9)
  }
}

@Suite struct FlowFilterTests {
  private let udp = Flow(
    id: 1, ipProtocol: 17, source: [10, 77, 0, 1], destination: [10, 77, 0, 2], sourcePort: 40_000, destinationPort: 53)
  private let tcp = Flow(
    id: 2, ipProtocol: 6, source: [0xfd] + [UInt8](repeating: 0, count: 14) + [1],
    destination: [0xfd] + [UInt8](repeating: 0, count: 14) + [2], sourcePort: 443, destinationPort: 50_000)
  private let icmp = Flow(
    id: 3, ipProtocol: 1, source: [10, 77, 0, 1], destination: [10, 78, 0, 2], sourcePort: 0, destinationPort: 0)

  @Test(arguments: [
    ("udp", "u"), ("tcp or icmp", "ti"), ("ip", "ui"), ("ip6", "t"), ("port 53", "u"), ("src port 53", ""),
    ("dst port 53", "u"), ("tcp port 443", "t"), ("udp port 443", ""), ("portrange 50-500", "ut"),
    ("host 10.77.0.1", "ui"),
    ("dst host 10.77.0.2", "u"), ("net 10.77.0.0/16 and not udp", "i"), ("dst net 10.78.0.0/16", "i"),
    ("host fd00::1", "t"),
    ("host fd::1", ""), ("net 10.0.0.0/8", "ui"), ("net 0.0.0.0/0", "ui"), ("proto 6", "t"), ("! (udp || tcp)", "i"),
    ("udp or tcp and port 443", "t"), ("src 10.77.0.1", "ui"), ("port 0", ""),
    ("net 10.77.0.0/17 && udp dst port 53", "u"),
    ("not not udp", "u"),
  ])
  func takes(_ text: String, _ taken: String) throws {
    let filter = try FlowFilter(text)
    let found = zip("uti", [udp, tcp, icmp]).filter { filter.matches($0.1) }.map(\.0)
    #expect(String(found) == taken)
  }

  @Test(arguments: [
    ("", 1), ("udp and", 8), ("port", 5), ("port http", 6), ("port 65536", 6), ("host example.org", 6), ("(udp", 5),
    ("udp )", 5), ("udp port", 9), ("portrange 5-3", 11), ("net 10.0.0.0/33", 5), ("len > 100", 1), ("udp[8] = 1", 1),
    ("host 10.0.0.1/8", 6), ("port -1", 6),
  ])
  func refuses(_ text: String, _ column: Int) {
    let error = #expect(throws: FlowFilterError.self) { try FlowFilter(text) }
    #expect(error?.column == column, "\(error?.description ?? "")")
  }

  @Test func nestingHasABound() {
    #expect(throws: FlowFilterError.self) { try FlowFilter(String(repeating: "(", count: 100_000)) }
    #expect(throws: FlowFilterError.self) { try FlowFilter(String(repeating: "not ", count: 100_000) + "udp") }
  }
}
