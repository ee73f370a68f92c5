// SPDX-License-Identifier: GPL-2.0-or-later
import Analysis
import Recording

/// The virtual machines of a host: where their threads may run, and how they are scheduled.
extension Report {
  static func guestLine(_ guest: Guest) -> String {
    var words = ["\(guest.name) (process \(guest.pid))"]
    words.append(guest.backend.isEmpty ? "backend unknown" : guest.backend)
    if !guest.taps.isEmpty { words.append(guest.taps.joined(separator: " ")) }
    let threads = guest.threads.filter { $0.kind == "vcpu" || $0.kind == "vhost" || $0.kind == "io" }.map { thread in
      let name = thread.vcpu.map { "vCPU \($0)" } ?? thread.name
      let priority = thread.priority > 0 ? " \(thread.priority)" : ""
      return "\(name) on CPU \(thread.cpus) \(thread.policy)\(priority)"
    }
    return words.joined(separator: ", ") + (threads.isEmpty ? "" : ": " + threads.joined(separator: ", "))
  }

  static func guest(_ guest: Guest) -> JSONValue {
    .fields([
      ("pid", .count(guest.pid)),
      ("name", .string(guest.name)),
      ("uuid", .optional(guest.uuid)),
      ("vsock_cid", .optional(guest.vsockCID.map { Int64($0) })),
      ("boot_id", .optional(guest.bootID)),
      ("taps", .array(guest.taps.map { .string($0) })),
      ("backend", .string(guest.backend)),
      ("threads", .array(guest.threads.map(thread))),
    ])
  }

  private static func thread(_ thread: Guest.Thread) -> JSONValue {
    .fields([
      ("kind", .string(thread.kind)),
      ("id", .count(thread.id)),
      ("name", .string(thread.name)),
      ("vcpu", .optional(thread.vcpu.map { Int64($0) })),
      ("cpus", .string(thread.cpus)),
      ("policy", .string(thread.policy)),
      ("priority", .count(thread.priority)),
    ])
  }
}
