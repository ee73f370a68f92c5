// SPDX-License-Identifier: GPL-2.0-or-later
internal import CTraffic
package import Clocks
internal import Glibc

/// Why packets cannot be sent.
package struct TrafficError: Error, CustomStringConvertible, Sendable {
  package var description: String
  package init(_ description: String) { self.description = description }
}

/// Where packets go: a host and a port, looked up once.
@safe package struct Destination: Sendable {
  let address: lp_peer
  /// Host and port as they were given.
  package let name: String
  /// What may have been meant instead, behind a semicolon; empty for most.
  private let meant: String

  /// - Parameter port: a number.
  package init(host: String, port: UInt16) throws(TrafficError) {
    name = host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)"
    meant = Destination.meant(host).map { "; did you mean \($0)?" } ?? ""
    var found = lp_peer()
    let error = unsafe lp_peer_find(host, "\(port)", &found)
    guard error == 0 else {
      throw TrafficError("host '\(host)' is not known: \(unsafe String(cString: gai_strerror(error)))")
    }
    address = found
  }

  /// `[::1]:862` of `::1:862`, which is an IPv6 address itself; nil of what can be no address and port.
  package static func meant(_ host: String) -> String? {
    guard let colon = host.lastIndex(of: ":"), case let address = host[..<colon], address.contains(":"),
      let port = UInt16(host[host.index(after: colon)...]), port > 0
    else { return nil }
    var found = lp_peer()
    return unsafe lp_peer_find(String(address), "\(port)", &found) == 0 ? "[\(address)]:\(port)" : nil
  }

  /// The device by which packets to it leave now.
  package func device() throws(TrafficError) -> String {
    var address = address
    var device: [CChar] = Array(repeating: 0, count: 16)
    let result = unsafe lp_peer_device(&address, &device)
    guard result == 0 else {
      throw TrafficError("no way to \(name): \(unsafe String(cString: strerror(-result))); see 'ip route get'\(meant)")
    }
    return String(decoding: device.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }
}

extension Destination {
  /// Megabits a second of the device by which packets leave now; nil where its driver does not know.
  package func speed() throws(TrafficError) -> Int? {
    let speed = unsafe lp_device_speed(try device())
    return speed > 0 ? Int(speed) : nil
  }

  /// Its address in words, without the port.
  var addressText: String {
    var address = address
    var text: [CChar] = Array(repeating: 0, count: Int(NI_MAXHOST))
    let error = unsafe withUnsafePointer(to: &address.address) { pointer in
      unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        unsafe getnameinfo($0, address.length, &text, socklen_t(text.count), nil, 0, NI_NUMERICHOST)
      }
    }
    guard error == 0 else { return name }
    return String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }

  /// Whether the address is an IPv6 one.
  package var isIPv6: Bool { address.address.ss_family == AF_INET6 }
}

/// Who stamps a packet on its way out.
package enum TransmitClock: Sendable, Hashable {
  /// The stack, before the packet goes to the device's queue; it needs nothing of the driver. CLOCK_REALTIME.
  case queue
  /// The driver, when it has the packet. CLOCK_REALTIME.
  case kernel
  /// The device, when it sends the packet; by its own clock.
  case hardware
  /// What comes in alone is stamped.
  case nobody
}

/// A stamp that came back for a packet.
package struct TransmitStamp: Sendable, Hashable {
  /// Nanoseconds of the clock.
  package var time: Int64
  package var clock: TransmitClock
  /// Of the packet, as the socket counts those it sent: from 0, and from 0 again after 2^32.
  package var number: UInt32
  /// The packet from its link layer header on, as far as 384 bytes; empty if the socket keeps none.
  package var packet: [UInt8]
  /// Index of the device that had it then, which may be one below that of the route; 0 if that is not told.
  package var device: UInt32 = 0
}

/// What came back.
package struct Answer: Sendable, Hashable {
  package var payload: [UInt8]
  /// CLOCK_REALTIME of the kernel, or of the device, nanoseconds; nil: nobody stamped it.
  package var time: Int64?
  package var isHardware: Bool
}

