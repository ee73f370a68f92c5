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
        let last = paths.paths[path].hooks.firstIndex(of: .wireOut), first < last, paths.paths.count < 255
      else { continue }
      let back = domains.indices.map { journeysBack($0, path, flowsByID) }
      guard back.contains(where: { !$0.isEmpty }) else { continue }
      var plan = paths.paths[path]
      plan.name += "-back"
      plan.hooks.swapAt(first, last)
      for index in domains.indices {
        for journey in back[index] { pathOfJourney[index][journey] = UInt8(paths.paths.count) }
      }
      paths.paths.append(plan)
    }
  }

  private func journeysBack(_ index: Int, _ path: Int, _ flowsByID: [UInt32: Flow]) -> Set<Int> {
    let (domain, journeys, flows) = (domains[index], journeys[index], flows[index])
    let (input, output) = (domain.slots[Int(HookPoint.wireIn.rawValue)], domain.slots[Int(HookPoint.wireOut.rawValue)])
    guard input != 255, output != 255,
      // Devices that tell in from out have their ways.
      !domain.machines.contains(where: { $0.interfaces?.contains { $0.hooks.count > 1 } == true })
    else { return [] }
    var ways = WaysOfFlows(ids: flows.ids, flowsByID)
    var own: [(journey: Int, flow: Int)] = []
    for journey in 0..<journeys.count where Int(pathOfJourney[index][journey]) == path {
      let (first, last) = (journeys.cell(journey, Int(input)), journeys.cell(journey, Int(output)))
      guard let seen = first ?? last else { continue }
      own.append((journey, Int(flows.of[seen])))
      guard let first, let last, journeys.repeated[journey] == 0 else { continue }
      let isBack = domain.stamps[last].time < domain.stamps[first].time
      for flow in Set([Int(flows.of[first]), Int(flows.of[last])]) { ways.add(flow, isBack: isBack) }
    }
    let isOneClock =
      domain.isOneClock(Int(input), Int(output)) && domain.machines.allSatisfy { ($0.captures?.count ?? 1) == 1 }
    // In the kernel a journey may lack both points, and two clocks are for their alignment to answer for.
    guard isOneClock || paths.paths[path].isWire else { return [] }
    let isBack = ways.back(isCertain: isOneClock)
    return Set(own.filter { isBack[$0.flow] }.map(\.journey))
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

  mutating func add(_ flow: Int, isBack: Bool) {
    flows[flow].packets += 1
    if isBack { flows[flow].back += 1 }
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
