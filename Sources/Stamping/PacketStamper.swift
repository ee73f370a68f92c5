// SPDX-License-Identifier: GPL-2.0-or-later
import CLatprobeABI
package import Pairing
package import Recording

/// A packet's bytes, from the link layer's header on, where they lie.
@safe package struct LinkFrame {
  let linkType: LinkType
  let bytes: UnsafeBufferPointer<UInt8>
  let segmentSize: Int

  /// - Parameter segmentSize: UDP payload of each datagram where the packet holds several; 0 where it holds one or nobody
  ///   says.
  package init(linkType: LinkType, bytes: UnsafeBufferPointer<UInt8>, segmentSize: Int = 0) {
    self.linkType = linkType
    unsafe self.bytes = bytes
    self.segmentSize = segmentSize
  }

  var payload: LinkPayload { linkType.payload(of: unsafe bytes.span) }
}

extension CapturedPacket {
  /// Where the IP header begins; nil for what is no IP packet.
  package var ipOffset: Int? {
    guard case .ip(let offset, _) = linkType.payload(of: bytes.span) else { return nil }
    return offset
  }
}

/// Why a packet has no stamp.
package enum LeftOut: Sendable, Hashable {
  case notIP
  /// Nothing is known of packets that begin so: not IP either.
  case linkType(Int)
  /// The capture ends within its headers, so that what tells it from others is not all there.
  case cutHeaders
  /// Headers that contradict themselves.
  case malformed
  /// Earlier than 1970.
  case time
}

/// Turns captured packets into the records of a recording, by the same key as the kernel's programs.
package struct PacketStamper {
  /// Flows whose 5-tuple is written; forgotten, and written again, when there are too many.
  private var known: Set<UInt32> = []
  private static let flowLimit = 1 << 18
  private let identity: Int32

  /// - Parameter isNATProof: leave addresses and ports out of the key.
  package init(isNATProof: Bool = false) {
    identity = Int32((isNATProof ? LP_IDENTITY_NAT_PROOF : LP_IDENTITY_FULL).rawValue)
  }

  /// Each flow's 5-tuple is written again.
  package mutating func forgetFlows() { known = [] }

  /// What a stamp says beside the packet's own bytes.
  package struct Circumstances {
    var hook: HookPoint
    /// When the packet was read, nanoseconds of CLOCK_MONOTONIC; of a file's packet its own time.
    var read: UInt64
    /// Nanoseconds of `source`.
    var time: Int64
    var source: WireClock
    /// Bytes on the wire.
    var length: Int
    var interface: UInt8
    /// N of the /dev/ptpN whose time it has.
    var device: UInt16

    package init(
      hook: HookPoint, read: UInt64, time: Int64, source: WireClock, length: Int, interface: UInt8, device: UInt16 = 0
    ) {
      self.hook = hook
      self.read = read
      self.time = time
      self.source = source
      self.length = length
      self.interface = interface
      self.device = device
    }
  }

  /// Appends the packet's stamp to `records`, with its flow where that is new.
  /// - Parameters:
  ///   - time: when the packet was read, nanoseconds of CLOCK_MONOTONIC; of a file's packet its own time.
  ///   - device: N of the /dev/ptpN whose time it has.
  /// - Returns: why it has no stamp; nil if it has.
  package mutating func append(
    _ packet: CapturedPacket, hook: HookPoint, time: UInt64, device: UInt16 = 0, to records: inout [UInt8]
  ) -> LeftOut? {
    unsafe packet.bytes.withUnsafeBufferPointer { bytes in
      append(
        unsafe LinkFrame(linkType: packet.linkType, bytes: bytes),
        Circumstances(
          hook: hook, read: time, time: packet.time, source: packet.source, length: packet.length,
          interface: UInt8(clamping: packet.interface), device: device), to: &records)
    }
  }

  /// The same for a packet that is still where the kernel put it.
  package mutating func append(_ frame: LinkFrame, _ about: Circumstances, to records: inout [UInt8]) -> LeftOut? {
    guard frame.linkType.isRead else { return .linkType(frame.linkType.number) }
    let captured = unsafe frame.bytes.count
    let offset: Int
    switch frame.payload {
    case .ip(let place, _): offset = place
    case .notIP: return .notIP
    case .ends: return captured < about.length ? .cutHeaders : .malformed
    }
    let isCut = captured < about.length
    let length = UInt32(clamping: about.length - offset)
    let header = unsafe UnsafeBufferPointer(rebasing: frame.bytes[offset...])
    var found = lp_packet()
    let result = unsafe lp_packet_of_ip(
      &found, header.baseAddress, UInt32(header.count), length, identity)
    guard result == 0 else { return isCut ? .cutHeaders : .malformed }
    if isCut, !PacketStamper.hasHeaders(found, header.count) { return .cutHeaders }
    if found.kind == LP_KIND_UDP.rawValue { found.sequence = UInt32(clamping: frame.segmentSize) }
    if known.insert(found.flow).inserted {
      if known.count > PacketStamper.flowLimit { known = [found.flow] }
      unsafe PacketStamper.append(PacketStamper.flow(of: found, about.read, header), to: &records)
    }
    PacketStamper.append(
      lp_stamp_wire(
        stamp: lp_stamp(
          time_ns: about.read, event: UInt8(LP_EVENT_STAMP_WIRE.rawValue), hook: about.hook.rawValue, queue: 0,
          length: min(found.length, 0xF_FFFF), header_words: UInt32(found.header_words), kind: UInt32(found.kind),
          flow: found.flow, sequence: found.sequence, key: found.key),
        at_ns: about.time, time_source: about.source.rawValue, interface: about.interface, device: about.device,
        reserved: 0),
      to: &records)
    return nil
  }

  /// Whether all headers that tell a packet from others are within its first `captured` bytes.
  private static func hasHeaders(_ packet: lp_packet, _ captured: Int) -> Bool {
    // Where there was not enough of a transport header, none was taken.
    if packet.kind == LP_KIND_OTHER.rawValue, [1, 6, 17, 58].contains(packet.protocol) { return false }
    return Int(packet.header_words) * 4 <= captured
  }

  private static func flow(
    of packet: lp_packet, _ time: UInt64, _ header: UnsafeBufferPointer<UInt8>
  ) -> lp_flow {
    var flow = lp_flow()
    flow.time_ns = time
    flow.event = UInt8(LP_EVENT_FLOW.rawValue)
    flow.family = packet.family
    flow.protocol = packet.protocol
    flow.flow = packet.flow
    flow.source_port = packet.source_port
    flow.destination_port = packet.destination_port
    let (place, count) = packet.family == 4 ? (12, 4) : (8, 16)
    unsafe withUnsafeMutableBytes(of: &flow.source) { unsafe $0.copyBytes(from: header[place..<place + count]) }
    unsafe withUnsafeMutableBytes(of: &flow.destination) {
      unsafe $0.copyBytes(from: header[place + count..<place + 2 * count])
    }
    return flow
  }

  private static func append<Record>(_ record: Record, to records: inout [UInt8]) {
    unsafe withUnsafeBytes(of: record) { unsafe records.append(contentsOf: $0) }
  }
}
