// SPDX-License-Identifier: GPL-2.0-or-later
import Analysis
import Foundation
import Pairing
import Recording
import Testing

@testable import Tap

/// What `latprobe pair` makes of capture files, beside the pairs.
@Suite struct PairImportTests {
  private func read(
    _ paths: [String], _ protocols: [PairingProtocol] = [.dns], order: CaptureOrder = CaptureOrder()
  ) throws -> MachineRecording {
    var reading = try PairImport(paths: paths, pairer: Pairer(protocols), order: order)
    return try reading.run(hostname: "a", session: "s") { nil }
  }

  private func read(_ bytes: [UInt8], _ protocols: [PairingProtocol] = [.dns], order: CaptureOrder = CaptureOrder())
    throws -> MachineRecording
  {
    let scratch = try Scratch()
    return try read([scratch.put("capture", bytes)], protocols, order: order)
  }

  private func report(_ recording: MachineRecording) throws -> SessionResult {
    let session = Session(id: "s", members: [recording.machine.name], labels: [:], commandLine: [], createdAt: 0)
    return try analyse(session: session, recordings: [recording])
  }

  private func counts(_ recording: MachineRecording) -> [String: Int] {
    recording.machine.pairing?.protocols.first?.counts.mapValues(\.value) ?? [:]
  }

  // MARK: Losses

  /// 23 queries of which three have no answer; the file says that two packets are missing.
  private func checkLosses(_ recording: MachineRecording, warnings: Int = 1) throws {
    let row = try #require(recording.machine.ledger.first)
    #expect(recording.machine.ledger.count == 1 && row.hook == "wire-in")
    #expect([row.seen, row.emitted, row.filtered, row.lost] == [45, 43, 0, 2])
    #expect(counts(recording)["unanswered"] == 1 && counts(recording)["abandoned"] == 2)
    #expect(recording.discardedByCPU == [0: 2])
    let result = try report(recording)
    let segment = try #require(result.segments.first)
    #expect(segment.count == 20 && segment.lost == 1 && segment.unmatched == 2)
    #expect(result.hooks.map(\.ledger.lost) == [2])
    #expect(result.warnings.count { $0.contains("2 packets are missing") } == 1, "\(result.warnings)")
  }

  private func isAnswered(_ number: Int) -> Bool { ![5, 9, 13].contains(number) }

  @Test func dropsOfPcapng() throws {
    var byPacket = Pcapng()
    var byStatistics = Pcapng()
    byPacket.interface(resolution: 9)
    byStatistics.interface(resolution: 9)
    for number in 0..<23 {
      let time = UInt64(number * 1_000_000)
      byPacket.packet(time, dnsFrame(number), dropped: number == 6 || number == 10 ? 1 : nil)
      byStatistics.packet(time, dnsFrame(number))
      guard isAnswered(number) else { continue }
      byPacket.packet(time + 50_000, dnsFrame(number, isAnswer: true))
      byStatistics.packet(time + 50_000, dnsFrame(number, isAnswer: true))
    }
    byStatistics.statistics(dropped: 2)
    try checkLosses(try read(byPacket.bytes))
    try checkLosses(try read(byStatistics.bytes))
  }

  @Test func lossCounterOfERF() throws {
    var bytes: [UInt8] = []
    for number in 0..<23 {
      let time = UInt64(number) << 24
      bytes += erf(time, dnsFrame(number), lost: number == 6 ? 2 : 0)
      if isAnswered(number) { bytes += erf(time + 1_000_000, dnsFrame(number, isAnswer: true)) }
    }
    try checkLosses(try read(bytes))
  }

  @Test func skippedRecords() throws {
    var file = Pcapng()
    file.interface(resolution: 9)
    for number in 0..<23 {
      let time = UInt64(number * 1_000_000)
      file.packet(time, dnsFrame(number))
      let answer = dnsFrame(number, isAnswer: true)
      // Without a time: two of them are counted as lost.
      if isAnswered(number) { file.packet(time + 50_000, answer) } else if number > 5 { file.simplePacket(answer) }
    }
    try checkLosses(try read(file.bytes))
  }

