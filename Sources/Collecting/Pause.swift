// SPDX-License-Identifier: GPL-2.0-or-later
internal import Clocks
internal import Glibc

package enum Pause {
  /// - Parameter time: CLOCK_MONOTONIC, nanoseconds.
  package static func sleep(until time: Int64) {
    let rest = max(0, time - Instant<Monotonic>.now.nanoseconds)
    var pause = timespec(tv_sec: Int(rest / 1_000_000_000), tv_nsec: Int(rest % 1_000_000_000))
    unsafe nanosleep(&pause, nil)
  }
}
