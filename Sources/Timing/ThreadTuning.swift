// SPDX-License-Identifier: GPL-2.0-or-later
internal import CTiming
internal import Glibc

/// How a thread that keeps times is scheduled.
package struct ThreadTuning: Sendable, Equatable {
  /// The only CPU it runs on; nil leaves that to the kernel.
  package var cpu: Int?
  /// Priority of SCHED_FIFO, 1 to 99; nil is SCHED_OTHER.
  package var priority: Int?

  package init(cpu: Int? = nil, priority: Int? = nil) {
    self.cpu = cpu
    self.priority = priority
  }

  /// Applies it to the calling thread.
  ///
  /// - Returns: one line for each thing that the kernel refused; the thread goes on without it.
  package func apply() -> [String] {
    var refused: [String] = []
    func check(_ what: String, _ result: Int32, _ remedy: String) {
      guard result != 0 else { return }
      refused.append("\(what): \(unsafe String(cString: strerror(-result)))\(result == -EPERM ? "; \(remedy)" : "")")
    }
    if let cpu { check("cannot stay on CPU \(cpu)", lp_thread_pin(Int32(clamping: cpu)), "run with sudo") }
    if let priority {
      check(
        "no SCHED_FIFO with priority \(priority)", lp_thread_realtime(Int32(clamping: priority)),
        "run with sudo, or grant CAP_SYS_NICE or RLIMIT_RTPRIO")
    }
    return refused
  }

  /// Timer slack of the calling thread in nanoseconds: how late the kernel may wake it to save a wake-up. Nil is the
  /// default, 50 µs unless somebody changed it. Real-time threads have none.
  package static func setTimerSlack(_ nanoseconds: UInt?) {
    // Never refused to a thread for itself; 0 stands for the default.
    _ = lp_thread_timer_slack(nanoseconds ?? 0)
  }
}
