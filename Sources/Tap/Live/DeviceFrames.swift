// SPDX-License-Identifier: GPL-2.0-or-later
internal import Host
internal import Pairing

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

extension LinkType {
  init(tapped device: String) throws(TapError) {
    do throws(KernelError) { self = try LinkType(device: device) } catch { throw TapError(error) }
  }
}