/// A UDP socket, connected to one peer, whose packets are stamped on their way out.
///
/// Stamps wait in the socket's error queue until ``nextStamp()`` fetches them, and those that find no room there are gone.
/// With whole packets a stamp tells which packet it is of whatever happened on the way (the IP id that the kernel chose, for
/// one); without them it has the number alone, and the queue holds many more.
package struct UDPSocket: ~Copyable {
  /// Bytes of a packet that come back: what its key looks at, and some payload.
  private static let captured = 384

  private let descriptor: Int32
  private var buffer = [UInt8](repeating: 0, count: UDPSocket.captured)
  private var answers = [UInt8](repeating: 0, count: 65536)
  /// What the stack last heard of a packet that was sent: ECONNREFUSED, EHOSTUNREACH; 0 if nothing.
  package private(set) var lastError: Int32 = 0
  /// What was said of packets on their way; read together with stamps.
  package private(set) var heard = HeardErrors()
  /// Packets that the device's queue dropped because their time was over, or not allowed.
  package private(set) var droppedLate = 0

  /// The address that it sends from, 16 bytes; IPv4's as ::ffff:10.0.0.1.
  package var source: [UInt8]? {
    var address = [UInt8](repeating: 0, count: 16)
    return unsafe lp_udp_source(descriptor, &address) == 0 ? address : nil
  }

  /// - Parameters:
  ///   - keepsPackets: stamps come with the packets.
  ///   - room: bytes for stamps that are not fetched yet; more than `net.core.rmem_max` needs CAP_NET_ADMIN.
  package init(
    to peer: Destination, stampedBy clock: TransmitClock, keepsPackets: Bool = true, room: Int32 = 20 << 20
  ) throws(TrafficError) {
    var address = peer.address
    let way: lp_tx_clock =
      switch clock {
      case .queue: LP_TX_QUEUED
      case .kernel: LP_TX_KERNEL
      case .hardware: LP_TX_HARDWARE
      case .nobody: LP_TX_NONE
      }
    descriptor = unsafe lp_udp_open(&address, way, keepsPackets ? 0 : 1, room)
    guard descriptor >= 0 else {
      throw TrafficError("no socket to \(peer.name): \(unsafe String(cString: strerror(-descriptor)))")
    }
  }

  deinit { if descriptor >= 0 { close(descriptor) } }

  /// The half of a socket that sends, for a thread of its own; the socket must outlive it.
  package struct Sending: Sendable {
    fileprivate let descriptor: Int32

    /// Hands a packet to the stack, without waiting for room.
    ///
    /// - Parameter time: when it is to leave, by the clock of ``UDPSocket/keepTimes(of:)``; nil: at once.
    /// - Returns: 0 or the number of the error; and that of what was heard of an earlier packet.
    package func send(_ bytes: [UInt8], at time: UInt64? = nil) -> (error: Int32, heard: Int32) {
      // An error may be of earlier packets (nobody listens there): each is told only once.
      let first = hand(bytes, time)
      guard first < 0, ![EAGAIN, ENOMEM, EPERM, EINVAL].contains(-first) else { return (-first, 0) }
      var last = first
      for _ in 0..<3 where last < 0 { last = hand(bytes, time) }
      return (-last, last == 0 ? -first : 0)
    }

    private func hand(_ bytes: [UInt8], _ time: UInt64?) -> Int32 {
      guard let time else { return unsafe lp_udp_send(descriptor, bytes, UInt32(bytes.count)) }
      return unsafe lp_udp_send_at(descriptor, bytes, UInt32(bytes.count), time)
    }
  }

  package var sending: Sending { Sending(descriptor: descriptor) }

  /// Packets have times to leave at.
  ///
  /// - Returns: 0 or -errno.
  func keepTimes(of clock: Int32) -> Int32 { lp_udp_keep_times(descriptor, clock) }

  /// - Parameter room: bytes of packets that may wait in the device's queue, as the kernel counts them.
  func makeQueueRoom(_ room: Int) { lp_udp_queue_room(descriptor, Int32(clamping: room)) }

  /// The next stamp that is there; nil if there is none yet.
  package mutating func nextStamp() throws(TrafficError) -> TransmitStamp? {
    var stamp = lp_tx_stamp()
    var said = lp_heard()
    var result = unsafe lp_udp_stamp(descriptor, &buffer, UInt32(buffer.count), &stamp, &said)
    while result >= 2 {
      if result == 2 { droppedLate += 1 } else { heard.take(said) }
      result = unsafe lp_udp_stamp(descriptor, &buffer, UInt32(buffer.count), &stamp, &said)
    }
    guard result >= 0 else {
      throw TrafficError("time stamps cannot be read: \(unsafe String(cString: strerror(-result)))")
    }
    guard result > 0 else { return nil }
    let clock: TransmitClock =
      switch lp_tx_clock(UInt32(stamp.clock)) {
      case LP_TX_HARDWARE: .hardware
      case LP_TX_KERNEL: .kernel
      default: .queue
      }
    return TransmitStamp(
      time: stamp.time_ns, clock: clock, number: stamp.number, packet: Array(buffer.prefix(Int(stamp.length))),
      device: stamp.device)
  }

  /// The next packet that came in; nil if there is none.
  package mutating func nextAnswer() -> Answer? {
    var answer = lp_answer()
    for _ in 0..<100 {
      let result = unsafe lp_udp_receive(descriptor, &answers, UInt32(answers.count), &answer)
      if result == 0 { return nil }
      // An error is what was heard of an earlier packet (nobody listens there), and gone once it was told.
      if result < 0 {
        lastError = -result
        continue
      }
      return Answer(
        payload: Array(answers.prefix(Int(answer.length))), time: answer.time_ns == 0 ? nil : answer.time_ns,
        isHardware: answer.is_hardware != 0)
    }
    return nil
  }

  /// Packets that came in and found no room.
  package var drops: Int { Int(lp_udp_drops(descriptor)) }

  /// Waits until a stamp or an answer is there, at most until then; a signal ends it early.
  package func wait(until time: Instant<Monotonic>) { _ = lp_udp_wait_until(descriptor, time.nanoseconds) }
}
