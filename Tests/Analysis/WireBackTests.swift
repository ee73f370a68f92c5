// SPDX-License-Identifier: GPL-2.0-or-later
import Recording
import Testing

@testable import Analysis

/// Traffic both ways at two hook points that do not tell in from out: capture files, and devices of one hook point each.
@Suite struct WireBackTests {
  /// - Parameter files: capture files; 0 for a tap at two devices.
  private func tap(files: Int) -> WireLab {
    var tap = WireLab([(name: "a", hooks: ["wire-in"]), (name: "b", hooks: ["wire-out"])])
    if files > 0 {
      tap.recording.machine.interfaces = nil
      // On the files' clock.
      tap.recording.machine.startedAt += UInt64(WireLab.utc)
      tap.recording.machine.stoppedAt = tap.recording.machine.stoppedAt.map { $0 + UInt64(WireLab.utc) }
      tap.recording.machine.captures = (0..<files).map {
        Capture(file: "\($0)", format: "pcap", interfaces: [], skipped: [:], error: nil)
      }
    }
    for (id, source, destination) in [(1, 1, 2), (2, 2, 1), (3, 1, 3), (4, 3, 1), (5, 1, 4)] as [(UInt32, UInt8, UInt8)]
    {
      tap.recording.flows[id] = Flow(
        id: id, ipProtocol: 17, source: [10, 0, 0, source], destination: [10, 0, 0, destination], sourcePort: 1,
        destinationPort: 2)
    }
    return tap
  }

  /// 23 packets of a flow; `ahead` is the second hook point's clock.
  private func pass(_ tap: inout WireLab, _ flow: UInt32, _ delay: Int64, isBack: Bool, ahead: Int64 = 0) {
    for packet in 0..<23 {
      let (at, key) = (Int64(packet) * millisecond, UInt64(flow) * 1_000 + UInt64(packet))
      let clock: WireClock = tap.recording.machine.captures == nil ? .hardware : .file
      tap.stamp(isBack ? .wireOut : .wireIn, at: at + (isBack ? ahead : 0), key: key, flow: flow, clock: clock)
      let end = at + delay + (isBack ? 0 : ahead)
      tap.stamp(isBack ? .wireIn : .wireOut, at: end, key: key, flow: flow, interface: 1, clock: clock)
    }
  }

  @Test(arguments: [0, 1, 2]) func eachWayHasItsPath(_ files: Int) throws {
    var tap = tap(files: files)
    pass(&tap, 1, 7_000, isBack: false)
    pass(&tap, 2, 11_000, isBack: true)
    // Seen on one side only: lost on the way that its addresses take.
    let clock: WireClock = files == 0 ? .hardware : .file
    tap.stamp(.wireOut, at: 5 * millisecond, key: 77, flow: 2, clock: clock)
    tap.stamp(.wireIn, at: 5 * millisecond, key: 78, flow: 1, clock: clock)
    let result = try WireLab.analysed(tap, [])
    #expect(result.segments.map(\.direction) == ["wire", "wire-back"])
    let there = try result.segment("wire", "wire-in-wire-out")
    let back = try result.segment("wire-back", "wire-out-wire-in")
    #expect(there.delays == [Int64](repeating: 7_000, count: 23) && there.fates == Fates(count: 23, lost: 1))
    #expect(back.delays == [Int64](repeating: 11_000, count: 23) && back.fates == Fates(count: 23, lost: 1))
    #expect(result.warnings == [])
  }

  /// By two files a wrong clock is told from traffic that goes back.
  @Test func aWrongClockIsNoWayBack() throws {
    var tap = tap(files: 2)
    pass(&tap, 1, 7_000, isBack: false, ahead: -8_000)
    pass(&tap, 2, 11_000, isBack: true, ahead: -8_000)
    pass(&tap, 5, 7_000, isBack: false, ahead: -8_000)
    let result = try WireLab.analysed(tap, [])
    #expect(result.segments.map(\.direction) == ["wire"])
    #expect(result.warnings.contains { $0.contains("negative") }, "\(result.warnings)")
  }

  /// One file has one clock: there the order of times is that of packets, whatever the interfaces' numbers.
  @Test(arguments: [0, 1]) func oneClockNeedsNoWitness(_ files: Int) throws {
    var tap = tap(files: files)
    pass(&tap, 2, 11_000, isBack: true)
    let result = try WireLab.analysed(tap, [])
    #expect(result.segments.map(\.direction) == ["wire-back"] && result.warnings == [])
  }

  /// What a ring for both directions dropped is lost at neither hook point of its device.
  @Test func whatATapDroppedIsUnmatched() throws {
    var tap = WireLab([WirePathTests.eth0, WirePathTests.eth1])
    for packet in 0..<20 {
      let (at, key) = (Int64(packet) * millisecond, UInt64(packet + 1))
      tap.stamp(.wireIn, at: at, key: key, flow: 1, interface: 0)
      if packet % 2 == 0 { tap.stamp(.wireOut, at: at + 7_000, key: key, flow: 1, interface: 1) }
    }
    tap.recording.machine.interfaces?[1].ringDrops = 10
    let result = try WireLab.analysed(tap, [])
    #expect(try result.segment("eth0-eth1", "wire-in-wire-out").fates == Fates(count: 10, unmatched: 10))
    #expect(result.warnings.contains { $0.contains("no room for 10 packets at eth1") }, "\(result.warnings)")
  }

  /// Stamps of the other clock are left out: their packets passed.
  @Test func whatIsLeftOutIsUnmatched() throws {
    var tap = WireLab([WirePathTests.eth0, WirePathTests.eth1])
    for packet in 0..<20 {
      let (at, key) = (Int64(packet) * millisecond, UInt64(packet + 1))
      tap.stamp(.wireIn, at: at, key: key, flow: 1, interface: 0)
      tap.stamp(.wireOut, at: at + 7_000, key: key, flow: 1, interface: 1, clock: packet % 5 == 0 ? .kernel : .hardware)
    }
    let result = try WireLab.analysed(tap, [])
    #expect(try result.segment("eth0-eth1", "wire-in-wire-out").fates == Fates(count: 16, unmatched: 4))
  }
}
