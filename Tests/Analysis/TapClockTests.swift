// SPDX-License-Identifier: GPL-2.0-or-later
import Recording
import Testing

@testable import Analysis

/// A tap's stamps of several clocks, and pairs.
@Suite struct TapClockTests {
  private static let utc: Int64 = 1_700_000_000_000_000_000
  /// The hardware clock − CLOCK_MONOTONIC.
  private static let ahead: Int64 = 1_700_001_037_000_000_000

  private func machine() -> MachineRecording {
    var machine = Machine(name: "wire-a", role: "wire", hostname: "a", bootID: "boot", topology: "wire")
    machine.hooks = ["wire-in", "wire-out"].map {
      AttachedHook(name: $0, attachedAs: "packet socket", watches: ["eth0"])
    }
    machine.paths = [Path(name: "wire", hooks: ["wire-in", "wire-out"])]
    machine.startedAt = 1_000_000_000
    machine.stoppedAt = 9_000_000_000
    var recording = MachineRecording(machine: machine)
    for now in stride(from: UInt64(1_000_000_000), through: 9_000_000_000, by: 100_000_000) {
      let time = Int64(now)
      recording.clockSamples.append(
        ClockSample(
          monotonic: now, window: 60, monotonicRaw: time, realtime: time + Self.utc, tai: time, boottime: time, tsc: 0))
      guard time % 500_000_000 == 0 else { continue }
      recording.clockCrosses.append(
        ClockCross(
          time: now, method: .precise, device: 3, window: 0, deviceTime: time + Self.ahead, realtime: time + Self.utc,
          monotonicRaw: time))
    }
    return recording
  }

  private func wire(_ key: UInt64, _ hook: HookPoint, at time: Int64, _ clock: WireClock) -> WireStamp {
    let offset = clock == .hardware ? Self.ahead : clock == .file ? 0 : Self.utc
    return WireStamp(
      stamp: Stamp(time: UInt64(time + 50_000), key: key, flow: 1, length: 100, hook: hook, kind: .udp),
      at: time + offset, clock: clock, interface: 0, device: clock == .hardware ? 3 : 0)
  }

  private func analysed(_ recording: MachineRecording) throws -> SessionResult {
    let session = Session(id: "s", members: ["wire-a"], labels: [:], commandLine: [], createdAt: 0)
    return try analyse(session: session, recordings: [recording])
  }

  @Test(arguments: [(WireClock.kernel, WireClock.kernel), (.hardware, .hardware), (.hardware, .kernel), (.file, .file)])
  func delaysAreThoseOfTheStamps(_ first: WireClock, _ second: WireClock) throws {
    var recording = machine()
    for number in 0..<1_000 {
      let time = 2_000_000_000 + Int64(number) * 1_000_000
      recording.wireStamps.append(wire(UInt64(number + 1), .wireIn, at: time, first))
      recording.wireStamps.append(wire(UInt64(number + 1), .wireOut, at: time + 12_345, second))
    }
    let segment = try #require(try analysed(recording).segments.first { $0.name == "wire-in-wire-out" })
    #expect(segment.count == 1_000)
    // One clock's differences are exact; those of two are within the stated error.
    let error = segment.errorBound
    #expect(first == second ? error == 0 : error > 0 && error < 100_000)
    #expect(segment.delays.allSatisfy { abs($0 - 12_345) <= error })
  }

