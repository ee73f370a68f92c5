// SPDX-License-Identifier: GPL-2.0-or-later
import Recording

/// What to tell flows apart by.
package enum FlowKey: String, Sendable, CaseIterable {
  /// Source and destination address.
  case host
  case proto
  /// Protocol and the service's port, to it and from it.
  case port
  /// Protocol, addresses and ports.
  case flow
}

/// Names of the groups that flows belong to.
struct FlowGroups {
  /// More groups of one path than this share one of the rest, so that a scan of ports makes no table of thousands.
  static let most = 64

  private let keys: [FlowKey]
  private let flows: [UInt32: Flow]
  /// How many flows have the port at one end, by protocol and port.
  private var ports: [UInt32: Int] = [:]

  init(_ keys: [FlowKey], _ flows: [UInt32: Flow]) {
    self.keys = keys
    self.flows = flows
    guard keys.contains(.port) else { return }
    for flow in flows.values {
      ports[FlowGroups.place(flow.ipProtocol, flow.sourcePort), default: 0] += 1
      ports[FlowGroups.place(flow.ipProtocol, flow.destinationPort), default: 0] += 1
    }
  }

  private static func place(_ ipProtocol: UInt8, _ port: UInt16) -> UInt32 { UInt32(ipProtocol) << 16 | UInt32(port) }

  func name(_ id: UInt32) -> String {
    guard let flow = flows[id] else { return "flow not recorded" }
    let kind = FlowText.ipProtocol(flow.ipProtocol)
    let (source, destination) = (FlowText.address(flow.source), FlowText.address(flow.destination))
    let hasPorts = FlowFilter.hasPorts(flow.ipProtocol)
    return keys.map { key in
      switch key {
      case .host: return "\(source) -> \(destination)"
      case .proto: return kind
      case .port:
        guard hasPorts else { return kind }
        let isToService = isService(flow, flow.destinationPort, not: flow.sourcePort)
        return "\(kind) \(isToService ? "to \(flow.destinationPort)" : "from \(flow.sourcePort)")"
      case .flow:
        func end(_ address: String, _ port: UInt16) -> String {
          hasPorts ? (address.contains(":") ? "[\(address)]:\(port)" : "\(address):\(port)") : address
        }
        return "\(kind) \(end(source, flow.sourcePort)) -> \(end(destination, flow.destinationPort))"
      }
    }.joined(separator: ", ")
  }

  /// The service's port is the one that more flows have; the lower of two that as many have.
  private func isService(_ flow: Flow, _ port: UInt16, not other: UInt16) -> Bool {
    let (here, there) = (
      ports[FlowGroups.place(flow.ipProtocol, port)] ?? 0, ports[FlowGroups.place(flow.ipProtocol, other)] ?? 0
    )
    return here == there ? port <= other : here > there
  }
}

extension SessionAnalysis {
  /// Leaves out the packets of flows that the filter does not take; behind a translation either side's addresses count.
  mutating func filter(_ filter: FlowFilter, _ known: [UInt32: Flow]) {
    let taken = Set(known.values.filter(filter.matches).map(\.id))
    for index in domains.indices {
      let flows = surveys[index].flows
      var isTaken = flows.ids.map { taken.contains($0) }
      for (translation, other) in flows.translated
      where isTaken[Int(translation.flow)] || isTaken[Int(other)] {
        isTaken[Int(translation.flow)] = true
        isTaken[Int(other)] = true
      }
      choices[index].isTaken = isTaken
    }
  }

  /// Sorts each path's packets into groups of flows; a path with one group alone has none.
  mutating func group(by keys: [FlowKey], _ known: [UInt32: Flow]) {
    groupNames = [[[String]]](repeating: [[String]](repeating: [], count: paths.paths.count), count: domains.count)
    guard !keys.isEmpty else { return }
    let groups = FlowGroups(keys, known)
    for index in domains.indices {
      // Flows by the number of their name.
      var numbers: [String: Int] = [:]
      var names: [String] = []
      let ofFlow = surveys[index].flows.ids.map { id in
        let name = groups.name(id)
        if let known = numbers[name] { return known }
        numbers[name] = names.count
        names.append(name)
        return names.count - 1
      }
      var counts = [[Int: Int]](repeating: [:], count: paths.paths.count)
      for (shape, weight) in surveys[index].shapes {
        guard case let path = path(of: shape, index), path != Flight.none else { continue }
        counts[path][ofFlow[Int(shape.flow)], default: 0] += weight
      }
      var places = [[Int: Int]](repeating: [:], count: counts.count)
      for path in counts.indices where counts[path].count > 1 {
        let sorted = counts[path].sorted { ($1.value, names[$0.key]) < ($0.value, names[$1.key]) }.map(\.key)
        let rest = sorted.dropFirst(FlowGroups.most)
        for (place, name) in sorted.enumerated() { places[path][name] = min(place, FlowGroups.most) }
        groupNames[index][path] =
          sorted.prefix(FlowGroups.most).map { names[$0] } + (rest.isEmpty ? [] : ["\(rest.count) others"])
      }
      choices[index].partOfFlow = places.map { places in ofFlow.map { places[$0] ?? Flight.none } }
    }
  }
}
