// SPDX-License-Identifier: GPL-2.0-or-later
import Recording
import Testing

@testable import Analysis

@Suite struct PathTests {
  @Test func twoContainersBothWaysAndTheHost() throws {
    var lab = Lab()
    for packet in 0..<23 {
      let at = Int64(packet) * millisecond
      lab.packet(.eastWest, from: at, key: 1_000 + UInt64(packet), flow: 1)
      lab.packet(.eastWest, from: at + 100_000, key: 2_000 + UInt64(packet), flow: 2)
      lab.packet(.tx, from: at + 200_000, key: 3_000 + UInt64(packet), flow: 3)
      lab.packet(.rx, from: at + 300_000, key: 4_000 + UInt64(packet), flow: 4)
    }
    let result = try lab.analysed()
    for segment in result.segments {
      #expect(segment.fates == Fates(count: segment.direction == "east-west" ? 46 : 23), "\(segment.name)")
    }
    #expect(result.segments.filter { $0.direction == "tx" }.count == 4)
    #expect(result.segments.filter { $0.direction == "rx" }.count == 3)
    #expect(result.segments.filter { $0.direction == "east-west" }.count == 7)
  }

  @Test func aPacketLostBetweenContainersIsLostThere() throws {
    var lab = Lab()
    lab.packet(.eastWest, from: 0, key: 1, flow: 1)
    lab.packet(.tx, from: millisecond, key: 2, flow: 1)
    let result = try lab.analysed()
    #expect(try result.segment("east-west", "txh0-rxh1").fates == Fates(count: 1, lost: 1))
    #expect(result.segments.contains { $0.direction == "tx" } == false)
  }

  @Test func aFlowThatNeverGetsThroughTakesTheShortestPathThatExplainsIt() throws {
    var lab = Lab()
    lab.packet([.txg0, .txg1], from: 0, key: 1, flow: 1)
    lab.packet([.txg0, .txg1, .txg2, .txh0, .rxh1], from: 0, key: 2, flow: 2)
    let result = try lab.analysed()
    #expect(try result.segment("tx", "txg1-txg2").fates == Fates(lost: 1))
    #expect(try result.segment("east-west", "rxh1-rxg0").fates == Fates(lost: 1))
    #expect(result.segments.contains { $0.direction == "rx" } == false)
  }

  @Test func choice() {
    let paths = PathSet(machines: [Lab().recording.machine])
    #expect(paths.order == [.txg0, .txg1, .txg2, .txh0, .rxh1, .rxg0, .rxg1])
    func bits(_ hooks: [HookPoint]) -> UInt32 { hooks.reduce(0) { $0 | $1.bit } }
    #expect(paths.choose(seen: bits(.tx)) == 0)
    #expect(paths.choose(seen: bits([.txh0])) == 0)
    #expect(paths.choose(seen: bits(.rx)) == 1)
    #expect(paths.choose(seen: bits([.txh0, .rxh1])) == 2)
    #expect(paths.choose(seen: bits([.rxg1])) == 1)
    #expect(paths.choose(seen: 0) == nil)
    #expect(paths.choose(seen: HookPoint.txh2.bit) == nil)
  }

