// SPDX-License-Identifier: GPL-2.0-or-later
package import Foundation
import Glibc

/// A line to the `init` of a machine in the lab: commands go out, their status and output come back.
package final class Machine {
  package let name: String
  private let descriptor: Int32
  private let qemu: Command
  /// What the machine said last, for the message of an error after which it says no more.
  var lastWords: () -> (source: String, text: String) = { ("its console", "") }

  /// Connects to QEMU's socket of the machine's control port, which may take until QEMU has made it.
  init(name: String, socket path: String, of qemu: Command) throws {
    self.name = name
    self.qemu = qemu
    descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    let bytes = Array(path.utf8)
    guard bytes.count < MemoryLayout.size(ofValue: address.sun_path) else {
      throw LabError("\(path): path is too long")
    }
    unsafe withUnsafeMutableBytes(of: &address.sun_path) { unsafe $0.copyBytes(from: bytes) }
    let end = Date().addingTimeInterval(10)
    while true {
      let result = unsafe withUnsafePointer(to: &address) {
        unsafe $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
          unsafe connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
        }
      }
      if result == 0 { break }
      try Stop.check()
      guard qemu.isRunning else { throw LabError("QEMU ended at once: \(qemu.errors)") }
      guard Date() < end else { throw LabError("\(name): no control socket \(path)", hung: true) }
      usleep(20_000)
    }
  }

  deinit { close(descriptor) }

  /// Waits until the machine obeys.
  func boot(limit: Double = 60) throws {
    do { try run("true", limit: limit) } catch let error as LabError where error.hung {
      throw LabError("the \(name) did not boot within \(Int(limit)) s: \(error)", hung: true)
    }
  }

  /// An error after which the machine obeys no more: with how QEMU ended, if it did, and what the machine said last.
  private func lost(_ what: String) -> LabError {
    // Sockets are closed a moment before there is an exit status.
    for _ in 0..<50 where qemu.isRunning { usleep(20_000) }
    let (source, text) = lastWords()
    return LabError("\(name): \(what); QEMU \(qemu.state)", hung: true).adding("QEMU's log", qemu.errors)
      .adding(source, text)
  }

  /// Runs a shell command (one line) on the machine, whatever its exit code.
  package func attempt(_ line: String, limit: Double = 60) throws -> (status: Int32, output: Data) {
    guard !line.contains("\n") else { throw LabError("\(name): a command must be one line: \(line)") }
    try send(Data((line + "\n").utf8))
    let end = Date().addingTimeInterval(limit)
    var header: [UInt8] = []
    while header.last != UInt8(ascii: "\n") {
      guard header.count < 64 else {
        throw LabError("\(name): no answer but \(String(decoding: header, as: UTF8.self))")
      }
      header += try receive(1, until: end, of: line)
    }
    let numbers = String(decoding: header, as: UTF8.self).split(whereSeparator: \.isWhitespace).map { Int($0) }
    guard numbers.count == 2, let status = numbers[0], let count = numbers[1], (0..<(1 << 30)).contains(count) else {
      throw LabError("\(name): not an answer: \(String(decoding: header, as: UTF8.self))")
    }
    return (Int32(status), Data(try receive(count, until: end, of: line)))
  }

  /// Runs a shell command that must succeed; returns its output.
  @discardableResult
  package func run(_ line: String, limit: Double = 60) throws -> String {
    let (status, output) = try attempt(line, limit: limit)
    let text = String(decoding: output, as: UTF8.self)
    guard status == 0 else { throw LabError("\(name): '\(line)' ended with \(status): \(text.suffix(2000))") }
    return text
  }

  /// Waits until a shell command succeeds.
  package func wait(for line: String, limit: Double = 30) throws {
    let end = Date().addingTimeInterval(limit)
    while true {
      let (status, output) = try attempt(line, limit: limit)
      if status == 0 { return }
      guard Date() < end else {
        throw LabError(
          "\(name): after \(limit) s still not '\(line)': \(String(decoding: output, as: UTF8.self).suffix(2000))")
      }
      usleep(100_000)
    }
  }

  /// Copies a folder of the machine into a folder here.
  package func fetch(_ folder: String, into target: String, limit: Double = 120) throws {
    let (status, archive) = try attempt("tar -C \(folder) -cf - . 2>/dev/null", limit: limit)
    guard status == 0 else { throw LabError("\(name): \(folder) cannot be read") }
    let file = target + ".tar"
    try FileManager.default.createDirectory(atPath: target, withIntermediateDirectories: true)
    try archive.write(to: URL(fileURLWithPath: file))
    defer { try? FileManager.default.removeItem(atPath: file) }
    try Shell.run("tar", "-C", target, "--no-same-owner", "-xf", file)
  }

  private func send(_ data: Data) throws {
    var rest = data[...]
    while !rest.isEmpty {
      let count = unsafe rest.withUnsafeBytes {
        unsafe Glibc.send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
      }
      guard count > 0 else { throw lost("no way to the machine (\(unsafe String(cString: strerror(errno))))") }
      rest = rest.dropFirst(count)
    }
  }

  private func receive(_ count: Int, until end: Date, of line: String) throws -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: count)
    var have = 0
    while have < count {
      try Stop.check()
      guard end > Date() else { throw lost("no answer to '\(line)' in time") }
      var waiting = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
      unsafe poll(&waiting, 1, 100)
      guard waiting.revents != 0 else { continue }
      let got = unsafe bytes.withUnsafeMutableBytes {
        unsafe recv(descriptor, $0.baseAddress?.advanced(by: have), count - have, 0)
      }
      guard got > 0 else { throw lost("the machine ended during '\(line)'") }
      have += got
    }
    return bytes
  }
}
