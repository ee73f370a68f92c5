// SPDX-License-Identifier: GPL-2.0-or-later
package import Recording

/// What came of one look at a producer.
package enum Round: Sendable, Equatable {
  /// It has handed over what there was.
  case idle
  /// There is more: ask again at once.
  case more
  /// It makes no more, for this reason.
  case ended(String)
}

/// How far a producer's account has to be.
package enum Account: Sendable {
  /// What is on disk is about to be accounted for; several times a second.
  case flush
  /// `machine.json` is about to be written; once a second.
  case update
  /// For the last time.
  case end
}

/// Something that makes records: programs in the kernel, a tap, a sender. A ``Collector`` asks it, on one thread.
package protocol Producer: ~Copyable {
  /// Described all but for times; the producer enters what happens meanwhile, and its ledger.
  var machine: Machine { get set }

  /// From now on there is something to record.
  mutating func start() throws
  /// Hands over the records that are there.
  ///
  /// - Parameter now: CLOCK_MONOTONIC, nanoseconds.
  mutating func poll(_ now: Int64, into outlet: Outlet) throws -> Round
  /// Sleeps until there is something to hand over, or until this time of CLOCK_MONOTONIC, nanoseconds.
  mutating func wait(until time: Int64) throws
  /// Asked again and again once there is a reason to stop: whether it may.
  mutating func mayEnd() -> Bool
  /// From now on there is nothing more to record.
  mutating func stop() throws
  /// Hands over what is left, also if nothing can be written any more: what an outlet is given is counted.
  mutating func finish(into outlet: Outlet) throws
  /// Enters into ``machine`` what is known by now.
  mutating func takeAccount(_ account: Account) throws
  /// Rotation may have deleted what says which flow is which: it is to be said again.
  mutating func forgetFlows() throws
  /// How it stands, but for time and size.
  var progress: RecordingProgress { get }
}

extension Producer where Self: ~Copyable {
  package mutating func wait(until time: Int64) { Pause.sleep(until: time) }
  package mutating func mayEnd() -> Bool { true }

  package var progress: RecordingProgress {
    var packets: [String: Count] = [:]
    for row in machine.ledger { packets[row.hook, default: 0] += row.emitted }
    var progress = RecordingProgress()
    progress.stamps = packets.values.sum().unsigned
    progress.lost = machine.ledger.sum(\.lost).unsigned
    progress.packets = (packets.values.max() ?? 0).unsigned
    return progress
  }
}
