// SPDX-License-Identifier: GPL-2.0-or-later
import Recording

extension PathSet {
  /// Index of the path of just these hook points in this order, added where the topology has none.
  ///
  /// Its name is made of the topology's paths that follow one another in it: `tx+rx` for a device that hands packets to
  /// itself. Nil where there are too many paths already.
  mutating func observed(_ hooks: [HookPoint]) -> Int? {
    if let known = paths.firstIndex(where: { isAlong(hooks, $0) && Set($0.software) == Set(hooks) }) { return known }
    guard paths.count < 200 else { return nil }
    var name = PathSet.name(of: hooks, by: paths.filter { !$0.isWire })
    let others = paths.count { $0.name == name || $0.name.hasPrefix(name + "-") }
    if others > 0 { name += "-\(others + 1)" }
    paths.append(PathPlan(name: name, hooks: hooks))
    return paths.count - 1
  }

  /// The topology's path with the fewest other hook points on which these lie in this order; nil if there is none.
  func shortest(along hooks: [HookPoint]) -> Int? {
    paths.indices.filter { !paths[$0].isWire && isAlong(hooks, paths[$0]) }
      .min { (paths[$0].deviceBits.nonzeroBitCount, $0) < (paths[$1].deviceBits.nonzeroBitCount, $1) }
  }

  private func isAlong(_ hooks: [HookPoint], _ path: PathPlan) -> Bool {
    let places = hooks.map { path.hooks.firstIndex(of: $0) }
    return places.allSatisfy { $0 != nil } && zip(places, places.dropFirst()).allSatisfy { ($0 ?? 0) < ($1 ?? 0) }
  }

  private static func name(of hooks: [HookPoint], by paths: [PathPlan]) -> String {
    var rest = hooks[...]
    var words: [String] = []
    while !rest.isEmpty {
      var longest: (count: Int, name: String)?
      for path in paths {
        var place = 0
        var count = 0
        for hook in rest {
          guard let next = path.hooks[place...].firstIndex(of: hook) else { break }
          place = next + 1
          count += 1
        }
        if count > longest?.count ?? 0 { longest = (count, path.name) }
      }
      guard let longest else { return "observed" }
      words.append(longest.name)
      rest = rest.dropFirst(longest.count)
    }
    return words.joined(separator: "+")
  }
}

/// How the packets of a flow passed devices, against the path that was chosen for it.
private struct WayOfFlow {
  /// So many flows have their own; the others go where most of these of the same path went.
  static let most = 4_096

  /// Packets that took another way than the path.
  var against = 0
  /// By slot: those seen there.
  var seen: [Int]
  /// The same by `slot * count + other`: packets that were at the slot before the other.
  var before: [Int]

  init(_ slots: Int) {
    seen = [Int](repeating: 0, count: slots)
    before = [Int](repeating: 0, count: slots * slots)
  }

  mutating func add(_ order: SlotOrder, _ weight: Int, _ slots: Int) {
    against += weight
    for first in 0..<order.count {
      seen[order[first].slot] += weight
      var isLater = false
      for second in (first + 1)..<max(first + 1, order.count) {
        if order[second].gap != .none { isLater = true }
        if isLater { before[order[first].slot * slots + order[second].slot] += weight }
      }
    }
  }
}

