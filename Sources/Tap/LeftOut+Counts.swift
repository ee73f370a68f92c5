// SPDX-License-Identifier: GPL-2.0-or-later
internal import Recording
internal import Stamping

extension LeftOut {
  /// By the names that pairing has for them too.
  static func counts(_ packets: [LeftOut: UInt64]) -> [String: UInt64] {
    var counts: [String: UInt64] = [:]
    func add(_ name: String, _ count: UInt64) { counts[name] = UInt64.capped(counts[name] ?? 0, plus: count) }
    for (reason, count) in packets {
      switch reason {
      case .notIP: add(Capture.notIP, count)
      case .linkType(let number):
        add(Capture.notIP, count)
        add(Capture.unreadLinkType(number), count)
      case .cutHeaders: add(Capture.cutHeaders, count)
      case .malformed: add(Capture.malformed, count)
      case .time: add(Capture.beforeEpoch, count)
      }
    }
    return counts
  }
}