  /// Nobody knows whose they were: the answer may be one to a request that is missing.
  @Test(arguments: [nil, 1] as [UInt64?]) func aLossIsAGapOnConnections(_ dropped: UInt64?) throws {
    var file = Pcapng()
    file.interface(resolution: 9)
    file.packet(1_000, tcpFrame(toServer: true, sequence: 99, acknowledgment: 0, flags: 2))
    file.packet(2_000, tcpFrame(toServer: false, sequence: 499, acknowledgment: 100, flags: 0x12))
    let ping = "*1\r\n$4\r\nPING\r\n"
    file.packet(3_000, tcpFrame(toServer: true, sequence: 100, acknowledgment: 500, flags: 0x18, ping))
    let pong = tcpFrame(toServer: false, sequence: 500, acknowledgment: 114, flags: 0x18, "+PONG\r\n")
    file.packet(4_000, pong, dropped: dropped)
    let counts = counts(try read(file.bytes, [.redis]))
    #expect(counts["requests"] == 1 && counts["paired"] == (dropped == nil ? 1 : 0))
    #expect(counts["gaps"] == (dropped == nil ? nil : 1) && counts["abandoned"] == (dropped == nil ? nil : 1))
  }

  /// The last answer comes in two fragments.
  @Test func fragments() throws {
    var packets: [TestPacket] = []
    for number in 0..<5 {
      packets.append(TestPacket(seconds: UInt32(number), fraction: 0, frame: dnsFrame(number)))
      var answer = dnsFrame(number, isAnswer: true)
      if number == 4 { answer[20] = 0x20 }
      packets.append(TestPacket(seconds: UInt32(number), fraction: 500, frame: answer))
    }
    let recording = try read(pcap(packets))
    #expect(recording.machine.pairing?.packets["fragments"] == 1)
    #expect(counts(recording)["paired"] == 4 && counts(recording)["unanswered"] == nil)
    #expect(counts(recording)["abandoned"] == 1)
    #expect(try report(recording).warnings.contains { $0.contains("1 IP fragments") })
  }

  // MARK: Order

  /// As dumpcap writes them: all that one interface had, then the other's.
  private var twoInterfaces: [UInt8] {
    var file = Pcapng()
    file.interface("a", resolution: 9)
    file.interface("b", resolution: 9)
    for block in 0..<3 {
      for isAnswer in [true, false] {
        for number in block * 20..<block * 20 + 20 {
          file.packet(
            UInt64(number * 1_000 + (isAnswer ? 300 : 0)), dnsFrame(number, isAnswer: isAnswer),
            interface: isAnswer ? 1 : 0)
        }
      }
    }
    return file.bytes
  }

  @Test(arguments: [65_536, 120, 41]) func interfacesAreMergedByTime(_ limit: Int) throws {
    let recording = try read(twoInterfaces, order: CaptureOrder(packetLimit: limit))
    #expect(recording.pairs.count == 60)
    #expect(recording.pairs.allSatisfy { $0.end - $0.start == 300 })
    #expect(recording.machine.ledger.map(\.lost) == [0])
    #expect(try report(recording).warnings.isEmpty)
  }

  @Test func whatComesTooLateIsNoLossOfTheService() throws {
    let recording = try read(twoInterfaces, order: CaptureOrder(packetLimit: 10))
    let late = try #require(recording.machine.pairing?.packets["out_of_order"])
    #expect(late > 0 && recording.machine.ledger.map(\.lost) == [late])
    #expect(counts(recording)["unanswered"] == nil)
    let warnings = try report(recording).warnings
    #expect(warnings.contains { $0.contains("\(late) packets came too far out of order") }, "\(warnings)")
  }

  /// Sorting alone would make lost requests of those that were under way.
  @Test(arguments: [(500_000_000, 1), (50_000, 0)]) func aClockThatWasSetBackIsTold(_ step: Int, _ steps: Int) throws {
    var file = Pcapng()
    file.interface(resolution: 9)
    for number in 0..<23 {
      let time = 1_000_000_000 + number * 1_000_000
      file.packet(UInt64(time - (number > 9 ? step : 0)), dnsFrame(number))
      file.packet(UInt64(time + 50_000 - (number > 8 ? step : 0)), dnsFrame(number, isAnswer: true))
    }
    let recording = try read(file.bytes)
    #expect(recording.machine.pairing?.packets["steps_back"]?.value == (steps == 0 ? nil : steps))
    let result = try report(recording)
    #expect(result.clockFaults.count == steps && result.warnings.count == steps, "\(result.warnings)")
  }

