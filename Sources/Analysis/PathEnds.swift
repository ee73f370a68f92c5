// SPDX-License-Identifier: GPL-2.0-or-later
import Recording

extension Flow {
  /// To a multicast address, or to all on a link.
  var isToMany: Bool {
    switch destination.count {
    case 4: destination[0] & 0xF0 == 0xE0 || destination.allSatisfy { $0 == 0xFF }
    case 16: destination[0] == 0xFF
    default: false
    }
  }
}

/// What the kernel threw away behind the last hook point of a path: no segment has it, since nothing is looked for there.
///
/// So all packets of a flow are that never got further: its path is the one that ends where they were seen last.
struct EndSink {
  /// By path: the slot of its last hook point, where that is a device's of a kernel that tells what it throws away.
  private let ends: [Int?]
  /// By flow: to a multicast or broadcast address.
  private let isToMany: [Bool]
  private let slack: UInt64
  private let window: UInt64
  private var dropped: [[String: Int]]

  init(_ plans: [PathPlanInDomain], _ domain: ClockDomain, isToMany: [Bool], options: AnalysisOptions) {
    ends = plans.map { plan in
      guard !domain.drops.causes.isEmpty, let slot = plan.all.last, let state = domain.hooks[slot] else { return nil }
      let hook = state.point.hook
      return hook.isSocket || hook.isWire || hook == .txh2 || !state.tellsDrops ? nil : slot
    }
    self.isToMany = isToMany
    slack = UInt64(options.slack)
    window = UInt64(options.matchWindow)
    dropped = [[String: Int]](repeating: [:], count: plans.count)
  }

  /// - Parameter stamp: the packet's first one at its hook point.
  mutating func take(_ stamp: InFlight, path: Int, _ drops: DropIndex) {
    // Copies for all who may want them; most do not.
    guard ends[path] == Int(stamp.slot), !isToMany[Int(stamp.flow)] else { return }
    let time = stamp.stamp.time
    if let cause = drops.cause(of: stamp.stamp, from: time > slack ? time - slack : 0, to: time &+ window) {
      dropped[path][cause.name, default: 0] += 1
    }
  }

  func warnings(_ paths: [PathPlan], _ hooks: [HookState?]) -> [String] {
    paths.indices.compactMap { path in
      guard let slot = ends[path], let last = hooks[slot]?.point.hook, !dropped[path].isEmpty else { return nil }
      let sorted = dropped[path].sorted { ($1.value, $0.key) < ($0.value, $1.key) }
      return
        "\(paths[path].name): \(dropped[path].values.reduce(0, +)) packets were thrown away behind \(last.name), where "
        + "this path ends (" + sorted.map { "\($0.key) \($0.value)" }.joined(separator: ", ") + ")"
    }
  }
}
