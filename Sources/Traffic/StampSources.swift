// SPDX-License-Identifier: GPL-2.0-or-later
internal import CTraffic
internal import Glibc
internal import Host
internal import Pairing
internal import Stamping
internal import TestPackets

/// Which devices the stamps of packets are of: the one that the route names, or those below it, where that is a tunnel, a
/// bond or the like and does not stamp itself.
struct StampSources {
  private struct Source {
    var name: String
    var linkType: LinkType
    var count = 0
    /// Of these, stamps of packets with another one's header in front.
    var inTunnel = 0
  }

  private let device: String
  private let own: LinkType
  private var sources: [UInt32: Source] = [:]

  init(device: String, linkType: LinkType) { (self.device, own) = (device, linkType) }

  /// What a stamped packet begins with.
  mutating func linkType(of index: UInt32) -> LinkType {
    if let known = sources[index] { return known.linkType }
    var name: [CChar] = Array(repeating: 0, count: 16)
    guard index > 0, unsafe lp_way_name(index, &name) == 0 else { return own }
    let text = String(decoding: name.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    let linkType = text == device ? own : (try? LinkType(device: text)) ?? own
    sources[index] = Source(name: text, linkType: linkType)
    return linkType
  }

  mutating func count(_ index: UInt32, isInTunnel: Bool) {
    sources[index]?.count += 1
    if isInTunnel { sources[index]?.inTunnel += 1 }
  }

  /// Whose the stamps are, in words; nil where all are of the route's device.
  var text: String? {
    let others = sources.values.filter { $0.count > 0 && $0.name != device }
    guard !others.isEmpty else { return nil }
    let names = others.map(\.name).sorted().joined(separator: ", ")
    let isInTunnel = others.contains { $0.inTunnel > 0 }
    return "of \(names), below \(device), which does not stamp"
      + (isInTunnel ? "; they are those of the tunnel's packets" : "")
  }
}

extension CapturedPacket {
  /// The STAMP packet that a packet of ours ends with, however many headers a tunnel has put before it.
  ///
  /// - Parameters:
  ///   - size: bytes of the STAMP packet.
  ///   - session: its SSID; a tunnel that encrypts has none that fits.
  func testPacket(size: Int, isAuthenticated: Bool, session: UInt16) -> (packet: TestPacket, isInTunnel: Bool)? {
    guard let offset = ipOffset, bytes.count >= offset + 8 else { return nil }
    let isV4 = bytes[offset] >> 4 == 4
    let whole = isV4 ? Int(Field.half(bytes, offset + 2)) : 40 + Int(Field.half(bytes, offset + 4))
    let header = isV4 ? Int(bytes[offset] & 15) * 4 : 40
    let start = offset + whole - size
    guard start >= offset + header + 8, start < bytes.count,
      let packet = TestPacket(payload: bytes[start...], isAuthenticated: isAuthenticated), packet.session == session
    else { return nil }
    return (packet, start > offset + header + 8)
  }
}
