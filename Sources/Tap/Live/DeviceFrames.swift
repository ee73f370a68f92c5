// SPDX-License-Identifier: GPL-2.0-or-later
internal import CTimestamp
internal import Glibc
package import Pairing
internal import Probing

extension LinkType {
  /// What frames of a device begin with: Ethernet's header, or, of tunnels, the IP header.
  package init(device: String) throws(TapError) {
    let isEthernet = unsafe lp_device_is_ethernet(device)
    if isEthernet == -ENODEV { throw TapError(missing: device) }
    guard isEthernet >= 0 else {
      throw TapError("\(device): frames of this kind of device cannot be read; choose another one")
    }
    self = isEthernet == 1 ? .ethernet : .raw
  }
}

extension Filter {
  /// The same filter for frames of this kind.
  ///
  /// - Parameter tagged: ``throughTags()`` of it.
  func of(_ linkType: LinkType, device: String, tagged: Filter) throws(TapError) -> Filter {
    guard linkType == .raw else { return tagged }
    do throws(FilterError) { return try Filter(expression, isRawIP: true) } catch {
      throw TapError("\(device) has packets without an Ethernet header: \(error)")
    }
  }
}
