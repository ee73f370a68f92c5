// SPDX-License-Identifier: GPL-2.0-or-later
import Recording
import Testing

@testable import Analysis

/// Constants of two ports, and delays corrected by them.
@Suite struct CalibrationTests {
  private let session = Session(id: "loop", members: [], labels: [:], commandLine: [], createdAt: 1_700_000_000)

  /// Frames through a cable both ways, the delays in no order: 500 … 599 ns there, 700 … 799 ns back.
  private func loop(_ clock: WireClock = .hardware, lost: Int = 0) -> WireLab {
    var tap = WireLab([WirePathTests.eth0, WirePathTests.eth1])
    for packet in 0..<1_000 {
      let at = Int64(packet) * millisecond
      let jitter = Int64(packet * 37 % 100)
      for (way, base) in [Int64(500), 700].enumerated() {
        let key = UInt64(2 * packet + way + 1)
        tap.stamp(.wireOut, at: at, key: key, flow: UInt32(way + 1), interface: UInt8(way), clock: clock)
        if way == 0, packet < lost { continue }
        tap.stamp(
          .wireIn, at: at + base + jitter, key: key, flow: UInt32(way + 1), interface: UInt8(1 - way), clock: clock)
      }
    }
    return tap
  }

  private func fitted() throws -> Calibration { try Calibration(loop().recording, session: session) }

