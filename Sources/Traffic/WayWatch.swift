// SPDX-License-Identifier: GPL-2.0-or-later
internal import CTraffic
internal import Glibc

/// Whether packets still leave by the device that they left by at first.
struct WayWatch: Sendable {
  private enum State: Equatable { case asBefore, isDown, isGone, noWay, elsewhere(String), another }

  private let peer: Peer
  private let device: String
  private let index: UInt32
  /// A tunnel or the like has no carrier to lose.
  private let wasRunning: Bool
  private var state = State.asBefore
  private(set) var changes: [String] = []
  private static let most = 20

  init(peer: Peer, device: String) {
    (self.peer, self.device) = (peer, device)
    var isRunning: Int32 = 0
    index = unsafe lp_way_device(device, &isRunning)
    wasRunning = isRunning != 0
  }

  /// - Parameter elapsed: seconds since the first packet was due.
  mutating func look(after elapsed: Double) {
    let now = current()
    guard now != state else { return }
    state = now
    guard changes.count < WayWatch.most else { return }
    let what =
      switch now {
      case .asBefore: "\(device) is as before"
      case .isDown: "\(device) is down, or has no carrier"
      case .isGone: "\(device) is gone"
      case .noWay: "there is no way to \(peer.name)"
      case .elsewhere(let other): "packets leave by \(other)"
      case .another: "\(device) is another device of that name"
      }
    changes.append("after \(Double(Int(elapsed * 10)) / 10) s \(what)")
  }

  private func current() -> State {
    var isRunning: Int32 = 0
    let now = unsafe lp_way_device(device, &isRunning)
    if now == 0 { return .isGone }
    if now != index { return .another }
    guard let way = try? peer.device() else { return isRunning == 0 ? .isDown : .noWay }
    if way != device { return .elsewhere(way) }
    return wasRunning && isRunning == 0 ? .isDown : .asBefore
  }

  /// One line; nil where nothing changed.
  var text: String? { changes.isEmpty ? nil : changes.joined(separator: ", ") }
}
