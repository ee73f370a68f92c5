// SPDX-License-Identifier: GPL-2.0-or-later
package import Pairing
package import Recording

/// One packet as a capture file or a tap hands it over.
package struct CapturedPacket: Sendable, Hashable {
  /// Nanoseconds since 1970, or since the capture's own epoch.
  package var time: Int64
  /// Place of the interface in the file's ``CaptureReader/interfaces``.
  package var interface: Int
  package var linkType: LinkType
  /// Bytes on the wire; never fewer than were captured.
  package var length: Int
  /// What was captured, from the link layer's header on.
  package var bytes: [UInt8]
  package var source: WireClock

  package init(
    time: Int64, interface: Int, linkType: LinkType, length: Int, bytes: [UInt8], source: WireClock = .file
  ) {
    self.time = time
    self.interface = interface
    self.linkType = linkType
    self.length = length
    self.bytes = bytes
    self.source = source
  }
}
