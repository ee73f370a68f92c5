// SPDX-License-Identifier: GPL-2.0-or-later
import CLatprobeABI
package import Recording

/// Turns captured packets into the records of a recording, by the same key as the kernel's programs.
package struct PacketStamper {
  /// Flows whose 5-tuple is written; forgotten, and written again, when there are too many.
  private var known: Set<UInt32> = []
  private static let flowLimit = 1 << 18

  package init() {}

  /// What a stamp says beside the packet's own bytes.
  struct Circumstances {
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
    var device: UInt16 = 0
  }

  /// Appends the packet's stamp to `records`, with its flow where that is new.
  /// - Parameters:
  ///   - time: when the packet was read, nanoseconds of CLOCK_MONOTONIC; of a file's packet its own time.
  ///   - device: N of the /dev/ptpN whose time it has.
  /// - Returns: false for what has no key: no IP packet, or one that is cut off too early.
  package mutating func append(
    _ packet: CapturedPacket, hook: HookPoint, time: UInt64, device: UInt16 = 0, to records: inout [UInt8]
  ) -> Bool {
    unsafe packet.bytes.withUnsafeBufferPointer { bytes in
      append(
        unsafe LinkFrame(linkType: packet.linkType, bytes: bytes),
        Circumstances(
          hook: hook, read: time, time: packet.time, source: packet.source, length: packet.length,
          interface: UInt8(clamping: packet.interface), device: device), to: &records)
    }
  }

  /// The same for a packet that is still where the kernel put it.
  mutating func append(_ frame: LinkFrame, _ about: Circumstances, to records: inout [UInt8]) -> Bool {
    guard let offset = frame.ipOffset else { return false }
    let length = UInt32(clamping: about.length - offset)
    let header = unsafe UnsafeBufferPointer(rebasing: frame.bytes[offset...])
    var found = lp_packet()
    let result = unsafe lp_packet_of_ip(
      &found, header.baseAddress, UInt32(header.count), length, Int32(LP_IDENTITY_FULL.rawValue))
    guard result == 0 else { return false }
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
    return true
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
