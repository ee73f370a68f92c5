// SPDX-License-Identifier: GPL-2.0-or-later
import Analysis
import CLatprobeABI
import Foundation
import Pairing
import Recording
import Stamping
import Tap
import Testing

/// From files to a recording and its analysis.
@Suite struct ImportTests {
  private func session(_ members: [String]) -> Session {
    Session(
      id: "5b7f1c52-96a8-4b0e-9d6e-111111111111", members: members, labels: [:], commandLine: ["latprobe", "tap"],
      createdAt: 1_700_000_000)
  }

  /// Imports files into `scratch`; returns what a report reads.
  private func record(_ arguments: [String], _ scratch: Scratch) throws -> (MachineRecording, [CaptureError]) {
    let inputs = try #require(CaptureInput.parse(arguments))
    var reading = try CaptureImport(inputs, hostname: "lab", session: session([]).id)
    let session = session([reading.machineName])
    let directory = "\(scratch.path)/run"
    try Session.prepare(directory: directory, force: false)
    try session.write(to: directory)
    var machine = try reading.run(session: session, directory: directory)
    let loaded = try RecordedSession.load(paths: [directory])
    let recording = try #require(loaded.machines.first)
    machine.events = recording.eventsByType.values.sum()
    #expect(recording.machine == machine)
    #expect(recording.damage.isEmpty)
    return (recording, reading.failures)
  }

  private func later(_ packets: [TestPacket], by nanoseconds: UInt32) -> [TestPacket] {
    packets.map { TestPacket(seconds: $0.seconds, fraction: $0.fraction + nanoseconds, frame: $0.frame) }
  }

  @Test func twoFilesAreASegment() throws {
    let scratch = try Scratch()
    let before = try scratch.put("a", pcap(testPackets(), magic: 0xA1B2_3C4D))
    // Another format behind the device, and one packet that did not come through.
    var file = Pcapng()
    file.interface(resolution: 9)
    for packet in later(testPackets(), by: 7001) where packet.fraction != 9 * 1001 + 7001 {
      file.packet(UInt64(packet.seconds) * 1_000_000_000 + UInt64(packet.fraction), packet.frame)
    }
    let behind = try scratch.put("b", file.bytes)
    let (recording, failures) = try record([before, behind], scratch)
    #expect(failures.isEmpty)
    #expect(recording.machine.role == "wire")
    #expect(recording.wireStamps.count == 45)
    #expect(recording.wireStamps.map(\.stamp).first?.time == 1_700_000_000_000_000_000)
    #expect(recording.flows.count == 1)
    #expect(recording.flows.values.first?.destinationPort == 5000)
    let options = AnalysisOptions(matchWindow: 10_000)
    let result = try analyse(
      session: session([recording.machine.name]), recordings: [recording], options: options)
    let segment = try #require(result.segments.first)
    #expect(segment.name == "wire-in-wire-out")
    #expect(segment.direction == "wire")
    #expect(segment.delays.count == 22)
    #expect(Set(segment.delays) == [7001])
    #expect(segment.lost == 1)
  }

  /// A microsecond at one end: the delay is less than that off.
  @Test(arguments: [(0xA1B2_C3D4, 1_000), (0xA1B2_3C4D, 0)] as [(UInt32, Int64)])
  func theUnitIsTheError(_ magic: UInt32, _ step: Int64) throws {
    let scratch = try Scratch()
    let before = try scratch.put("a", pcap(testPackets(), magic: magic))
    let behind = try scratch.put("b", pcap(later(testPackets(), by: 1), magic: 0xA1B2_3C4D))
    let (recording, _) = try record([before, behind], scratch)
    let result = try analyse(session: session([recording.machine.name]), recordings: [recording])
    #expect(result.segments.first?.errorBound == step && result.clockError == step)
  }

