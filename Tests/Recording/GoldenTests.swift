// SPDX-License-Identifier: GPL-2.0-or-later
internal import CLatprobeABI
import Foundation
import Recording
import Testing

/// Every format, byte for byte. Fixtures are never written anew: recordings stay readable for ever.
/// The stream of CPU 3 is the same in all; formats 2 and 3 each have one more, of CPU 0 and 1,
/// with their new events; format 4 has a pair more in that of CPU 1, format 5 a stamp of a super-packet, format 6 a drop.
@Suite struct GoldenTests {
  static let uuid = "00112233-4455-4677-8899-aabbccddeeff"
  static func fixture(_ format: Int) -> String {
    URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
      .appending(path: "Fixtures/recording-\(format)").path
  }

  /// `stream_3_0`: `#` begins a comment.
  static let stream = """
    # packet 0: tells no losses, holds no events
    c1 1f fc c1                                      # magic 0xC1FC1FC1
    00 11 22 33 44 55 46 77 88 99 aa bb cc dd ee ff  # uuid
    00 00 00 00                                      # stream_id
    e8 03 00 00 00 00 00 00                          # timestamp_begin 1000
    e8 03 00 00 00 00 00 00                          # timestamp_end 1000
    40 02 00 00 00 00 00 00                          # content_size 576 bits
    40 02 00 00 00 00 00 00                          # packet_size
    00 00 00 00 00 00 00 00                          # events_discarded
    03 00 00 00                                      # cpu_id 3
    00 00 00 00                                      # packet_seq_num 0
    # packet 1: four events
    c1 1f fc c1                                      # magic
    00 11 22 33 44 55 46 77 88 99 aa bb cc dd ee ff  # uuid
    00 00 00 00                                      # stream_id
    e8 03 00 00 00 00 00 00                          # timestamp_begin 1000
    d0 07 00 00 00 00 00 00                          # timestamp_end 2000
    00 08 00 00 00 00 00 00                          # content_size 2048 bits
    00 08 00 00 00 00 00 00                          # packet_size
    05 00 00 00 00 00 00 00                          # events_discarded 5
    03 00 00 00                                      # cpu_id 3
    01 00 00 00                                      # packet_seq_num 1
    # event clock_sample, 56 bytes
    e8 03 00 00 00 00 00 00                          # timestamp 1000
    03                                               # id 3
    00 00 00                                         # reserved
    50 00 00 00                                      # window_ns 80
    e3 03 00 00 00 00 00 00                          # monotonic_raw_ns 995
    00 00 2a 36 fe 9c 97 17                          # realtime_ns 1 700 000 000 000 000 000
    00 32 89 d3 06 9d 97 17                          # tai_ns: 37 s more
    f1 03 00 00 00 00 00 00                          # boottime_ns 1009
    40 e2 01 00 00 00 00 00                          # tsc 123456
    # event flow, 56 bytes
    e9 03 00 00 00 00 00 00                          # timestamp 1001
    02                                               # id 2
    04                                               # family 4
    11                                               # protocol 17, UDP
    00                                               # reserved0
    07 00 00 00                                      # flow 7
    40 9c                                            # source_port 40000
    35 00                                            # destination_port 53
    00 00 00 00                                      # reserved1
    0a 00 00 01 00 00 00 00 00 00 00 00 00 00 00 00  # source 10.0.0.1
    0a 00 00 02 00 00 00 00 00 00 00 00 00 00 00 00  # destination 10.0.0.2
    # event stamp, 32 bytes
    ea 03 00 00 00 00 00 00                          # timestamp 1002
    00                                               # id 0
    0d                                               # hook 13, wire-out
    02 01                                            # queue 258
    45 23 71 20                                      # length 0x12345 (20 bits), header_words 7 (8), kind 2 (4)
    f1 ff ff ff                                      # flow 0xfffffff1
    04 03 02 01                                      # sequence 0x01020304
    08 07 06 05 04 03 02 01                          # key 0x0102030405060708
    # event stamp_held, 40 bytes
    d0 07 00 00 00 00 00 00                          # timestamp 2000, when it was emitted
    01                                               # id 1
    01                                               # hook 1, txg0
    00 00                                            # queue 0
    5c 00 70 10                                      # length 92, header_words 7, kind 1
    07 00 00 00                                      # flow 7
    00 00 00 00                                      # sequence 0
    cd ab 00 00 00 00 00 00                          # key 0xabcd
    84 03 00 00 00 00 00 00                          # at_ns 900, the stamp's time
    """

