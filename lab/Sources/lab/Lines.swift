// SPDX-License-Identifier: GPL-2.0-or-later
import Glibc
import VirtualLab

/// Lines of standard input. `readLine` goes on reading after a signal.
struct Lines {
  private var rest: [UInt8] = []

  mutating func next() throws -> String? {
    while true {
      if let end = rest.firstIndex(of: UInt8(ascii: "\n")) {
        defer { rest.removeSubrange(...end) }
        return String(decoding: rest[..<end], as: UTF8.self)
      }
      try Stop.check()
      var waiting = pollfd(fd: 0, events: Int16(POLLIN), revents: 0)
      guard unsafe poll(&waiting, 1, 100) > 0 else { continue }
      var bytes = [UInt8](repeating: 0, count: 4096)
      let count = unsafe read(0, &bytes, bytes.count)
      if count > 0 {
        rest += bytes[..<count]
      } else if count == 0 || errno != EINTR {
        guard !rest.isEmpty else { return nil }
        rest.append(UInt8(ascii: "\n"))
      }
    }
  }
}
