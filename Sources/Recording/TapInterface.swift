// SPDX-License-Identifier: GPL-2.0-or-later

/// A network interface that a tap listened on, or that a sender's packets left by.
package struct TapInterface: Codable, Sendable, Equatable {
  package static let granted = "granted"
  /// Packets came, and none had a stamp.
  package static let notDelivered = "granted and not delivered"

  /// As in ``WireStamp/interface``.
  package var number: UInt8
  package var name: String
  /// Hook points that its packets are stamped at.
  package var hooks: [String]
  package var driver: String
  /// N of its PTP hardware clock's /dev/ptpN; null where it has none.
  package var hardwareClock: Int?
  /// What became of hardware time stamps: `not asked for`, `granted`, `granted and not delivered`, or why there are none.
  package var hardware: String
  /// Packets by ``WireClock/name``: whose time each of them has.
  package var clocks: [String: Count]
  /// Packets that found no room in the ring.
  package var ringDrops: Count
  /// Frames that the device says it dropped meanwhile.
  package var deviceDrops: Count
  /// Frames that are no IP packet, which leave no stamp.
  package var otherFrames: Count
  /// What the driver counted of time stamps meanwhile (`ethtool -S`), by its own names; null where it counts none,
  /// and until the end.
  package var driverCounters: [String: Count]?

  enum CodingKeys: String, CodingKey {
    case number, name, hooks, driver, hardware, clocks
    case hardwareClock = "hardware_clock"
    case ringDrops = "ring_drops"
    case deviceDrops = "device_drops"
    case otherFrames = "other_frames"
    case driverCounters = "driver_counters"
  }

  package init(number: UInt8, name: String, hooks: [String], driver: String, hardwareClock: Int?, hardware: String) {
    self.number = number
    self.name = name
    self.hooks = hooks
    self.driver = driver
    self.hardwareClock = hardwareClock
    self.hardware = hardware
    clocks = [:]
    ringDrops = 0
    deviceDrops = 0
    otherFrames = 0
  }
}
