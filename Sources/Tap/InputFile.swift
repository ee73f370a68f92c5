// SPDX-License-Identifier: GPL-2.0-or-later
#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

/// A file, a pipe, or standard input (`-`), read once from front to back.
final class InputFile: ByteSource {
  /// Asked before each read, and every 100 ms while nothing comes: true ends the input.
  var isStopRequested: () -> Bool = { false }
  /// It ended because that was asked for, and not by itself.
  private(set) var isStopped = false

  private static let patience: Int32 = 100

  private let path: String
  private let descriptor: Int32

  init(_ path: String) throws(CaptureError) {
    self.path = path
    descriptor = path == "-" ? 0 : unsafe open(path, O_RDONLY | O_CLOEXEC)
    if descriptor < 0 { throw InputFile.failure("cannot open", path) }
  }

  deinit { if path != "-" { close(descriptor) } }

  func fill(_ buffer: inout [UInt8], from start: Int) throws(CaptureError) -> Int {
    while true {
      if isStopRequested() {
        isStopped = true
        return 0
      }
      // A pipe may stay silent for ever, and read(2) goes on after a signal.
      var waiting = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
      let ready = unsafe poll(&waiting, 1, InputFile.patience)
      if ready == 0 || ready < 0 && errno == EINTR { continue }
      let count = unsafe buffer.withUnsafeMutableBytes {
        unsafe read(descriptor, $0.baseAddress.map { unsafe $0 + start }, $0.count - start)
      }
      if count >= 0 { return count }
      if errno != EINTR { throw InputFile.failure("cannot read", path) }
    }
  }

  private static func failure(_ what: String, _ path: String) -> CaptureError {
    let number = errno
    let reason = unsafe String(cString: strerror(number))
    return CaptureError(path: path, "\(what): \(reason) (errno \(number)); give a capture file, or - for a pipe")
  }
}