  /// `stream_0_0` of format 2.
  static let clockStream = """
    # packet 0: three events
    c1 1f fc c1                                      # magic
    00 11 22 33 44 55 46 77 88 99 aa bb cc dd ee ff  # uuid
    00 00 00 00                                      # stream_id
    b8 0b 00 00 00 00 00 00                          # timestamp_begin 3000
    ba 0b 00 00 00 00 00 00                          # timestamp_end 3002
    00 06 00 00 00 00 00 00                          # content_size 1536 bits
    00 06 00 00 00 00 00 00                          # packet_size
    00 00 00 00 00 00 00 00                          # events_discarded
    00 00 00 00                                      # cpu_id 0
    00 00 00 00                                      # packet_seq_num 0
    # event clock_exchange, 48 bytes
    b8 0b 00 00 00 00 00 00                          # timestamp 3000
    04                                               # id 4
    00 00 00                                         # reserved
    01 00 00 00                                      # peer 1
    00 01 00 00 00 00 00 00                          # sent_ns 256
    ff ff ff ff ff ff ff ff                          # peer_received_ns -1
    00 00 00 00 00 00 00 00                          # peer_sent_ns 0
    00 02 00 00 00 00 00 00                          # received_ns 512
    # event clock_cross, 40 bytes
    b9 0b 00 00 00 00 00 00                          # timestamp 3001
    05                                               # id 5
    01                                               # method 1, extended
    02 00                                            # device 2
    f4 01 00 00                                      # window_ns 500
    00 00 2a 36 fe 9c 97 17                          # device_ns 1 700 000 000 000 000 000
    ff 00 00 00 00 00 00 00                          # realtime_ns 255
    fe 00 00 00 00 00 00 00                          # monotonic_raw_ns 254
    # event guest_counter, 32 bytes
    ba 0b 00 00 00 00 00 00                          # timestamp 3002
    06                                               # id 6
    30                                               # fraction_bits 48
    03 00                                            # vcpu 3
    d2 04 00 00                                      # guest 1234
    fe ff ff ff ff ff ff ff                          # offset -2
    00 00 00 00 00 00 01 00                          # ratio 1.0: 2^48
    """

  /// `stream_1_0` of format 3.
  static let wireStream = """
    # packet 0: two events
    c1 1f fc c1                                      # magic
    00 11 22 33 44 55 46 77 88 99 aa bb cc dd ee ff  # uuid
    00 00 00 00                                      # stream_id
    a0 0f 00 00 00 00 00 00                          # timestamp_begin 4000
    a1 0f 00 00 00 00 00 00                          # timestamp_end 4001
    00 05 00 00 00 00 00 00                          # content_size 1280 bits
    00 05 00 00 00 00 00 00                          # packet_size
    00 00 00 00 00 00 00 00                          # events_discarded
    01 00 00 00                                      # cpu_id 1
    00 00 00 00                                      # packet_seq_num 0
    # event stamp_wire, 48 bytes
    a0 0f 00 00 00 00 00 00                          # timestamp 4000, when the tap read it
    07                                               # id 7
    0c                                               # hook 12, wire-in
    00 00                                            # queue 0
    5c 00 70 10                                      # length 92, header_words 7, kind 1
    07 00 00 00                                      # flow 7
    00 00 00 00                                      # sequence 0
    cd ab 00 00 00 00 00 00                          # key 0xabcd
    00 00 2a 36 fe 9c 97 17                          # at_ns 1 700 000 000 000 000 000
    03                                               # time_source 3, hardware
    01                                               # interface 1
    02 00                                            # device 2
    00 00 00 00                                      # reserved
    # event pair, 40 bytes
    a1 0f 00 00 00 00 00 00                          # timestamp 4001
    08                                               # id 8
    03                                               # flags: repeated, whole
    05 00                                            # name 5
    00 00 00 00                                      # reserved
    9f 0f 00 00 00 00 00 00                          # start_ns 3999
    a1 0f 00 00 00 00 00 00                          # end_ns 4001
    a3 0f 00 00 00 00 00 00                          # last_ns 4003
    """

  /// `stream_1_0` of format 4: in the header of format 3 the end and the sizes, and one event more.
  static let numberedStream: [UInt8] = {
    var stream = bytes(wireStream) + bytes(numberedPair)
    let sizes = "40 06 00 00 00 00 00 00"
    stream.replaceSubrange(32..<56, with: bytes("a2 0f 00 00 00 00 00 00 \(sizes) \(sizes)"))
    return stream
  }()

