// SPDX-License-Identifier: GPL-2.0-or-later
import Recording

extension HookPoint {
  /// A driver delivers the packet here.
  fileprivate var isDelivery: Bool { self == .rxh0 || self == .txh0 || self == .rxg0 }
  /// A driver is handed the packet here, or lets go of it.
  fileprivate var isHandover: Bool { self == .txg2 || self == .txh1 || self == .txh2 || self == .rxh1 }
}

extension PathSet {
  /// Puts the taps' points on every path in the kernel on which their packets may be.
  ///
  /// A tap at a device whose hook points are recorded stands outside of them: `wire-in` right before the one at which its
  /// driver delivers, `wire-out` right behind the last one at which it is handed the packet or lets go of it. A tap at
  /// another device stands at the ends of each path.
  mutating func addWire(_ machines: [Machine]) {
    let taps = machines.flatMap { machine in
      machine.hooks.compactMap { hook -> (point: HookPoint, at: AttachedHook, bootID: String)? in
        guard let point = HookPoint(name: hook.name), point.isWire, hook.attachedAs != nil else { return nil }
        return (point, hook, machine.bootID)
      }
    }
    for point in [HookPoint.wireIn, .wireOut] {
      let here = taps.filter { $0.point == point }
      guard !here.isEmpty else { continue }
      var anchors: Set<HookPoint> = []
      for machine in machines {
        for hook in machine.hooks where hook.attachedAs != nil {
          guard let name = HookPoint(name: hook.name), point == .wireIn ? name.isDelivery : name.isHandover else {
            continue
          }
          let devices = Set(hook.devices ?? [])
          if here.contains(where: { $0.bootID == machine.bootID && !devices.isDisjoint(with: $0.at.devices ?? []) }) {
            anchors.insert(name)
          }
        }
      }
      if anchors.isEmpty { besides.insert(point) }
      for index in paths.indices where !paths[index].isWire && !paths[index].hooks.isEmpty {
        let hooks = paths[index].hooks
        let place =
          point == .wireIn
          ? anchors.isEmpty ? 0 : hooks.firstIndex { anchors.contains($0) }
          : anchors.isEmpty ? hooks.count : hooks.lastIndex { anchors.contains($0) }.map { $0 + 1 }
        if let place { paths[index].hooks.insert(point, at: place) }
      }
    }
  }
}

extension SessionAnalysis {
  /// Takes the wire off the paths of which no packet was seen there, and off those whose packets contradict its place.
  mutating func keepSeenWire() {
    for path in paths.paths.indices where !paths.paths[path].isWire {
      for point in [HookPoint.wireIn, .wireOut] where paths.paths[path].hooks.contains(point) {
        var tally = (seen: 0, compared: 0, against: 0)
        for domain in domains.indices { count(point, path, domain, &tally) }
        guard tally.seen == 0 || 2 * tally.against > tally.compared else { continue }
        paths.paths[path].hooks.removeAll { $0 == point }
        if tally.seen > 0 {
          notes.append(
            "path \(paths.paths[path].name): \(tally.against) of \(tally.compared) packets were at \(point.name) "
              + (point == .wireIn ? "after they had come in" : "before they had gone out")
              + ": the tap is not at the end of this path, or its clock is wrong; left out there")
        }
      }
    }
  }

  /// - Parameter tally: packets on the path with a stamp at the point; those of them that a hook point in the kernel saw,
  ///   where the point's place is only a guess; and those of them that it cannot be the place of.
  private func count(
    _ point: HookPoint, _ path: Int, _ number: Int, _ tally: inout (seen: Int, compared: Int, against: Int)
  ) {
    let domain = domains[number]
    guard domain.slot(of: point) != nil else { return }
    // The driver lets go of a buffer at any time after it has left.
    let others = paths.paths[path].software.filter { $0 != .txh2 }.compactMap { domain.slot(of: $0) }
      .reduce(UInt32(0)) { $0 | 1 << UInt32($1) }
    for (shape, weight) in surveys[number].shapes
    where (point == .wireIn ? shape.input : shape.output) != nil && self.path(of: shape, number) == path {
      tally.seen += weight
      guard paths.besides.contains(point), shape.seen & others != 0 else { continue }
      tally.compared += weight
      if (point == .wireIn ? shape.beforeInput : shape.behindOutput) & others != 0 { tally.against += weight }
    }
  }
}

extension ClockDomain {
  /// Whether a packet is at the first hook point before the second in any case.
  ///
  /// Not so between a tap's point and one in the kernel where the kernel stamps for the tap, which it does behind the
  /// driver's delivery and before it hands over, nor from the driver's release of the buffer, which may come after the
  /// frame has left.
  func isCausal(_ first: Int, _ second: Int) -> Bool {
    guard let start = hooks[first], let end = hooks[second] else { return false }
    guard start.point.hook.isWire != end.point.hook.isWire else { return true }
    return !start.isInStack && !end.isInStack && start.point.hook != .txh2
  }
}

extension SessionAnalysis {
  /// What negative delays between a tap's point and a hook point mean, where they are no fault.
  func wireWarnings(about segment: SegmentPlan, in domain: ClockDomain) -> [String] {
    let (from, to) = (segment.result.from.hook, segment.result.to.hook)
    guard segment.negative > 0, from.isWire != to.isWire, !domain.isCausal(segment.ends.from, segment.ends.to) else {
      return []
    }
    let tap = from.isWire ? from.name : to.name
    let isInStack =
      domain.hooks[segment.ends.from]?.isInStack == true || domain.hooks[segment.ends.to]?.isInStack == true
    return [
      "\(segment.result.direction) \(segment.result.name): \(segment.negative) delays are negative, which is no fault: "
        + (isInStack
          ? "\(tap) has the kernel's time, taken in its stack and not at the wire"
          : "\(from.name) is when the driver lets go of the buffer, which may be after the frame has left")
    ]
  }
}
