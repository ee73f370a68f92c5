// SPDX-License-Identifier: GPL-2.0-or-later

/// A named place a packet passes. Raw values are the numbers on disk and never change.
package enum HookPoint: UInt8, CaseIterable, Codable, Sendable, Hashable {
  case txg0 = 1
  case txg1 = 2
  case txg2 = 3
  case txh0 = 4
  case txh1 = 5
  case txh2 = 6
  case rxh0 = 7
  case rxh1 = 8
  case rxg0 = 9
  case rxgq = 10
  case rxg1 = 11
  case wireIn = 12
  case wireOut = 13
  case txgk = 14
  case txhk = 15
  case rxhc = 16
  case rxgi = 17

  package var name: String {
    switch self {
    case .wireIn: "wire-in"
    case .wireOut: "wire-out"
    default: String(describing: self)
    }
  }

  package init?(name: String) {
    guard let hook = HookPoint.allCases.first(where: { $0.name == name }) else { return nil }
    self = hook
  }
}

/// What a stamp's key and sequence mean (`enum lp_kind` of the ABI header).
package enum StampKind: UInt8, Codable, Sendable {
  case other = 0
  case udp = 1
  case tcp = 2
  case icmp = 3
  case fragment = 4
  /// Bytes of a TCP stream at a socket, not a packet: `key` is 0, `sequence` and `length` name the bytes.
  case tcpRange = 5
}

/// One packet (or TCP byte range) at one hook point.
package struct Stamp: Sendable, Hashable {
  /// Nanoseconds of the recording machine's CLOCK_MONOTONIC at the hook point.
  package var time: UInt64
  /// Packet identity; equal at every hook point the packet passes.
  package var key: UInt64
  /// Hash of the 5-tuple in this direction; names a ``Flow``.
  package var flow: UInt32
  /// TCP: sequence number of the first payload byte. UDP: payload bytes of each datagram in a super-packet (GSO, GRO).
  /// Else 0.
  package var sequence: UInt32
  /// Bytes from the start of the IP header; at a socket (``StampKind/tcpRange``) bytes of the stream.
  package var length: UInt32
  /// Bytes of IP and transport header.
  package var headerLength: UInt16
  package var queue: UInt16
  package var cpu: UInt16
  package var hook: HookPoint
  package var kind: StampKind

  package init(
    time: UInt64, key: UInt64, flow: UInt32, sequence: UInt32 = 0, length: UInt32, headerLength: UInt16 = 0,
    queue: UInt16 = 0, cpu: UInt16 = 0, hook: HookPoint, kind: StampKind
  ) {
    self.time = time
    self.key = key
    self.flow = flow
    self.sequence = sequence
    self.length = length
    self.headerLength = headerLength
    self.queue = queue
    self.cpu = cpu
    self.hook = hook
    self.kind = kind
  }

  /// Payload bytes behind IP and transport header.
  package var payloadLength: UInt32 { length > UInt32(headerLength) ? length - UInt32(headerLength) : 0 }
  /// Several UDP datagrams in one packet: the stack splits it further on, or has merged it.
  package var isSuperPacket: Bool { kind == .udp && sequence != 0 }
}

/// Whose time a tap's stamp is (`enum lp_wire_clock` of the ABI header).
package enum WireClock: UInt8, Codable, Sendable, CaseIterable {
  /// A capture file's, which does not say whose.
  case file = 0
  /// CLOCK_REALTIME, when the packet socket got to the packet.
  case reader = 1
  /// CLOCK_REALTIME, when the driver handed the packet over or took it.
  case kernel = 2
  /// The device's PTP hardware clock, as the device stamped it.
  case hardware = 3
  /// A hardware stamp that the capturing program or card converted to UTC.
  case adapted = 4

  package var name: String { String(describing: self) }
}

/// One packet at a tap.
package struct WireStamp: Sendable, Hashable {
  /// Its time is CLOCK_MONOTONIC when the tap read it; a capture file's: ``at`` again.
  package var stamp: Stamp
  /// The stamp's time: nanoseconds of the clock that ``clock`` names.
  package var at: Int64
  package var clock: WireClock
  /// ``TapInterface/number``.
  package var interface: UInt8
  /// ``WireClock/hardware``: N of /dev/ptpN, else 0.
  package var device: UInt16

  package init(stamp: Stamp, at: Int64, clock: WireClock, interface: UInt8, device: UInt16 = 0) {
    self.stamp = stamp
    self.at = at
    self.clock = clock
    self.interface = interface
    self.device = device
  }
}

/// The 5-tuple behind ``Stamp/flow``.
package struct Flow: Sendable, Hashable {
  package var id: UInt32
  /// IP protocol number.
  package var ipProtocol: UInt8
  /// 4 or 16 bytes, network byte order.
  package var source: [UInt8]
  package var destination: [UInt8]
  package var sourcePort: UInt16
  package var destinationPort: UInt16

  package init(
    id: UInt32, ipProtocol: UInt8, source: [UInt8], destination: [UInt8], sourcePort: UInt16,
    destinationPort: UInt16
  ) {
    self.id = id
    self.ipProtocol = ipProtocol
    self.source = source
    self.destination = destination
    self.sourcePort = sourcePort
    self.destinationPort = destinationPort
  }
}
