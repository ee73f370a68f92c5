// SPDX-License-Identifier: GPL-2.0-or-later
import Recording

/// A device at which a tap saw packets, and whose time they have there.
package struct WireEnd: Sendable, Hashable {
  /// The tap's machine, as in the session.
  package var machine: String
  package var device: String
  /// ``WireClock/name``; `kernel` also for the reader's.
  package var clock: String

  package init(machine: String, device: String, clock: String) {
    self.machine = machine
    self.device = device
    self.clock = clock
  }
}

/// A way of packets between two devices of a tap.
struct Way: Hashable {
  /// Numbers of the devices that a packet passes first and last.
  var from: UInt16
  var to: UInt16
  /// The packets go out at `from` and come in at `to`: what lies between is not this machine.
  var isOutside: Bool

  fileprivate var order: (UInt16, UInt16, Int) { (from, to, isOutside ? 1 : 0) }
}

extension SessionAnalysis {
  /// Gives packets that only taps saw a path for each way: `eth0-eth1` came in at eth0 and went out at eth1, and
  /// `eth0-net-eth1` went out at eth0 and came in at eth1. So for devices that tell in from out; packets of others stay on
  /// the tap's path.
  mutating func splitWire(devices: [TapDevice]) {
    let twoWay = Set(devices.indices.filter { devices[$0].isTwoWay }.map { UInt16(clamping: $0) })
    guard twoWay.count > 1 else { return }
    let ways = domains.indices.map { index in
      WireWays(domains[index], journeys[index], flows[index], twoWay: twoWay) { [paths, pathOfJourney] journey in
        let path = Int(pathOfJourney[index][journey])
        return path != 255 && paths.paths[path].hooks.contains(.wireIn) && paths.paths[path].hooks.contains(.wireOut)
      }.ways
    }
    var split: [Way: UInt8] = [:]
    for index in domains.indices {
      for (journey, way) in ways[index].enumerated() {
        guard let way else { continue }
        let path = Int(pathOfJourney[index][journey])
        // Through hook points both ways share a path; it has ends only if there is one.
        if !paths.paths[path].isWire {
          waysOfPath[path, default: []].insert(way)
        } else if split[way] == nil, paths.paths.count + split.count < 255 {
          split[way] = 0
        }
      }
    }
    for way in split.keys.sorted(by: { $0.order < $1.order }) {
      split[way] = UInt8(paths.paths.count)
      waysOfPath[paths.paths.count] = [way]
      let between = way.isOutside ? "-net-" : "-"
      paths.paths.append(
        PathPlan(
          name: name(way.from, devices) + between + name(way.to, devices),
          hooks: way.isOutside ? [.wireOut, .wireIn] : [.wireIn, .wireOut]))
    }
    for index in domains.indices {
      for (journey, way) in ways[index].enumerated() {
        guard let way, let path = split[way], paths.paths[Int(pathOfJourney[index][journey])].isWire else { continue }
        pathOfJourney[index][journey] = path
      }
    }
    tapDevices = devices
  }

  /// The devices that all packets of a path's segment between the wire's points pass, in their order.
  func wireEnds(_ segment: SegmentResult, path: Int, in domain: ClockDomain) -> [WireEnd] {
    let hooks = [segment.from.hook, segment.to.hook]
    guard hooks.allSatisfy(\.isWire), let ways = waysOfPath[path], ways.count == 1, let way = ways.first,
      way.isOutside == (hooks == [.wireOut, .wireIn])
    else { return [] }
    return zip([way.from, way.to], hooks).compactMap { number, hook in
      guard let clock = domain.hooks[Int(domain.slots[Int(hook.rawValue)])]?.tapClock else { return nil }
      let device = tapDevices[Int(number)]
      return WireEnd(machine: device.machine, device: device.name, clock: clock.provenance)
    }
  }

  private func name(_ number: UInt16, _ devices: [TapDevice]) -> String {
    let device = devices[Int(number)]
    let isUnique = devices.count { $0.name == device.name } == 1
    return isUnique ? device.name : "\(device.machine):\(device.name)"
  }
}

/// The way of each journey.
private struct WireWays {
  /// By journey; nil where it is not known, or the journey is not asked for.
  private(set) var ways: [Way?]

  private struct Pair: Hashable {
    var input: UInt16
    var output: UInt16
  }

  /// One end of a flow's pair; the other one is not known.
  private struct End: Hashable {
    var flow: UInt32
    var input: UInt16?
    var output: UInt16?
  }

  /// Whether a packet comes in first or goes out first is for most packets of a flow to say, since two clocks may err. A
  /// packet that was seen at one end alone takes the way of most packets of its flow with this end; where there are none
  /// and two devices, it goes through the machine to or from the other one.
  init(
    _ domain: ClockDomain, _ journeys: Journeys, _ flows: FlowTable, twoWay: Set<UInt16>, isAskedFor: (Int) -> Bool
  ) {
    ways = [Way?](repeating: nil, count: journeys.count)
    func stamp(_ journey: Int, _ hook: HookPoint) -> Int? {
      let slot = Int(domain.slots[Int(hook.rawValue)])
      return slot == 255 ? nil : journeys.cell(journey, slot)
    }
    func device(_ stamp: Int?) -> UInt16? {
      stamp.map { domain.stamps[$0].cpu }.flatMap { twoWay.contains($0) ? $0 : nil }
    }
    var inside: [UInt32: [Pair: Int]] = [:]
    var counts: [UInt32: [Pair: Int]] = [:]
    var found: [(journey: Int, flow: UInt32, input: UInt16?, output: UInt16?)] = []
    for journey in 0..<journeys.count where isAskedFor(journey) {
      let (first, last) = (stamp(journey, .wireIn), stamp(journey, .wireOut))
      guard let flow = (first ?? last).map({ flows.of[$0] }) else { continue }
      let (input, output) = (device(first), device(last))
      guard input != nil || output != nil else { continue }
      found.append((journey, flow, input, output))
      guard let first, let last, let input, let output else { continue }
      let pair = Pair(input: input, output: output)
      counts[flow, default: [:]][pair, default: 0] += 1
      if domain.stamps[first].time <= domain.stamps[last].time { inside[flow, default: [:]][pair, default: 0] += 1 }
    }
    func way(_ pair: Pair, _ flow: UInt32) -> Way {
      2 * (inside[flow]?[pair] ?? 0) >= counts[flow]?[pair] ?? 0
        ? Way(from: pair.input, to: pair.output, isOutside: false)
        : Way(from: pair.output, to: pair.input, isOutside: true)
    }
    // Of a flow's pairs with an end, the one that most packets have.
    var common: [End: Pair?] = [:]
    func most(_ flow: UInt32, input: UInt16?, output: UInt16?) -> Pair? {
      let end = End(flow: flow, input: input, output: output)
      if let known = common[end] { return known }
      let pairs = (counts[flow] ?? [:]).filter { $0.key.input == input || $0.key.output == output }
      let most = pairs.max { ($0.value, $1.key.input, $1.key.output) < ($1.value, $0.key.input, $0.key.output) }?.key
      common[end] = .some(most)
      return most
    }
    for (journey, flow, input, output) in found {
      if let input, let output {
        ways[journey] = way(Pair(input: input, output: output), flow)
        continue
      }
      if let most = most(flow, input: input, output: output) {
        ways[journey] = way(most, flow)
      } else if twoWay.count == 2, let end = input ?? output, let other = twoWay.first(where: { $0 != end }) {
        ways[journey] = Way(from: input ?? other, to: output ?? other, isOutside: false)
      }
    }
  }
}
