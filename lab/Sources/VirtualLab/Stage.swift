// SPDX-License-Identifier: GPL-2.0-or-later
import Foundation
import Glibc
import Synchronization

/// What a lab has of this machine: a folder, a network namespace of the same name, and the processes in it. All gone
/// when released.
final class Stage {
  let name: String
  let folder: String
  private var commands: [Command] = []

  init() throws {
    name = Leftovers.newName()
    folder = Leftovers.folder(of: name)
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    try Shell.run("ip", "netns", "add", name)
  }

  deinit { Stop.hold { Leftovers.remove(name, commands) } }

  func makeTap() throws {
    for line in [
      "tuntap add nic0 mode tap vnet_hdr", "link set nic0 addrgenmode none", "link set lo up", "link set nic0 up",
      "address add 10.77.0.1/24 dev nic0", "neighbour add 10.77.0.3 lladdr 52:54:00:77:00:03 dev nic0",
    ] {
      try Shell.run(["ip", "-n", name] + line.split(separator: " ").map(String.init))
    }
  }

  /// Starts a command in the namespace. It is killed when the thread that started it ends: a lab that is killed leaves
  /// no QEMU.
  func start(_ arguments: [String]) throws -> Command {
    let command = try Command(Stage.prefix(name) + arguments, in: URL(fileURLWithPath: folder))
    commands.append(command)
    return command
  }

  /// Runs a command in the namespace to its end; returns its output.
  func run(_ arguments: [String], limit: Double) throws -> String {
    try Shell.run(Stage.prefix(name) + arguments, limit: limit)
  }

  private static func prefix(_ name: String) -> [String] {
    ["ip", "netns", "exec", name, "setpriv", "--pdeathsig", "KILL"]
  }
}

/// Folders and namespaces of this and of other processes' labs.
///
/// A name is `lab-PID-START-NUMBER`; START is when the process started, in ticks since boot, by which one that merely
/// got the same PID later is told apart.
package enum Leftovers {
  private static let count = Atomic<Int>(0)

  static func newName() -> String {
    let number = count.add(1, ordering: .relaxed).newValue
    return "lab-\(getpid())-\(startTime(of: getpid()) ?? 0)-\(number)"
  }

  static func folder(of name: String) -> String {
    FileManager.default.temporaryDirectory.appendingPathComponent(name).path
  }

  /// Removes what processes that were killed have left; returns the names.
  package static func remove() -> [String] {
    let folders = [FileManager.default.temporaryDirectory.path, "/run/netns"]
    let entries = folders.flatMap { (try? FileManager.default.contentsOfDirectory(atPath: $0)) ?? [] }
    let names = Set(entries).filter(isLeft).sorted()
    for name in names { remove(name, []) }
    return names
  }

  static func isLeft(_ name: String) -> Bool {
    guard let match = name.wholeMatch(of: /lab-([0-9]+)-([0-9]+)-[0-9]+/), let pid = Int32(match.1),
      let start = UInt64(match.2)
    else { return false }
    return startTime(of: pid) != start
  }

  fileprivate static func remove(_ name: String, _ commands: [Command]) {
    for command in commands { command.signal(SIGKILL) }
    for command in commands { _ = try? command.wait(limit: 5) }
    if FileManager.default.fileExists(atPath: "/run/netns/\(name)") {
      // A workload's own children; the tap ends with the namespace.
      let pids = (try? Shell.run("ip", "netns", "pids", name)) ?? ""
      for pid in pids.split(separator: "\n").compactMap({ Int32($0) }) { kill(pid, SIGKILL) }
      _ = try? Shell.run("ip", "netns", "delete", name)
    }
    try? FileManager.default.removeItem(atPath: folder(of: name))
  }

  /// Field 22 of `/proc/PID/stat`; nil if there is no such process, or it waits to be reaped.
  private static func startTime(of pid: Int32) -> UInt64? {
    guard let text = try? String(contentsOfFile: "/proc/\(pid)/stat", encoding: .utf8),
      let end = text.lastIndex(of: ")")
    else { return nil }
    // Behind the name, which may hold anything, comes field 3.
    let fields = text[text.index(after: end)...].split(separator: " ")
    return fields.count > 19 && fields[0] != "Z" ? UInt64(fields[19]) : nil
  }
}
