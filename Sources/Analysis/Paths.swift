// SPDX-License-Identifier: GPL-2.0-or-later
import Recording

extension HookPoint {
  /// One bit a hook point, for sets of them.
  var bit: UInt32 { 1 << UInt32(rawValue) }

  /// Where an application hands over or takes data: only some packets can be asked for there.
  var isSocket: Bool { self == .txg0 || self == .rxgq || self == .rxg1 }

  /// Stamped for some packets only, which says nothing of the others: the first of a batch, the last before a kick.
  var isOccasional: Bool { self == .txgk || self == .txhk || self == .rxgi }

  /// Where a tap stands, not a hook of the kernel's.
  var isWire: Bool { self == .wireIn || self == .wireOut }

  static let wireBits: UInt32 = HookPoint.wireIn.bit | HookPoint.wireOut.bit
  static let socketBits: UInt32 = HookPoint.txg0.bit | HookPoint.rxgq.bit | HookPoint.rxg1.bit
  static let occasionalBits: UInt32 = HookPoint.txgk.bit | HookPoint.txhk.bit | HookPoint.rxgi.bit
}

/// A path with the hook points that are attached on any machine of the session, in order.
struct PathPlan {
  var name: String
  var hooks: [HookPoint]
  /// Devices' hook points that saw no packet of the path although packets passed their place, or did not take it.
  var blind: Set<HookPoint> = []

  /// A tap's own path.
  var isWire: Bool { !hooks.isEmpty && hooks.allSatisfy(\.isWire) }
  /// Of hook points in the kernel; a tap's own path has the wire's.
  var bits: UInt32 { hooks.reduce(0) { $0 | $1.bit } & (isWire ? UInt32.max : ~HookPoint.wireBits) }
  var deviceBits: UInt32 { bits & ~HookPoint.socketBits & ~HookPoint.occasionalBits }
  /// Those that every packet passes, and that saw some; of points on the wire only the ends, so that a tap in the middle
  /// changes no segment.
  var regular: [HookPoint] { declared.filter { !blind.contains($0) } }
  /// The same with the blind ones.
  var declared: [HookPoint] {
    hooks.filter { hook in
      !hook.isOccasional && (!hook.isWire || hook == hooks.first || hook == hooks.last || isWire)
    }
  }
  /// Those in the kernel that every packet passes.
  var software: [HookPoint] { hooks.filter { !$0.isOccasional && !$0.isWire && !blind.contains($0) } }
  /// Segments to and from the blind hook points: asked for by the topology, not to be had.
  var blindSegments: [(from: HookPoint, to: HookPoint)] {
    zip(declared, declared.dropFirst()).filter { blind.contains($0) || blind.contains($1) }.map { ($0, $1) }
  }

  /// What a tap in the middle of the path adds: between its points, and from each to the hook point inside of it.
  var aroundWire: [(from: HookPoint, to: HookPoint)] {
    guard !isWire else { return [] }
    var segments: [(from: HookPoint, to: HookPoint)] = []
    func isSoftware(_ hook: HookPoint) -> Bool { !hook.isOccasional && !hook.isWire && !blind.contains(hook) }
    let (first, last) = (hooks.firstIndex(of: .wireIn), hooks.lastIndex(of: .wireOut))
    if let first, first > 0, let next = hooks[first...].first(where: isSoftware) { segments.append((.wireIn, next)) }
    if let last, last < hooks.count - 1, let before = hooks[..<last].last(where: isSoftware) {
      segments.append((before, .wireOut))
    }
    if let first, let last, first > 0 || last < hooks.count - 1 {
      segments.append(first < last ? (.wireIn, .wireOut) : (.wireOut, .wireIn))
    }
    return segments
  }

  /// Devices' hook points that a packet passes between `wire-in` and `wire-out`.
  var inside: [HookPoint] {
    guard let first = hooks.firstIndex(of: .wireIn), let last = hooks.firstIndex(of: .wireOut), first < last else {
      return []
    }
    return hooks[first..<last].filter { !$0.isWire && !$0.isOccasional && !$0.isSocket && !blind.contains($0) }
  }

  /// For each hook point that few packets are stamped at, the neighbour that it certainly follows (the kick) or precedes:
  /// a worker or an interrupt may come before the packet that it then takes along, so the other side is no delay.
  var occasional: [(from: HookPoint, to: HookPoint)] {
    hooks.indices.compactMap { place in
      guard hooks[place].isOccasional else { return nil }
      func isRegular(_ hook: HookPoint) -> Bool { !hook.isOccasional && !hook.isWire && !blind.contains(hook) }
      if hooks[place] == .txgk { return hooks[..<place].last(where: isRegular).map { ($0, hooks[place]) } }
      return hooks[place...].first(where: isRegular).map { (hooks[place], $0) }
    }
  }
}

/// The paths of all machines of a session, and one order of their hook points.
struct PathSet {
  var paths: [PathPlan] = []
  /// Longer segments that a topology names.
  private(set) var namedSegments: [(from: HookPoint, to: HookPoint)] = []
  /// Every attached hook point on a path, so that each path runs upwards. The place here is the hook point's slot.
  private(set) var order: [HookPoint] = []
  private(set) var warnings: [String] = []
  /// Points of taps at devices that no hook point watches: their place at the ends of paths is to be checked.
  var besides: Set<HookPoint> = []

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
    if paths.contains(where: \.isWire) { addWire(machines) }
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

  /// The path that explains best where a flow was seen: the most device-level hook points in common, then the most at
  /// sockets, then the fewest that were not seen, then the topology's order. Points on the wire decide only for a flow
  /// that no hook point in the kernel saw.
  func choose(seen: UInt32) -> Int? {
    best(seen & ~HookPoint.wireBits, isWire: false) ?? best(seen, isWire: true)
  }

  private func best(_ seen: UInt32, isWire: Bool) -> Int? {
    var best: (index: Int, overlap: Int, missing: Int)?
    for (index, path) in paths.enumerated() where path.isWire == isWire {
      let devices = (path.deviceBits & seen).nonzeroBitCount
      let overlap = 16 * devices + (path.bits & seen & HookPoint.socketBits).nonzeroBitCount
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
