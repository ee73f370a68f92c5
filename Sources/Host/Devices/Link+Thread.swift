// SPDX-License-Identifier: GPL-2.0-or-later
internal import CTimestamp

/// Devices of the calling thread's network namespace.
extension Link {
  package static func exists(_ name: String) -> Bool { unsafe lp_device_index(name) >= 0 }

  /// As in `AttachedHook.devices`: namespace and index.
  package static func ids(_ names: [String]) -> [String]? {
    guard let inode = (try? NetworkNamespace.ofThread())?.inode else { return nil }
    return names.map { "\(inode):\(unsafe lp_device_index($0))" }
  }
}
