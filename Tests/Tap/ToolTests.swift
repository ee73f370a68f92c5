// SPDX-License-Identifier: GPL-2.0-or-later
import Foundation
import Pairing
import Stamping
import Tap
import Testing

/// What Wireshark's tools make of the same files.
@Suite struct ToolTests {
  private static func files() throws -> [(name: String, bytes: [UInt8])] {
    let plain = [
      ("micro.pcap", pcap(testPackets())), ("micro-be.pcap", pcap(testPackets(), big: true)),
      ("nano.pcap", pcap(testPackets(), magic: 0xA1B2_3C4D)), ("le.pcapng", pcapng()),
      ("be.pcapng", pcapng(big: true)), ("x.erf", erfFile()),
    ]
    let packed = try plain.map { ($0.0 + ".gz", try CompressionTests.compress($0.1, "gzip")) }
    return plain + packed + [("x.pcapng.zst", try CompressionTests.compress(pcapng(), "zstd"))]
  }

  /// Time, length and captured bytes of each packet, as tshark prints them.
  private func tshark(_ path: String) throws -> [(time: Int64, length: Int, captured: Int)] {
    let output = try run(
      "tshark", "-r", path, "-n", "-T", "fields", "-e", "frame.time_epoch", "-e", "frame.len", "-e", "frame.cap_len")
    try #require(output.status == 0, "\(output.errors)")
    return try output.text.split(separator: "\n").map { line in
      let fields = line.split(separator: "\t")
      try #require(fields.count == 3, "\(line)")
      let parts = fields[0].split(separator: ".")
      let seconds = try #require(Int64(parts[0]))
      let fraction = try #require(Int64(parts[1]))
      try #require(parts[1].count == 9)
      return (
        seconds * 1_000_000_000 + fraction, try #require(Int(fields[1])), try #require(Int(fields[2]))
      )
    }
  }

  @Test func capinfosCountsTheSame() throws {
    let scratch = try Scratch()
    for (name, bytes) in try Self.files() {
      let path = try scratch.put(name, bytes)
      let output = try run("capinfos", "-M", "-T", "-r", "-c", path)
      try #require(output.status == 0, "\(output.errors)")
      let count = try #require(output.text.split(whereSeparator: \.isWhitespace).last.flatMap { Int($0) })
      let read = Read(path)
      #expect(read.error == nil)
      #expect(read.packets.count == count, "\(name)")
      #expect(count == 23)
    }
  }

  @Test func tsharkReadsTheSame() throws {
    let scratch = try Scratch()
    for (name, bytes) in try Self.files() {
      let path = try scratch.put(name, bytes)
      let expected = try tshark(path)
      let read = Read(path)
      #expect(read.packets.count == expected.count)
      // Wireshark cuts parts of a nanosecond off, latprobe rounds them.
      let allowance: Int64 = name.hasPrefix("x.erf") ? 1 : 0
      for (packet, other) in zip(read.packets, expected) {
        let difference = abs(packet.time - other.time)
        #expect(difference <= allowance, "\(name)")
        #expect(packet.length == other.length)
        #expect(packet.bytes.count == other.captured)
      }
    }
  }

  @Test func editcapConvertsToTheSame() throws {
    let scratch = try Scratch()
    let nano = try scratch.put("nano.pcap", pcap(testPackets(), magic: 0xA1B2_3C4D))
    var path = nano
    let original = Read(path).packets
    for format in ["pcapng", "nsecpcap", "pcapng"] {
      let next = "\(scratch.path)/\(UUID().uuidString)"
      let output = try run("editcap", "-F", format, path, next)
      try #require(output.status == 0, "\(output.errors)")
      path = next
      let read = Read(path)
      #expect(read.error == nil)
      #expect(read.packets == original, "\(format)")
    }
    let micro = "\(scratch.path)/micro"
    try #require(try run("editcap", "-F", "pcap", nano, micro).status == 0)
    let rounded = original.map { $0.time / 1000 * 1000 }
    #expect(Read(micro).packets.map(\.time) == rounded)
    let snapped = "\(scratch.path)/snapped"
    try #require(try run("editcap", "-F", "pcapng", "-s", "40", nano, snapped).status == 0)
    let short = Read(snapped)
    #expect(short.packets.map(\.length) == original.map(\.length))
    #expect(short.packets.allSatisfy { $0.bytes.count == 40 })
  }

  @Test func mergecapKeepsInterfaces() throws {
    let scratch = try Scratch()
    let first = try scratch.put("a.pcapng", pcapng())
    var other = Pcapng()
    other.interface("eth1", linkType: 101)
    other.packet(1_700_000_000_000_500, Array(udpFrame(id: 1).dropFirst(14)))
    let second = try scratch.put("b.pcapng", other.bytes)
    let merged = "\(scratch.path)/merged"
    let output = try run("mergecap", "-w", merged, first, second)
    try #require(output.status == 0, "\(output.errors)")
    let read = Read(merged)
    #expect(read.error == nil)
    #expect(read.interfaces.map(\.name) == ["eth0", "eth1"])
    #expect(read.interfaces.map(\.packets) == [23, 1])
    #expect(read.interfaces.map(\.linkType) == [.ethernet, .raw])
    #expect(read.packets.first { $0.interface == 1 }?.time == 1_700_000_000_000_500_000)
  }

  @Test func text2pcapWritesWhatWasMeant() throws {
    let scratch = try Scratch()
    var text = ""
    for packet in testPackets() {
      text += "000000 " + packet.frame.map { String(format: "%02x", $0) }.joined(separator: " ") + "\n"
    }
    let path = try scratch.put("dump", Array(text.utf8))
    for format in ["pcap", "pcapng", "nsecpcap"] {
      let made = "\(scratch.path)/\(format)"
      let output = try run("text2pcap", "-F", format, path, made)
      try #require(output.status == 0, "\(output.errors)")
      let read = Read(made)
      #expect(read.error == nil)
      #expect(read.packets.map(\.bytes) == testPackets().map(\.frame), "\(format)")
    }
  }
}
