// SPDX-License-Identifier: GPL-2.0-or-later
import Recording
import Testing

@testable import Analysis

@Suite struct WirePathTests {
  static let eth0 = (name: "eth0", hooks: ["wire-in", "wire-out"])
  static let eth1 = (name: "eth1", hooks: ["wire-in", "wire-out"])
  static let beside = [(name: "t0", hooks: ["wire-in"]), (name: "t1", hooks: ["wire-out"])]

  static let nic = [
    Path(name: "tx", hooks: ["txg0", "txg1", "txh1", "txh2"]), Path(name: "rx", hooks: ["rxh0", "rxg1"]),
    Path(name: "forward", hooks: ["rxh0", "txg1", "txh1", "txh2"]),
  ]

  private func machine() -> Lab {
    var lab = Lab(hooks: ["txg0", "txg1", "txh1", "txh2", "rxh0", "rxg1"], paths: Self.nic)
    lab.watch(["txg1": ["1:2"], "txh1": ["1:2"], "txh2": ["1:2"], "rxh0": ["1:2"]])
    return lab
  }

  private func names(_ result: SessionResult) -> [String] { result.segments.map { "\($0.direction) \($0.name)" } }

  /// A NIC that stamps in hardware: the wire is at the ends of what leaves and of what comes.
  @Test func theWireEndsThePathsOfAMachine() throws {
    var lab = machine()
    var tap = WireLab([Self.eth0], devices: ["1:2"])
    for packet in 0..<23 {
      let at = Int64(packet) * millisecond
      lab.packet([.txg0, .txg1, .txh1, .txh2], from: at, key: 1_000 + UInt64(packet), flow: 1)
      tap.stamp(.wireOut, at: at + 2_700, key: 1_000 + UInt64(packet), flow: 1)
      tap.stamp(.wireIn, at: at + 500_000, key: 2_000 + UInt64(packet), flow: 2)
      lab.packet([.rxh0, .rxg1], from: at + 505_000, key: 2_000 + UInt64(packet), flow: 2)
      // Stays on the machine: never asked for on the wire.
      lab.packet([.txg0, .txg1, .txh1, .txh2], from: at + 700_000, key: 3_000 + UInt64(packet), flow: 3)
    }
    let result = try WireLab.analysed(tap, [lab])
    #expect(
      names(result) == [
        "tx txg0-txg1", "tx txg1-txh1", "tx txh1-txh2", "tx txh2-wire-out", "tx txg0-txh2", "tx txg0-wire-out",
        "rx wire-in-rxh0", "rx rxh0-rxg1", "rx wire-in-rxg1",
      ])
    for segment in result.segments {
      let isEverywhere = segment.direction == "tx" && segment.to.hook != .wireOut
      #expect(segment.fates == Fates(count: isEverywhere ? 46 : 23), "\(segment.name)")
    }
    let error = try result.segment("rx", "wire-in-rxh0").errorBound
    #expect(error > 0 && error < 20_000)
    #expect(try result.segment("rx", "wire-in-rxh0").delays.allSatisfy { abs($0 - 5_000) <= error })
    // The driver lets go of the buffer after the frame has left: 300 ns, below the clock error here.
    #expect(try result.segment("tx", "txh2-wire-out").delays.allSatisfy { abs($0 + 300) <= error })
    #expect(result.clockFaults == [] && result.warnings == [])
  }

  /// A hardware stamp behind the driver's delivery is a clock that is wrong; the kernel's stamp is not.
  @Test(arguments: [WireClock.hardware, .kernel])
  func provenanceDecidesWhatAnEarlyPacketMeans(_ clock: WireClock) throws {
    var lab = machine()
    var tap = WireLab([Self.eth0], devices: ["1:2"])
    for packet in 0..<23 {
      let at = Int64(packet) * millisecond
      lab.packet([.rxh0, .rxg1], from: at, step: 400_000, key: UInt64(packet + 1), flow: 2)
      tap.stamp(.wireIn, at: at + 250_000, key: UInt64(packet + 1), flow: 2, clock: clock)
    }
    let result = try WireLab.analysed(tap, [lab])
    let segment = try result.segment("rx", "wire-in-rxh0")
    #expect(segment.fates == Fates(count: 23) && segment.delays.allSatisfy { abs($0 + 250_000) <= segment.errorBound })
    if clock == .hardware {
      #expect(result.clockFaults.count == 1 && result.clockFaults[0].hasPrefix("rx wire-in-rxh0: 23 packets arrived"))
    } else {
      #expect(result.clockFaults == [])
      #expect(
        result.warnings == [
          "rx wire-in-rxh0: 23 delays are negative, which is no fault: wire-in has the kernel's time, taken in its stack "
            + "and not at the wire"
        ])
    }
  }

  @Test func aBufferReleasedLateIsNoFault() throws {
    var lab = machine()
    var tap = WireLab([Self.eth0], devices: ["1:2"])
    for packet in 0..<23 {
      let at = Int64(packet) * millisecond
      lab.packet([.txg0, .txg1, .txh1], from: at, key: UInt64(packet + 1))
      lab.stamp(.txh2, at: at + 900_000, key: UInt64(packet + 1))
      tap.stamp(.wireOut, at: at + 100_000, key: UInt64(packet + 1))
    }
    let result = try WireLab.analysed(tap, [lab])
    let segment = try result.segment("tx", "txh2-wire-out")
    #expect(segment.fates == Fates(count: 23) && segment.delays.allSatisfy { abs($0 + 800_000) <= segment.errorBound })
    #expect(result.clockFaults == [] && result.warnings.count == 1)
    #expect(result.warnings.first?.contains("txh2 is when the driver lets go of the buffer") == true)
    #expect(try result.segment("tx", "txg0-wire-out").delays.allSatisfy { abs($0 - 100_000) <= segment.errorBound })
  }

  /// A machine that forwards, between the devices of a tap: what of the wire delay its hook points do not see.
  @Test func whatNoSoftwareSegmentExplains() throws {
    var lab = machine()
    var tap = WireLab(Self.beside, devices: ["9:9"])
    for packet in 0..<101 {
      let at = Int64(packet) * millisecond
      let key = UInt64(packet + 1)
      let early = Int64(packet % 10) * 100
      tap.stamp(.wireIn, at: at - 3_000 - early, key: key)
      lab.packet([.rxh0, .txg1, .txh1, .txh2], from: at, step: 1_500 + Int64(packet), key: key)
      tap.stamp(.wireOut, at: at + 4_500 + 3 * Int64(packet) + 7_000, key: key, interface: 1)
    }
    let result = try WireLab.analysed(tap, [lab])
    #expect(
      names(result) == [
        "forward wire-in-rxh0", "forward rxh0-txg1", "forward txg1-txh1", "forward txh1-txh2",
        "forward txh2-wire-out", "forward rxh0-txh2", "forward wire-in-wire-out",
      ])
    let segment = try result.segment("forward", "wire-in-wire-out")
    #expect(segment.fates == Fates(count: 101) && segment.errorBound == 0)
    let wire = try #require(segment.wire)
    #expect(wire.software == "rxh0-txh2")
    // Exact, although the taps' clock and the kernel's are known to each other only within ε.
    #expect(wire.explained.sorted == (0..<101).map { 4_500 + 3 * Int64($0) })
    #expect(wire.unexplained.sorted == (0..<101).map { 10_000 + Int64($0 % 10) * 100 }.sorted())
    let sums = zip(segment.delays.map { $0 }, 0..<101).map { $0 - (4_500 + 3 * Int64($1)) }
    #expect(wire.unexplained.sorted == sums.sorted())
    #expect(result.segments.filter { $0.wire != nil }.count == 1)
    #expect(result.warnings == [])
  }

  /// The ports of a bridge between two containers: the tap is in the middle, and changes no segment of the path.
  @Test func aTapInTheMiddleOfAPath() throws {
    var lab = Lab()
    lab.watch(["txg2": ["5:2"], "txh0": ["1:7", "1:8"], "rxh1": ["1:7", "1:8"], "rxg0": ["5:2", "6:2"]])
    for packet in 0..<23 { lab.packet(.eastWest, from: Int64(packet) * millisecond, key: UInt64(packet + 1), flow: 1) }
    let alone = try lab.analysed()
    var tap = WireLab(
      [(name: "va", hooks: Self.eth0.hooks), (name: "vb", hooks: Self.eth0.hooks)], devices: ["1:7", "1:8"])
    for packet in 0..<23 {
      let at = Int64(packet) * millisecond
      tap.stamp(.wireIn, at: at + 2_900, key: UInt64(packet + 1), flow: 1, clock: .kernel)
      // Before the driver is called.
      tap.stamp(.wireOut, at: at + 3_600, key: UInt64(packet + 1), flow: 1, interface: 1, clock: .kernel)
    }
    let result = try WireLab.analysed(tap, [lab])
    let added = ["wire-in-txh0", "rxh1-wire-out", "wire-in-wire-out"]
    #expect(names(result).filter { !added.contains(String($0.dropFirst(10))) } == names(alone))
    for segment in alone.segments {
      let same = try result.segment("east-west", segment.name)
      #expect(same.delays == segment.delays && same.share == segment.share && same.isNeighbour == segment.isNeighbour)
    }
    for name in added {
      let segment = try result.segment("east-west", name)
      #expect(segment.fates == Fates(count: 23) && !segment.isNeighbour, "\(name)")
    }
    let wire = try #require(try result.segment("east-west", "wire-in-wire-out").wire)
    #expect(wire.software == "txh0-rxh1" && wire.explained.sorted == [Int64](repeating: 1_000, count: 23))
    #expect(wire.unexplained.sorted == [Int64](repeating: -300, count: 23))
    #expect(result.clockFaults == [])
  }

  /// A guest on its host's clock, and a tap at the host's NIC: the way goes from the guest's queue to the wire and back.
  @Test func fromAGuestToTheWire() throws {
    let machines = TwoMachines()
    var host = machines.host()
    for index in host.machine.hooks.indices where host.machine.hooks[index].name.hasSuffix("h1") {
      host.machine.hooks[index].devices = host.machine.hooks[index].name == "txh1" ? ["1:2"] : ["1:9"]
    }
    for index in host.machine.hooks.indices where host.machine.hooks[index].name.hasSuffix("h0") {
      host.machine.hooks[index].devices = host.machine.hooks[index].name == "rxh0" ? ["1:2"] : ["1:9"]
    }
    var tap = WireLab([Self.eth0], devices: ["1:2"], bootID: "boot-host").recording
    (tap.machine.startedAt, tap.machine.stoppedAt) = (host.machine.startedAt, host.machine.stoppedAt)
    tap.clockSamples = host.clockSamples
    for number in 0..<983 {
      let sent = TwoMachines.packetTime(number)
      for (hook, time, key, flow) in [
        (.wireOut, sent + 4_000 + machines.crossing(number) + 5_000, 1_000_000, 1),
        (.wireIn, sent + 1_000_000 - 3_000, 2_000_000, 2),
      ] as [(HookPoint, Int64, UInt64, UInt32)] {
        let now = machines.hostTime(time)
        tap.wireStamps.append(
          WireStamp(
            stamp: Stamp(
              time: now, key: key + UInt64(number), flow: flow, length: 100, headerLength: 28, hook: hook, kind: .udp),
            at: Int64(now) + TwoMachines.wall, clock: .kernel, interface: 0))
      }
    }
    let result = try TwoMachines.analyse([host, machines.guest(), tap])
    #expect(
      names(result) == [
        "tx txg1-txg2", "tx txg2-txh0", "tx txh0-txh1", "tx txh1-wire-out", "tx txg1-txh1", "tx txg1-wire-out",
        "rx wire-in-rxh0", "rx rxh0-rxh1", "rx rxh1-rxg0", "rx rxg0-rxg1", "rx rxh0-rxg1", "rx wire-in-rxg1",
      ])
    #expect(result.segments.allSatisfy { $0.count == 983 && $0.lost + $0.unmatched == 0 })
    for (path, name, delay) in [("tx", "txh1-wire-out", 5_000), ("rx", "wire-in-rxh0", 3_000)]
      as [(String, String, Int64)]
    {
      let segment = try result.segment(path, name)
      #expect(segment.delays.allSatisfy { abs($0 - delay) <= segment.errorBound } && segment.errorBound < 1_000)
    }
    #expect(result.clockMethod == "tsc" && result.clockFaults == [] && result.warnings == [])
  }

  /// A sender's stamps and a tap's of the same device in one session.
  @Test func aPacketThatTwoStampHasTheBetterClock() throws {
    var lab = machine()
    var tap = WireLab([Self.eth0], devices: ["1:2"])
    var sender = WireLab([("eth0", ["wire-out"])], devices: ["1:2"], name: "send-lab")
    for packet in 0..<23 {
      let at = Int64(packet) * millisecond
      lab.packet([.txg0, .txg1, .txh1, .txh2], from: at, step: 100_000, key: UInt64(packet + 1))
      tap.stamp(.wireOut, at: at + 199_000, key: UInt64(packet + 1), clock: .kernel)
      if packet < 20 { sender.stamp(.wireOut, at: at + 250_000, key: UInt64(packet + 1)) }
    }
    let session = Session(id: "lab", members: [], labels: [:], commandLine: [], createdAt: 0)
    let result = try analyse(session: session, recordings: [lab.sorted, tap.recording, sender.recording])
    let segment = try result.segment("tx", "txg0-wire-out")
    #expect(segment.fates == Fates(count: 23))
    for (number, delay) in segment.delays.enumerated() {
      #expect(abs(delay - (number < 20 ? 250_000 : 199_000)) <= segment.errorBound)
    }
  }

  @Test func packetsLostBetweenTheWireAndAHookPoint() throws {
    var lab = machine()
    var tap = WireLab(Self.beside)
    for packet in 0..<50 {
      let at = Int64(packet) * millisecond
      let key = UInt64(packet + 1)
      tap.stamp(.wireIn, at: at, key: key)
      if packet % 5 == 1 { continue }
      lab.packet([.rxh0, .txg1, .txh1, .txh2], from: at + 3_000, key: key)
      if packet % 5 == 2 { continue }
      tap.stamp(.wireOut, at: at + 9_000, key: key, interface: 1)
    }
    let result = try WireLab.analysed(tap, [lab])
    #expect(try result.segment("forward", "wire-in-rxh0").fates == Fates(count: 40, lost: 10))
    #expect(try result.segment("forward", "txh2-wire-out").fates == Fates(count: 30, lost: 10))
    #expect(try result.segment("forward", "wire-in-wire-out").fates == Fates(count: 30, lost: 20))
    #expect(try #require(try result.segment("forward", "wire-in-wire-out").wire).explained.count == 30)
  }

  /// Hook points that sample know nothing of the other packets.
  @Test func whatHookPointsDoNotSampleIsNotLostThere() throws {
    var lab = machine()
    lab.recording.machine.sampling.oneIn = 4
    var tap = WireLab(Self.beside)
    for packet in 0..<40 {
      let at = Int64(packet) * millisecond
      tap.stamp(.wireIn, at: at, key: UInt64(packet + 1))
      if packet % 4 == 0 { lab.packet([.rxh0, .txg1, .txh1, .txh2], from: at + 3_000, key: UInt64(packet + 1)) }
      tap.stamp(.wireOut, at: at + 9_000, key: UInt64(packet + 1), interface: 1)
    }
    let result = try WireLab.analysed(tap, [lab])
    for segment in result.segments {
      #expect(
        segment.fates == Fates(count: segment.direction == "wire" ? 30 : 10), "\(segment.direction) \(segment.name)")
    }
  }

  @Test func aTapThatStandsElsewhereIsLeftOut() throws {
    var lab = Lab()
    var tap = WireLab(Self.beside, devices: ["9:9"])
    for packet in 0..<23 {
      let at = Int64(packet) * 10 * millisecond
      lab.packet(.eastWest, from: at, step: 100_000, key: UInt64(packet + 1), flow: 1)
      tap.stamp(.wireIn, at: at + 250_000, key: UInt64(packet + 1), flow: 1)
    }
    let result = try WireLab.analysed(tap, [lab])
    #expect(names(result) == names(try lab.analysed()))
    #expect(
      result.warnings == [
        "path east-west: 23 of 23 packets were at wire-in after they had come in: the tap is not at the end of this path, "
          + "or its clock is wrong; left out there"
      ])
  }

  @Test func theTapOfAnotherMachineIsNotJoined() throws {
    var lab = machine()
    var tap = WireLab(Self.beside, name: "wire-other", bootID: "boot-other")
    for packet in 0..<23 {
      let at = Int64(packet) * millisecond
      tap.stamp(.wireIn, at: at, key: UInt64(packet + 1))
      lab.packet([.rxh0, .txg1, .txh1, .txh2], from: at + 3_000, key: UInt64(packet + 1))
      tap.stamp(.wireOut, at: at + 9_000, key: UInt64(packet + 1), interface: 1)
    }
    let result = try WireLab.analysed(tap, [lab])
    #expect(
      names(result) == [
        "forward rxh0-txg1", "forward txg1-txh1", "forward txh1-txh2", "forward rxh0-txh2", "forward wire-in-wire-out",
      ])
    #expect(result.segments.allSatisfy { $0.fates == Fates(count: 23) && $0.wire == nil })
    #expect(result.clockMethod == nil)
    #expect(result.warnings.count == 1)
    #expect(
      result.warnings.first?.hasPrefix(
        "clocks of wire-other and any other machine here are not aligned: segments between")
        == true)
  }
}
