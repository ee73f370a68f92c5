// SPDX-License-Identifier: GPL-2.0-or-later
internal import CTimestamp
internal import Glibc

/// Hardware time stamps of a device, asked for while this lives; the device's own setting comes back with its end.
struct HardwareStamping: ~Copyable {
  let device: String
  /// What the device was set to before; nil if it was not changed.
  private let before: lp_hardware_stamping?
  /// Why received or sent packets will have no hardware stamps; nil if the driver granted both.
  let refusal: String?

  /// Asks for stamps of every frame and reads back what the driver granted, since drivers widen and narrow what is asked.
  init(device: String) {
    self.device = device
    var found = lp_timestamping()
    let result = unsafe lp_timestamping_of(device, &found)
    if result < 0 || found.hardware_receive == 0 {
      let reason = result < 0 ? HardwareStamping.text(result) : "its driver has none"
      (before, refusal) = (nil, "the device has no hardware time stamps (\(reason))")
      return
    }
    var setting = lp_hardware_stamping()
    // A driver without this call cannot tell; what it had is then taken to be none.
    _ = unsafe lp_hardware_stamping_get(device, &setting)
    let old = setting
    let all = lp_hardware_stamping_all()
    setting = all
    let error = unsafe lp_hardware_stamping_set(device, &setting)
    guard error == 0 else {
      let way =
        error == -EPERM
        ? "run with sudo"
        : error == -ERANGE ? "it stamps PTP messages at most" : HardwareStamping.text(error)
      (before, refusal) = (nil, "the device refused hardware time stamps (\(way))")
      return
    }
    before = old
    refusal =
      setting.receive == all.receive
      ? nil : "the device grants hardware time stamps of some packets only (filter \(setting.receive))"
  }

  /// Leaves the device as it is.
  init(leaving device: String) {
    self.device = device
    (before, refusal) = (nil, "not asked for")
  }

  deinit {
    guard var before else { return }
    _ = unsafe lp_hardware_stamping_set(device, &before)
  }

  private static func text(_ error: Int32) -> String { unsafe String(cString: strerror(-error)) }
}
