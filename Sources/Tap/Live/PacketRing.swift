// SPDX-License-Identifier: GPL-2.0-or-later
internal import CPacketRing
internal import CTimestamp
internal import Glibc
internal import Probing
internal import Recording

/// Why a tap cannot listen, or did not hear what it had to.
package struct TapError: Error, CustomStringConvertible, Sendable {
  package var description: String
  init(_ description: String) { self.description = description }
  init(missing device: String) {
    self.init("no device '\(device)' here; see 'ip link', or name its namespace with --netns")
  }
}

/// What the kernel's packet socket sees of one device.
@safe struct PacketRing: ~Copyable {
  private static let blockSize: UInt32 = 1 << 20
  private static let blocks: UInt32 = 64
  /// Enough for what a packet's key looks at: Ethernet, VLAN tags, IPv6 with extension headers, TCP with options.
  private static let captured: UInt32 = 384

  let device: String
  private var ring = unsafe lp_ring()

  /// - Parameters:
  ///   - hardware: hand over hardware stamps of packets that have one.
  ///   - promiscuous: also frames that are for others.
  init(device: String, filter: Filter?, hardware: Bool, promiscuous: Bool) throws(TapError) {
    self.device = device
    let index = unsafe lp_device_index(device)
    guard index >= 0 else {
      throw TapError(missing: device)
    }
    let program = PacketRing.program(filter)
    let result = unsafe lp_ring_open(
      &ring, index, PacketRing.blockSize, PacketRing.blocks, program, UInt16(program.count), hardware ? 1 : 0,
      promiscuous ? 1 : 0)
    if result == -EPERM { throw TapError("CAP_NET_RAW is missing: a packet socket needs it; run with sudo") }
    guard result == 0 else { throw TapError("\(device): \(unsafe String(cString: strerror(-result)))") }
  }

  deinit {
    var ring = unsafe ring
    unsafe lp_ring_close(&ring)
  }

  /// A filter's answer is how many bytes to keep; without one, all packets are.
  private static func program(_ filter: Filter?) -> [lp_ring_filter] {
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

  /// Hands over the frames of every block that the kernel has finished; the interface's number is 0.
  ///
  /// - Parameter take: a frame, and whether this machine sends it.
  mutating func drain<Failure: Error>(
    _ take: (CapturedPacket, _ isOutgoing: Bool) throws(Failure) -> Void
  ) throws(Failure) {
    while let block = unsafe lp_ring_block(&ring) {
      defer { unsafe lp_ring_release(&ring, block) }
      let count = unsafe lp_ring_count(block)
      var offset: UInt32 = 0
      for _ in 0..<count {
        var frame = unsafe lp_ring_frame()
        offset = unsafe lp_ring_read(block, offset, &frame)
        let clock: WireClock =
          switch unsafe lp_ring_clock(UInt32(frame.clock)) {
          case LP_RING_HARDWARE: .hardware
          case LP_RING_KERNEL: .kernel
          default: .reader
          }
        let bytes = unsafe UnsafeBufferPointer(start: frame.bytes, count: Int(frame.captured))
        try unsafe take(
          CapturedPacket(
            time: frame.time_ns, interface: 0, linkType: .ethernet, length: Int(frame.length), bytes: Array(bytes),
            source: clock), frame.outgoing != 0)
      }
    }
  }

  /// Packets that found no room since the last call.
  func drops() -> UInt64 {
    var count: UInt32 = 0
    var ring = unsafe ring
    return unsafe lp_ring_drops(&ring, &count) == 0 ? UInt64(count) : 0
  }
}
