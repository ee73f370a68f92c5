// SPDX-License-Identifier: GPL-2.0-or-later
internal import Glibc

/// Small facts about this machine, from uname and /proc and /sys.
package enum System {
  package static var release: String { field(\.release) }
  package static var hostname: String { field(\.nodename) }
  package static var architecture: String { field(\.machine) }
  package static var isRoot: Bool { geteuid() == 0 }

  /// Numbers of the CPUs that the kernel has made room for, ascending; more than are there on many virtual machines.
  /// sysconf(3) counts those that are there.
  package static var possibleCPUs: [Int] {
    let cpus = CPUList(read("/sys/devices/system/cpu/possible") ?? "").cpus.sorted()
    return cpus.isEmpty ? Array(0..<max(1, Int(sysconf(Int32(_SC_NPROCESSORS_CONF))))) : cpus
  }

  /// CPUs that are in use now.
  package static var onlineCPUs: Int { max(1, Int(sysconf(Int32(_SC_NPROCESSORS_ONLN)))) }

  private static func field<T>(_ path: KeyPath<utsname, T>) -> String {
    var name = utsname()
    unsafe uname(&name)
    return unsafe withUnsafeBytes(of: name[keyPath: path]) { bytes in
      unsafe String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
    }
  }

  /// The file's text without white space at its ends; nil if it cannot be read.
  package static func read(_ path: String, limit: Int = 1 << 20) -> String? {
    guard var text = content(path, limit: limit) else { return nil }
    while let last = text.last, last <= 0x20 { text.removeLast() }
    return String(decoding: text.drop { $0 <= 0x20 }, as: UTF8.self)
  }

  /// The file's bytes, at most `limit`; empty if it cannot be read.
  package static func bytes(_ path: String, limit: Int) -> [UInt8] { content(path, limit: limit) ?? [] }

  private static func content(_ path: String, limit: Int) -> [UInt8]? {
    // Not to wait for the other end of a pipe, if somebody put one there.
    let file = unsafe open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
    guard file >= 0 else { return nil }
    defer { close(file) }
    var content: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: min(limit, 65536))
    while content.count < limit {
      let count = unsafe Glibc.read(file, &chunk, min(chunk.count, limit - content.count))
      guard count > 0 else { break }
      content += chunk[..<count]
    }
    return content
  }

  /// Names in a directory, sorted; empty if it cannot be read.
  package static func list(_ path: String) -> [String] {
    guard let directory = unsafe opendir(path) else { return [] }
    defer { unsafe closedir(directory) }
    var names: [String] = []
    while let entry = unsafe readdir(directory) {
      let name = unsafe withUnsafeBytes(of: entry.pointee.d_name) {
        unsafe String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self)
      }
      if name != "." && name != ".." { names.append(name) }
    }
    return names.sorted()
  }

  /// Where a symbolic link points; nil if there is none.
  package static func link(_ path: String) -> String? {
    var buffer = [UInt8](repeating: 0, count: 4096)
    let count = unsafe buffer.withUnsafeMutableBytes { bytes in
      guard let base = bytes.baseAddress else { return -1 }
      return unsafe readlink(path, base.assumingMemoryBound(to: CChar.self), bytes.count)
    }
    return count > 0 ? String(decoding: buffer[..<count], as: UTF8.self) : nil
  }
}
