// SPDX-License-Identifier: GPL-2.0-or-later
import Recording

extension HookPoint {
  /// One bit a hook point, for sets of them.
  var bit: UInt32 { 1 << UInt32(rawValue) }

  /// Where an application hands over or takes data: only some packets can be asked for there.
  var isSocket: Bool { self == .txg0 || self == .rxgq || self == .rxg1 }

  /// Stamped for some packets only, which says nothing of the others: the first of a batch, the last before a kick.
  var isOccasional: Bool { self == .txgk || self == .txhk || self == .rxgi }

  static let socketBits: UInt32 = HookPoint.txg0.bit | HookPoint.rxgq.bit | HookPoint.rxg1.bit
  static let occasionalBits: UInt32 = HookPoint.txgk.bit | HookPoint.txhk.bit | HookPoint.rxgi.bit
}

/// A path with the hook points that are attached on any machine of the session, in order.
struct PathPlan {
  var name: String
  var hooks: [HookPoint]

  var bits: UInt32 { hooks.reduce(0) { $0 | $1.bit } }
  var deviceBits: UInt32 { bits & ~HookPoint.socketBits & ~HookPoint.occasionalBits }
  /// Those that every packet passes.
  var regular: [HookPoint] { hooks.filter { !$0.isOccasional } }

  /// For each hook point that few packets are stamped at, the neighbour that it certainly follows (the kick) or precedes:
  /// a worker or an interrupt may come before the packet that it then takes along, so the other side is no delay.
  var occasional: [(from: HookPoint, to: HookPoint)] {
    hooks.indices.compactMap { place in
      guard hooks[place].isOccasional else { return nil }
      if hooks[place] == .txgk { return hooks[..<place].last { !$0.isOccasional }.map { ($0, hooks[place]) } }
      return hooks[place...].first { !$0.isOccasional }.map { (hooks[place], $0) }
    }
  }
}

/// The paths of all machines of a session, and one order of their hook points.
struct PathSet {
  private(set) var paths: [PathPlan] = []
  /// Longer segments that a topology names.
  private(set) var namedSegments: [(from: HookPoint, to: HookPoint)] = []
  /// Every attached hook point on a path, so that each path runs upwards. The place here is the hook point's slot.
  private(set) var order: [HookPoint] = []
  private(set) var warnings: [String] = []

  init(machines: [Machine]) {
    var attached: Set<HookPoint> = []
    for machine in machines {
      for hook in machine.hooks where hook.attachedAs != nil {
        if let point = HookPoint(name: hook.name) { attached.insert(point) }
      }
    }
    var declared: [(path: Path, machine: String)] = []
    for machine in machines {
      for path in machine.paths {
        if let known = declared.first(where: { $0.path.name == path.name }) {
          if known.path.hooks != path.hooks {
            warnings.append(
              "path \(path.name) of \(machine.name) differs from that of \(known.machine), which is used: "
                + "record both sides with one topology")
          }
          continue
        }
        declared.append((path, machine.name))
        for name in path.hooks where HookPoint(name: name) == nil {
          warnings.append("path \(path.name) of \(machine.name) names an unknown hook point \(name): left out")
        }
        var hooks: [HookPoint] = []
        for hook in path.hooks.compactMap({ HookPoint(name: $0) })
        where attached.contains(hook) && !hooks.contains(hook) {
          hooks.append(hook)
        }
        paths.append(PathPlan(name: path.name, hooks: hooks))
      }
      for name in machine.segments {
        guard let segment = PathSet.segment(named: name) else {
          warnings.append("segment \(name) of \(machine.name) names no two hook points: left out")
          continue
        }
        if !namedSegments.contains(where: { $0 == segment }) { namedSegments.append(segment) }
      }
    }
    order = PathSet.order(of: paths)
  }

  /// `a-b`; hook points' names may hold a `-` themselves.
  static func segment(named name: String) -> (from: HookPoint, to: HookPoint)? {
    for index in name.indices where name[index] == "-" {
      if let from = HookPoint(name: String(name[..<index])),
        let to = HookPoint(name: String(name[name.index(after: index)...])), from != to
      {
        return (from, to)
      }
    }
    return nil
  }

  /// The path that explains best where a flow was seen: the most device-level hook points in common, then the fewest
  /// that were not seen, then the topology's order. Socket hook points decide only for a flow seen nowhere else.
  func choose(seen: UInt32) -> Int? {
    var best: (index: Int, overlap: Int, missing: Int)?
    for (index, path) in paths.enumerated() {
      let devices = (path.deviceBits & seen).nonzeroBitCount
      let overlap = devices > 0 ? 16 * devices : (path.bits & seen).nonzeroBitCount
      let missing = (path.deviceBits & ~seen).nonzeroBitCount
      guard overlap > 0 else { continue }
      if let known = best, (known.overlap, -known.missing) >= (overlap, -missing) { continue }
      best = (index, overlap, missing)
    }
    return best?.index
  }

  /// Topological order; where paths contradict each other, the order of the hook points' numbers decides.
  private static func order(of paths: [PathPlan]) -> [HookPoint] {
    var rest = Set(paths.flatMap(\.hooks))
    var order: [HookPoint] = []
    while !rest.isEmpty {
      let free = rest.filter { hook in
        paths.allSatisfy { path in
          guard let place = path.hooks.firstIndex(of: hook) else { return true }
          return path.hooks[..<place].allSatisfy { !rest.contains($0) }
        }
      }
      guard let next = (free.isEmpty ? rest : free).min(by: { $0.rawValue < $1.rawValue }) else { break }
      order.append(next)
      rest.remove(next)
    }
    return order
  }
}
