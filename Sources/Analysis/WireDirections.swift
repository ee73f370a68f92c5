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
    var split: Set<Way> = []
    for index in domains.indices {
      let ways = WireWays(twoWay: twoWay)
      let shapes = surveys[index].shapes.filter { shape, _ in
        guard case let path = choices[index].path(of: shape), path != Flight.none else { return false }
        return paths.paths[path].hooks.contains(.wireIn) && paths.paths[path].hooks.contains(.wireOut)
      }
      for (shape, weight) in shapes { ways.add(shape, weight) }
      for (shape, _) in shapes {
        guard let way = ways.way(of: shape) else { continue }
        let path = choices[index].path(of: shape)
        // Through hook points both ways share a path; it has ends only if there is one.
        if paths.paths[path].isWire { split.insert(way) } else { waysOfPath[path, default: []].insert(way) }
      }
      choices[index].ways = ways
      choices[index].wirePaths = Set(paths.paths.indices.filter { paths.paths[$0].isWire })
    }
    var pathOfWay: [Way: Int] = [:]
    for way in split.sorted(by: { $0.order < $1.order }) {
      pathOfWay[way] = paths.paths.count
      waysOfPath[paths.paths.count] = [way]
      let between = way.isOutside ? "-net-" : "-"
      paths.paths.append(
        PathPlan(
          name: name(way.from, devices) + between + name(way.to, devices),
          hooks: way.isOutside ? [.wireOut, .wireIn] : [.wireIn, .wireOut]))
    }
    for index in domains.indices { choices[index].pathOfWay = pathOfWay }
    tapDevices = devices
  }

  /// The devices that all packets of a path's segment between the wire's points pass, in their order.
  func wireEnds(_ segment: SegmentResult, path: Int, in domain: ClockDomain) -> [WireEnd] {
    let hooks = [segment.from.hook, segment.to.hook]
    guard hooks.allSatisfy(\.isWire), let ways = waysOfPath[path], ways.count == 1, let way = ways.first,
      way.isOutside == (hooks == [.wireOut, .wireIn])
    else { return [] }
    return zip([way.from, way.to], hooks).compactMap { number, hook in
      guard let slot = domain.slot(of: hook), let clock = domain.hooks[slot]?.tapClock else { return nil }
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

/// Which way packets between the devices of taps go.
///
/// Whether a packet comes in first or goes out first is for most packets of a flow to say, since two clocks may err. A
/// packet that was seen at one end alone takes the way of most packets of its flow with this end; where there are none
/// and two devices, it goes through the machine to or from the other one. A class only so that what was found once is kept.
final class WireWays {
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

  private let twoWay: Set<UInt16>
  private var inside: [UInt32: [Pair: Int]] = [:]
  private var counts: [UInt32: [Pair: Int]] = [:]
  /// Of a flow's pairs with an end, the one that most packets have.
  private var common: [End: Pair?] = [:]

  init(twoWay: Set<UInt16>) { self.twoWay = twoWay }

  private func ends(_ shape: Shape) -> (flow: UInt32, input: UInt16?, output: UInt16?)? {
    guard let flow = (shape.input ?? shape.output)?.flow else { return nil }
    func device(_ end: Shape.End?) -> UInt16? { end.flatMap { twoWay.contains($0.device) ? $0.device : nil } }
    return (flow, device(shape.input), device(shape.output))
  }

  func add(_ shape: Shape, _ weight: Int) {
    guard let (flow, input, output) = ends(shape), let input, let output else { return }
    let pair = Pair(input: input, output: output)
    counts[flow, default: [:]][pair, default: 0] += weight
    if !shape.isBack { inside[flow, default: [:]][pair, default: 0] += weight }
  }

  /// The way of a packet; nil where it is not known.
  func way(of shape: Shape) -> Way? {
    guard let (flow, input, output) = ends(shape), input != nil || output != nil else { return nil }
    if let input, let output { return way(Pair(input: input, output: output), flow) }
    if let most = most(flow, input: input, output: output) { return way(most, flow) }
    guard twoWay.count == 2, let end = input ?? output, let other = twoWay.first(where: { $0 != end }) else {
      return nil
    }
    return Way(from: input ?? other, to: output ?? other, isOutside: false)
  }

  private func way(_ pair: Pair, _ flow: UInt32) -> Way {
    2 * (inside[flow]?[pair] ?? 0) >= counts[flow]?[pair] ?? 0
      ? Way(from: pair.input, to: pair.output, isOutside: false)
      : Way(from: pair.output, to: pair.input, isOutside: true)
  }

  private func most(_ flow: UInt32, input: UInt16?, output: UInt16?) -> Pair? {
    let end = End(flow: flow, input: input, output: output)
    if let known = common[end] { return known }
    let pairs = (counts[flow] ?? [:]).filter { $0.key.input == input || $0.key.output == output }
    let most = pairs.max { ($0.value, $1.key.input, $1.key.output) < ($1.value, $0.key.input, $0.key.output) }?.key
    common[end] = .some(most)
    return most
  }
}
