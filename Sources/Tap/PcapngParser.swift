// SPDX-License-Identifier: GPL-2.0-or-later
internal import Pairing
internal import Stamping

/// pcapng: blocks of a type, a length at both ends, and a body, in sections of their own byte order and interfaces.
/// https://ietf-opsawg-wg.github.io/draft-ietf-opsawg-pcap/draft-ietf-opsawg-pcapng.html
struct PcapngParser: CaptureParser {
  /// The section header's type, the same in both byte orders.
  static let sectionType = 0x0A0D_0D0A
  private static let interfaceLimit = 4096

  /// An interface as a section describes it. The same place and description in a later section is the same interface.
  private struct Description: Hashable {
    var place: Int
    var name: String?
    var linkType: LinkType
    var snapLength: Int
    var resolution: TimeResolution
    /// Seconds to add to its times.
    var offset: Int64
  }

  private var stream: ByteStream
  private var isBig = false
  private var numbers: [Description: Int] = [:]
  /// The section's interfaces, their numbers in the file, and what the section's statistics told of losses so far.
  private var section: [(description: Description, number: Int, drops: UInt64)] = []

  init(_ stream: ByteStream) { self.stream = stream }

  mutating func next(_ log: inout CaptureLog) throws(CaptureError) -> CapturedPacket? {
    while let size = try nextBlock() {
      defer { stream.skip(size) }
      switch stream.number32(0, big: isBig) {
      case PcapngParser.sectionType:
        try beginSection(size)
      case 1:
        try addInterface(size, &log)
      // The old packet block differs in its first field alone.
      case 2: if let packet = packet(size, isOld: true, &log) { return packet }
      case 6: if let packet = packet(size, isOld: false, &log) { return packet }
      case 3: log.skip(.noTime)
      case 5: takeStatistics(size, &log)
      // Names, secrets (decryption, journal, system calls), custom blocks.
      case 4, 9, 10, 11, 0xBAD, 0x4000_0BAD: break
      default: log.skip(.otherBlock)
      }
    }
    return nil
  }

  /// Size of the block at hand, which is whole in the window; nil at the end.
  private mutating func nextBlock() throws(CaptureError) -> Int? {
    let available = try stream.fill(12)
    if available == 0 { return nil }
    guard available >= 12 else { throw stream.tornRecord(available, of: 12) }
    if stream.number32(0, big: false) == PcapngParser.sectionType {
      switch stream.number32(8, big: false) {
      case 0x1A2B_3C4D: isBig = false
      case 0x4D3C_2B1A: isBig = true
      default:
        throw stream.error("a section without a byte order: the file is damaged here; what came before is kept", at: 8)
      }
    }
    let size = stream.number32(4, big: isBig)
    guard size >= 12, size % 4 == 0 else {
      throw stream.error(
        "a block of \(size) bytes cannot be: the file is damaged here; what came before is kept", at: 4)
    }
    guard size <= CaptureFormat.recordLimit else { throw stream.tooLong(size) }
    let present = try stream.fill(size)
    guard present >= size else { throw stream.tornRecord(present, of: size) }
    let end = stream.number32(size - 4, big: isBig)
    guard end == size else {
      throw stream.error(
        "a block begins with \(size) bytes and ends with \(end): the file is damaged here; what came before is kept")
    }
    return size
  }

  private mutating func beginSection(_ size: Int) throws(CaptureError) {
    guard size >= 28 else { throw stream.error("a section header of \(size) bytes is too short: capture again") }
    let version = stream.number16(12, big: isBig)
    guard version == 1 else {
      throw stream.error("is pcapng version \(version), only 1 is read: convert it with editcap -F pcapng", at: 12)
    }
    section = []
  }

