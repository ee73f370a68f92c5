// SPDX-License-Identifier: GPL-2.0-or-later
internal import CTimestamp
package import Recording

extension TapInterface {
  /// What the driver says of a device of this network namespace.
  package init(device: String, number: UInt8 = 0, hooks: [HookPoint], hardware: String) {
    var driver: [CChar] = Array(repeating: 0, count: 32)
    _ = unsafe driver.withUnsafeMutableBufferPointer { unsafe lp_device_driver(device, $0.baseAddress) }
    var found = lp_timestamping()
    let hasClock = unsafe lp_timestamping_of(device, &found) == 0 && found.phc_index >= 0
    self.init(
      number: number, name: device, hooks: hooks.map(\.name), driver: text(driver),
      hardwareClock: hasClock ? Int(found.phc_index) : nil, hardware: hardware)
  }
}

/// What a device's driver counts of time stamps: those it had to skip, that never came, or that nobody fetched.
package struct DriverCounters: Sendable {
  private static let words = ["tstamp", "timestamp"]
  private let device: String
  private let start: [String: UInt64]

  package init(device: String) {
    self.device = device
    start = DriverCounters.read(device)
  }

  /// Counted since this was made; nil where the driver counts no such thing.
  package var since: [String: UInt64]? {
    guard !start.isEmpty else { return nil }
    var counts: [String: UInt64] = [:]
    for (name, now) in DriverCounters.read(device) {
      let before = start[name] ?? 0
      // A driver that was reset begins anew.
      counts[name] = now >= before ? now - before : now
    }
    return counts
  }

  private static func read(_ device: String) -> [String: UInt64] {
    var counters = [lp_device_counter](repeating: lp_device_counter(), count: 4096)
    let count = unsafe lp_device_counters(device, &counters, UInt32(counters.count))
    var found: [String: UInt64] = [:]
    for counter in counters.prefix(Int(max(count, 0))) {
      let name = unsafe withUnsafeBytes(of: counter.name) {
        unsafe String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self)
      }
      if words.contains(where: name.contains) { found[name] = counter.value }
    }
    return found
  }
}

private func text(_ characters: [CChar]) -> String {
  String(decoding: characters.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
}