  @Test func orderIsBoundedByBytesToo() {
    var order = CaptureOrder(packetLimit: 1_000, byteLimit: 100)
    func packet(_ time: Int64) -> PairingPacket {
      PairingPacket(time: time, linkType: 1, length: 10, bytes: [UInt8](repeating: 0, count: 10))
    }
    // One with a time far ahead must not push out the others.
    for time in [9_000, 3, 1, 2, 4, 6, 5, 7, 8] as [Int64] { order.add(packet(time), isAfterGap: time == 3) }
    #expect(!order.isFull)
    order.add(packet(9))
    #expect(order.isFull)
    let half = order.takeHalf()
    #expect(half.map(\.packet.time) == [1, 2, 3, 4, 5])
    #expect(half.map(\.isAfterGap) == [false, false, true, false, false])
    order.add(packet(4))
    order.add(packet(5))
    let rest = order.takeRest()
    // The gap that the late packet leaves is at the next one.
    #expect(rest.map(\.packet.time) == [5, 6, 7, 8, 9, 9_000] && rest.map(\.isAfterGap).first == true)
    #expect(order.late == 1)
  }

  // MARK: Clock

  /// Resolution, its unit in nanoseconds.
  @Test(arguments: [(3, 1_000_000), (6, 1_000), (9, 0), (12, 0), (0x80 | 10, 976_563), (0x80 | 30, 0)])
  func theUnitIsTheError(_ resolution: UInt8, _ step: Int64) throws {
    var file = Pcapng()
    file.interface(resolution: resolution)
    file.interface(resolution: 0)
    for number in 0..<5 {
      file.packet(UInt64(number), dnsFrame(number))
      file.packet(UInt64(number), dnsFrame(number, isAnswer: true))
    }
    let recording = try read(file.bytes)
    #expect(recording.machine.pairing?.names.map(\.error) == [step == 0 ? nil : step])
    let result = try report(recording)
    #expect(result.segments.map(\.errorBound) == [step] && result.clockError == step)
    #expect(result.segments.first?.summary?.quantiles.first?.isResolved == false || step == 0)
  }

  // MARK: Files

  /// One path begins as the other does.
  @Test func damageIsOfItsFile() throws {
    let scratch = try Scratch()
    let whole = pcap([TestPacket(seconds: 1, fraction: 0, frame: dnsFrame(1))])
    let paths = [try scratch.put("a", whole), try scratch.put("ab", Array(whole.dropLast(3)))]
    let recording = try read(paths)
    #expect(recording.machine.captures?.map { $0.error == nil } == [true, false])
    #expect(recording.machine.stoppedBy == "error" && recording.damage.count == 1)
    #expect(try report(recording).warnings.count { $0.contains("ends within a record") } == 1)
  }

  /// A pipe that nobody writes to, within a record: a signal ends the reading, and that is no damage.
  @Test(arguments: [true, false]) func aSilentPipeCanBeLeft(_ isPairing: Bool) throws {
    let scratch = try Scratch()
    let path = "\(scratch.path)/pipe"
    try #require(unsafe mkfifo(path, 0o600) == 0)
    let writer = unsafe open(path, O_RDWR)
    let bytes = pcap([
      TestPacket(seconds: 1, fraction: 0, frame: dnsFrame(1)), TestPacket(seconds: 2, fraction: 0, frame: dnsFrame(2)),
    ]).dropLast(3)
    #expect(unsafe write(writer, Array(bytes), bytes.count) == bytes.count)
    // Its end, should the reading not end before.
    let limit = 20
    DispatchQueue.global().asyncAfter(deadline: .now() + .seconds(limit)) { close(writer) }
    let start = ContinuousClock.now
    let stop = { () -> String? in ContinuousClock.now - start > .milliseconds(300) ? "SIGTERM" : nil }
    let machine: Machine
    if isPairing {
      var reading = try PairImport(paths: [path], pairer: Pairer([.dns]))
      machine = try reading.run(hostname: "a", session: "s", stopRequested: stop).machine
    } else {
      var reading = try CaptureImport([CaptureInput(path: path)], hostname: "a", session: "s")
      let session = Session(id: "s", members: [reading.machineName], labels: [:], commandLine: [], createdAt: 0)
      try session.write(to: scratch.path)
      machine = try reading.run(session: session, directory: scratch.path, stopRequested: stop)
    }
    #expect(ContinuousClock.now - start < .seconds(limit - 1))
    #expect(machine.stoppedBy == "SIGTERM" && machine.captures?.map(\.error) == [nil])
    #expect(machine.ledger.map(\.emitted) == [1])
  }
}
