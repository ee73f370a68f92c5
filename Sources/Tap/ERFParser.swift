// SPDX-License-Identifier: GPL-2.0-or-later
internal import Pairing
internal import Stamping

/// ERF of Endace's DAG cards: records of 16 bytes, extension headers of 8 bytes each, and the packet; no file header.
/// Numbers are big-endian but for the time, 32.32 bits little-endian. https://www.endace.com/erf-extensible-record-format-types.pdf
struct ERFParser: CaptureParser {
  private static let headerSize = 16
  private static let resolution = TimeResolution.binary(32)
  /// Ethernet; the others carry a colour in place of the loss counter.
  private static let ethernet = 2
  private static let colouredEthernet: Set<Int> = [11, 16, 20]
  private static let meta = 27
  private static let padding = 48

  private var stream: ByteStream

  init(_ stream: ByteStream) { self.stream = stream }

  /// The format has no magic number: the first records must make sense, and the first one be whole.
  static func knows(_ stream: inout ByteStream) throws(CaptureError) -> Bool {
    var place = 0
    for number in 0..<3 {
      let available = try stream.fill(place + headerSize)
      if available < place + headerSize { return number > 0 && available >= place }
      // Lines of text may look like a header; lengths, lengths' upper bytes and the counter of losses are hardly all letters.
      if number == 0, stream.bytes(0, headerSize).allSatisfy({ $0 >= 0x20 && $0 != 0x7F || 9...13 ~= $0 }) {
        return false
      }
      let type = Int(stream[place + 8] & 0x7F)
      let size = stream.number16(place + 10, big: true)
      let isKnown = (1...24).contains(type) || type == meta || type == padding
      let isEthernet = type == ethernet || colouredEthernet.contains(type)
      guard isKnown, size >= headerSize, !isEthernet || size >= headerSize + 2 else { return false }
      place += size
    }
    return true
  }

  mutating func next(_ log: inout CaptureLog) throws(CaptureError) -> CapturedPacket? {
    while true {
      let available = try stream.fill(ERFParser.headerSize)
      if available == 0 { return nil }
      guard available >= ERFParser.headerSize else { throw stream.tornRecord(available, of: ERFParser.headerSize) }
      let size = stream.number16(10, big: true)
      guard size >= ERFParser.headerSize else {
        throw stream.error(
          "a record of \(size) bytes cannot be: the file is damaged here; what came before is kept", at: 10)
      }
      let present = try stream.fill(size)
      guard present >= size else { throw stream.tornRecord(present, of: size) }
      defer { stream.skip(size) }
      if let packet = packet(size, &log) { return packet }
    }
  }

  private func packet(_ size: Int, _ log: inout CaptureLog) -> CapturedPacket? {
    let type = Int(stream[8] & 0x7F)
    if type == ERFParser.padding { return nil }
    guard type == ERFParser.ethernet || ERFParser.colouredEthernet.contains(type) else {
      log.skip(.otherType(type))
      return nil
    }
    let flags = stream[9]
    let interface = Int(flags & 3)
    while log.interfaces.count <= interface {
      log.interfaces.append(CaptureInterface(linkType: .ethernet, resolution: ERFParser.resolution))
    }
    if type == ERFParser.ethernet { log.add(drops: UInt64(stream.number16(12, big: true)), of: interface) }
    guard flags & 0x20 == 0 else {
      log.skip(.recordError)
      return nil
    }
    // Two bytes of padding bring the IP header to a multiple of four.
    guard let start = headersEnd(size).map({ $0 + 2 }), start <= size else {
      log.skip(.tooShort)
      return nil
    }
    guard let time = ERFParser.resolution.nanoseconds(stream.number64(0, big: false)) else {
      log.skip(.timeOutOfRange)
      return nil
    }
    let length = stream.number16(14, big: true)
    return CapturedPacket(
      time: time, interface: interface, linkType: .ethernet, length: length,
      bytes: stream.bytes(start, min(length, size - start)))
  }

  /// Where the extension headers end, each of which says whether one follows; nil where they leave the record.
  private func headersEnd(_ size: Int) -> Int? {
    var place = ERFParser.headerSize
    var isMore = stream[8] & 0x80 != 0
    while isMore {
      guard place + 8 <= size else { return nil }
      isMore = stream[place] & 0x80 != 0
      place += 8
    }
    return place
  }
}