  @Test func constantsAreMediansWithIntervals() throws {
    let found = try Calibration(loop(lost: 23).recording, session: session)
    let (there, back) = (found.directions[0], found.directions[1])
    #expect(
      [there.from, there.to, there.transmitClock, there.receiveClock] == ["eth0", "eth1", "hardware", "hardware"])
    #expect([back.from, back.to] == ["eth1", "eth0"] && there.isHardware)
    #expect((there.count, there.lost) == (977, 23) && (back.count, back.lost) == (1_000, 0))
    #expect(abs(there.constant - 549) <= 2 && back.constant == 749)
    #expect((back.least, back.greatest, back.error) == (700, 799, 0))
    #expect(back.interval[0] <= 749 && back.interval[1] >= 749 && back.interval[1] - back.interval[0] < 15)
    #expect(found.asymmetry == there.constant - 749)
    #expect(
      found.asymmetryInterval == [there.interval[0] - back.interval[1], there.interval[1] - back.interval[0]])
    #expect(found.hostname == "lab" && found.createdAt == 1_700_000_000)
  }

  /// Each port has a clock of its own: the constant carries the error of comparing them.
  @Test func twoHardwareClocks() throws {
    var recording = loop().recording
    recording.clockCrosses += recording.clockCrosses.map { cross in
      var other = cross
      other.device = 5
      other.deviceTime += 1_000_000_000_000
      return other
    }
    recording.clockCrosses.sort { $0.time < $1.time }
    for index in recording.wireStamps.indices where recording.wireStamps[index].interface == 1 {
      recording.wireStamps[index].device = 5
      recording.wireStamps[index].at += 1_000_000_000_000
    }
    let found = try Calibration(recording, session: session)
    for (direction, constant) in zip(found.directions, [549, 749] as [Int64]) {
      #expect(direction.count == 1_000 && direction.error > 0 && direction.error < 30_000)
      #expect(abs(direction.constant - constant) <= direction.error)
    }
  }

  /// The kernel's stamps of sent frames are there as well: the hardware's count where it has nearly all.
  @Test(arguments: [(950, WireClock.hardware), (100, .kernel)])
  func theBestClockOfAPort(_ stamped: Int, _ clock: WireClock) throws {
    var recording = loop().recording
    let sent = recording.wireStamps.filter { $0.stamp.hook == .wireOut }
    recording.wireStamps.removeAll { $0.stamp.hook == .wireOut && Int($0.stamp.key) > 2 * stamped }
    recording.wireStamps += sent.map { wire in
      WireStamp(
        stamp: wire.stamp, at: wire.at - WireLab.ahead - 3_000, clock: .kernel, interface: wire.interface)
    }
    let found = try Calibration(recording, session: session)
    #expect(found.directions.allSatisfy { $0.transmitClock == clock.name && $0.receiveClock == "hardware" })
    #expect(found.directions[0].count == (clock == .hardware ? stamped : 1_000))
  }

  @Test func withoutACableNothingComes() throws {
    var recording = loop().recording
    recording.wireStamps.removeAll { $0.stamp.hook == .wireIn }
    let error = #expect(throws: CalibrationError.self) { try Calibration(recording, session: session) }
    #expect(error?.description.hasPrefix("no frame came from eth0 to eth1: is there a cable") == true)
  }

  @Test func fewFramesGiveNoInterval() throws {
    var recording = loop().recording
    recording.wireStamps.removeAll { $0.stamp.key > 8 }
    let error = #expect(throws: CalibrationError.self) { try Calibration(recording, session: session) }
    #expect(error?.description.contains("give no interval: send more with --count") == true)
  }

  /// The second half takes longer than the first: for p99 all frames are independent, for the median they are not.
  @Test func framesThatMoveTogetherAreCountedForTheMedian() throws {
    var tap = WireLab([WirePathTests.eth0, WirePathTests.eth1])
    for frame in 0..<Int64(100) {
      let key = UInt64(frame + 1)
      tap.stamp(.wireOut, at: frame * millisecond, key: key, flow: 1, interface: 0, clock: .hardware)
      tap.stamp(
        .wireIn, at: frame * millisecond + (frame < 50 ? 500 : 900) + frame * 37 % 100, key: key, flow: 1, interface: 1,
        clock: .hardware)
    }
    let recording = tap.recording
    let error = try #require(
      #expect(throws: CalibrationError.self) { try Calibration(recording, session: session) })
    let match = try #require(error.description.firstMatch(of: /^100 frames from eth0 to eth1, worth (\d+) independent/))
    #expect(try #require(Int(match.1)) < 6)
  }

  /// Through the machine the ports' own time is missing in the delay, through the network it is too much.
  @Test func delaysAreCorrectedByTheWay() throws {
    var tap = WireLab([WirePathTests.eth0, WirePathTests.eth1])
    for packet in 0..<1_000 {
      let at = Int64(packet) * millisecond
      tap.stamp(.wireIn, at: at, key: UInt64(packet + 1), flow: 1, interface: 0)
      tap.stamp(.wireOut, at: at + 9_000, key: UInt64(packet + 1), flow: 1, interface: 1)
      tap.stamp(.wireOut, at: at + 50_000, key: UInt64(packet + 2_001), flow: 2, interface: 0)
      tap.stamp(.wireIn, at: at + 80_000, key: UInt64(packet + 2_001), flow: 2, interface: 1)
    }
    var result = try WireLab.analysed(tap, [])
    let calibration = try fitted()
    try result.apply(calibration)
    // In at eth0, out at eth1: eth1's transmitter and eth0's receiver are those of the way back.
    let inside = try result.segment("eth0-eth1", "wire-in-wire-out")
    #expect(inside.delays.allSatisfy { $0 == 9_749 } && inside.summary?.max == 9_749)
    let outside = try result.segment("eth0-net-eth1", "wire-out-wire-in")
    #expect(outside.delays.allSatisfy { $0 == 30_000 - 549 })
    #expect(inside.errorBound == calibration.directions[1].uncertainty && inside.errorBound > 0)
    #expect(result.calibrations.map(\.added) == [749, -549])
    #expect(result.calibrations.map { [$0.from, $0.to] } == [["eth1", "eth0"], ["eth0", "eth1"]])
    #expect(result.calibrations.allSatisfy { $0.isHardware && $0.createdAt == 1_700_000_000 })
  }

  /// What hook points explain stays; the ports' time is in the part that they do not.
  @Test func theUnexplainedPartGetsTheConstant() throws {
    var lab = Lab(hooks: ["txg1", "txh1", "rxh0"], paths: WirePathTests.nic)
    var tap = WireLab([WirePathTests.eth0, WirePathTests.eth1])
    for packet in 0..<100 {
      let at = Int64(packet) * millisecond
      tap.stamp(.wireIn, at: at - 2_000, key: UInt64(packet + 1))
      lab.packet([.rxh0, .txg1, .txh1], from: at, key: UInt64(packet + 1))
      tap.stamp(.wireOut, at: at + 5_000, key: UInt64(packet + 1), interface: 1)
    }
    var result = try WireLab.analysed(tap, [lab])
    try result.apply(try fitted())
    let segment = try result.segment("forward", "wire-in-wire-out")
    #expect(segment.delays.allSatisfy { $0 == 7_749 })
    let wire = try #require(segment.wire)
    #expect(wire.explained.max == 2_000 && wire.unexplained.min == 5_749 && wire.unexplained.max == 5_749)
    #expect(wire.unexplained.mean == 5_749 && wire.unexplained.quantiles.first?.value == 5_749)
  }

  @Test(arguments: ["clock", "host", "device"])
  func anotherPortsConstantIsNotApplied(_ what: String) throws {
    var tap = WireLab([WirePathTests.eth0, what == "device" ? ("eth7", WirePathTests.eth1.hooks) : WirePathTests.eth1])
    for packet in 0..<100 {
      let at = Int64(packet) * millisecond
      let clock = what == "clock" ? WireClock.kernel : .hardware
      tap.stamp(.wireIn, at: at, key: UInt64(packet + 1), interface: 0, clock: clock)
      tap.stamp(.wireOut, at: at + 9_000, key: UInt64(packet + 1), interface: 1, clock: clock)
    }
    if what == "host" { tap.recording.machine.hostname = "other" }
    var result = try WireLab.analysed(tap, [])
    let calibration = try fitted()
    let error = #expect(throws: CalibrationError.self) { try result.apply(calibration) }
    #expect(error?.description.contains("so it was not applied") == true)
    #expect(result.segments.allSatisfy { $0.delays.allSatisfy { $0 == 9_000 } } && result.calibrations.isEmpty)
  }
}
