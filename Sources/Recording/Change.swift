// SPDX-License-Identifier: GPL-2.0-or-later

/// What happened to something that was recorded, while it was: a fact of `machine.json`, never prose.
package struct Change: Codable, Sendable, Equatable {
  /// Kinds; a later version may know more.
  package struct Kind: RawRepresentable, Codable, Sendable, Hashable {
    package var rawValue: String
    package init(rawValue: String) { self.rawValue = rawValue }

    // Of a device. The first four end what its hook points see, until it is back.
    package static let deleted = Kind(rawValue: "deleted")
    package static let renamed = Kind(rawValue: "renamed")
    package static let moved = Kind(rawValue: "moved")
    package static let namespaceDeleted = Kind(rawValue: "namespace-deleted")
    /// Nobody tells any more what becomes of it: its namespace has no path, and no privilege to hear of it.
    package static let unwatched = Kind(rawValue: "unwatched")
    /// A device of that name is there again, and is watched again.
    package static let back = Kind(rawValue: "back")
    package static let down = Kind(rawValue: "down")
    package static let up = Kind(rawValue: "up")
    /// The cable is out, or a veth's other end is down: nothing passes, and the device would see it if it did.
    package static let noCarrier = Kind(rawValue: "no-carrier")
    package static let carrier = Kind(rawValue: "carrier")
    /// The address that packets were sent from.
    package static let addressRemoved = Kind(rawValue: "address-removed")
    package static let addressBack = Kind(rawValue: "address-back")
    /// Of a namespace: its name or process is gone; it lives on while something is in it.
    package static let unnamed = Kind(rawValue: "unnamed")
    // Of the machine.
    package static let cpuOffline = Kind(rawValue: "cpu-offline")
    package static let cpuOnline = Kind(rawValue: "cpu-online")
    package static let clockSet = Kind(rawValue: "clock-set")
    package static let suspended = Kind(rawValue: "suspended")
  }

  /// When it was noticed, nanoseconds of the machine's CLOCK_MONOTONIC; at most some 20 ms after it happened.
  package var time: UInt64
  package var what: Kind
  /// Name that the device was asked for by; null of the machine's own changes.
  package var device: String?
  /// For people, as in `hooks[].watches`.
  package var namespace: String?
  /// As in ``AttachedHook/devices``.
  package var id: String?
  /// `renamed`: what it is called now.
  package var to: String?
  package var cpu: Int?
  /// `clock-set`: by how much CLOCK_REALTIME was set forward; `suspended`: for how long. Nanoseconds.
  package var by: Int64?
  /// Hook points that it touches.
  package var hooks: [String]

  enum CodingKeys: String, CodingKey {
    case what, device, namespace, id, to, cpu, hooks
    case time = "time_ns"
    case by = "by_ns"
  }

  package init(time: UInt64, _ what: Kind, device: String? = nil, namespace: String? = nil, id: String? = nil) {
    self.time = time
    self.what = what
    self.device = device
    self.namespace = namespace
    self.id = id
    hooks = []
  }

  /// Whether some of what passed its hook points may not have been seen, or not by a clock that can be trusted.
  package var isGap: Bool {
    switch what {
    case .deleted, .renamed, .moved, .namespaceDeleted, .unwatched, .down, .addressRemoved, .suspended:
      !hooks.isEmpty
    default: false
    }
  }
}

extension Change: CustomStringConvertible {
  /// For people, without a full stop.
  package var description: String {
    let device = "\(self.device ?? "?")@\(namespace ?? "?")"
    return switch what {
    case .deleted: "\(device) was deleted"
    case .renamed: "\(device) was renamed to \(to ?? "?"); it is recorded no more"
    case .moved: "\(device) was moved to another namespace; it is recorded no more"
    case .namespaceDeleted: "\(device) went with its namespace, which was deleted"
    case .unwatched: "\(device) cannot be looked at any more: its namespace has no path now"
    case .back: "a device \(device) is there again and is recorded"
    case .down: "\(device) was taken down"
    case .up: "\(device) is up again"
    case .addressRemoved: "\(device) lost the address that packets are sent from"
    case .addressBack: "\(device) has the address again that packets are sent from"
    case .noCarrier: "\(device) lost its carrier"
    case .carrier: "\(device) has a carrier again"
    case .unnamed:
      "namespace \(namespace ?? "?") has lost its name or process: it lives on only as long as it is in use"
    case .cpuOffline: "CPU \(cpu ?? -1) went offline"
    case .cpuOnline: "CPU \(cpu ?? -1) came online"
    case .clockSet: "the wall clock was set by \(seconds) s"
    case .suspended: "the machine was suspended for \(seconds) s"
    default: "\(device): \(what.rawValue)"
    }
  }

  private var seconds: String {
    let milliseconds = (by ?? 0) / 1_000_000
    let rest = String(abs(milliseconds % 1000))
    return (milliseconds < 0 ? "-" : "") + "\(abs(milliseconds / 1000))."
      + String(repeating: "0", count: 3 - rest.count) + rest
  }

  /// Namespace's inode number and device's index.
  package var place: (namespace: UInt32, index: Int)? {
    let numbers = (id ?? "").split(separator: ":").map { Int($0) }
    guard numbers.count == 2, let inode = numbers[0].flatMap({ UInt32(exactly: $0) }), let index = numbers[1] else {
      return nil
    }
    return (inode, index)
  }
}

extension Machine {
  /// When a hook point, or one of the devices it watches, was not there: in order of time, apart from each other.
  package func absences(at hook: String) -> [ClosedRange<UInt64>] {
    var absences: [ClosedRange<UInt64>] = []
    // By device, what keeps it away.
    var reasons: [String: Set<Change.Kind>] = [:]
    var since: UInt64?
    for change in (changes ?? []).sorted(by: { $0.time < $1.time }) where change.hooks.contains(hook) {
      let device = "\(change.device ?? "")@\(change.namespace ?? "")"
      switch change.what {
      case .deleted, .renamed, .moved, .namespaceDeleted, .unwatched: reasons[device] = [.deleted]
      case .down: reasons[device, default: []].insert(.down)
      case .back: reasons[device]?.remove(.deleted)
      case .up: reasons[device]?.remove(.down)
      case .suspended where since == nil: absences.append(change.time...change.time)
      default: break
      }
      if reasons[device]?.isEmpty == true { reasons[device] = nil }
      if reasons.isEmpty {
        if let begin = since { absences.append(begin...change.time) }
        since = nil
      } else {
        since = since ?? change.time
      }
    }
    if let begin = since { absences.append(begin...UInt64.max) }
    return absences
  }
}
