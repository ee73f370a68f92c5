// SPDX-License-Identifier: GPL-2.0-or-later
internal import Host

extension WatchPlan {
  /// What a recording's settings say of the devices.
  package var settings: [String: String] {
    var settings: [String: String] = [:]
    for device in hostDevices {
      let driver = System.link("/sys/class/net/\(device.name)/device/driver")?.split(separator: "/").last
      settings["driver \(device.name)"] = driver.map(String.init)
    }
    settings["guest_devices"] = guestDevices.map(\.description).joined(separator: " ")
    settings["guest_taps"] = guestTaps.map(\.description).joined(separator: " ")
    settings["host_devices"] = hostDevices.map(\.description).joined(separator: " ")
    return settings.filter { !$0.value.isEmpty }
  }
}
