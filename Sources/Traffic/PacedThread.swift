// SPDX-License-Identifier: GPL-2.0-or-later
internal import Clocks
internal import Foundation
internal import Glibc
internal import Synchronization
internal import Timing

/// A packet that was handed to the stack.
struct SentPacket: Sendable, Hashable {
  var number: UInt64
  /// When it was to be sent, and when it was, before the send call; CLOCK_MONOTONIC, nanoseconds.
  var due: Int64
  var actual: Int64
  /// CLOCK_REALTIME at `actual`: the time that the packet carries.
  var time: Int64
  /// Of that time; carried too.
  var error = ErrorEstimate(bits: 0)
}

/// Sends packets on a schedule, on a thread of its own that does nothing else.
final class PacedThread: Sendable {
  struct Plan: Sendable {
    var pace: Pace
    /// Of the first packet, CLOCK_MONOTONIC; nil, or what is over: as soon as the thread is ready.
    var start: Int64?
    var tuning = ThreadTuning()
    /// Nanoseconds; nil: no end.
    var duration: Int64?
    var count: UInt64?
    /// The first so many are not among those refused.
    var uncounted: UInt64 = 0
    var size: Int
    var key: TestKey?
    /// The session's id in each packet.
    var session: UInt16
  }

  struct State: Sendable {
    /// Not taken yet.
    fileprivate var packets: [SentPacket] = []
    /// Packets that the stack took.
    var sent: UInt64 = 0
    var refused: (count: UInt64, error: Int32) = (0, 0)
    /// What the stack last heard of a packet on its way.
    var heard: Int32 = 0
    /// Packets that left after the next one was due.
    var missed: UInt64 = 0
    /// Packets that were due before the end and not sent by then.
    var overdue: UInt64 = 0
    /// What the kernel refused of the thread's scheduling.
    var warnings: [String] = []
    /// How long before its time a packet's wait ends sleeping; known once it sends.
    var guardTime: Int64?
    /// `count`, `duration`, or `error` where a packet does not fit; nil while it sends.
    var stoppedBy: String?
  }

  private let shared = Mutex(State())
  private let isStopped = Atomic<Bool>(false)
  private let isDone = DispatchSemaphore(value: 0)

  /// Starts at once. The socket must stay open until ``finish()``.
  init(_ plan: Plan, to socket: UDPSocket.Sending) {
    Thread { [self] in
      let reason = run(plan, socket)
      shared.withLock { $0.stoppedBy = reason }
      isDone.signal()
    }.start()
  }

  /// The packets since the last time. A packet is among them before it is on its way.
  func take() -> [SentPacket] {
    shared.withLock { state in
      defer { state.packets.removeAll(keepingCapacity: true) }
      return state.packets
    }
  }

  var state: State {
    shared.withLock { state in
      var copy = state
      copy.packets = []
      return copy
    }
  }

  /// Ends it, and waits until it has ended.
  func finish() {
    isStopped.store(true, ordering: .relaxed)
    isDone.wait()
    isDone.signal()
  }

  private func run(_ plan: Plan, _ socket: UDPSocket.Sending) -> String {
    let refused = plan.tuning.apply()
    ThreadTuning.setTimerSlack(1)
    let wait = HybridWait()
    shared.withLock { ($0.warnings, $0.guardTime) = (refused, wait.guardTime) }
    let start = Instant<Monotonic>(nanoseconds: max(plan.start ?? 0, Instant<Monotonic>.now.nanoseconds))
    var schedule = Schedule(start: start, pace: plan.pace)
    let end = plan.duration.map { start.nanoseconds + $0 } ?? .max
    var estimate = ErrorEstimate.now()
    var nextEstimate = start.nanoseconds + 1_000_000_000
    var due = schedule.next()
    var number: UInt64 = 0
    while due.nanoseconds < end {
      if let count = plan.count, number >= count { return "count" }
      guard sleep(until: due, wait) else { return "stopped" }
      // In the wake of a wait that is over, when nothing is late yet.
      let now = Instant<Monotonic>.now.nanoseconds
      if now >= end {
        countOverdue(due, &schedule, end, plan.count.map { $0 - number })
        return "duration"
      }
      let time = Instant<Realtime>.now.nanoseconds
      let bytes = TestPacket(
        sequence: UInt32(truncatingIfNeeded: number), time: time, error: estimate, session: plan.session
      ).bytes(size: plan.size, key: plan.key)
      let packet = SentPacket(number: number, due: due.nanoseconds, actual: now, time: time, error: estimate)
      shared.withLock { $0.packets.append(packet) }
      let result = socket.send(bytes)
      number += 1
      let next = schedule.next()
      shared.withLock { state in
        if result.error == 0 {
          state.sent += 1
        } else {
          state.refused = (state.refused.count + (number > plan.uncounted ? 1 : 0), result.error)
        }
        if result.heard != 0 { state.heard = result.heard }
        if next > due, now >= next.nanoseconds { state.missed += 1 }
      }
      if result.error == EMSGSIZE { return "error" }
      due = next
      if now >= nextEstimate { (estimate, nextEstimate) = (.now(), now + 1_000_000_000) }
    }
    if let count = plan.count, number >= count { return "count" }
    return sleep(until: Instant(nanoseconds: end), wait) ? "duration" : "stopped"
  }

  /// - Returns: false if it was stopped.
  private func sleep(until time: Instant<Monotonic>, _ wait: HybridWait) -> Bool {
    while !isStopped.load(ordering: .relaxed) {
      let step = Instant<Monotonic>.now.nanoseconds + 50_000_000
      if step >= time.nanoseconds {
        _ = wait.wait(until: time)
        return !isStopped.load(ordering: .relaxed)
      }
      _ = AbsoluteSleep().wait(until: Instant(nanoseconds: step))
    }
    return false
  }

  private func countOverdue(
    _ first: Instant<Monotonic>, _ schedule: inout Schedule, _ end: Int64, _ limit: UInt64?
  ) {
    var (due, count) = (first, UInt64(0))
    while due.nanoseconds < end, count < limit ?? .max { (due, count) = (schedule.next(), count + 1) }
    shared.withLock { $0.overdue = count }
  }
}
