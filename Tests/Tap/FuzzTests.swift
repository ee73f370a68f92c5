// SPDX-License-Identifier: GPL-2.0-or-later
import Foundation
import Pairing
import Recording
import Stamping
import Tap
import Testing

/// Bytes flipped, cut out, doubled and cut off, by a seed: whatever comes, it is read or refused in one line.
@Suite struct FuzzTests {
  private static let rounds = 150

  /// One file of each kind.
  private static func seeds() throws -> [[UInt8]] {
    let plain = [
      pcap(testPackets()), pcap(testPackets(), magic: 0xA1B2_3C4D, big: true), pcapng(), pcapng(big: true), erfFile(),
    ]
    return try plain + [
      CompressionTests.compress(pcapng(), "gzip"), CompressionTests.compress(pcapng(), "zstd"),
    ]
  }

  static func mutate(_ bytes: [UInt8], _ random: inout Seeded) -> [UInt8] {
    var bytes = bytes
    for _ in 0..<Int.random(in: 1...8, using: &random) where !bytes.isEmpty {
      let place = Int.random(in: bytes.indices, using: &random)
      let end = min(bytes.count, place + Int.random(in: 1...64, using: &random))
      switch Int.random(in: 0..<7, using: &random) {
      case 0: bytes[place] ^= 1 << UInt8.random(in: 0..<8, using: &random)
      case 1: bytes[place] = UInt8.random(in: .min ... .max, using: &random)
      case 2: for index in place..<end { bytes[index] = 0xFF }
      case 3: for index in place..<end { bytes[index] = 0 }
      case 4: bytes.removeSubrange(place..<end)
      case 5: bytes.insert(contentsOf: bytes[place..<end], at: place)
      default: bytes.removeSubrange(place...)
      }
    }
    return bytes
  }

  @Test func noCrashAndBoundedMemory() throws {
    var random = Seeded(state: 23)
    let scratch = try Scratch()
    let seeds = try Self.seeds()
    for round in 0..<Self.rounds {
      for (number, seed) in seeds.enumerated() {
        let bytes = Self.mutate(seed, &random)
        let read = Read(try scratch.put("fuzzed", bytes))
        #expect(read.packets.count <= 60, "round \(round), seed \(number)")
        #expect(read.statistics.packets == UInt64(read.packets.count))
        let isSane = read.packets.allSatisfy {
          $0.length >= $0.bytes.count && read.interfaces.indices.contains($0.interface)
        }
        #expect(isSane, "round \(round), seed \(number)")
        guard let error = read.error else { continue }
        #expect(!error.description.contains("\n"))
        #expect(error.description.hasPrefix("\(scratch.path)/fuzzed: "), "\(error)")
        #expect(error.message.count > 20, "\(error)")
        // Of compressed files the offset may be one of the content.
        if let offset = error.offset, number < 5 { #expect(offset <= bytes.count + 16, "\(error)") }
      }
    }
    // Of this whole process, in KiB. A length of gigabytes that is believed would show.
    #expect(try peakMemory() < 1 << 20)
  }

  /// The same for packets: any bytes have a key or none.
  @Test func packetsOfAnyBytes() throws {
    var random = Seeded(state: 5)
    var stamper = PacketStamper()
    var records: [UInt8] = []
    let types: [LinkType] = [.ethernet, .raw, .linuxSLL, .linuxSLL2, .null, .loop, LinkType(number: 105)]
    for _ in 0..<20_000 {
      var bytes = Self.mutate(udpFrame(id: 1), &random)
      if Bool.random(using: &random) { bytes = Array(bytes.dropFirst(14)) }
      let type = types[Int.random(in: types.indices, using: &random)]
      let packet = CapturedPacket(
        time: Int64.random(in: -5...5, using: &random), interface: 0, linkType: type,
        length: max(bytes.count, Int.random(in: 0...Int(UInt32.max), using: &random)), bytes: bytes)
      let before = records.count
      let isStamped = stamper.append(packet, hook: .wireIn, time: 1, to: &records) == nil
      #expect((records.count > before) == isStamped)
      if records.count > 1 << 20 { records = [] }
    }
  }
}

/// The most memory that this process has held so far, in KiB.
func peakMemory() throws -> Int {
  let status = try String(contentsOfFile: "/proc/self/status", encoding: .utf8)
  let line = try #require(status.split(separator: "\n").first { $0.hasPrefix("VmHWM") })
  return try #require(line.split(separator: " ").compactMap { Int($0) }.first)
}
