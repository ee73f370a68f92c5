// SPDX-License-Identifier: GPL-2.0-or-later

/// Where bytes come from: a file, or a decompressor over one.
protocol ByteSource: AnyObject {
  /// Puts bytes at `start` and behind it, at most to the buffer's end; returns how many, 0 at the end of the input.
  func fill(_ buffer: inout [UInt8], from start: Int) throws(CaptureError) -> Int
}

/// A window onto a source that only moves forward, so that a pipe will do.
///
/// Trade: the window grows with the data that is really there, to twice the largest record at most; a length in a
/// hostile header takes no memory.
struct ByteStream {
  let path: String
  private let source: any ByteSource
  private var buffer = [UInt8](repeating: 0, count: 64 << 10)
  private var start = 0
  private var end = 0
  /// Place of the window's first byte in the content.
  private(set) var offset = 0

  init(path: String, source: any ByteSource) {
    self.path = path
    self.source = source
  }

  /// Sees to it that the window holds `count` bytes; returns how many it has, fewer only at the end of the input.
  mutating func fill(_ count: Int) throws(CaptureError) -> Int {
    while end - start < count {
      if end == buffer.count {
        if start > 0 {
          buffer.removeSubrange(..<start)
          end -= start
        }
        buffer += [UInt8](repeating: 0, count: start > 0 ? start : buffer.count)
        start = 0
      }
      let read = try source.fill(&buffer, from: end)
      if read == 0 { break }
      end += read
    }
    return end - start
  }

  mutating func skip(_ count: Int) {
    start += count
    offset += count
  }

  /// Lends all bytes of the window; `fill` before has seen to one at least.
  func withWindow<Result>(_ body: (UnsafePointer<UInt8>) -> Result) -> Result {
    unsafe buffer.withUnsafeBufferPointer { window in
      guard let base = window.baseAddress else { preconditionFailure("the window is never without memory") }
      return unsafe body(base + start)
    }
  }

  subscript(_ place: Int) -> UInt8 { buffer[start + place] }

  func bytes(_ place: Int, _ count: Int) -> [UInt8] { Array(buffer[start + place..<start + place + count]) }

  func number16(_ place: Int, big: Bool) -> Int { Int(number(place, bytes: 2, big: big)) }
  func number32(_ place: Int, big: Bool) -> Int { Int(number(place, bytes: 4, big: big)) }
  func number64(_ place: Int, big: Bool) -> UInt64 { number(place, bytes: 8, big: big) }

  private func number(_ place: Int, bytes: Int, big: Bool) -> UInt64 {
    var value: UInt64 = 0
    for index in 0..<bytes {
      value = value << 8 | UInt64(buffer[start + place + (big ? index : bytes - 1 - index)])
    }
    return value
  }

  func error(_ message: String, at place: Int = 0) -> CaptureError {
    CaptureError(path: path, offset: offset + place, message)
  }
}
