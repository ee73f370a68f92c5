// SPDX-License-Identifier: GPL-2.0-or-later
internal import CLatprobeABI

/// The machine's clocks read at one moment; nanoseconds of each clock.
package struct ClockSample: Sendable, Hashable {
  package var monotonic: UInt64
  /// How long the reading took: each other clock is within ± half of it.
  package var window: UInt32
  package var monotonicRaw: Int64
  package var realtime: Int64
  package var tai: Int64
  package var boottime: Int64
  /// Time stamp counter in ticks, 0 where there is none.
  package var tsc: UInt64

  package init(
    monotonic: UInt64, window: UInt32, monotonicRaw: Int64, realtime: Int64, tai: Int64, boottime: Int64,
    tsc: UInt64
  ) {
    self.monotonic = monotonic
    self.window = window
    self.monotonicRaw = monotonicRaw
    self.realtime = realtime
    self.tai = tai
    self.boottime = boottime
    self.tsc = tsc
  }
}

/// A message to another machine and its answer; each time is CLOCK_MONOTONIC_RAW of the machine it was taken on.
package struct ClockExchange: Sendable, Hashable {
  /// Nanoseconds of the recording machine's CLOCK_MONOTONIC, when the answer was there.
  package var time: UInt64
  /// ``Peer/number``.
  package var peer: UInt32
  package var sent: Int64
  package var peerReceived: Int64
  package var peerSent: Int64
  package var received: Int64

  package init(time: UInt64, peer: UInt32, sent: Int64, peerReceived: Int64, peerSent: Int64, received: Int64) {
    self.time = time
    self.peer = peer
    self.sent = sent
    self.peerReceived = peerReceived
    self.peerSent = peerSent
    self.received = received
  }
}

/// A clock device read against the system's clocks; in a KVM guest with ptp_kvm the device is the host's CLOCK_REALTIME.
package struct ClockCross: Sendable, Hashable {
  /// `enum lp_cross_method`.
  package enum Method: UInt8, Sendable, CaseIterable {
    /// All clocks at one moment.
    case precise = 0
    case extended = 1
    case basic = 2

    package var name: String { String(describing: self) }
  }

  /// Nanoseconds of the recording machine's CLOCK_MONOTONIC, after the reading.
  package var time: UInt64
  package var method: Method
  /// N of `/dev/ptpN`.
  package var device: UInt16
  /// The device was read within ± half of it of `realtime`.
  package var window: UInt32
  package var deviceTime: Int64
  package var realtime: Int64
  /// 0 where the method does not give it.
  package var monotonicRaw: Int64

  package init(
    time: UInt64, method: Method, device: UInt16, window: UInt32, deviceTime: Int64, realtime: Int64,
    monotonicRaw: Int64
  ) {
    self.time = time
    self.method = method
    self.device = device
    self.window = window
    self.deviceTime = deviceTime
    self.realtime = realtime
    self.monotonicRaw = monotonicRaw
  }
}

/// How a virtual CPU's time stamp counter follows the host's:
/// guest = ((host · ratio) >> fractionBits) + offset modulo 2⁶⁴, or host + offset where `ratio` is 0
/// (`kvm_scale_tsc` and `kvm_read_l1_tsc` of Linux' arch/x86/kvm/x86.c).
package struct GuestCounter: Sendable, Hashable {
  /// Nanoseconds of the host's CLOCK_MONOTONIC, when it was read.
  package var time: UInt64
  /// Process id of the virtual machine, ``Guest/pid``.
  package var guest: UInt32
  package var vcpu: UInt16
  package var offset: Int64
  package var ratio: UInt64
  package var fractionBits: UInt8

  package init(time: UInt64, guest: UInt32, vcpu: UInt16, offset: Int64, ratio: UInt64, fractionBits: UInt8) {
    self.time = time
    self.guest = guest
    self.vcpu = vcpu
    self.offset = offset
    self.ratio = ratio
    self.fractionBits = fractionBits
  }
}

extension ClockSample {
  init(_ raw: lp_clock_sample) {
    self.init(
      monotonic: raw.time_ns, window: raw.window_ns, monotonicRaw: raw.monotonic_raw_ns, realtime: raw.realtime_ns,
      tai: raw.tai_ns, boottime: raw.boottime_ns, tsc: raw.tsc)
  }
}

extension ClockExchange {
  init(_ raw: lp_clock_exchange) {
    self.init(
      time: raw.time_ns, peer: raw.peer, sent: raw.sent_ns, peerReceived: raw.peer_received_ns,
      peerSent: raw.peer_sent_ns,
      received: raw.received_ns)
  }
}

extension ClockCross {
  /// Nil for a method that this version does not know.
  init?(_ raw: lp_clock_cross) {
    guard let method = Method(rawValue: raw.method) else { return nil }
    self.init(
      time: raw.time_ns, method: method, device: raw.device, window: raw.window_ns, deviceTime: raw.device_ns,
      realtime: raw.realtime_ns, monotonicRaw: raw.monotonic_raw_ns)
  }
}

extension GuestCounter {
  init(_ raw: lp_guest_counter) {
    self.init(
      time: raw.time_ns, guest: raw.guest, vcpu: raw.vcpu, offset: raw.offset, ratio: raw.ratio,
      fractionBits: raw.fraction_bits)
  }
}