  @Test func whereFewPacketsAreStampedTheOthersAreNotLost() throws {
    let tx: [HookPoint] = [.txg1, .txg2, .txgk, .txhk, .txh0]
    let rx: [HookPoint] = [.rxh1, .rxhc, .rxgi, .rxg0]
    var lab = Lab(
      hooks: (tx + rx).map(\.name),
      paths: [Path(name: "tx", hooks: tx.map(\.name)), Path(name: "rx", hooks: rx.map(\.name))])
    for packet in 0..<23 {
      let at = Int64(packet) * millisecond
      lab.packet([.txg1, .txg2, .txh0], from: at, step: 10_000, key: 1_000 + UInt64(packet), flow: 1)
      lab.packet([.rxh1, .rxhc, .rxg0], from: at, step: 10_000, key: 2_000 + UInt64(packet), flow: 2)
      guard packet % 5 == 0 else { continue }
      lab.stamp(.txgk, at: at + 12_000, key: 1_000 + UInt64(packet), flow: 1)
      // The worker and the interrupt may come before what they then take along.
      lab.stamp(.txhk, at: at + 9_000, key: 1_000 + UInt64(packet), flow: 1)
      lab.stamp(.rxgi, at: at + 8_000, key: 2_000 + UInt64(packet), flow: 2)
    }
    let result = try lab.analysed()
    #expect(
      result.segments.map { "\($0.direction) \($0.name)" } == [
        "tx txg1-txg2", "tx txg2-txh0", "tx txg2-txgk", "tx txhk-txh0", "tx txg1-txh0",
        "rx rxh1-rxhc", "rx rxhc-rxg0", "rx rxgi-rxg0", "rx rxh1-rxg0",
      ])
    for segment in result.segments {
      let isOccasional = ["txg2-txgk", "txhk-txh0", "rxgi-rxg0"].contains(segment.name)
      #expect(segment.fates == Fates(count: isOccasional ? 5 : 23), "\(segment.name)")
    }
    #expect(try result.segment("tx", "txg2-txgk").delays == [Int64](repeating: 2_000, count: 5))
    #expect(try result.segment("tx", "txhk-txh0").delays == [Int64](repeating: 11_000, count: 5))
    #expect(try result.segment("rx", "rxgi-rxg0").delays == [Int64](repeating: 12_000, count: 5))
    #expect(try result.segment("tx", "txg2-txh0").share == 0.5)
    #expect(result.warnings == [])
  }

  @Test func theOrderOfPathsDoesNotHideTheShorterOne() {
    let paths = PathSet(machines: [Lab(paths: Lab.vethPaths.reversed()).recording.machine])
    #expect(paths.choose(seen: HookPoint.txg1.bit | HookPoint.txg2.bit) == 2)
    #expect(paths.choose(seen: HookPoint.rxg0.bit) == 1)
  }

  @Test func segmentNamesMayHoldADash() {
    #expect(PathSet.segment(named: "wire-in-txh0")?.from == .wireIn)
    #expect(PathSet.segment(named: "txh2-wire-out")?.to == .wireOut)
    #expect(PathSet.segment(named: "txg1") == nil)
    #expect(PathSet.segment(named: "txg1-txg1") == nil)
    #expect(PathSet.segment(named: "-") == nil)
  }

  @Test func contradictingPathsStillHaveAnOrder() {
    var machine = Lab().recording.machine
    machine.paths = [Path(name: "a", hooks: ["txg1", "txg2"]), Path(name: "b", hooks: ["txg2", "txg1", "nowhere"])]
    let paths = PathSet(machines: [machine])
    #expect(Set(paths.order) == [.txg1, .txg2])
    #expect(paths.warnings.count == 1)
  }

  @Test func addressTranslationChangesTheFlow() throws {
    var lab = Lab()
    lab.recording.machine.identity = "nat-proof"
    for packet in 0..<23 {
      let at = Int64(packet) * millisecond
      let isLost = packet == 11
      lab.packet(.tx, from: at, key: UInt64(packet) + 1, flow: 1)
      if !isLost { lab.packet(.rx, from: at + 4_000, key: UInt64(packet) + 1, flow: 2) }
    }
    let result = try lab.analysed()
    #expect(Set(result.segments.map(\.direction)) == ["east-west"])
    #expect(try result.segment("east-west", "txg2-txh0").fates == Fates(count: 23))
    #expect(try result.segment("east-west", "txh0-rxh1").fates == Fates(count: 22, lost: 1))
    #expect(try result.segment("east-west", "txg0-rxg1").fates == Fates(count: 22, lost: 1))
  }

  @Test func translatedTCPIsReadUnderTheReceiversFlow() throws {
    var lab = Lab()
    lab.recording.machine.identity = "nat-proof"
    for packet in 0..<23 {
      let range = UInt64(packet) * 1_000..<(UInt64(packet) + 1) * 1_000
      for (index, hook) in [HookPoint].eastWest.dropLast().enumerated() {
        lab.data(
          hook, at: Int64(packet) * 10_000 + Int64(index) * 1_000, range, key: UInt64(packet) + 1,
          flow: hook.rawValue < HookPoint.rxh1.rawValue ? 1 : 2)
      }
      // Another connection's bytes with the same numbers.
      lab.read(at: Int64(packet) * 10_000 + 6_000, range, flow: 3)
      lab.read(at: Int64(packet) * 10_000 + 7_000, range, flow: 2)
    }
    // Split behind the translation: the parts have other keys and the other flow.
    lab.data(.txg1, at: second, 50_000..<52_000, key: 500, flow: 1)
    lab.data(.txg2, at: second + 1_000, 50_000..<52_000, key: 500, flow: 1)
    lab.data(.txh0, at: second + 2_000, 50_000..<52_000, key: 500, flow: 1)
    for (index, hook) in [HookPoint.rxh1, .rxg0].enumerated() {
      let at = second + 3_000 + Int64(index) * 1_000
      lab.data(hook, at: at, 50_000..<51_000, key: 501, flow: 2)
      lab.data(hook, at: at + 100, 51_000..<52_000, key: 502, flow: 2)
    }
    lab.read(at: second + 9_000, 50_000..<52_000, flow: 2)
    let result = try lab.analysed()
    #expect(try result.segment("east-west", "rxg0-rxg1").fates == Fates(count: 25))
    #expect(try result.segment("east-west", "rxg0-rxg1").delays.prefix(23).allSatisfy { $0 == 2_000 })
    #expect(try result.segment("east-west", "txg0-rxg1").delays == [Int64](repeating: 7_000, count: 23))
    let split = try result.segment("east-west", "txh0-rxh1")
    #expect(split.fates == Fates(count: 24))
    #expect(split.delays.last == 1_100)
  }

  @Test func machinesOfOneBootShareAClock() throws {
    var guest = Lab(hooks: ["txg1", "txg2"], name: "guest-lab")
    var host = Lab(hooks: ["txh0"], name: "host-lab")
    for packet in 0..<23 {
      let at = Int64(packet) * millisecond
      guest.packet([.txg1, .txg2], from: at, key: UInt64(packet) + 1)
      host.stamp(.txh0, at: at + 5_000, key: UInt64(packet) + 1)
    }
    let result = try Lab.analyse([host, guest])
    #expect(result.clockMethod == "same clock")
    let segment = try result.segment("tx", "txg2-txh0")
    #expect(segment.fates == Fates(count: 23))
    #expect(segment.delays.allSatisfy { $0 == 4_000 })
    #expect(segment.from == Point(hook: .txg2, machine: "guest-lab"))
    #expect(segment.to == Point(hook: .txh0, machine: "host-lab"))
  }

  @Test func machinesOfOtherBootsAreNotCompared() throws {
    var guest = Lab(hooks: ["txg1", "txg2"], name: "guest-lab", bootID: "boot-b")
    var host = Lab(hooks: ["txh0", "rxh1"], name: "host-lab")
    for packet in 0..<23 {
      let at = Int64(packet) * millisecond
      guest.packet([.txg1, .txg2], from: at, key: UInt64(packet) + 1)
      host.packet([.txh0, .rxh1], from: at + 77 * second, key: UInt64(packet) + 1)
    }
    let result = try Lab.analyse([guest, host])
    #expect(result.clockMethod == nil)
    #expect(result.clockError == nil)
    #expect(result.warnings.contains { $0.contains("not aligned") })
    // The flow is known to go all the way, by what both machines saw of it.
    #expect(result.segments.map(\.name) == ["txg1-txg2", "txh0-rxh1"])
    #expect(result.segments.allSatisfy { $0.direction == "east-west" && $0.count == 23 && $0.share == nil })
    #expect(result.segments[1].packets.first == 23)
  }

  @Test func aHookPointOnSeveralMachinesIsOnePlace() throws {
    var first = Lab(hooks: ["txg1", "txg2", "rxg0"], name: "guest-a")
    var second = Lab(hooks: ["txg1", "txg2", "rxg0"], name: "guest-b")
    second.recording.machine.stoppedAt = Lab.start + 1_500_000_000
    first.packet([.txg1, .txg2], from: 0, key: 1)
    second.stamp(.rxg0, at: 5_000, key: 1)
    first.packet([.txg1, .txg2], from: 1_000 * millisecond, key: 2)
    let segment = try Lab.analyse([first, second]).segment("east-west", "txg2-rxg0")
    #expect(segment.fates == Fates(count: 1, cutOff: 1))
    #expect(segment.to.machine == "guest-a+guest-b")
  }

  @Test func stampsOffThePathsAreNamed() throws {
    var lab = Lab()
    lab.packet(.tx, from: 0, key: 1)
    lab.stamp(.txh2, at: 9_000, key: 1)
    #expect(try lab.analysed().warnings == ["1 stamps at txh2, which is not attached or on no path: left out"])
  }
}
