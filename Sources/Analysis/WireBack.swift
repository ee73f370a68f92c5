// SPDX-License-Identifier: GPL-2.0-or-later
import Recording

extension SessionAnalysis {
  /// Gives packets that pass `wire-out` before `wire-in` a path of their own, `wire-back`: a capture of both sides of
  /// something sees traffic both ways. So for capture files, and for devices of which each has one hook point; with hook
  /// points in the kernel, too, whose path has the wire's points the other way round then.
  ///
  /// Which way a flow goes, most of its packets tell; of a flow of which none was seen twice, the packets between the same
  /// addresses. By two files a clock that is wrong looks the same: there a flow goes back only if the packets from its
  /// destination to its source do not.
  mutating func splitBothWays(_ flowsByID: [UInt32: Flow]) {
    for path in paths.paths.indices where !waysOfPath.keys.contains(path) {
      guard let first = paths.paths[path].hooks.firstIndex(of: .wireIn),
        let last = paths.paths[path].hooks.firstIndex(of: .wireOut), first < last
      else { continue }
      let back = domains.indices.map { flowsBack($0, path, flowsByID) }
      guard back.contains(where: { !$0.isEmpty }) else { continue }
      var plan = paths.paths[path]
      plan.name += "-back"
      plan.hooks.swapAt(first, last)
      for index in domains.indices { choices[index].back[path] = (paths.paths.count, back[index]) }
      paths.paths.append(plan)
    }
  }

  /// The flows at a tap's points whose packets on the path go back.
  private func flowsBack(_ index: Int, _ path: Int, _ flowsByID: [UInt32: Flow]) -> Set<UInt32> {
    let (domain, flows) = (domains[index], surveys[index].flows)
    guard let input = domain.slot(of: .wireIn), let output = domain.slot(of: .wireOut),
      // Devices that tell in from out have their ways.
      !domain.machines.contains(where: { $0.interfaces?.contains { $0.hooks.count > 1 } == true })
    else { return [] }
    var ways = WaysOfFlows(ids: flows.ids, flowsByID)
    var own: Set<UInt32> = []
    for (shape, weight) in surveys[index].shapes {
      guard let seen = shape.input ?? shape.output, self.path(of: shape, index) == path else { continue }
      own.insert(seen.flow)
      guard let first = shape.input, let last = shape.output, !shape.isRepeated else { continue }
      for flow in Set([first.flow, last.flow]) { ways.add(Int(flow), weight, isBack: shape.isBack) }
    }
    let isOneClock =
      domain.isOneClock(input, output) && domain.machines.allSatisfy { ($0.captures?.count ?? 1) == 1 }
    // In the kernel a journey may lack both points, and two clocks are for their alignment to answer for.
    guard isOneClock || paths.paths[path].isWire else { return [] }
    let isBack = ways.back(isCertain: isOneClock)
    return own.filter { isBack[Int($0)] }
  }
}

/// Which way the packets of each flow go.
private struct WaysOfFlows {
  private struct Votes {
    var packets = 0
    var back = 0

    var isKnown: Bool { packets > 0 }
    var isBack: Bool { 2 * back > packets }
  }
  private struct Ends: Hashable {
    var source: [UInt8]
    var destination: [UInt8]

    var reversed: Ends { Ends(source: destination, destination: source) }
  }

  private var flows: [Votes]
  /// By flow; nil where the recording does not tell its addresses.
  private let ends: [Ends?]

  init(ids: [UInt32], _ flowsByID: [UInt32: Flow]) {
    flows = [Votes](repeating: Votes(), count: ids.count)
    ends = ids.map { id in flowsByID[id].map { Ends(source: $0.source, destination: $0.destination) } }
  }

  mutating func add(_ flow: Int, _ packets: Int, isBack: Bool) {
    flows[flow].packets += packets
    if isBack { flows[flow].back += packets }
  }

  /// - Parameter isCertain: one clock stamped both hook points, so that the order of times is that of packets.
  func back(isCertain: Bool) -> [Bool] {
    var between: [Ends: Votes] = [:]
    for (flow, votes) in flows.enumerated() {
      guard let ends = ends[flow] else { continue }
      between[ends, default: Votes()].packets += votes.packets
      between[ends, default: Votes()].back += votes.back
    }
    return flows.indices.map { flow in
      let there = ends[flow].flatMap { between[$0] } ?? Votes()
      let opposite = ends[flow].flatMap { between[$0.reversed] } ?? Votes()
      if flows[flow].isKnown {
        return flows[flow].isBack && (isCertain || opposite.isKnown && !opposite.isBack)
      }
      if there.isKnown { return there.isBack && (isCertain || opposite.isKnown && !opposite.isBack) }
      // Seen on one side only: the other way than what comes back.
      return opposite.isKnown && !opposite.isBack && (isCertain || hasFlowsBack(between))
    }
  }

  /// Whether any packets are known to go back: else those that nobody answered are lost on the way there.
  private func hasFlowsBack(_ between: [Ends: Votes]) -> Bool {
    between.contains { ends, votes in
      votes.isKnown && votes.isBack && between[ends.reversed].map { $0.isKnown && !$0.isBack } == true
    }
  }
}
