// SPDX-License-Identifier: GPL-2.0-or-later
internal import CLatprobeABI
internal import Clocks
package import Recording
package import Topology

/// Writes what ties clocks together into a recording: this machine's own clocks, and in a virtual machine or on its host
/// what relates the two.
///
/// Runs on the draining thread, between two rounds. It delays no stamp, since stamps are taken in the kernel, and the ring
/// buffers hold what comes meanwhile.
package struct ClockKeeper: ~Copyable {
  package enum Moment {
    /// At the start and at the end of a recording.
    case all
    /// What is due at this time of CLOCK_MONOTONIC, in nanoseconds.
    case due(Int64)
  }

  /// When a source is read again.
  private struct Schedule {
    /// Nanoseconds.
    let interval: Int64
    private var next: Int64 = 0

    init(every interval: Int64) { self.interval = interval }

    mutating func isDue(_ moment: Moment) -> Bool {
      guard case .due(let now) = moment else { return true }
      guard now >= next else { return false }
      next = now + interval
      return true
    }
  }

  private let guests: [KVMGuest]
  /// Process ids of those whose counters are still there.
  private var present: Set<Int>
  private let debug: KVMDebug
  private var devices: [PTPClock]
  private let warn: (String) -> Void
  private var samples = Schedule(every: 100_000_000)
  private var crosses = Schedule(every: 500_000_000)
  private var counters = Schedule(every: 1_000_000_000)

  /// - Parameters:
  ///   - side: the side that this machine records: its guests' counters on a host, the host's clock in a guest.
  ///   - guests: of this host, whose counters are to be read.
  ///   - devices: N of each /dev/ptpN to read; in a guest the host's clock is read in any case.
  ///   - root: where /sys is; empty for the machine's own.
  ///   - warn: told in one line, once, what cannot be had; recording goes on without it.
  package init(
    side: Topology.Side?, guests: [KVMGuest] = [], devices: [UInt16] = [], root: String = "",
    warn: @escaping (String) -> Void
  ) {
    self.guests = side == .host ? guests : []
    self.warn = warn
    debug = KVMDebug(root: root)
    present = Set(self.guests.filter { [debug] in !debug.counters(of: $0).isEmpty }.map(\.pid))
    var clocks = devices.map { (number: $0, isDevice: true) }
    if side == .guest, let host = ClockKeeper.hostClock(root, warn) { clocks.append((host, false)) }
    self.devices = clocks.compactMap { number, isDevice in
      do throws(ProbingError) {
        return try PTPClock(path: "/dev/ptp\(number)", number: number, isDevice: isDevice)
      } catch {
        warn("\(error)")
        return nil
      }
    }
    if let complaint = debug.complaint(about: self.guests) { warn(complaint) }
  }

  /// Reads what the moment asks for, into the stream of CPU 0.
  package mutating func take(_ moment: Moment, _ writer: MachineWriter) throws(RecordingError) {
    if samples.isDue(moment) { try put(ClockReading.now().event, writer) }
    if crosses.isDue(moment) {
      for device in devices {
        if let event = device.read() { try put(event, writer) }
        for complaint in device.takeComplaints() { warn(complaint) }
      }
    }
    if counters.isDue(moment) {
      for guest in guests {
        let counters = debug.counters(of: guest)
        for counter in counters { try put(counter.event(of: guest), writer) }
        if counters.isEmpty, present.remove(guest.pid) != nil {
          warn("\(guest.name) (\(guest.pid)) has left KVM's debugfs: it was migrated away or stopped")
        }
      }
    }
  }

  private borrowing func put<Event: BitwiseCopyable>(
    _ event: Event, _ writer: MachineWriter
  ) throws(RecordingError) {
    try unsafe withUnsafeBytes(of: event) { (bytes) throws(RecordingError) in
      try unsafe writer.append(cpu: 0, bytes: bytes)
    }
  }

  private static func hostClock(_ root: String, _ warn: (String) -> Void) -> UInt16? {
    if let number = PTPClock.kvm(root: root) { return number }
    if System.read("\(root)/sys/devices/system/clocksource/clocksource0/current_clocksource") == "kvm-clock" {
      warn("the host's clock is not to be seen from here; load it with 'modprobe ptp_kvm'")
    }
    return nil
  }
}

extension ClockReading {
  fileprivate var event: lp_clock_sample {
    var sample = lp_clock_sample()
    sample.time_ns = UInt64(monotonic.nanoseconds)
    sample.event = UInt8(LP_EVENT_CLOCK_SAMPLE.rawValue)
    sample.window_ns = UInt32(clamping: window)
    sample.monotonic_raw_ns = monotonicRaw.nanoseconds
    sample.realtime_ns = realtime.nanoseconds
    sample.tai_ns = tai.nanoseconds
    sample.boottime_ns = boottime.nanoseconds
    sample.tsc = counter
    return sample
  }
}

extension VCPUCounter {
  fileprivate func event(of guest: KVMGuest) -> lp_guest_counter {
    var event = lp_guest_counter()
    event.time_ns = UInt64(Instant<Monotonic>.now.nanoseconds)
    event.event = UInt8(LP_EVENT_GUEST_COUNTER.rawValue)
    event.fraction_bits = UInt8(clamping: fractionBits)
    event.vcpu = UInt16(clamping: vcpu)
    event.guest = UInt32(clamping: guest.pid)
    event.offset = offset
    event.ratio = ratio
    return event
  }
}
