// SPDX-License-Identifier: GPL-2.0-or-later
internal import CTimestamp
internal import Glibc
package import Pairing

extension LinkType {
  /// What frames of a device begin with: Ethernet's header, or, of tunnels, the IP header.
  package init(device: String) throws(KernelError) {
    let isEthernet = unsafe lp_device_is_ethernet(device)
    if isEthernet == -ENODEV { throw KernelError(missing: device) }
    guard isEthernet >= 0 else {
      throw KernelError("\(device): frames of this kind of device cannot be read; choose another one")
    }
    self = isEthernet == 1 ? .ethernet : .raw
  }
}
