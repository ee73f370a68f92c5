// SPDX-License-Identifier: GPL-2.0-or-later
internal import CLatprobeABI
internal import Clocks

/// Something else that ties this machine's clock to another one, read now and then.
package protocol ClockSource {
  /// Nanoseconds from reading to reading.
  var interval: Int64 { get }
  /// The records of one reading; empty where there is nothing to read.
  mutating func read() -> [UInt8]
}

/// What ties clocks together in a recording: this machine's own clocks, those of its devices, in a virtual machine
/// its host's, and whatever else there is.
///
/// Runs on the draining thread, between two rounds. It delays no stamp, since stamps are taken in the kernel, and the ring
/// buffers hold what comes meanwhile.
package final class ClockKeeper {
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

  private var devices: [PTPClock]
  private var others: [(source: any ClockSource, schedule: Schedule)]
  private let warn: (String) -> Void
  private var samples = Schedule(every: 100_000_000)
  private var crosses = Schedule(every: 500_000_000)

  /// - Parameters:
  ///   - isGuest: read the host's clock, too.
  ///   - devices: N of each /dev/ptpN to read.
  ///   - others: what else to read.
  ///   - root: where /sys is; empty for the machine's own.
  ///   - warn: told in one line, once, what cannot be had; recording goes on without it.
  package init(
    isGuest: Bool = false, devices: [UInt16] = [], others: [any ClockSource] = [], root: String = "",
    warn: @escaping (String) -> Void
  ) {
    self.warn = warn
    self.others = others.map { ($0, Schedule(every: $0.interval)) }
    var clocks = devices.map { (number: $0, isDevice: true) }
    if isGuest, let host = ClockKeeper.hostClock(root, warn) { clocks.append((host, false)) }
    self.devices = clocks.compactMap { number, isDevice in
      do throws(KernelError) {
        return try PTPClock(path: "/dev/ptp\(number)", number: number, isDevice: isDevice)
      } catch {
        warn("\(error)")
        return nil
      }
    }
  }

  /// Reads what the moment asks for.
  ///
  /// - Returns: records, for the stream of CPU 0.
  package func take(_ moment: Moment) -> [UInt8] {
    var records: [UInt8] = []
    func put<Event: BitwiseCopyable>(_ event: Event) {
      unsafe withUnsafeBytes(of: event) { unsafe records.append(contentsOf: $0) }
    }
    if samples.isDue(moment) { put(ClockReading.now().event) }
    if crosses.isDue(moment) {
      for device in devices {
        if let event = device.read() { put(event) }
        for complaint in device.takeComplaints() { warn(complaint) }
      }
    }
    for place in others.indices where others[place].schedule.isDue(moment) {
      records += others[place].source.read()
    }
    return records
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
