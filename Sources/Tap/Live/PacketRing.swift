// SPDX-License-Identifier: GPL-2.0-or-later
internal import CPacketRing
internal import CTimestamp
internal import Glibc
internal import Host
internal import Recording

/// Why a tap cannot listen, or did not hear what it had to.
package struct TapError: Error, CustomStringConvertible, Sendable {
  package var description: String
  init(_ description: String) { self.description = description }
  init(_ error: KernelError) { self.init(error.description) }
}

/// A frame where it lies in the ring: its bytes are there as long as the call that hands it over.
@safe struct RingFrame {
  /// Nanoseconds of ``source``.
  var time: Int64
  var source: WireClock
  /// Bytes on the wire.
  var length: Int
  /// What was captured, from the link layer's header on.
  var bytes: UnsafeBufferPointer<UInt8>
  /// This machine sends it.
  var isOutgoing: Bool
  /// Of a loopback device, where each packet comes in that went out.
  var isLoopback: Bool
  /// The outermost VLAN tag, where the kernel took it out of the bytes.
  var vlan: UInt16?
  /// UDP payload of each datagram where the packet holds several; 0 where it holds one; nil where the kernel does not say.
  var segmentSize: Int?
}

/// What the kernel's packet socket sees of one device.
@safe final class PacketRing {
  enum Direction { case both, received, sent }

  private static let size: UInt32 = 64 << 20
  /// Bytes kept of a packet: enough for what its key looks at (Ethernet, VLAN tags, IPv6 with extension headers, TCP with
  /// options), and all of it.
  static let headers: UInt32 = 384
  static let wholePackets: UInt32 = 1 << 18
  /// The kernel hands a block over after 20 ms however little is in it: many small ones span more time. But each must hold
  /// the longest packet that is kept.
  private static func blockSize(_ captured: UInt32) -> UInt32 { captured <= headers ? 1 << 17 : 1 << 20 }

  let device: String
  let direction: Direction
  private var ring = unsafe lp_ring()

  /// - Parameters:
  ///   - captured: bytes to keep of a packet.
  ///   - hardware: hand over hardware stamps of packets that have one. A packet that is forwarded still has the one of
  ///     the device that received it: so only for packets that this device receives, and if it stamps them.
  ///   - promiscuous: also frames that are for others.
  init(
    device: String, filter: Filter?, _ direction: Direction, captured: UInt32, hardware: Bool, promiscuous: Bool
  ) throws(TapError) {
    // Before anything is stored: what is never complete is never closed.
    let index = try PacketRing.index(of: device)
    self.device = device
    self.direction = direction
    let program = (direction == .sent ? PacketRing.onlySent : []) + PacketRing.program(filter, captured)
    let block = PacketRing.blockSize(captured)
    let result = unsafe lp_ring_open(
      &ring, index, block, PacketRing.size / block, program, UInt16(program.count), hardware ? 1 : 0,
      promiscuous ? 1 : 0, direction == .received ? 1 : 0)
    if result == -EPERM { throw TapError("CAP_NET_RAW is missing: a packet socket needs it; run with sudo") }
    guard result == 0 else { throw TapError("\(device): \(unsafe String(cString: strerror(-result)))") }
  }

  deinit { unsafe lp_ring_close(&ring) }

  static func index(of device: String) throws(TapError) -> Int32 {
    let index = unsafe lp_device_index(device)
    guard index >= 0 else { throw TapError(KernelError(missing: device)) }
    return index
  }

  /// Goes on behind itself for packets that this machine sends, and keeps nothing of others.
  private static let onlySent = [
    // BPF_LD | BPF_B | BPF_ABS of SKF_AD_OFF + SKF_AD_PKTTYPE
    lp_ring_filter(code: 0x30, jt: 0, jf: 0, k: 0xffff_f004),
    // BPF_JMP | BPF_JEQ | BPF_K with PACKET_OUTGOING
    lp_ring_filter(code: 0x15, jt: 1, jf: 0, k: 4),
    // BPF_RET | BPF_K
    lp_ring_filter(code: 0x06, jt: 0, jf: 0, k: 0),
  ]

  /// A filter's answer is how many bytes to keep; without one, all packets are.
  private static func program(_ filter: Filter?, _ captured: UInt32) -> [lp_ring_filter] {
    // BPF_RET | BPF_K
    let answer: UInt16 = 0x06
    guard let filter else { return [lp_ring_filter(code: answer, jt: 0, jf: 0, k: captured)] }
    return filter.steps.map { step in
      lp_ring_filter(
        code: step.code, jt: step.jumpTrue, jf: step.jumpFalse, k: step.code == answer && step.k > 0 ? captured : step.k
      )
    }
  }

  /// To wait on.
  var descriptor: Int32 { unsafe ring.fd }

  /// Hands over the frames of every block that the kernel has finished; once around at most, so that a flood cannot keep
  /// the caller from all else.
  func drain<Failure: Error>(_ take: (RingFrame) throws(Failure) -> Void) throws(Failure) {
    for _ in unsafe 0..<ring.blocks {
      guard let block = unsafe lp_ring_block(&ring) else { return }
      defer { unsafe lp_ring_release(&ring, block) }
      let count = unsafe lp_ring_count(block)
      var offset: UInt32 = 0
      var frame = unsafe lp_ring_frame()
      for _ in 0..<count {
        offset = unsafe lp_ring_read(&ring, block, offset, &frame)
        try unsafe take(
          RingFrame(
            time: frame.time_ns, source: PacketRing.clock(frame.clock), length: Int(frame.length),
            bytes: UnsafeBufferPointer(start: frame.bytes, count: Int(frame.captured)),
            isOutgoing: frame.outgoing != 0, isLoopback: frame.loopback != 0,
            vlan: frame.has_vlan != 0 ? frame.vlan : nil,
            segmentSize: ring.has_segments != 0 ? Int(frame.segment) : nil))
      }
    }
  }

  private static func clock(_ number: UInt8) -> WireClock {
    switch lp_ring_clock(UInt32(number)) {
    case LP_RING_HARDWARE: .hardware
    case LP_RING_KERNEL: .kernel
    default: .reader
    }
  }

  /// Packets that found no room since the last call.
  func drops() -> UInt64 {
    var count: UInt32 = 0
    return unsafe lp_ring_drops(&ring, &count) == 0 ? UInt64(count) : 0
  }
}
