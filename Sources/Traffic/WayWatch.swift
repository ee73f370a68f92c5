// SPDX-License-Identifier: GPL-2.0-or-later
internal import TestPackets

/// Whether routes still lead packets to the device that they left by at first. What becomes of the device itself is
/// ``SystemWatch``'s matter.
struct WayWatch: Sendable {
  private enum State: Equatable { case asBefore, noWay, elsewhere(String) }

  private let peer: Destination
  private let device: String
  private var state = State.asBefore
  private(set) var changes: [String] = []
  private static let most = 20

  init(peer: Destination, device: String) {
    self.peer = peer
    self.device = device
  }

  /// - Parameter elapsed: seconds since the first packet was due.
  mutating func look(after elapsed: Double) {
    let now = current()
    guard now != state else { return }
    state = now
    guard changes.count < WayWatch.most else { return }
    let what =
      switch now {
      case .asBefore: "packets leave by \(device) again"
      case .noWay: "there is no way to \(peer.name)"
      case .elsewhere(let other): "packets leave by \(other)"
      }
    changes.append("after \(Double(Int(elapsed * 10)) / 10) s \(what)")
  }

  private func current() -> State {
    guard let way = try? peer.device() else { return .noWay }
    return way == device ? .asBefore : .elsewhere(way)
  }

  /// One line; nil where nothing changed.
  var text: String? { changes.isEmpty ? nil : changes.joined(separator: ", ") }
}
