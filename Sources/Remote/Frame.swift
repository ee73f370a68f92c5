// SPDX-License-Identifier: GPL-2.0-or-later

/// One message on its way: 16 bytes of header, the payload, and with a key 32 bytes of seal (`docs/agent.md`).
///
/// | offset | size | content |
/// |---:|---:|---|
/// | 0 | 4 | bytes after the header, seal included |
/// | 4 | 1 | type of the message |
/// | 5 | 3 | 0 |
/// | 8 | 8 | number: 0, 1, 2, … in each direction |
package struct Frame: Equatable {
  static let headerSize = 16
  /// Bytes of the largest frame, header and seal included.
  static let limit = 64 << 10
  static let payloadLimit = limit - headerSize - Seal.size

  package var type: UInt8
  var number: UInt64
  package var payload: [UInt8]

  func encoded(seal: Seal?) -> [UInt8] {
    var writer = WireWriter()
    writer.put(UInt32(payload.count + (seal == nil ? 0 : Seal.size)))
    writer.put(type)
    writer.put(raw: [0, 0, 0])
    writer.put(number)
    writer.put(raw: payload)
    return writer.bytes + (seal?.tag(of: writer.bytes) ?? [])
  }

  /// The frame at the beginning of `bytes` and its size; nil while more bytes are needed.
  ///
  /// - Throws: where no number of further bytes could make it right.
  package static func decode(_ bytes: ArraySlice<UInt8>, seal: Seal?) throws(RemoteError) -> (frame: Frame, size: Int)?
  {
    guard bytes.count >= headerSize else { return nil }
    var header = WireReader(bytes.prefix(headerSize))
    let length = Int(try header.number(UInt32.self))
    let type: UInt8 = try header.number()
    guard length <= limit - headerSize else {
      throw .violation("a frame of \(length) bytes where \(limit) are allowed")
    }
    guard try header.raw(3).allSatisfy({ $0 == 0 }) else { throw .violation("no frame of this protocol") }
    let number: UInt64 = try header.number()
    guard bytes.count >= headerSize + length else { return nil }
    var body = bytes.dropFirst(headerSize).prefix(length)
    if let seal {
      guard length >= Seal.size else { throw .violation("a frame without a seal") }
      let tag = body.suffix(Seal.size)
      body = body.dropLast(Seal.size)
      guard seal.isValid(tag, of: bytes.prefix(headerSize + length - Seal.size)) else {
        throw .violation("a frame whose seal is wrong: another key, or somebody between the two sides")
      }
    }
    return (Frame(type: type, number: number, payload: Array(body)), headerSize + length)
  }
}