  private mutating func addInterface(_ size: Int, _ log: inout CaptureLog) throws(CaptureError) {
    guard size >= 20 else {
      throw stream.error("an interface description of \(size) bytes is too short: capture again")
    }
    guard section.count < PcapngParser.interfaceLimit else { throw tooManyInterfaces }
    var described = Description(
      place: section.count, linkType: LinkType(number: stream.number16(8, big: isBig)),
      snapLength: stream.number32(12, big: isBig), resolution: .decimal(6), offset: 0)
    let isWhole = forEachOption(from: 16, to: size - 4) { code, place, length in
      switch (code, length) {
      case (2, _): described.name = String(decoding: stream.bytes(place, min(length, 256)), as: UTF8.self)
      case (9, 1...):
        let value = Int(stream[place])
        described.resolution = value & 0x80 == 0 ? .decimal(value) : .binary(value & 0x7F)
      case (14, 8...): described.offset = Int64(bitPattern: stream.number64(place, big: isBig))
      default: break
      }
    }
    // Its times would be guessed.
    guard isWhole else {
      throw stream.error("options of an interface are longer than their block: the file is damaged here")
    }
    if numbers[described] == nil {
      guard log.interfaces.count < PcapngParser.interfaceLimit else { throw tooManyInterfaces }
      numbers[described] = log.interfaces.count
      log.interfaces.append(
        CaptureInterface(
          name: described.name, linkType: described.linkType, snapLength: described.snapLength,
          resolution: described.resolution))
    }
    section.append((described, numbers[described] ?? 0, 0))
  }

  private var tooManyInterfaces: CaptureError {
    stream.error("describes more than \(PcapngParser.interfaceLimit) interfaces: the file is damaged here")
  }

  private mutating func packet(_ size: Int, isOld: Bool, _ log: inout CaptureLog) -> CapturedPacket? {
    let captured = size >= 32 ? stream.number32(20, big: isBig) : .max
    guard captured <= size - 32 else {
      log.skip(.tooShort)
      return nil
    }
    let place = isOld ? stream.number16(8, big: isBig) : stream.number32(8, big: isBig)
    guard section.indices.contains(place) else {
      log.skip(.unknownInterface)
      return nil
    }
    let (interface, number, _) = section[place]
    takeDrops(isOld: isOld, options: 28 + (captured + 3) & ~3, to: size - 4, of: number, &log)
    let units = UInt64(stream.number32(12, big: isBig)) << 32 | UInt64(stream.number32(16, big: isBig))
    guard let time = interface.resolution.nanoseconds(units, offset: interface.offset) else {
      log.skip(.timeOutOfRange)
      return nil
    }
    return CapturedPacket(
      time: time, interface: number, linkType: interface.linkType,
      length: max(stream.number32(24, big: isBig), captured), bytes: stream.bytes(28, captured))
  }

  /// Packets lost between this one and the one before it on the interface.
  private func takeDrops(isOld: Bool, options: Int, to end: Int, of number: Int, _ log: inout CaptureLog) {
    if isOld {
      let drops = stream.number16(10, big: isBig)
      // All ones: not known.
      if drops != 0xFFFF { log.add(drops: UInt64(drops), of: number) }
    }
    let isWhole = forEachOption(from: options, to: end) { code, place, length in
      if !isOld, code == 4, length >= 8 { log.add(drops: stream.number64(place, big: isBig), of: number) }
    }
    if !isWhole { log.statistics.damagedOptions += 1 }
  }

  /// Counts since the section began; the last block of an interface counts.
  private mutating func takeStatistics(_ size: Int, _ log: inout CaptureLog) {
    guard size >= 24, case let place = stream.number32(8, big: isBig), section.indices.contains(place) else {
      log.statistics.damagedOptions += 1
      return
    }
    var drops: UInt64?
    let isWhole = forEachOption(from: 20, to: size - 4) { code, place, length in
      // By the interface, by the operating system.
      if code == 5 || code == 7, length >= 8 {
        drops = UInt64.capped(drops ?? 0, plus: stream.number64(place, big: isBig))
      }
    }
    if !isWhole { log.statistics.damagedOptions += 1 }
    guard let drops else { return }
    if drops > section[place].drops { log.gaps += 1 }
    let number = section[place].number
    let before = log.interfaces[number].reportedDrops ?? 0
    log.interfaces[number].reportedDrops = UInt64.capped(before - min(before, section[place].drops), plus: drops)
    section[place].drops = drops
  }

  /// Returns false where an option is longer than what is left.
  private func forEachOption(from start: Int, to end: Int, _ body: (_ code: Int, _ place: Int, _ length: Int) -> Void)
    -> Bool
  {
    var place = start
    while place + 4 <= end {
      let code = stream.number16(place, big: isBig)
      let length = stream.number16(place + 2, big: isBig)
      if code == 0 { return true }
      guard place + 4 + length <= end else { return false }
      body(code, place + 4, length)
      place += 4 + (length + 3) & ~3
    }
    return true
  }
}