  /// `stream_1_0` of format 5: one event more.
  static let superStream: [UInt8] = {
    var stream = numberedStream + bytes(superStamp)
    let sizes = "40 07 00 00 00 00 00 00"
    stream.replaceSubrange(32..<56, with: bytes("a3 0f 00 00 00 00 00 00 \(sizes) \(sizes)"))
    return stream
  }()

  /// `stream_1_0` of format 6: one event more.
  static let dropStream: [UInt8] = {
    var stream = superStream + bytes(dropEvent)
    let sizes = "80 08 00 00 00 00 00 00"
    stream.replaceSubrange(32..<56, with: bytes("a4 0f 00 00 00 00 00 00 \(sizes) \(sizes)"))
    return stream
  }()

  static let dropEvent = """
    # event drop, 40 bytes
    a4 0f 00 00 00 00 00 00                          # timestamp 4004
    09                                               # id 9
    00 00 00                                         # reserved
    5c 00 70 10                                      # length 92, header_words 7, kind 1
    07 00 00 00                                      # flow 7
    00 00 00 00                                      # sequence 0
    cd ab 00 00 00 00 00 00                          # key 0xabcd
    08 00 00 00                                      # reason 8
    44 33 22 11                                      # place 0x11223344
    """

  static let superStamp = """
    # event stamp, 32 bytes
    a3 0f 00 00 00 00 00 00                          # timestamp 4003
    00                                               # id 0
    02                                               # hook 2, txg1
    00 00                                            # queue 0
    2c 27 70 10                                      # length 10028, header_words 7, kind 1
    07 00 00 00                                      # flow 7
    e8 03 00 00                                      # sequence: 1000 bytes of each datagram
    ce ab 00 00 00 00 00 00                          # key 0xabce
    """

  static let numberedPair = """
    # event pair, 40 bytes
    a2 0f 00 00 00 00 00 00                          # timestamp 4002
    08                                               # id 8
    04                                               # flags: numbered
    06 00                                            # name 6
    04 03 02 01                                      # number 0x01020304
    96 0f 00 00 00 00 00 00                          # start_ns 3990
    a0 0f 00 00 00 00 00 00                          # end_ns 4000
    00 00 00 00 00 00 00 00                          # last_ns
    """

  static var golden: [UInt8] { bytes(stream) }

  static func bytes(_ text: String) -> [UInt8] {
    text.split(separator: "\n").flatMap { line in
      line.prefix { $0 != "#" }.split(separator: " ").map { UInt8($0, radix: 16) ?? 0xEE }
    }
  }

  static func write(_ scratch: Scratch) throws {
    var machine = sampleMachine()
    machine.hooks = [AttachedHook(name: "txg1", attachedAs: "tp_btf:net_dev_queue", watches: ["eth0"])]
    machine.ledger = [LedgerRow(hook: "txg1", cpu: 3, seen: 6, emitted: 1, lost: 5)]
    try sampleSession().write(to: scratch.path)
    let writer = try MachineWriter(
      directory: scratch.path, machine: machine, session: sampleSession(), utcOffset: utcOffset)
    var batch = Batch()
    batch.clocks(1000)
    batch.flow(1001)
    batch.stamp(
      1002, hook: .wireOut, kind: .tcp, key: 0x0102_0304_0506_0708, length: 0x12345, queue: 258, flow: 0xFFFF_FFF1,
      sequence: 0x0102_0304)
    batch.held(2000, at: 900)
    try writer.append(cpu: 3, batch)
    batch = Batch()
    batch.add(
      lp_clock_exchange(
        time_ns: 3000, event: 4, reserved: (0, 0, 0), peer: 1, sent_ns: 256, peer_received_ns: -1, peer_sent_ns: 0,
        received_ns: 512))
    batch.add(
      lp_clock_cross(
        time_ns: 3001, event: 5, method: 1, device: 2, window_ns: 500, device_ns: 1_700_000_000_000_000_000,
        realtime_ns: 255, monotonic_raw_ns: 254))
    batch.add(
      lp_guest_counter(time_ns: 3002, event: 6, fraction_bits: 48, vcpu: 3, guest: 1234, offset: -2, ratio: 1 << 48))
    try writer.append(cpu: 0, batch)
    batch = Batch()
    batch.add(
      lp_stamp_wire(
        stamp: lp_stamp(
          time_ns: 4000, event: 7, hook: 12, queue: 0, length: 92, header_words: 7, kind: 1, flow: 7, sequence: 0,
          key: 0xABCD), at_ns: 1_700_000_000_000_000_000, time_source: 3, interface: 1, device: 2, reserved: 0))
    try writer.append(cpu: 1, batch)
    for pair in pairs { try writer.append(cpu: 1, pair.bytes(at: pair.name == 6 ? 4002 : pair.end)) }
    batch = Batch()
    batch.stamp(4003, hook: .txg1, kind: .udp, key: 0xABCE, length: 10_028, flow: 7, sequence: 1_000)
    batch.add(
      lp_drop(
        stamp: lp_stamp(
          time_ns: 4004, event: 9, hook: 0, queue: 0, length: 92, header_words: 7, kind: 1, flow: 7, sequence: 0,
          key: 0xABCD), reason: 8, place: 0x1122_3344))
    try writer.append(cpu: 1, batch)
    writer.discarded(cpu: 3, total: 5)
    machine.stoppedAt = 3000
    machine.stoppedBy = "duration"
    try writer.close(machine)
  }

