// SPDX-License-Identifier: GPL-2.0-or-later
import Recording

extension SessionResult {
  /// Says what lies between the hook points of each segment, in the topology's words.
  ///
  /// Where hook points in between are absent, the words of the parts are put together.
  mutating func addMeanings() {
    let words = machines.reduce(into: [:]) { $0.merge($1.segmentNames ?? [:]) { mine, _ in mine } }
    guard !words.isEmpty else { return }
    let paths = machines.flatMap(\.paths)
    func meaning(_ segment: SegmentResult) -> String? {
      if let known = words[segment.name] { return known }
      guard segment.isNeighbour else { return nil }
      for path in paths {
        guard let start = path.hooks.firstIndex(of: segment.from.hook.name),
          let end = path.hooks.firstIndex(of: segment.to.hook.name), start < end
        else { continue }
        let hooks = path.hooks[start...end]
        let parts = zip(hooks, hooks.dropFirst()).map { words["\($0)-\($1)"] }
        if parts.allSatisfy({ $0 != nil }) { return parts.compactMap(\.self).joined(separator: " + ") }
      }
      return nil
    }
    for index in segments.indices { segments[index].meaning = meaning(segments[index]) }
    for index in groups.indices { groups[index].meaning = meaning(groups[index]) }
  }

  /// Says how much of each delay the probes at its ends take: what is left of the one behind its stamp, and what comes
  /// of the other before it, together about one stamp.
  mutating func addProbeTimes() {
    var costs: [Point: Double] = [:]
    for machine in machines {
      for hook in machine.hooks {
        guard let point = HookPoint(name: hook.name),
          let cost = machine.stampCosts?[hook.name] ?? machine.stampCost
        else { continue }
        costs[Point(hook: point, machine: machine.name)] = cost
      }
    }
    func time(_ segment: SegmentResult) -> Double? {
      // On two machines only half of each lies in the delay for certain; a tap has no probe.
      guard segment.from.machine == segment.to.machine, !segment.from.hook.isWire, !segment.to.hook.isWire,
        let first = costs[segment.from], let last = costs[segment.to]
      else { return nil }
      return (first + last) / 2
    }
    for index in segments.indices where segments[index].isNeighbour {
      segments[index].probeTime = time(segments[index])
    }
    for index in groups.indices where groups[index].isNeighbour { groups[index].probeTime = time(groups[index]) }
  }
}