  /// The key is the one that the kernel's programs give.
  @Test func keysAreThoseOfFrames() throws {
    let scratch = try Scratch()
    let (recording, _) = try record([scratch.put("a", erfFile())], scratch)
    for (stamp, packet) in zip(recording.wireStamps.map(\.stamp), testPackets()) {
      var expected = lp_packet()
      let count = UInt32(packet.frame.count)
      #expect(
        unsafe lp_packet_of_frame(&expected, packet.frame, count, count, Int32(LP_IDENTITY_FULL.rawValue)) == 0)
      #expect(stamp.key == expected.key)
      #expect(stamp.flow == expected.flow)
      #expect(stamp.length == 32)
      #expect(stamp.kind == .udp)
      #expect(stamp.hook == .wireIn)
    }
  }

  @Test func interfacesOfOneFile() throws {
    let scratch = try Scratch()
    var file = Pcapng()
    file.interface("in", resolution: 9)
    file.interface("out", resolution: 9)
    file.packet(5000, udpFrame(id: 1), dropped: 2)
    file.packet(5100, udpFrame(id: 1), interface: 1)
    file.packet(5200, [1, 2, 3])
    file.simplePacket(udpFrame(id: 1))
    let (recording, failures) = try record([scratch.put("a", file.bytes)], scratch)
    #expect(failures.isEmpty)
    #expect(recording.wireStamps.map(\.stamp.hook) == [.wireIn, .wireOut])
    let ledger = recording.machine.ledger
    #expect(ledger.map(\.hook) == ["wire-in", "wire-out"])
    #expect(ledger.map(\.seen) == [5, 1])
    #expect(ledger.map(\.emitted) == [1, 1])
    #expect(ledger.map(\.filtered) == [1, 0])
    #expect(ledger.map(\.lost) == [3, 0])
    #expect(recording.discardedByCPU == [0: 3, 1: 0])
    let capture = try #require(recording.machine.captures?.first)
    #expect(capture.format == "pcapng")
    #expect(capture.skipped == ["no time: simple packet block": 1])
    #expect(capture.interfaces.map(\.name) == ["in", "out"])
    #expect(capture.interfaces.map(\.drops) == [2, nil])
    #expect(capture.interfaces.map(\.stamps) == [1, 1])
    #expect(capture.interfaces.map(\.timeSource) == ["file", "file"])
  }

  @Test func aThirdInterfaceEndsTheFile() throws {
    let scratch = try Scratch()
    var file = Pcapng()
    for name in ["a", "b", "c"] { file.interface(name) }
    file.packet(1, udpFrame(id: 1))
    file.packet(2, udpFrame(id: 2), interface: 2)
    let (recording, failures) = try record([scratch.put("a", file.bytes)], scratch)
    #expect(recording.wireStamps.count == 1)
    #expect(failures.first?.message.contains("wire-in=FILE") == true)
    // Named, they are all of one hook point.
    let other = try Scratch()
    let (named, none) = try record(["wire-out=" + other.put("a", file.bytes)], other)
    #expect(none.isEmpty)
    #expect(named.wireStamps.map(\.stamp.hook) == [.wireOut, .wireOut])
  }

  @Test func whatCameBeforeDamageIsKept() throws {
    let scratch = try Scratch()
    let path = try scratch.put("a", Array(pcap(testPackets()).dropLast(3)))
    let (recording, failures) = try record([path], scratch)
    #expect(recording.wireStamps.count == 22)
    #expect(recording.machine.stoppedBy == "error")
    #expect(failures.count == 1)
    #expect(recording.machine.captures?.first?.error == failures.first?.description)
  }

  /// Times that run backwards are no damage.
  @Test func disorder() throws {
    let scratch = try Scratch()
    let (recording, _) = try record([scratch.put("a", pcap(testPackets().reversed()))], scratch)
    #expect(recording.wireStamps.count == 23)
    let times = recording.wireStamps.map(\.stamp.time)
    #expect(times == times.sorted())
  }

  @Test func linkTypes() throws {
    let frame = udpFrame(id: 1)
    let ip = Array(frame.dropFirst(14))
    let tag: [UInt8] = [0x81, 0, 0, 5]
    let cases: [(LinkType, [UInt8])] = [
      (.ethernet, frame), (.ethernet, Array(frame[..<12]) + tag + frame[12...]),
      (.ethernet, Array(frame[..<12]) + [0x88, 0xA8, 0, 7] + tag + frame[12...]), (.raw, ip),
      (.linuxSLL, [0, 0, 0, 1, 0, 6] + [UInt8](repeating: 1, count: 8) + [8, 0] + ip),
      (.linuxSLL2, [8, 0] + [UInt8](repeating: 0, count: 18) + ip), (.null, [2, 0, 0, 0] + ip),
      (.loop, [0, 0, 0, 2] + ip), (LinkType(number: 12), ip), (LinkType(number: 14), ip), (LinkType(number: 228), ip),
    ]
    var keys: Set<[UInt8]> = []
    for (type, bytes) in cases {
      var stamper = PacketStamper()
      var records: [UInt8] = []
      let packet = CapturedPacket(time: 1, interface: 0, linkType: type, length: bytes.count, bytes: bytes)
      #expect(stamper.append(packet, hook: .wireIn, time: 1, to: &records) == nil, "\(type)")
      keys.insert(Array(records.suffix(48).prefix(32)))
    }
    #expect(keys.count == 1)
    for (type, bytes, reason) in [
      (LinkType.ethernet, Array(frame[..<12]) + [8, 6] + ip, .notIP),
      (LinkType(number: 105), ip, .linkType(105)), (.null, ip, .notIP),
    ] as [(LinkType, [UInt8], LeftOut)] {
      var stamper = PacketStamper()
      var records: [UInt8] = []
      let packet = CapturedPacket(time: 1, interface: 0, linkType: type, length: bytes.count, bytes: bytes)
      #expect(stamper.append(packet, hook: .wireIn, time: 1, to: &records) == reason, "\(type)")
    }
  }

  /// A header that is not all there tells nothing: without ports all flows of two hosts would be one.
  @Test func whatIsCutWithinItsHeaders() throws {
    let tcp = tcpFrame(toServer: true, sequence: 1, acknowledgment: 2, flags: 0x18, "0123456789")
    var options = tcp
    options[46] = 0x70
    let udp = udpFrame(id: 1)
    var icmp = udp
    icmp[23] = 1
    var long = udp
    long[14] = 0x47
    for (frame, least) in [(tcp, 54), (options, 62), (udp, 42), (icmp, 42), (long, 50)] {
      for count in 12..<frame.count {
        var stamper = PacketStamper()
        var records: [UInt8] = []
        let packet = CapturedPacket(
          time: 1, interface: 0, linkType: .ethernet, length: frame.count + 10, bytes: Array(frame[..<count]))
        let reason = stamper.append(packet, hook: .wireIn, time: 1, to: &records)
        #expect(reason == (count < least ? .cutHeaders : nil), "\(least): \(count)")
      }
    }
  }

  /// Why packets have no stamp is told, by file.
  @Test func reasonsAreCounted() throws {
    let scratch = try Scratch()
    var file = Pcapng()
    file.interface(resolution: 9)
    file.interface(linkType: 127, resolution: 9)
    file.interface(linkType: 228, resolution: 9)
    let frame = udpFrame(id: 1)
    file.packet(1, frame)
    file.packet(2, Array(frame[..<12]) + [8, 6] + frame[14...])
    file.packet(3, Array(frame[..<30]), length: 100)
    for number in 4..<9 { file.packet(UInt64(number), frame, interface: 1) }
    let (recording, _) = try record(["wire-in=" + scratch.put("a", file.bytes)], scratch)
    let capture = try #require(recording.machine.captures?.first)
    #expect(capture.leftOut == ["not_ip": 6, "link_type_127": 5, "cut_headers": 1])
    #expect(recording.machine.ledger.map(\.filtered) == [7] && recording.machine.ledger.map(\.emitted) == [1])
  }

  /// Nothing says how the capture's clock relates to a kernel's.
  @Test func kernelRecordingsAreNotJoined() throws {
    let scratch = try Scratch()
    let (wire, _) = try record([scratch.put("a", pcap(testPackets()))], scratch)
    var host = MachineRecording(machine: Machine(name: "h", role: "host", hostname: "h", bootID: "b", topology: "t"))
    host.machine.hooks = [AttachedHook(name: "txh1", attachedAs: "x")]
    host.machine.paths = [Path(name: "tx", hooks: ["txh1", "wire-in"])]
    host.machine.stoppedAt = .max
    host.stamps = wire.wireStamps.map(\.stamp).map {
      var stamp = $0
      stamp.hook = .txh1
      return stamp
    }
    let result = try analyse(session: session([]), recordings: [host, wire])
    #expect(result.segments.allSatisfy { $0.delays.isEmpty })
    #expect(result.warnings.contains { $0.contains("not aligned") })
  }

  /// Whatever a file holds, its recording is whole and its analysis ends.
  @Test func fuzzedFilesMakeGoodRecordings() throws {
    var random = Seeded(state: 41)
    for round in 0..<60 {
      let bytes = FuzzTests.mutate(round.isMultiple(of: 2) ? pcapng() : pcap(testPackets()), &random)
      let scratch = try Scratch()
      let paths = [try scratch.put("a", bytes), try scratch.put("b", pcapng())]
      // Refused as a whole where the damage is at its head.
      guard (try? CaptureReader(path: paths[0])) != nil else { continue }
      let (recording, _) = try record(paths, scratch)
      let ledger = recording.machine.ledger
      #expect(Count(recording.wireStamps.count) == ledger.sum(\.emitted))
      for row in ledger { #expect(row.seen == .max || row.seen == row.filtered + row.emitted + row.lost) }
      _ = try analyse(session: session([recording.machine.name]), recordings: [recording])
    }
  }

  @Test func arguments() {
    #expect(CaptureInput.parse([]) == nil)
    #expect(CaptureInput.parse(["a", "b", "c"]) == nil)
    #expect(CaptureInput.parse(["a", "wire-in=b"]) == nil)
    #expect(CaptureInput.parse(["a"]) == [CaptureInput(path: "a")])
    let both = [CaptureInput(path: "a", hook: .wireIn), CaptureInput(path: "b", hook: .wireOut)]
    #expect(CaptureInput.parse(["a", "b"]) == both)
    #expect(CaptureInput.parse(["wire-out=b", "wire-in=a"]) == both.reversed())
    #expect(CaptureInput.isStandardInput("wire-in=-"))
  }
}
