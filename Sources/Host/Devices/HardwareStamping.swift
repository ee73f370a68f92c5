// SPDX-License-Identifier: GPL-2.0-or-later
internal import CTimestamp
internal import Glibc

/// Hardware time stamps of one direction of a device, asked for while this lives.
///
/// The setting is the device's, not a socket's. So only the own direction is changed, and it alone is put back at the
/// end: a tap and a sender on one device do not take each other's stamps away.
package struct HardwareStamping: ~Copyable {
  package enum Direction: Sendable { case received, sent }

  package let device: String
  private let direction: Direction
  /// Puts the setting back, also where this process is killed; nil if it was not changed.
  private let keeper: lp_stamping_keeper?
  /// Why packets will have no hardware stamps; nil if the driver granted them.
  package let refusal: String?

  /// Asks for stamps of every frame and reads back what the driver granted, since drivers widen and narrow what is asked.
  ///
  /// Less than every received frame is none: stamps of PTP messages alone would be those of a second clock.
  package init(device: String, of direction: Direction) {
    self.device = device
    self.direction = direction
    var found = lp_timestamping()
    let result = unsafe lp_timestamping_of(device, &found)
    if result < 0 || (direction == .received ? found.hardware_receive : found.hardware_transmit) == 0 {
      let reason = result < 0 ? HardwareStamping.text(result) : "its driver has none"
      (keeper, refusal) = (nil, "the device has no hardware time stamps (\(reason))")
      return
    }
    var old = lp_hardware_stamping()
    // A driver without this call cannot tell; what it had is then taken to be none.
    _ = unsafe lp_hardware_stamping_get(device, &old)
    let wanted = direction.setting(old, from: lp_hardware_stamping_all())
    // Somebody else asked already: nothing to put back. Any other kind of stamping sent packets will do too.
    if direction.isSame(old, wanted) || direction == .sent && old.transmit != lp_hardware_stamping_none().transmit {
      (keeper, refusal) = (nil, nil)
      return
    }
    var keeper = lp_stamping_keeper()
    // Before anything is changed.
    let failure = unsafe lp_stamping_keeper_start(device, direction == .received ? 1 : 0, &old, &keeper)
    guard failure == 0 else {
      (self.keeper, refusal) = (
        nil, "no process could be started that puts the device's setting back (\(HardwareStamping.text(failure)))"
      )
      return
    }
    var setting = wanted
    let error = unsafe lp_hardware_stamping_set(device, &setting)
    guard error == 0 else {
      unsafe lp_stamping_keeper_end(&keeper)
      let way =
        error == -EPERM
        ? "run with sudo"
        : error == -ERANGE ? "its driver stamps PTP messages at most" : HardwareStamping.text(error)
      (self.keeper, refusal) = (nil, "the device refused hardware time stamps of all \(direction) packets (\(way))")
      return
    }
    guard direction.isSame(setting, wanted) else {
      unsafe lp_stamping_keeper_end(&keeper)
      (self.keeper, refusal) = (
        nil, "the device grants hardware time stamps of some \(direction) packets only (filter \(setting.receive))"
      )
      return
    }
    (self.keeper, refusal) = (keeper, nil)
  }

  /// Whether a device has a hardware clock, whatever it stamps by it.
  package static func hasClock(_ device: String) -> Bool {
    var found = lp_timestamping()
    return unsafe lp_timestamping_of(device, &found) >= 0 && found.phc_index >= 0
  }

  /// Asks for nothing.
  package init(unasked device: String) {
    self.device = device
    direction = .sent
    (keeper, refusal) = (nil, "not asked for")
  }

  deinit {
    guard var keeper = keeper else { return }
    unsafe lp_stamping_keeper_end(&keeper)
  }

  private static func text(_ error: Int32) -> String { unsafe String(cString: strerror(-error)) }
}

extension HardwareStamping.Direction {
  /// A setting with this direction from another one.
  fileprivate func setting(_ setting: lp_hardware_stamping, from other: lp_hardware_stamping) -> lp_hardware_stamping {
    switch self {
    case .received: lp_hardware_stamping(transmit: setting.transmit, receive: other.receive)
    case .sent: lp_hardware_stamping(transmit: other.transmit, receive: setting.receive)
    }
  }

  fileprivate func isSame(_ setting: lp_hardware_stamping, _ other: lp_hardware_stamping) -> Bool {
    switch self {
    case .received: setting.receive == other.receive
    case .sent: setting.transmit == other.transmit
    }
  }
}
