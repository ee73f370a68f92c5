// SPDX-License-Identifier: GPL-2.0-or-later
import Recording
import Testing

@testable import Analysis

/// Two devices that tell in from out: each way through the machine is a path.
@Suite struct WireDirectionTests {
  private func tap() -> WireLab { WireLab([WirePathTests.eth0, WirePathTests.eth1]) }

  @Test func eachWayHasItsOwnDelay() throws {
    var tap = tap()
    for packet in 0..<23 {
      let at = Int64(packet) * millisecond
      tap.stamp(.wireIn, at: at, key: UInt64(packet + 1), flow: 1, interface: 0)
      tap.stamp(.wireOut, at: at + 7_000, key: UInt64(packet + 1), flow: 1, interface: 1)
      tap.stamp(.wireIn, at: at + 300_000, key: UInt64(packet + 101), flow: 2, interface: 1)
      tap.stamp(.wireOut, at: at + 311_000, key: UInt64(packet + 101), flow: 2, interface: 0)
    }
    let result = try WireLab.analysed(tap, [])
    #expect(result.segments.map(\.direction) == ["eth0-eth1", "eth1-eth0"])
    #expect(try result.segment("eth0-eth1", "wire-in-wire-out").delays == [Int64](repeating: 7_000, count: 23))
    #expect(try result.segment("eth1-eth0", "wire-in-wire-out").delays == [Int64](repeating: 11_000, count: 23))
    #expect(Set(result.intervals.map(\.direction)) == ["eth0-eth1", "eth1-eth0"])
    #expect(result.warnings == [])
  }

  @Test func whatNeverComesOutIsLostOnItsWay() throws {
    var tap = tap()
    for packet in 0..<20 {
      let at = Int64(packet) * millisecond
      tap.stamp(.wireIn, at: at, key: UInt64(packet + 1), flow: 1, interface: 1)
      if packet % 2 == 0 { tap.stamp(.wireOut, at: at + 7_000, key: UInt64(packet + 1), flow: 1, interface: 0) }
      // Another flow, of which nothing gets through.
      tap.stamp(.wireIn, at: at, key: UInt64(packet + 101), flow: 2, interface: 0)
    }
    let result = try WireLab.analysed(tap, [])
    #expect(try result.segment("eth1-eth0", "wire-in-wire-out").fates == Fates(count: 10, lost: 10))
    #expect(try result.segment("eth0-eth1", "wire-in-wire-out").fates == Fates(lost: 20))
  }

  /// Packets for the machine itself end there; a request that is lost is known by those beside it.
  @Test(arguments: [false, true]) func whatIsForNobodyBehindIsNotLost(isOfFiles: Bool) throws {
    var tap = tap()
    func flow(_ id: UInt32, to host: UInt8) {
      tap.recording.flows[id] = Flow(
        id: id, ipProtocol: 17, source: [10, 0, 0, 1], destination: [10, 0, 0, host], sourcePort: UInt16(id),
        destinationPort: 53)
    }
    for packet in 0..<20 {
      let at = Int64(packet) * millisecond
      flow(UInt32(packet + 1), to: 2)
      tap.stamp(.wireIn, at: at, key: UInt64(packet + 1), flow: UInt32(packet + 1), interface: 0)
      if packet != 7 {
        tap.stamp(.wireOut, at: at + 7_000, key: UInt64(packet + 1), flow: UInt32(packet + 1), interface: 1)
      }
      flow(100, to: 254)
      tap.stamp(.wireIn, at: at, key: UInt64(packet + 101), flow: 100, interface: 0)
    }
    if isOfFiles { tap.recording.machine.captures = [] }
    let fates = try WireLab.analysed(tap, []).segment("eth0-eth1", "wire-in-wire-out").fates
    #expect(fates == (isOfFiles ? Fates(count: 19, lost: 21) : Fates(count: 19, lost: 1, unmatched: 20)))
  }

  /// A router with one cable, and a flow whose packets leave at either of two devices.
  @Test func waysAreThoseThatPacketsTake() throws {
    var tap = WireLab([WirePathTests.eth0, WirePathTests.eth1, (name: "eth2", hooks: WirePathTests.eth0.hooks)])
    for packet in 0..<20 {
      let at = Int64(packet) * millisecond
      tap.stamp(.wireIn, at: at, key: UInt64(packet + 1), flow: 1, interface: 0)
      tap.stamp(.wireOut, at: at + 7_000, key: UInt64(packet + 1), flow: 1, interface: 0)
      tap.stamp(.wireIn, at: at, key: UInt64(packet + 101), flow: 2, interface: 0)
      // Of five packets three leave at eth1, one at eth2, and one is lost: on the way that most take.
      if packet % 5 == 0 { continue }
      tap.stamp(
        .wireOut, at: at + 9_000, key: UInt64(packet + 101), flow: 2, interface: packet % 5 == 1 ? 2 : 1)
    }
    tap.stamp(.wireIn, at: 50 * millisecond, key: 999, flow: 3, interface: 0)
    let result = try WireLab.analysed(tap, [])
    #expect(result.segments.map(\.direction) == ["wire", "eth0-eth0", "eth0-eth1", "eth0-eth2"])
    #expect(
      result.segments.map(\.fates) == [Fates(lost: 1), Fates(count: 20), Fates(count: 12, lost: 4), Fates(count: 4)])
  }

  /// A machine that sends through a network and gets its packets back: they go out before they come in.
  @Test func whatLiesBetweenTwoDevicesOfOneMachine() throws {
    var tap = tap()
    for packet in 0..<20 {
      let at = Int64(packet) * millisecond
      tap.stamp(.wireOut, at: at, key: UInt64(packet + 1), flow: 1, interface: 0)
      if packet < 15 { tap.stamp(.wireIn, at: at + 40_000, key: UInt64(packet + 1), flow: 1, interface: 1) }
    }
    let result = try WireLab.analysed(tap, [])
    #expect(result.segments.map(\.direction) == ["eth0-net-eth1"])
    let segment = try result.segment("eth0-net-eth1", "wire-out-wire-in")
    #expect(segment.fates == Fates(count: 15, lost: 5) && segment.delays.allSatisfy { $0 == 40_000 })
    #expect(
      segment.wireEnds == ["eth0", "eth1"].map { WireEnd(machine: "wire-lab", device: $0, clock: "hardware") })
  }

  /// Devices that each see one direction have one path, as the user said.
  @Test func namedDevicesKeepTheirPath() throws {
    var tap = WireLab(WirePathTests.beside)
    tap.stamp(.wireIn, at: 0, key: 1)
    tap.stamp(.wireOut, at: 5_000, key: 1, interface: 1)
    #expect(try WireLab.analysed(tap, []).segments.map(\.direction) == ["wire"])
  }
}
