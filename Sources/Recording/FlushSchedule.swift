// SPDX-License-Identifier: GPL-2.0-or-later

/// When a recorder puts on disk what it holds: soon at first, so that one which is killed in its first second keeps what it
/// has stamped, then five times a second.
package struct FlushSchedule: Sendable {
  private static let longest: Int64 = 200_000_000
  /// Nanoseconds to the first one.
  package static let first: Int64 = 20_000_000
  private var interval = FlushSchedule.first
  private var next: Int64

  /// - Parameter start: CLOCK_MONOTONIC, nanoseconds, as of ``isDue(_:)``.
  package init(start: Int64) { next = start + interval }

  package mutating func isDue(_ now: Int64) -> Bool {
    guard now >= next else { return false }
    interval = min(2 * interval, FlushSchedule.longest)
    next = now + interval
    return true
  }
}
