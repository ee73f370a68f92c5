// SPDX-License-Identifier: GPL-2.0-or-later
package import Foundation
import Glibc

/// What went wrong with the lab, or with a command in it: one line and what the command said.
package struct LabError: Error, CustomStringConvertible {
  package var description: String
  /// A machine did not answer in time, or crashed: another try may do.
  package var hung: Bool

  package init(_ description: String, hung: Bool = false) {
    self.description = description
    self.hung = hung
  }

  /// With the last lines of a text that may tell why.
  func adding(_ name: String, _ text: String) -> LabError {
    let lines = text.split(whereSeparator: \.isNewline).suffix(20)
    let tail = lines.isEmpty ? " is empty" : " ends with:\n" + lines.joined(separator: "\n")
    return LabError("\(description); \(name)\(tail)", hung: hung)
  }
}

/// What a finished command left.
package struct Output: Sendable {
  package var status: Int32
  package var text: String
  package var errors: String
}

/// A command, run to its end or in the background; ended by pid, never by name.
///
/// It leads a process group of its own: Ctrl-C is for the lab alone, which then ends it in order.
///
/// By posix_spawn: Foundation's `Process` now and then crashed in `run()` with many started in turn, and hands a test
/// thread's blocked signals on to the child, whose timers and whose SIGINT then do nothing.
package final class Command {
  package let pid: Int32
  private let arguments: [String]
  private let folder: URL
  private var status: Int32?

  package init(_ arguments: [String], in folder: URL, environment: [String: String] = [:]) throws {
    self.arguments = arguments
    self.folder = folder.appendingPathComponent(UUID().uuidString)
    try FileManager.default.createDirectory(at: self.folder, withIntermediateDirectories: true)

    var files = unsafe posix_spawn_file_actions_t()
    unsafe posix_spawn_file_actions_init(&files)
    defer { unsafe posix_spawn_file_actions_destroy(&files) }
    unsafe posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0)
    for (file, name) in [(1, "out"), (2, "err")] as [(Int32, String)] {
      let path = self.folder.appendingPathComponent(name).path
      unsafe posix_spawn_file_actions_addopen(&files, file, path, O_WRONLY | O_CREAT | O_APPEND, 0o644)
    }
    var none = sigset_t()
    unsafe sigemptyset(&none)
    var attributes = posix_spawnattr_t()
    unsafe posix_spawnattr_init(&attributes)
    defer { unsafe posix_spawnattr_destroy(&attributes) }
    unsafe posix_spawnattr_setsigmask(&attributes, &none)
    unsafe posix_spawnattr_setpgroup(&attributes, 0)
    var ignored = sigset_t()
    unsafe sigemptyset(&ignored)
    for number in [SIGINT, SIGPIPE] { unsafe sigaddset(&ignored, number) }
    unsafe posix_spawnattr_setsigdefault(&attributes, &ignored)
    let flags = POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP
    unsafe posix_spawnattr_setflags(&attributes, Int16(flags))

    let variables = ProcessInfo.processInfo.environment.merging(environment) { $1 }
    var words = unsafe arguments.map { unsafe strdup($0) } + [nil]
    var pairs = unsafe variables.map { unsafe strdup("\($0.key)=\($0.value)") } + [nil]
    defer { unsafe (words + pairs).forEach { unsafe free($0) } }
    var pid: Int32 = 0
    let error = unsafe posix_spawnp(&pid, arguments[0], &files, &attributes, &words, &pairs)
    guard error == 0 else {
      throw LabError("\(arguments[0]): \(unsafe String(cString: strerror(error)))")
    }
    self.pid = pid
  }

  private func read(_ name: String) -> String {
    (try? String(contentsOf: folder.appendingPathComponent(name), encoding: .utf8)) ?? ""
  }

  package var errors: String { read("err") }

  /// To all processes of the command's group.
  package func signal(_ number: Int32) {
    if isRunning { kill(-pid, number) }
  }

  /// Also takes the exit status, once there is one: 128 + n for a command ended by signal n.
  package var isRunning: Bool {
    if status != nil { return false }
    var word: Int32 = 0
    guard unsafe waitpid(pid, &word, WNOHANG) != 0 else { return true }
    status = word & 0x7f == 0 ? word >> 8 & 0xff : 128 + word & 0x7f
    return false
  }

  /// In words: that it runs, or how it ended.
  var state: String {
    if isRunning { return "runs" }
    let status = status ?? -1
    return status > 128 ? "was ended by signal \(status - 128)" : "ended with status \(status)"
  }

  /// A limit tells that something hangs, not how fast this machine is: it may have much else to do.
  private static let leastLimit = 60.0

  /// Waits for the end; after `limit` seconds, a minute at least, the command is killed and this throws.
  package func wait(limit: Double = 60) throws -> Output {
    let end = Date().addingTimeInterval(max(limit, Command.leastLimit))
    while isRunning {
      do { try Stop.check() } catch {
        signal(SIGKILL)
        throw error
      }
      if Date() > end {
        signal(SIGKILL)
        throw LabError("\(arguments) did not end within \(limit) s; it said: \(errors.suffix(2000))")
      }
      usleep(5000)
    }
    return Output(status: status ?? -1, text: read("out"), errors: errors)
  }

  /// Waits until `text` stands in what the command wrote to standard error or output, a minute at least.
  package func expect(_ text: String, limit: Double = 60) throws {
    let end = Date().addingTimeInterval(max(limit, Command.leastLimit))
    while true {
      try Stop.check()
      if errors.contains(text) || read("out").contains(text) { return }
      if Date() > end || !isRunning {
        throw LabError("no '\(text)' from \(arguments): \(read("out")) \(errors)")
      }
      usleep(5000)
    }
  }
}
