// SPDX-License-Identifier: GPL-2.0-or-later
import CZlib
import CZstd

/// What a capture is compressed with.
enum Compression: String {
  case gzip
  case zstd

  /// By the first bytes; names of those that are not read go into an error.
  static func recognise(_ stream: inout ByteStream) throws(CaptureError) -> Compression? {
    let count = try stream.fill(4)
    if count >= 2, stream.number16(0, big: true) == 0x1F8B { return .gzip }
    guard count >= 4 else { return nil }
    let magic = stream.number32(0, big: false)
    // The second: a skippable frame, as pzstd writes it.
    if magic == 0xFD2F_B528 || magic & 0xFFFF_FFF0 == 0x184D_2A50 { return .zstd }
    for (number, name) in [(0x184D_2204, "lz4"), (0x587A_37FD, "xz")] where magic == number {
      throw stream.error("is compressed by \(name), which is not read: pipe it, \(name) -dc FILE | … --read -")
    }
    if stream.bytes(0, 3) == Array("BZh".utf8) {
      throw stream.error("is compressed by bzip2, which is not read: pipe it, bzip2 -dc FILE | … --read -")
    }
    return nil
  }
}

/// How far compressed data may expand: a small file must not keep whoever reads it busy for hours.
package struct Expansion: Sendable {
  /// So much may come out of any file, bytes.
  static let free = 16 << 20
  /// What comes out may be so many times what went in. Captures of traffic are compressed 2 to 20 times, of frames
  /// that are all alike up to 150 times.
  package static let usual = Expansion(limit: 256)
  package var limit: Int

  package init(limit: Int) { self.limit = limit }

  func allows(_ made: Int, from used: Int) -> Bool {
    let (bound, overflow) = used.multipliedReportingOverflow(by: limit)
    return made <= Expansion.free || overflow || made <= bound
  }
}

/// Decompresses one member or frame after the other; memory is the decompressor's window, however much comes out.
@safe final class Decompressor: ByteSource {
  private let kind: Compression
  private var input: ByteStream
  private let state: OpaquePointer
  private let expansion: Expansion
  /// Between two members.
  private var isAtEnd = false
  private var total = 0

  init(_ kind: Compression, _ input: ByteStream, _ expansion: Expansion) throws(CaptureError) {
    self.expansion = expansion
    self.kind = kind
    self.input = input
    let state =
      switch kind {
      case .gzip: unsafe lp_inflate_open()
      case .zstd: unsafe lp_unzstd_open()
      }
    guard let state = unsafe state else { throw CaptureError(path: input.path, "no memory to decompress") }
    unsafe self.state = state
  }

  deinit {
    switch kind {
    case .gzip: unsafe lp_inflate_close(state)
    case .zstd: unsafe lp_unzstd_close(state)
    }
  }

  func fill(_ buffer: inout [UInt8], from start: Int) throws(CaptureError) -> Int {
    while true {
      let available = try input.fill(1)
      if available == 0 {
        if isAtEnd { return 0 }
        throw input.error("ends within the \(kind.rawValue) data, as a file that was cut off: what came before is kept")
      }
      // Members that follow must be ones; gzip's may end in padding.
      if isAtEnd, kind == .gzip, try input.fill(2) < 2 || input.number16(0, big: true) != 0x1F8B {
        throw input.error("has other bytes behind the gzip data: cut them off; what came before is kept")
      }
      var used = available
      var made = buffer.count - start
      let result = unsafe buffer.withUnsafeMutableBufferPointer { output in
        unsafe input.withWindow { window in
          let place = unsafe output.baseAddress.map { unsafe $0 + start }
          return switch kind {
          case .gzip: unsafe lp_inflate_run(state, window, &used, place, &made)
          case .zstd: unsafe lp_unzstd_run(state, window, &used, place, &made)
          }
        }
      }
      guard result >= 0, used > 0 || made > 0 || result == 1 else {
        let window = kind == .zstd ? " or needs a window of more than 128 MiB" : ""
        throw input.error("the \(kind.rawValue) data is damaged here\(window): what came before is kept", at: used)
      }
      input.skip(used)
      isAtEnd = result == 1
      total += made
      guard expansion.allows(total, from: input.offset) else {
        throw input.error(
          "the \(kind.rawValue) data expands to more than \(expansion.limit) times its size (\(total) bytes): what came before "
            + "is kept; if the file is to be trusted, raise the bound with --max-expansion")
      }
      if made > 0 { return made }
    }
  }
}
