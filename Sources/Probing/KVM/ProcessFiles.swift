// SPDX-License-Identifier: GPL-2.0-or-later
internal import Glibc
internal import Host

/// /proc below a root, which is another one than `/` in tests.
///
/// A process may vanish between any two reads: what is gone reads as nil or empty.
struct ProcessFiles {
  /// Descriptors of one process that are looked at.
  private static let descriptorLimit = 65536

  var root: String

  var processes: [Int] { System.list("\(root)/proc").compactMap { Int($0) }.sorted() }

  func comm(_ pid: Int) -> String? { System.read("\(root)/proc/\(pid)/comm", limit: 256) }

  func commandLine(_ pid: Int) -> [UInt8] {
    System.bytes("\(root)/proc/\(pid)/cmdline", limit: QEMUCommandLine.sizeLimit)
  }

  func threads(_ pid: Int) -> [Int] { System.list("\(root)/proc/\(pid)/task").compactMap { Int($0) }.sorted() }

  /// Open descriptors and what they are.
  func descriptors(_ pid: Int) -> [(number: Int, target: String)] {
    System.list("\(root)/proc/\(pid)/fd").prefix(ProcessFiles.descriptorLimit).compactMap { name in
      guard let number = Int(name), let target = System.link("\(root)/proc/\(pid)/fd/\(name)") else { return nil }
      return (number, target)
    }.sorted { $0.number < $1.number }
  }

  /// The tap device behind a descriptor of /dev/net/tun; nil where none is bound to it.
  func tap(_ pid: Int, descriptor: Int) -> String? {
    let lines = System.read("\(root)/proc/\(pid)/fdinfo/\(descriptor)", limit: 4096)?.split(separator: "\n") ?? []
    let name = lines.first { $0.hasPrefix("iff:") }?.dropFirst(4).filter { !$0.isWhitespace }
    return name.flatMap { QEMUCommandLine.printable($0) }
  }

  /// Name, affinity, policy and place of a thread; nil if it is gone.
  func thread(_ pid: Int, _ id: Int) -> ThreadState? {
    let path = "\(root)/proc/\(pid)/task/\(id)"
    guard let stat = System.read("\(path)/stat", limit: 4096), let status = System.read("\(path)/status", limit: 65536)
    else { return nil }
    return ThreadState(id: id, stat: stat, status: status)
  }
}

/// Of /proc/PID/task/TID/{stat,status}: see proc(5).
struct ThreadState: Equatable {
  var id: Int
  var name: String
  var affinity: String
  var policy: SchedulingPolicy
  var priority: Int
  var lastCPU: Int
  /// Whether it has run a guest's code (field 43, in clock ticks, is not 0).
  var hasRunGuest: Bool

  /// Nil where the kernel's text is not what proc(5) says.
  init?(id: Int, stat: String, status: String) {
    // The name is in parentheses and may hold any character, parentheses too: count fields from the last one.
    guard let open = stat.firstIndex(of: "("), let close = stat.lastIndex(of: ")"), open < close else { return nil }
    let fields = stat[stat.index(after: close)...].split(separator: " ")
    func field(_ number: Int) -> Int? { fields.indices.contains(number - 3) ? Int(fields[number - 3]) : nil }
    guard let cpu = field(39), let priority = field(40), let policy = field(41) else { return nil }
    let line = status.split(separator: "\n").first { $0.hasPrefix("Cpus_allowed_list:") }
    self.id = id
    name = QEMUCommandLine.printable(stat[stat.index(after: open)..<close]) ?? ""
    affinity = line?.dropFirst("Cpus_allowed_list:".count).filter { !$0.isWhitespace } ?? ""
    self.policy = SchedulingPolicy(rawValue: policy) ?? .other
    self.priority = priority
    lastCPU = cpu
    hasRunGuest = (field(43) ?? 0) > 0
  }
}