  @Test func clocksAreNotMixedAtOneHookPoint() throws {
    var recording = machine()
    for number in 0..<100 {
      let time = 2_000_000_000 + Int64(number) * 1_000_000
      recording.wireStamps.append(wire(UInt64(number + 1), .wireIn, at: time, number % 10 == 0 ? .kernel : .hardware))
      recording.wireStamps.append(wire(UInt64(number + 1), .wireOut, at: time + 500, .hardware))
    }
    let result = try analysed(recording)
    #expect(try #require(result.segments.first).count == 90)
    #expect(
      result.warnings.contains(
        "wire-a: 10 stamps at wire-in are of CLOCK_REALTIME, the others of the hardware clock ptp3: left out"),
      "\(result.warnings)")
  }

  /// Two devices that each see both directions, each with a clock of its own: what is received has the device's time, what
  /// is sent the kernel's.
  @Test func eachDeviceHasItsOwnClock() throws {
    var recording = machine()
    recording.machine.interfaces = (0..<2).map {
      TapInterface(
        number: $0, name: "eth\($0)", hooks: ["wire-in", "wire-out"], driver: "test", hardwareClock: 3 + Int($0),
        hardware: "granted")
    }
    recording.clockCrosses += recording.clockCrosses.map { cross in
      var other = cross
      other.device = 4
      other.deviceTime += 5_000_000_000
      return other
    }
    for number in 0..<300 {
      let time = 2_000_000_000 + Int64(number) * 1_000_000
      // Two of three come in at eth0.
      let entry: UInt8 = number % 3 == 0 ? 1 : 0
      var received = wire(UInt64(number + 1), .wireIn, at: time, .hardware)
      received.interface = entry
      received.device = 3 + UInt16(entry)
      received.at += entry == 1 ? 5_000_000_000 : 0
      received.stamp.flow = UInt32(1 + entry)
      var sent = wire(UInt64(number + 1), .wireOut, at: time + 12_345, .kernel)
      sent.interface = 1 - entry
      sent.stamp.flow = UInt32(1 + entry)
      recording.wireStamps += [received, sent]
    }
    let result = try analysed(recording)
    #expect(result.warnings == [])
    for (direction, count) in [("eth0-eth1", 200), ("eth1-eth0", 100)] {
      let segment = try #require(result.segments.first { $0.direction == direction })
      #expect(segment.count == count && segment.lost + segment.unmatched == 0)
      #expect(segment.errorBound > 0 && segment.delays.allSatisfy { abs($0 - 12_345) <= segment.errorBound })
    }
  }

  @Test func whatNeverComesOutIsLost() throws {
    var recording = machine()
    recording.wireStamps = (0..<50).map {
      wire(UInt64($0 + 1), .wireIn, at: 2_000_000_000 + Int64($0) * 1_000_000, .kernel)
    }
    #expect(try #require(try analysed(recording).segments.first).lost == 50)
  }

  @Test func withoutReadingsAHardwareClockIsNoHelp() throws {
    var recording = machine()
    recording.clockCrosses = []
    recording.wireStamps = [wire(1, .wireIn, at: 2_000_000_000, .hardware)]
    let result = try analysed(recording)
    #expect(result.segments.allSatisfy { $0.count == 0 })
    #expect(
      result.warnings.contains { $0.contains("stamps of the hardware clock ptp3 are left out") }, "\(result.warnings)")
  }

  @Test func pairsAreSegmentsByName() throws {
    var recording = machine()
    recording.machine.pairing = PairingAccount(
      names: [
        PairingAccount.Name(name: "dns", ofProtocol: "dns"), PairingAccount.Name(name: "http-GET", ofProtocol: "http"),
      ],
      protocols: [
        PairingAccount.Tally(name: "dns", counts: ["requests": 4, "paired": 3, "unanswered": 1]),
        PairingAccount.Tally(name: "http", counts: ["requests": 4, "paired": 2, "abandoned": 2]),
      ], packets: [:])
    recording.pairs = [
      RecordedPair(name: 0, start: 10, end: 25, last: 25, isRepeated: false),
      RecordedPair(name: 1, start: 5, end: 30, last: 70, isRepeated: false),
      RecordedPair(name: 0, start: 20, end: 40, last: nil, isRepeated: true),
      RecordedPair(name: 7, start: 0, end: 50, last: nil, isRepeated: false),
    ]
    let segments = try analysed(recording).segments.filter { $0.direction != "wire" }
    #expect(segments.map(\.name) == ["dns", "http-GET", "http-GET-last"])
    #expect(segments.map(\.delays) == [[15, 20], [25], [65]])
    #expect(segments.map(\.lost) == [1, 0, 0] && segments.map(\.unmatched) == [0, 2, 2])
    #expect(segments.allSatisfy { $0.summary != nil })
  }
}