  static let pairs = [
    RecordedPair(name: 5, start: 3999, end: 4001, last: 4003, isRepeated: true),
    RecordedPair(name: 6, start: 3990, end: 4000, last: nil, isRepeated: false, number: 0x0102_0304),
  ]

  @Test(arguments: [1, 2, 3, 4, 5, 6]) func theFixtureIsTheAnnotatedBytes(format: Int) throws {
    func file(_ name: String) throws -> [UInt8] {
      [UInt8](try Data(contentsOf: URL(filePath: "\(Self.fixture(format))/host-a/ctf/\(name)")))
    }
    #expect(Self.golden.count == 72 + 72 + 56 + 56 + 32 + 40)
    #expect(try file("stream_3_0") == Self.golden)
    if format >= 2 { #expect(try file("stream_0_0") == Self.bytes(Self.clockStream)) }
    if format == 3 { #expect(try file("stream_1_0") == Self.bytes(Self.wireStream)) }
    if format == 4 { #expect(try file("stream_1_0") == Self.numberedStream) }
    if format == 5 { #expect(try file("stream_1_0") == Self.superStream) }
    if format >= 6 { #expect(try file("stream_1_0") == Self.dropStream) }
  }

  @Test func theWriterWritesTheFixture() throws {
    let scratch = try Scratch()
    try Self.write(scratch)
    let text = String(decoding: try scratch.bytes("host-a/ctf/metadata"), as: UTF8.self)
    let uuid = try #require(text.firstMatch(of: /uuid = "([0-9a-f-]{36})";/)).1
    let fixed = text.replacingOccurrences(of: uuid, with: Self.uuid)
    let old = try String(contentsOfFile: "\(Self.fixture(6))/host-a/ctf/metadata", encoding: .utf8)
    // Hook points may be added within a format.
    func layout(_ text: String) -> [Substring] {
      text.split(separator: "\n").filter { !$0.hasPrefix("enum hook_point") }
    }
    #expect(layout(fixed) == layout(old))
    let id = uuid.filter { $0 != "-" }
    let bytes = stride(from: 0, to: 32, by: 2).map { i in
      UInt8(id.dropFirst(i).prefix(2), radix: 16) ?? 0
    }
    // Version 4, variant 1.
    #expect(bytes[6] >> 4 == 4 && bytes[8] >> 6 == 2)
    for (name, starts, golden) in [
      ("stream_3_0", [4, 76], Self.golden), ("stream_0_0", [4], Self.bytes(Self.clockStream)),
      ("stream_1_0", [4], Self.dropStream),
    ] {
      var stream = try scratch.bytes("host-a/ctf/\(name)")
      for start in starts {
        #expect(Array(stream[start..<(start + 16)]) == bytes)
        stream.replaceSubrange(start..<(start + 16), with: Self.golden[4..<20])
      }
      #expect(stream == golden)
    }
    #expect(
      try scratch.bytes("session.json")
        == [UInt8](try Data(contentsOf: URL(filePath: "\(Self.fixture(6))/session.json"))))
  }

  @Test(arguments: [1, 2, 3, 4, 5, 6]) func theReaderReadsTheFixture(format: Int) throws {
    let session = try RecordedSession.load(paths: [Self.fixture(format)])
    #expect(session.session == sampleSession())
    #expect(session.damage.isEmpty)
    let recording = try #require(session.machines.first)
    #expect(recording.damage.isEmpty)
    #expect(recording.machine.hooks.first?.attachedAs == "tp_btf:net_dev_queue")
    #expect(recording.machine.ledger.first?.lost == 5)
    #expect(
      recording.discardedByCPU
        == ([
          [3: 5], [0: 0, 3: 5], [0: 0, 1: 0, 3: 5], [0: 0, 1: 0, 3: 5], [0: 0, 1: 0, 3: 5], [0: 0, 1: 0, 3: 5],
        ][format - 1]))
    #expect(recording.eventsByType == Self.events(format))
    #expect(
      recording.stamps.elementsEqual(
        [
          Stamp(time: 900, key: 0xABCD, flow: 7, length: 92, headerLength: 28, cpu: 3, hook: .txg0, kind: .udp),
          Stamp(
            time: 1002, key: 0x0102_0304_0506_0708, flow: 0xFFFF_FFF1, sequence: 0x0102_0304, length: 0x12345,
            headerLength: 28, queue: 258, cpu: 3, hook: .wireOut, kind: .tcp),
          Stamp(
            time: 4003, key: 0xABCE, flow: 7, sequence: 1_000, length: 10_028, headerLength: 28, cpu: 1, hook: .txg1,
            kind: .udp),
        ].prefix(format >= 5 ? 3 : 2)))
    #expect(recording.clockSamples.first?.tai == 1_700_000_037_000_000_000)
    #expect(recording.flows[7]?.destination == [10, 0, 0, 2])
    let drop = Drop(
      time: 4004, key: 0xABCD, flow: 7, length: 92, headerLength: 28, kind: .udp, reason: 8, place: 0x1122_3344)
    #expect(recording.drops == (format >= 6 ? [drop] : []))
    guard format >= 2 else { return }
    #expect(
      recording.clockExchanges == [
        ClockExchange(time: 3000, peer: 1, sent: 256, peerReceived: -1, peerSent: 0, received: 512)
      ])
    #expect(
      recording.clockCrosses == [
        ClockCross(
          time: 3001, method: .extended, device: 2, window: 500, deviceTime: 1_700_000_000_000_000_000, realtime: 255,
          monotonicRaw: 254)
      ])
    #expect(
      recording.guestCounters == [
        GuestCounter(time: 3002, guest: 1234, vcpu: 3, offset: -2, ratio: 1 << 48, fractionBits: 48)
      ])
    guard format >= 3 else { return }
    #expect(
      recording.wireStamps == [
        WireStamp(
          stamp: Stamp(
            time: 4000, key: 0xABCD, flow: 7, length: 92, headerLength: 28, cpu: 1, hook: .wireIn, kind: .udp),
          at: 1_700_000_000_000_000_000, clock: .hardware, interface: 1, device: 2)
      ])
    // In order of their ends.
    #expect(recording.pairs == Self.pairs.dropLast(max(0, 4 - format)).reversed())
    #expect(recording.pairs.map(\.number) == [nil, UInt32(0x0102_0304)].dropLast(max(0, 4 - format)).reversed())
  }

  static func events(_ format: Int) -> [String: Count] {
    let first: [String: Count] = ["stamp": 1, "stamp_held": 1, "flow": 1, "clock_sample": 1]
    let second: [String: Count] = ["clock_exchange": 1, "clock_cross": 1, "guest_counter": 1]
    let third: [String: Count] = ["stamp_wire": 1, "pair": 1]
    let fourth: [String: Count] = ["pair": 2]
    let fifth: [String: Count] = ["stamp": 2]
    let sixth: [String: Count] = ["drop": 1]
    return [second, third, fourth, fifth, sixth].prefix(format - 1).reduce(first) { $0.merging($1) { $1 } }
  }

  @Test(arguments: [1, 2, 3, 4, 5, 6]) func babeltraceReadsTheFixture(format: Int) throws {
    let babeltrace = try Babeltrace(Self.fixture(format))
    #expect(babeltrace.status == 0, "\(babeltrace.errors)")
    #expect(babeltrace.eventsByType == Self.events(format))
    #expect(babeltrace.discarded == 5)
    #expect(babeltrace.output.contains("length = 74565, header_words = 7, kind = ( \"tcp\" : container = 2 )"))
  }
}
