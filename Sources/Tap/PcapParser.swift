// SPDX-License-Identifier: GPL-2.0-or-later
internal import Pairing
internal import Stamping

/// pcap: a header of 24 bytes, then records of 16 bytes and the packet.
/// https://ietf-opsawg-wg.github.io/draft-ietf-opsawg-pcap/draft-ietf-opsawg-pcap.html
struct PcapParser: CaptureParser {
  private var stream: ByteStream
  private let isBig: Bool
  private let unitsPerSecond: Int
  private let linkType: LinkType

  /// Magic numbers as they read big-endian. The last four are variants with other records: told apart, not read.
  private static let micro = 0xA1B2_C3D4
  private static let nano = 0xA1B2_3C4D
  private static let variants = [
    0xA1B2_CD34: "modified by Kuznetzov", 0xA12B_3C4D: "of Navtel", 0x1C00_01AC: "of IXIA", 0x1C00_01AB: "of IXIA",
  ]

  private static func swapped(_ magic: Int) -> Int { Int(UInt32(truncatingIfNeeded: magic).byteSwapped) }

  static func knows(_ magic: Int) -> Bool {
    [magic, swapped(magic)].contains { $0 == micro || $0 == nano || variants[$0] != nil }
  }

  init(_ stream: ByteStream, _ log: inout CaptureLog) throws(CaptureError) {
    var stream = stream
    let count = try stream.fill(24)
    let magic = stream.number32(0, big: true)
    if let variant = PcapParser.variants[magic] ?? PcapParser.variants[PcapParser.swapped(magic)] {
      throw stream.error(
        "is a pcap variant (\(variant)) that latprobe does not read: convert it with editcap -F nsecpcap")
    }
    guard count >= 24 else {
      throw stream.error("ends within the file header (\(count) of 24 bytes): capture again", at: count)
    }
    isBig = magic == PcapParser.micro || magic == PcapParser.nano
    let isNano = magic == PcapParser.nano || PcapParser.swapped(magic) == PcapParser.nano
    unitsPerSecond = isNano ? 1_000_000_000 : 1_000_000
    let version = (stream.number16(4, big: isBig), stream.number16(6, big: isBig))
    guard version == (2, 4) else {
      throw stream.error(
        "is pcap version \(version.0).\(version.1), only 2.4 is read: convert it with editcap -F nsecpcap", at: 4)
    }
    // The upper bits tell of frame check sequences.
    linkType = LinkType(number: stream.number32(20, big: isBig) & 0x03FF_FFFF)
    log.interfaces = [
      CaptureInterface(
        linkType: linkType, snapLength: stream.number32(16, big: isBig), resolution: .decimal(isNano ? 9 : 6))
    ]
    stream.skip(24)
    self.stream = stream
  }

  mutating func next(_ log: inout CaptureLog) throws(CaptureError) -> CapturedPacket? {
    while true {
      let available = try stream.fill(16)
      if available == 0 { return nil }
      guard available >= 16 else { throw stream.tornRecord(available, of: 16) }
      let seconds = stream.number32(0, big: isBig)
      let fraction = stream.number32(4, big: isBig)
      let captured = stream.number32(8, big: isBig)
      let length = stream.number32(12, big: isBig)
      guard captured <= CaptureFormat.recordLimit else { throw stream.tooLong(captured) }
      let present = try stream.fill(16 + captured)
      guard present >= 16 + captured else { throw stream.tornRecord(present, of: 16 + captured) }
      defer { stream.skip(16 + captured) }
      guard fraction < unitsPerSecond else {
        log.skip(.impossibleFraction)
        continue
      }
      return CapturedPacket(
        time: Int64(seconds) * 1_000_000_000 + Int64(fraction * (1_000_000_000 / unitsPerSecond)), interface: 0,
        linkType: linkType, length: max(length, captured), bytes: stream.bytes(16, captured))
    }
  }
}

extension ByteStream {
  /// The input ends within the record at hand.
  func tornRecord(_ present: Int, of size: Int) -> CaptureError {
    error("ends within a record (\(present) of \(size) bytes), as a capture that was cut off: what came before is kept")
  }

  func tooLong(_ size: Int) -> CaptureError {
    error(
      "a record says it has \(size) bytes, more than \(CaptureFormat.recordLimit): the file is damaged here; "
        + "what came before is kept")
  }
}