extension SessionAnalysis {
  /// Gives flows whose packets took another way than their path the one that they took: a path of the topology, or a
  /// new one of the hook points in the order that most packets had them.
  ///
  /// Only stamps of one clock tell an order: where machines' clocks disagree, that is for the alignment to answer for.
  mutating func followPackets(_ number: Int, _ pathOfFlow: inout [Int]) {
    let domain = domains[number]
    let count = domain.hooks.count
    // Places by path and slot, -1 where the path does not pass it.
    let places = paths.paths.map { path in
      domain.hooks.map { state in state.flatMap { path.hooks.firstIndex(of: $0.point.hook) } ?? -1 }
    }
    // The one clock of each slot; those that several machines recorded have none in common with another.
    let clocks = domain.hooks.indices.map { slot in
      let own = domain.hooks[slot]?.errors.keys.map { $0 } ?? []
      return own.count == 1 ? own[0] : -1 - slot
    }
    // Packets seen at two devices or more, and those of them that took another way.
    var packets = [Int](repeating: 0, count: surveys[number].flows.count)
    var against = packets
    var ways: [Int: WayOfFlow] = [:]
    for (shape, weight) in surveys[number].shapes where shape.order.count > 1 {
      let flow = Int(shape.flow)
      let path = pathOfFlow[flow]
      guard path != Flight.none, !paths.paths[path].isWire else { continue }
      packets[flow] += weight
      var isAgainst = false
      for index in 0..<shape.order.count {
        let here = shape.order[index]
        let place = places[path][here.slot]
        if place < 0 { isAgainst = true }
        guard index > 0, case let last = shape.order[index - 1].slot else { continue }
        if places[path][last] > place, here.gap == .certain, clocks[last] == clocks[here.slot] { isAgainst = true }
      }
      guard isAgainst else { continue }
      against[flow] += weight
      if ways[flow] == nil, ways.count >= WayOfFlow.most { continue }
      ways[flow, default: WayOfFlow(count)].add(shape.order, weight, count)
    }
    // By the path that was chosen, how many flows went where.
    var moved: [Int: [Int: Int]] = [:]
    for (flow, way) in ways.sorted(by: { $0.key < $1.key }) where 2 * against[flow] > packets[flow] {
      guard let path = path(of: way, flow, domain, surveys[number].flows) else { continue }
      moved[pathOfFlow[flow], default: [:]][path, default: 0] += 1
      pathOfFlow[flow] = path
    }
    for flow in against.indices where 2 * against[flow] > packets[flow] && ways[flow] == nil {
      let most = moved[pathOfFlow[flow]]?.max { ($0.value, $1.key) < ($1.value, $0.key) }
      if let most { pathOfFlow[flow] = most.key }
    }
  }

  private mutating func path(
    of way: WayOfFlow, _ flow: Int, _ domain: ClockDomain, _ flows: FlowTable
  ) -> Int? {
    let count = domain.hooks.count
    func isBefore(_ first: Int, _ second: Int) -> Bool {
      way.before[first * count + second] > way.before[second * count + first]
    }
    let passed = domain.hooks.indices.filter { 2 * way.seen[$0] > way.against }
    let order = passed.sorted { first, second in
      let (left, right) = (
        passed.count { isBefore($0, first) }, passed.count { isBefore($0, second) }
      )
      return (left, first) < (right, second)
    }
    var devices = order.compactMap { domain.hooks[$0]?.point.hook }
    func isSeen(_ hook: HookPoint) -> Bool {
      domain.slot(of: hook) != nil && flows.seen[flow] & hook.bit != 0
    }
    if devices.last == .txh1, isSeen(.txh2) { devices.append(.txh2) }
    let hooks = [HookPoint.txg0].filter(isSeen) + devices + [HookPoint.rxgq, .rxg1].filter(isSeen)
    guard hooks.count > 1 else { return nil }
    if let known = paths.shortest(along: hooks) { return known }
    let before = paths.paths.count
    guard let path = paths.observed(hooks) else { return nil }
    if paths.paths.count > before {
      noteOfPath[path] =
        "path \(paths.paths[path].name): no path of the topology, but the way that packets took: "
        + hooks.map(\.name).joined(separator: " ")
    }
    return path
  }

  /// Marks the devices' hook points that saw no packet of a path whose packets were seen behind them.
  mutating func findBlind(_ number: Int, _ pathOfFlow: [Int], seen: (Int) -> UInt32) {
    var seenOnPath = [UInt32](repeating: 0, count: paths.paths.count)
    for flow in pathOfFlow.indices where pathOfFlow[flow] != Flight.none { seenOnPath[pathOfFlow[flow]] |= seen(flow) }
    for flow in pathOfFlow.indices where pathOfFlow[flow] != Flight.none {
      let path = pathOfFlow[flow]
      guard !paths.paths[path].isWire else { continue }
      let hooks = paths.paths[path].hooks
      guard let last = hooks.lastIndex(where: { !$0.isWire && $0.bit & seen(flow) != 0 }) else { continue }
      for hook in hooks[..<last]
      where !hook.isWire && !hook.isSocket && !hook.isOccasional && hook.bit & seenOnPath[path] == 0
        && domains[number].slot(of: hook) != nil
      {
        paths.paths[path].blind.insert(hook)
      }
    }
  }
}
