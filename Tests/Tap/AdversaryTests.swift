// SPDX-License-Identifier: GPL-2.0-or-later
import Foundation
import Glibc
import Pairing
import Tap
import Testing

/// Files made to cost more time than their size: twice the bytes, about twice the work.
///
/// With `LATPROBE_TELL` sizes and ratios are printed, for docs/reliability.md.
@Suite(.serialized) struct AdversaryTests {
  /// CPU time of this thread, so that what else runs does not count.
  private func cost(_ body: () throws -> Void) rethrows -> Double {
    var (start, end) = (timespec(), timespec())
    unsafe clock_gettime(CLOCK_THREAD_CPUTIME_ID, &start)
    try body()
    unsafe clock_gettime(CLOCK_THREAD_CPUTIME_ID, &end)
    return Double(end.tv_sec - start.tv_sec) + Double(end.tv_nsec - start.tv_nsec) / 1e9
  }

  /// The best of several tries, as a cache that others use makes some of them dear; what is quadratic has four in each.
  private func expectLinear(_ name: String, _ make: (Int) throws -> [UInt8], size: Int = 10_000) throws {
    let scratch = try Scratch()
    let (small, large) = (try scratch.put("small", make(size)), try scratch.put("large", make(2 * size)))
    func read(_ path: String) throws -> Double {
      try cost {
        let reader = try CaptureReader(path: path, expansion: Expansion(limit: .max))
        while try reader.next() != nil {}
      }
    }
    var ratio = Double.infinity
    var (least, most) = (Double.infinity, Double.infinity)
    for _ in 0..<30 where ratio > 2.5 {
      least = min(least, try read(small))
      most = min(most, try read(large))
      ratio = most / least
    }
    #expect(ratio <= 2.5, "\(name): \(least) s, twice as much \(most) s")
    tell("\(name), \(size)", least, ratio)
  }

  private func tell(_ what: String, _ least: Double, _ ratio: Double) {
    guard ProcessInfo.processInfo.environment["LATPROBE_TELL"] != nil else { return }
    print("growth captures: \(what), \(Int(least * 1e6)) us, ratio \(ratio)")
  }

  private func section(_ fill: (inout Pcapng) -> Void) -> [UInt8] {
    var file = Pcapng()
    fill(&file)
    return file.bytes
  }

  @Test func recordsWithoutContent() throws {
    try expectLinear("pcap") { count in
      pcap([TestPacket](repeating: TestPacket(seconds: 1, fraction: 0, frame: []), count: count))
    }
    try expectLinear("ERF") { count in
      let record = erf(1 << 32, [], length: 0)
      return [[UInt8]](repeating: record, count: count).flatMap(\.self)
    }
    try expectLinear("blocks") { count in
      let block: [UInt8] = [0x77, 0x77, 0, 0, 12, 0, 0, 0, 12, 0, 0, 0]
      return Pcapng().bytes + [[UInt8]](repeating: block, count: count).flatMap(\.self)
    }
  }

  /// Each a byte longer than what the window holds, so that it is moved for each.
  @Test func recordsLongerThanTheWindow() throws {
    for length in [65_536 - 16, 65_536 - 15, 65_537, 131_073] {
      try expectLinear(
        "\(length)",
        { count in
          let packet = TestPacket(seconds: 1, fraction: 0, frame: [UInt8](repeating: 1, count: length))
          return pcap([TestPacket](repeating: packet, count: count))
        }, size: 60)
    }
  }

  @Test func optionsWithoutEnd() throws {
    try expectLinear(
      "options of packets",
      { count in
        section { file in
          file.interface(resolution: 9)
          let options = [UInt8](repeating: 1, count: 0) + (0..<4_000).flatMap { _ in [9, 0, 0, 0] as [UInt8] }
          for number in 0..<count { file.packet(UInt64(number), [1, 2, 3, 4], extra: options) }
        }
      }, size: 20)
    try expectLinear(
      "extension headers",
      { count in
        let headers = (0..<8_000).map { number in [number < 7_999 ? 0x80 : 0, 0, 0, 0, 0, 0, 0, 0] as [UInt8] }
        return (0..<count).flatMap { _ in erf(1 << 32, [1, 2, 3, 4], extensions: headers) }
      }, size: 10)
  }

  @Test func sectionsAndInterfaces() throws {
    try expectLinear(
      "sections",
      { count in
        section { file in
          for number in 0..<count {
            file.section()
            for interface in 0..<20 { file.interface("eth\(interface)", resolution: 9) }
            file.packet(UInt64(number), [1, 2, 3, 4], interface: 19)
            file.statistics(interface: 19, dropped: UInt64(number))
          }
        }
      }, size: 300)
    try expectLinear("statistics") { count in
      section { file in
        file.interface(resolution: 9)
        for number in 0..<count { file.statistics(dropped: UInt64(number)) }
      }
    }
  }

  @Test(arguments: ["gzip", "zstd"]) func membersWithoutContent(program: String) throws {
    let empty = try CompressionTests.compress([], program)
    let file = try CompressionTests.compress(pcap(testPackets()), program)
    try expectLinear(program) { count in file + [[UInt8]](repeating: empty, count: count).flatMap(\.self) }
  }

  /// Packets in the reverse order of time, and in one that a merge hates.
  @Test(arguments: [false, true]) func orders(isZigzag: Bool) throws {
    func run(_ count: Int) -> Double {
      cost {
        var order = CaptureOrder(packetLimit: 4_096)
        for number in 0..<count {
          let time = isZigzag ? Int64(number % 2 == 0 ? number : 2 * count - number) : Int64(count - number)
          order.add(PairingPacket(time: time, linkType: 1, length: 0, bytes: []))
          if order.isFull { _ = order.takeHalf() }
        }
        _ = order.takeRest()
      }
    }
    var ratio = Double.infinity
    for _ in 0..<30 where ratio > 2.5 { ratio = min(ratio, run(40_000) / run(20_000)) }
    #expect(ratio <= 2.5)
  }

  /// Lengths that are claimed and not there take no memory.
  @Test func claimsTakeNoMemory() throws {
    let before = try peakMemory()
    for _ in 0..<20 {
      var packet = Bytes()
      for number in [1, 0, 16 << 20, 16 << 20] as [UInt32] { packet.u32(number) }
      #expect(try Read(pcap([]) + packet.bytes).error != nil)
      var block = Bytes()
      block.u32(6)
      block.u32(16 << 20)
      #expect(try Read(Pcapng().bytes + block.bytes + [0, 0, 0, 0]).error != nil)
    }
    #expect(try peakMemory() - before < 64 << 10)
  }
}
