// SPDX-License-Identifier: GPL-2.0-or-later
import Recording

extension Flow {
  /// The same packets' answers.
  fileprivate var reversed: Flow {
    Flow(
      id: 0, ipProtocol: ipProtocol, source: destination, destination: source, sourcePort: destinationPort,
      destinationPort: sourcePort)
  }

  fileprivate var unnumbered: Flow {
    var flow = self
    flow.id = 0
    return flow
  }
}

extension SessionAnalysis {
  /// Takes flows off their paths that applications read of, while no device that is watched saw anything of them nor of their
  /// answers: they came by loopback, a tunnel or another device. A hook point that never fires says nothing of that.
  ///
  /// - Parameter seen: hook points (bits) at which any machine saw the flow of a number.
  mutating func leaveOutStrayReads(
    _ number: Int, _ pathOfFlow: inout [Int], _ flows: [UInt32: Flow], seen: (Int) -> UInt32
  ) {
    let ids = surveys[number].flows.ids
    let atDevices = ~HookPoint.socketBits
    var seenAtAll: UInt32 = 0
    for flow in ids.indices { seenAtAll |= seen(flow) }
    let read = ids.indices.filter { flow in
      let path = pathOfFlow[flow]
      guard path != Flight.none, seen(flow) & atDevices == 0 else { return false }
      let hooks = paths.paths[path].hooks
      guard let place = hooks.firstIndex(where: { $0.isSocket && $0.bit & seen(flow) != 0 }) else { return false }
      return hooks[..<place].last { !$0.isSocket && !$0.isOccasional }.map { $0.bit & seenAtAll != 0 } ?? false
    }
    guard !read.isEmpty else { return }
    var watched: Set<Flow> = []
    for flow in ids.indices where seen(flow) & atDevices != 0 {
      if let flow = flows[ids[flow]] { watched.insert(flow.unnumbered) }
    }
    let strays = read.filter { flow in flows[ids[flow]].map { !watched.contains($0.reversed) } ?? true }
    for flow in strays { pathOfFlow[flow] = Flight.none }
    if !strays.isEmpty {
      notes.append(
        "\(strays.count == 1 ? "1 flow was" : "\(strays.count) flows were") read by applications and seen at no device that "
          + "is watched (loopback, a tunnel, another device, or translated addresses: --nat): left out")
    }
  }
}
