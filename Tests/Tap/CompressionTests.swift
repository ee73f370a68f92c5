// SPDX-License-Identifier: GPL-2.0-or-later
import Foundation
import Tap
import Testing

@Suite struct CompressionTests {
  /// The bytes as gzip or zstd writes them.
  static func compress(_ bytes: [UInt8], _ program: String) throws -> [UInt8] {
    let scratch = try Scratch()
    let path = try scratch.put("x", bytes)
    let output = try run(program, "-k", "-q", path)
    try #require(output.status == 0, "\(output.errors)")
    return [UInt8](try Data(contentsOf: URL(filePath: path + (program == "gzip" ? ".gz" : ".zst"))))
  }

  @Test(arguments: ["gzip", "zstd"]) func everyFormat(program: String) throws {
    for file in [pcap(testPackets()), pcapng(), erfFile()] {
      let plain = try Read(file)
      let read = try Read(Self.compress(file, program))
      #expect(read.error == nil)
      #expect(read.packets == plain.packets)
      #expect(read.interfaces == plain.interfaces)
    }
  }

  @Test(arguments: ["gzip", "zstd"]) func severalMembers(program: String) throws {
    let file = pcapng()
    let half = file.count / 2
    let parts = try [Array(file[..<half]), [], Array(file[half...])].flatMap { try Self.compress($0, program) }
    let read = try Read(parts)
    #expect(read.error == nil)
    #expect(read.packets.count == 23)
  }

  @Test(arguments: ["gzip", "zstd"]) func damage(program: String) throws {
    let whole = try Self.compress(pcapng(), program)
    for count in stride(from: 5, to: whole.count, by: 23) {
      let read = try Read(Array(whole[..<count]))
      #expect(read.error != nil, "\(count) of \(whole.count) bytes")
    }
    let trailing = try Read(whole + [1, 2, 3, 4, 5])
    #expect(trailing.packets.count == 23)
    #expect(trailing.error != nil)
  }

  /// What a small file may grow to has a bound, which is told and can be raised.
  @Test(arguments: ["gzip", "zstd"]) func expansionIsBounded(program: String) throws {
    var file = pcap([])
    let empty = TestPacket(seconds: 1, fraction: 0, frame: [UInt8](repeating: 0, count: 65_520))
    file += pcap([TestPacket](repeating: empty, count: 512)).dropFirst(24)
    let scratch = try Scratch()
    let path = try scratch.put("bomb", Self.compress(file, program))
    func packets(_ expansion: Expansion) throws -> (Int, CaptureError?) {
      let reader = try CaptureReader(path: path, expansion: expansion)
      var count = 0
      do throws(CaptureError) { while try reader.next() != nil { count += 1 } } catch { return (count, error) }
      return (count, nil)
    }
    let (count, error) = try packets(Expansion(limit: 256))
    #expect(200...260 ~= count)
    #expect(
      error?.message.contains("more than 256 times") == true && error?.message.contains("--max-expansion") == true)
    #expect(try packets(Expansion(limit: 1_000_000)).0 == 512)
    // What traffic compresses to is never refused.
    var random = Seeded(state: 3)
    let plain = try Read(
      Self.compress(
        pcap(
          (0..<300).map { _ in
            TestPacket(
              seconds: 1, fraction: 0, frame: (0..<65_520).map { _ in UInt8.random(in: 0...3, using: &random) })
          }), program))
    #expect(plain.error == nil && plain.packets.count == 300)
  }

  /// 12 MiB of packets from a small file.
  @Test(arguments: ["gzip", "zstd"]) func bombsAreStreamed(program: String) throws {
    var file = pcap([])
    let empty = TestPacket(seconds: 1, fraction: 0, frame: [UInt8](repeating: 0, count: 65_520))
    file += pcap([TestPacket](repeating: empty, count: 192)).dropFirst(24)
    let scratch = try Scratch()
    let path = try scratch.put("bomb", Self.compress(file, program))
    let reader = try CaptureReader(path: path)
    var count = 0
    while try reader.next() != nil { count += 1 }
    #expect(count == 192)
  }

  @Test func othersAreNamed() throws {
    let magics: [([UInt8], String)] = [
      ([0xFD, 0x37, 0x7A, 0x58, 0x5A, 0], "xz -dc"), ([4, 0x22, 0x4D, 0x18], "lz4 -dc"),
      (Array("BZh9".utf8), "bzip2 -dc"),
    ]
    for (magic, words) in magics {
      #expect(try Read(magic).error?.message.contains(words) == true)
    }
  }
}
