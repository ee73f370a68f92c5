// SPDX-License-Identifier: GPL-2.0-or-later
import Foundation
import Recording
import Testing

/// Format 1, byte for byte. The fixture is never written anew: recordings stay readable for ever.
@Suite struct GoldenTests {
  static let uuid = "00112233-4455-4677-8899-aabbccddeeff"
  static let fixture = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    .appending(path: "Fixtures/recording-1").path

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

  static var golden: [UInt8] {
    stream.split(separator: "\n").flatMap { line in
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
    writer.discarded(cpu: 3, total: 5)
    machine.stoppedAt = 3000
    machine.stoppedBy = "duration"
    try writer.close(machine)
  }

  @Test func theFixtureIsTheAnnotatedBytes() throws {
    #expect(Self.golden.count == 72 + 72 + 56 + 56 + 32 + 40)
    #expect([UInt8](try Data(contentsOf: URL(filePath: "\(Self.fixture)/host-a/ctf/stream_3_0"))) == Self.golden)
  }

  @Test func theWriterWritesTheFixture() throws {
    let scratch = try Scratch()
    try Self.write(scratch)
    let text = String(decoding: try scratch.bytes("host-a/ctf/metadata"), as: UTF8.self)
    let uuid = try #require(text.firstMatch(of: /uuid = "([0-9a-f-]{36})";/)).1
    let fixed = text.replacingOccurrences(of: uuid, with: Self.uuid)
    let old = try String(contentsOfFile: "\(Self.fixture)/host-a/ctf/metadata", encoding: .utf8)
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
    var stream = try scratch.bytes("host-a/ctf/stream_3_0")
    for start in [4, 76] {
      #expect(Array(stream[start..<(start + 16)]) == bytes)
      stream.replaceSubrange(start..<(start + 16), with: Self.golden[4..<20])
    }
    #expect(stream == Self.golden)
    #expect(
      try scratch.bytes("session.json") == [UInt8](try Data(contentsOf: URL(filePath: "\(Self.fixture)/session.json"))))
  }

  @Test func theReaderReadsTheFixture() throws {
    let session = try RecordedSession.load(paths: [Self.fixture])
    #expect(session.session == sampleSession())
    #expect(session.damage.isEmpty)
    let recording = try #require(session.machines.first)
    #expect(recording.damage.isEmpty)
    #expect(recording.machine.hooks.first?.attachedAs == "tp_btf:net_dev_queue")
    #expect(recording.machine.ledger.first?.lost == 5)
    #expect(recording.discardedByCPU == [3: 5])
    #expect(recording.eventsByType == ["stamp": 1, "stamp_held": 1, "flow": 1, "clock_sample": 1])
    #expect(
      recording.stamps == [
        Stamp(time: 900, key: 0xABCD, flow: 7, length: 92, headerLength: 28, cpu: 3, hook: .txg0, kind: .udp),
        Stamp(
          time: 1002, key: 0x0102_0304_0506_0708, flow: 0xFFFF_FFF1, sequence: 0x0102_0304, length: 0x12345,
          headerLength: 28, queue: 258, cpu: 3, hook: .wireOut, kind: .tcp),
      ])
    #expect(recording.clockSamples.first?.tai == 1_700_000_037_000_000_000)
    #expect(recording.flows[7]?.destination == [10, 0, 0, 2])
  }

  @Test func babeltraceReadsTheFixture() throws {
    let babeltrace = try Babeltrace(Self.fixture)
    #expect(babeltrace.status == 0, "\(babeltrace.errors)")
    #expect(babeltrace.eventsByType == ["stamp": 1, "stamp_held": 1, "flow": 1, "clock_sample": 1])
    #expect(babeltrace.discarded == 5)
    #expect(babeltrace.output.contains("length = 74565, header_words = 7, kind = ( \"tcp\" : container = 2 )"))
  }
}
