// SPDX-License-Identifier: GPL-2.0-or-later
import Glibc
import Synchronization

/// Why a run ended before its end.
package struct Stopped: Error, CustomStringConvertible {
  package var description: String
  /// Exit status: 128 + n for signal n, as a shell has it.
  package var status: Int32
}

/// Ends a run early, by a signal or at a time limit: everything that waits asks `check`, so that an error goes up and
/// what the run made is removed on the way.
package enum Stop {
  private static let pending = Atomic<Int32>(0)
  private static let held = Atomic<Int>(0)
  private static let limit = Atomic<Int>(0)

  /// Takes SIGINT, SIGTERM and SIGHUP, unless `nohup` has the last one ignored.
  package static func atSignals() {
    signal(SIGPIPE, SIG_IGN)
    for number in [SIGINT, SIGTERM, SIGHUP, SIGALRM] {
      var old = sigaction()
      unsafe sigaction(number, nil, &old)
      if number == SIGHUP, unsafe unsafeBitCast(old.__sigaction_handler.sa_handler, to: Int.self) == 1 { continue }
      var new = sigaction()
      unsafe new.__sigaction_handler.sa_handler = { Stop.pending.store($0, ordering: .relaxed) }
      unsafe sigaction(number, &new, nil)
    }
  }

  /// - Parameter seconds: from now on.
  package static func after(seconds: Int) {
    limit.store(seconds, ordering: .relaxed)
    alarm(UInt32(seconds))
  }

  package static func check() throws {
    let number = pending.load(ordering: .relaxed)
    guard number != 0, held.load(ordering: .relaxed) == 0 else { return }
    if number == SIGALRM {
      throw Stopped(
        description: "not done after \(limit.load(ordering: .relaxed)) s; give more with --limit", status: 1)
    }
    let name = [SIGINT: "SIGINT", SIGTERM: "SIGTERM", SIGHUP: "SIGHUP"][number] ?? "signal \(number)"
    throw Stopped(description: "ended by \(name)", status: 128 + number)
  }

  /// Does what must be done all the same: removing what the run made.
  static func hold<Result>(_ body: () -> Result) -> Result {
    held.add(1, ordering: .relaxed)
    defer { held.subtract(1, ordering: .relaxed) }
    return body()
  }
}
