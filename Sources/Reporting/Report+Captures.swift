// SPDX-License-Identifier: GPL-2.0-or-later
package import Recording

/// What was in capture files and was not taken: the same words wherever files are read.
extension Report {
  /// A line for each file.
  package static func captureLines(_ machine: Machine) -> [String] {
    (machine.captures ?? []).map { capture in
      let packets = capture.interfaces.sum(\.packets)
      var words = ["\(capture.file): \(capture.format), \(packets) packets"]
      if machine.pairing == nil {
        words.append("\(capture.interfaces.sum(\.stamps)) stamps")
      }
      for (reason, count) in capture.skipped.sorted(by: { $0.key < $1.key }) {
        words.append("\(count) records skipped (\(reason))")
      }
      for length in Set(capture.interfaces.map(\.snapLength)).sorted() where 1..<keyBytes ~= length {
        words.append("\(length) bytes kept of a packet")
      }
      if let leftOut = leftOut(capture.leftOut ?? [:]) { words.append("of which " + leftOut) }
      return words.joined(separator: ", ")
    }
  }

  /// What the packet key looks at, from the Ethernet header on.
  package static let keyBytes = 128

  /// Counts by the names of ``Capture/leftOut`` and of ``Pairing/packets``, but for those that are 0; nil if all are.
  package static func leftOut(_ counts: [String: Count]) -> String? {
    let names = [
      Capture.notIP, "other_protocols", Capture.cutHeaders, Capture.malformed, Capture.beforeEpoch,
      PairingAccount.fragments, "truncated", PairingAccount.perhapsSeveral, PairingAccount.outOfOrder,
      PairingAccount.stepsBack,
      PairingAccount.clockSteps, "evicted_connections", "evicted_pairs", "pairs_of_too_many_names",
    ]
    let words: [String] = names.compactMap { name in
      guard let count = counts[name], count > 0 else { return nil }
      let text = "\(String(name.map { $0 == "_" ? " " : $0 })) \(count)"
      return name == Capture.notIP ? text + linkTypes(counts) : text
    }
    return words.isEmpty ? nil : words.joined(separator: ", ")
  }

  private static func linkTypes(_ counts: [String: Count]) -> String {
    let unread = counts.compactMap { name, count in Capture.unreadLinkType(name).map { ($0, count) } }.sorted {
      $0.0 < $1.0
    }
    guard !unread.isEmpty else { return "" }
    return " (" + unread.map { "link type \($0) is not read: \($1)" }.joined(separator: ", ") + ")"
  }
}
