// SPDX-License-Identifier: GPL-2.0-or-later

/// A packet's bytes, from the link layer's header on, where they lie.
@safe struct LinkFrame {
  let linkType: LinkType
  let bytes: UnsafeBufferPointer<UInt8>

  private var count: Int { unsafe bytes.count }

  /// Where the IP header begins, VLAN tags skipped; nil for what is no IP packet.
  var ipOffset: Int? {
    let offset: Int?
    switch linkType {
    case .ethernet: offset = afterTags(typeAt: 12)
    case .raw: offset = 0
    case .linuxSLL: offset = afterTags(typeAt: 14)
    case .linuxSLL2: offset = number16(0).flatMap { isVLAN($0) ? afterTags(typeAt: 22) : isIP($0) ? 20 : nil }
    case .null, .loop: offset = isInternetFamily ? 4 : nil
    case .other: offset = nil
    }
    guard let offset, offset < count else { return nil }
    let version = unsafe bytes[offset] >> 4
    return version == 4 || version == 6 ? offset : nil
  }

  /// AF_INET, or AF_INET6 of Linux, the BSDs or macOS, in whichever byte order.
  private var isInternetFamily: Bool {
    guard count >= 4 else { return false }
    let (first, second, third, last) = unsafe (bytes[0], bytes[1], bytes[2], bytes[3])
    guard second == 0, third == 0, first == 0 || last == 0 else { return false }
    return [2, 10, 24, 28, 30].contains(first | last)
  }

  private func number16(_ place: Int) -> Int? {
    place + 1 < count ? unsafe Int(bytes[place]) << 8 | Int(bytes[place + 1]) : nil
  }

  private func isVLAN(_ type: Int) -> Bool { type == 0x8100 || type == 0x88A8 || type == 0x9100 }
  private func isIP(_ type: Int) -> Bool { type == 0x0800 || type == 0x86DD }

  private func afterTags(typeAt place: Int) -> Int? {
    var place = place
    while let type = number16(place) {
      if isIP(type) { return place + 2 }
      guard isVLAN(type) else { return nil }
      place += 4
    }
    return nil
  }
}

extension CapturedPacket {
  /// Where the IP header begins, VLAN tags skipped; nil for what is no IP packet.
  package var ipOffset: Int? {
    unsafe bytes.withUnsafeBufferPointer { bytes in unsafe LinkFrame(linkType: linkType, bytes: bytes).ipOffset }
  }
}
