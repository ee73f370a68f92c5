// SPDX-License-Identifier: GPL-2.0-or-later
internal import CLatprobeABI
internal import CTimestamp
internal import Glibc

/// A PTP clock of this machine: a network device's, or the host's CLOCK_REALTIME as a KVM guest sees it (module ptp_kvm).
package final class PTPClock {
  private let path: String
  /// N of /dev/ptpN.
  private let number: UInt16
  private let file: Int32
  /// Of a NIC: few have the precise way, which is no news.
  private let isDevice: Bool
  /// The ways not yet found missing, best first.
  private var ways: [Way] = [.precise, .extended, .basic]
  /// Why ways were given up, one line each, until somebody takes them.
  private var complaints: [String] = []

  private enum Way {
    case precise, extended, basic

    var method: lp_cross_method {
      switch self {
      case .precise: LP_CROSS_PRECISE
      case .extended: LP_CROSS_EXTENDED
      case .basic: LP_CROSS_BASIC
      }
    }

    func read(_ file: Int32, _ stamp: inout lp_cross_stamp) -> Int32 {
      switch self {
      case .precise: unsafe lp_ptp_precise(file, &stamp)
      case .extended: unsafe lp_ptp_extended(file, &stamp)
      case .basic: unsafe lp_ptp_basic(file, &stamp)
      }
    }
  }

  /// The number of the clock that ptp_kvm made; nil where there is none.
  ///
  /// - Parameter root: where /sys is; empty for the machine's own.
  package static func kvm(root: String = "") -> UInt16? {
    let path = "\(root)/sys/class/ptp"
    return System.list(path).compactMap { name in
      guard name.hasPrefix("ptp"), let number = UInt16(name.dropFirst(3)) else { return nil }
      return System.read("\(path)/\(name)/clock_name", limit: 256) == "KVM virtual PTP" ? number : nil
    }.min()
  }

  /// - Parameters:
  ///   - path: `/dev/ptpN`.
  ///   - isDevice: a NIC's, not the host's.
  init(path: String, number: UInt16, isDevice: Bool = false) throws(KernelError) {
    file = unsafe open(path, O_RDONLY | O_CLOEXEC)
    self.path = path
    self.number = number
    self.isDevice = isDevice
    guard file >= 0 else { throw KernelError.system("\(path), a clock, cannot be opened", errno, "run with sudo") }
  }

  deinit { if file >= 0 { close(file) } }

  /// Both clocks now, by the best way that works; nil if none does.
  ///
  /// A way that the driver refuses is given up for good: with a guest's clock source `tsc` instead of kvm-clock, PRECISE
  /// is refused with ENODEV.
  func read() -> lp_clock_cross? {
    while let way = ways.first {
      var stamp = lp_cross_stamp()
      let result = way.read(file, &stamp)
      // Seconds between two readings, a clock set meanwhile, a signal: the next reading will do.
      if result == 0 { return stamp.window_ns <= UInt32.max ? event(way, stamp) : nil }
      if result == -EAGAIN || result == -EINTR { return nil }
      ways.removeFirst()
      if isDevice && !ways.isEmpty { continue }
      let next = ways.first.map { "\($0) is tried" } ?? "it is no help to align clocks"
      complaints.append("\(path): no \(way) reading: \(unsafe String(cString: strerror(-result))); \(next)")
    }
    return nil
  }

  /// What there is to say, once.
  func takeComplaints() -> [String] {
    defer { complaints = [] }
    return complaints
  }

  private func event(_ way: Way, _ stamp: lp_cross_stamp) -> lp_clock_cross {
    var time = timespec()
    unsafe clock_gettime(CLOCK_MONOTONIC, &time)
    var event = lp_clock_cross()
    event.time_ns = UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
    event.event = UInt8(LP_EVENT_CLOCK_CROSS.rawValue)
    event.method = UInt8(way.method.rawValue)
    event.device = number
    event.window_ns = UInt32(stamp.window_ns)
    event.device_ns = stamp.device_ns
    event.realtime_ns = stamp.realtime_ns
    event.monotonic_raw_ns = stamp.monotonic_raw_ns
    return event
  }
}
