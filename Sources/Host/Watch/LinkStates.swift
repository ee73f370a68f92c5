// SPDX-License-Identifier: GPL-2.0-or-later
package import Recording

/// A device to keep an eye on.
package struct WatchedDevice: Sendable, Equatable {
  package var name: String
  package var index: Int
  package var namespace: NetworkNamespace
  package var isUp: Bool
  package var hasCarrier: Bool
  /// That packets are sent from, 16 bytes (IPv4's as ::ffff:10.0.0.1); nil where none is asked for.
  package var address: [UInt8]?
  /// Hook points that what happens to it touches: ``Change/hooks``.
  package var hooks: [String]

  package init(_ link: Link, in namespace: NetworkNamespace, hooks: [String] = []) {
    name = link.name
    index = link.index
    self.namespace = namespace
    isUp = link.isUp
    hasCarrier = link.hasCarrier
    self.hooks = hooks
  }
}

/// Follows watched devices by what netlink tells of links; pure.
package struct LinkStates {
  private struct State {
    var device: WatchedDevice
    /// A device of the name and index is there.
    var isThere = true
    /// It was told that its carrier is gone.
    var hasLostCarrier = false
    var hasLostAddress = false
  }

  private var states: [State]
  /// Since the last ``take()``.
  private var changes: [Change] = []

  package init(_ devices: [WatchedDevice]) { states = devices.map { State(device: $0) } }

  /// A link as it is now.
  package mutating func see(_ link: Link, in namespace: NetworkNamespace, at time: UInt64) {
    for place in states.indices where states[place].device.namespace == namespace {
      let device = states[place].device
      if states[place].isThere, device.index == link.index {
        if link.name != device.name {
          end(place, .renamed, at: time, to: link.name)
        } else if link.isUp != device.isUp {
          take(link, at: place)
          tell(place, link.isUp ? .up : .down, at: time)
        } else if link.hasCarrier != device.hasCarrier {
          states[place].device.hasCarrier = link.hasCarrier
          // What is down has none either, and what has just come up waits for it: that is no news of its own.
          if !link.hasCarrier, link.isUp {
            states[place].hasLostCarrier = true
            tell(place, .noCarrier, at: time)
          } else if states[place].hasLostCarrier {
            states[place].hasLostCarrier = false
            tell(place, .carrier, at: time)
          }
        }
      } else if device.name == link.name {
        // The old one goes by another name or is gone; what told so was lost.
        if states[place].isThere { end(place, .deleted, at: time) }
        states[place].isThere = true
        states[place].device.index = link.index
        take(link, at: place)
        tell(place, .back, at: time)
        if !link.isUp { tell(place, .down, at: time) }
      }
    }
  }

  package mutating func lose(index: Int, in namespace: NetworkNamespace, isMoved: Bool, at time: UInt64) {
    for place in states.indices where isThere(place, in: namespace) && states[place].device.index == index {
      end(place, isMoved ? .moved : .deleted, at: time)
    }
  }

  /// An address that a link has now, or has no more.
  package mutating func see(
    _ address: LinkAddress, isGone: Bool, in namespace: NetworkNamespace, at time: UInt64
  ) {
    for place in states.indices where isThere(place, in: namespace) {
      let device = states[place].device
      if device.index == address.index, device.address == address.bytes { see(isGone: isGone, at: time, place) }
    }
  }

  /// All addresses that links of a namespace have.
  package mutating func see(all addresses: Set<LinkAddress>, in namespace: NetworkNamespace, at time: UInt64) {
    for place in states.indices where isThere(place, in: namespace) {
      let device = states[place].device
      guard let bytes = device.address else { continue }
      see(isGone: !addresses.contains(LinkAddress(index: device.index, bytes: bytes)), at: time, place)
    }
  }

  /// Whether a device of the namespace is there whose address is watched.
  func watchesAddresses(in namespace: NetworkNamespace) -> Bool {
    states.indices.contains { isThere($0, in: namespace) && states[$0].device.address != nil }
  }

  private mutating func see(isGone: Bool, at time: UInt64, _ place: Int) {
    guard states[place].hasLostAddress != isGone else { return }
    states[place].hasLostAddress = isGone
    tell(place, isGone ? .addressRemoved : .addressBack, at: time)
  }

  /// All that is there in a namespace; what is not is gone.
  package mutating func see(all links: [Link], in namespace: NetworkNamespace, at time: UInt64) {
    for place in states.indices where isThere(place, in: namespace) {
      let index = states[place].device.index
      if !links.contains(where: { $0.index == index }) { end(place, .deleted, at: time) }
    }
    for link in links { see(link, in: namespace, at: time) }
  }

  /// The namespace is gone, or nobody can look into it any more.
  package mutating func lose(_ namespace: NetworkNamespace, _ what: Change.Kind, at time: UInt64) {
    for place in states.indices where isThere(place, in: namespace) { end(place, what, at: time) }
  }

  package mutating func take() -> [Change] {
    defer { changes = [] }
    return changes
  }

  private mutating func take(_ link: Link, at place: Int) {
    (states[place].device.isUp, states[place].device.hasCarrier) = (link.isUp, link.hasCarrier)
    states[place].hasLostCarrier = false
  }

  private func isThere(_ place: Int, in namespace: NetworkNamespace) -> Bool {
    states[place].isThere && states[place].device.namespace == namespace
  }

  private mutating func end(_ place: Int, _ what: Change.Kind, at time: UInt64, to name: String? = nil) {
    let device = states[place].device
    // A device is closed, and loses its other end and its addresses, before it goes: that is no news of its own.
    let id = id(of: device)
    changes.removeAll {
      [.down, .noCarrier, .addressRemoved].contains($0.what) && $0.device == device.name && $0.id == id
    }
    states[place].isThere = false
    tell(place, what, at: time, to: name)
  }

  private mutating func tell(_ place: Int, _ what: Change.Kind, at time: UInt64, to name: String? = nil) {
    let device = states[place].device
    var change = Change(
      time: time, what, device: device.name, namespace: device.namespace.label, id: id(of: device))
    change.to = name
    change.hooks = device.hooks
    changes.append(change)
  }

  private func id(of device: WatchedDevice) -> String { "\(device.namespace.inode):\(device.index)" }
}
