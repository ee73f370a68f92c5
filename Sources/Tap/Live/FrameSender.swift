// SPDX-License-Identifier: GPL-2.0-or-later
internal import CPacketRing
internal import CTimestamp
internal import Glibc
internal import Host

/// Sends probe frames out of a device, and hands over the hardware stamps of their leaving.
struct FrameSender: ~Copyable {
  /// What a probe is told by: nobody forwards, joins or answers it.
  static let filter = "udp dst port 862 and dst host 224.0.0.254"

  private let device: String
  private let descriptor: Int32
  private let template: [UInt8]
  /// Frames that were sent.
  private(set) var count: UInt32
  /// Those that asked for a stamp and have none yet, by number.
  private var waiting: [UInt32: [UInt8]]
  private let hasStamps: Bool

  /// - Parameters:
  ///   - port: tells this device's frames from those of another.
  ///   - hardware: ask for hardware stamps.
  init(device: String, to other: String, port: UInt16, hardware: Bool) throws(TapError) {
    var addresses: [[UInt8]] = []
    for name in [other, device] {
      var address = [UInt8](repeating: 0, count: 6)
      let result = unsafe address.withUnsafeMutableBufferPointer { unsafe lp_frame_address(name, $0.baseAddress) }
      if result == -ENODEV { throw TapError(KernelError(missing: name)) }
      guard result == 0 else { throw TapError("\(name): \(unsafe String(cString: strerror(-result)))") }
      addresses.append(address)
    }
    let found = lp_frame_open(unsafe lp_device_index(device), hardware ? 1 : 0)
    guard found >= 0 else { throw TapError("\(device): \(unsafe String(cString: strerror(-found)))") }
    descriptor = found
    template = FrameSender.frame(to: addresses[0], from: addresses[1], port: port)
    self.device = device
    hasStamps = hardware
    count = 0
    waiting = [:]
  }

  deinit { lp_frame_close(descriptor) }

  mutating func send() throws(TapError) {
    let frame = FrameSender.numbered(template, count)
    let result = unsafe frame.withUnsafeBufferPointer {
      unsafe lp_frame_send(descriptor, $0.baseAddress, UInt32($0.count))
    }
    // A full queue is no failure: the frame is not sent, and the next one has its number.
    if result == -ENOBUFS || result == -EAGAIN { return }
    guard result == 0 else { throw TapError("\(device): sending failed: \(unsafe String(cString: strerror(-result)))") }
    if hasStamps { waiting[count] = frame }
    count += 1
  }

  /// The frames whose stamps have come, with the device's time.
  mutating func stamps() -> [(frame: [UInt8], time: Int64)] {
    var found: [(frame: [UInt8], time: Int64)] = []
    while hasStamps {
      var number: UInt32 = 0
      var time: Int64 = 0
      let result = unsafe lp_frame_sent(descriptor, &number, &time)
      if result == 0 || (result < 0 && result != -EBADMSG) { break }
      if result == 1, let frame = waiting.removeValue(forKey: number) { found.append((frame, time)) }
    }
    return found
  }

  /// 64 bytes with the check sum: Ethernet, IPv4 to a multicast group of the link (so that no router sends it on and no
  /// host answers), UDP to the port of STAMP.
  private static func frame(to: [UInt8], from: [UInt8], port: UInt16) -> [UInt8] {
    func bytes(_ value: UInt16) -> [UInt8] { [UInt8(value >> 8), UInt8(value & 0xFF)] }
    let udp = bytes(port) + bytes(862) + bytes(26) + bytes(0) + [UInt8]("latprobe".utf8)
    let ip: [UInt8] = [0x45, 0, 0, 46, 0, 0, 0x40, 0, 1, 17, 0, 0, 198, 18, 0, 1, 224, 0, 0, 254]
    return to + from + [0x08, 0x00] + ip + udp + [UInt8](repeating: 0, count: 10)
  }

  private static func numbered(_ template: [UInt8], _ number: UInt32) -> [UInt8] {
    var frame = template
    frame[18] = UInt8(truncatingIfNeeded: number >> 8)
    frame[19] = UInt8(truncatingIfNeeded: number)
    for byte in 0..<4 { frame[50 + byte] = UInt8(truncatingIfNeeded: number >> (24 - 8 * UInt32(byte))) }
    var sum: UInt32 = 0
    for place in stride(from: 14, to: 34, by: 2) { sum += UInt32(frame[place]) << 8 | UInt32(frame[place + 1]) }
    sum = (sum & 0xFFFF) + (sum >> 16)
    sum = ~((sum & 0xFFFF) + (sum >> 16))
    frame[24] = UInt8(truncatingIfNeeded: sum >> 8)
    frame[25] = UInt8(truncatingIfNeeded: sum)
    return frame
  }
}
