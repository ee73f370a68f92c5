// SPDX-License-Identifier: GPL-2.0-or-later

extension CapturedPacket {
  /// Where the IP header begins, VLAN tags skipped; nil for what is no IP packet.
  package var ipOffset: Int? {
    let offset: Int?
    switch linkType {
    case .ethernet: offset = afterTags(typeAt: 12)
    case .raw: offset = 0
    case .linuxSLL: offset = afterTags(typeAt: 14)
    case .linuxSLL2: offset = number16(0).flatMap { isVLAN($0) ? afterTags(typeAt: 22) : isIP($0) ? 20 : nil }
    case .null, .loop: offset = isInternetFamily ? 4 : nil
    case .other: offset = nil
    }
    guard let offset, offset < bytes.count, [4, 6].contains(bytes[offset] >> 4) else { return nil }
    return offset
  }

  /// AF_INET, or AF_INET6 of Linux, the BSDs or macOS, in whichever byte order.
  private var isInternetFamily: Bool {
    guard bytes.count >= 4, bytes[1] == 0, bytes[2] == 0, bytes[0] == 0 || bytes[3] == 0 else { return false }
    return [2, 10, 24, 28, 30].contains(bytes[0] | bytes[3])
  }

  private func number16(_ place: Int) -> Int? {
    place + 1 < bytes.count ? Int(bytes[place]) << 8 | Int(bytes[place + 1]) : nil
  }

  private func isVLAN(_ type: Int) -> Bool { type == 0x8100 || type == 0x88A8 || type == 0x9100 }
  private func isIP(_ type: Int) -> Bool { type == 0x0800 || type == 0x86DD }

  private func afterTags(typeAt place: Int) -> Int? {
    var place = place
    while let type = number16(place), isVLAN(type) { place += 4 }
    return number16(place).flatMap { isIP($0) ? place + 2 : nil }
  }
}
