// SPDX-License-Identifier: GPL-2.0-or-later
internal import Clocks
internal import Foundation
internal import Glibc
internal import Synchronization
package import Timing

/// A packet that was handed to the stack.
package struct SentPacket: Sendable, Hashable {
  package var number: UInt64
  /// When it was to be sent, and when it was, before the send call; CLOCK_MONOTONIC, nanoseconds.
  package var due: Int64
  package var actual: Int64
  /// CLOCK_REALTIME at `actual`, or up to 1 µs before: the time that the packet carries. Where it was late, its code was
  /// computed in between.
  package var time: Int64
  /// Of that time; carried too.
  package var error: ErrorEstimate
  /// Packets before it that the stack refused: they have numbers too.
  package var refused: UInt32

  package init(
    number: UInt64, due: Int64, actual: Int64, time: Int64, error: ErrorEstimate = ErrorEstimate(bits: 0),
    refused: UInt32 = 0
  ) {
    self.number = number
    self.due = due
    self.actual = actual
    self.time = time
    self.error = error
    self.refused = refused
  }
}

/// Sends packets on a schedule, on a thread of its own that does nothing else.
package final class PacedThread: Sendable {
  package struct Plan: Sendable {
    package var pace: Pace
    /// Of the first packet, CLOCK_MONOTONIC; nil, or what is over: as soon as the thread is ready.
    package var start: Int64?
    package var tuning = ThreadTuning()
    /// Nanoseconds; nil: no end.
    package var duration: Int64?
    package var count: UInt64?
    /// The first so many are not among those refused.
    package var uncounted: UInt64 = 0
    package var size: Int
    package var key: TestKey?
    /// The session's id in each packet.
    package var session: UInt16
    /// Packets are handed over early, and the device's queue sends them on time.
    package var departure: DepartureTimes?

    package init(pace: Pace, size: Int, session: UInt16) {
      self.pace = pace
      self.size = size
      self.session = session
    }
  }

  package struct State: Sendable {
    /// Packets that the stack took.
    package var sent: UInt64 = 0
    package var refused: (count: UInt64, error: Int32) = (0, 0)
    /// What the stack last heard of a packet on its way.
    package var heard: Int32 = 0
    /// Packets that left after the next one was due.
    package var missed: UInt64 = 0
    /// Packets that were due before the end and not sent by then.
    package var overdue: UInt64 = 0
    /// Packets that the device's queue dropped as late; of whoever reads the socket.
    package var droppedLate = 0
    /// What came in and found no room in the socket; of whoever reads it.
    package var ownDrops = 0
    /// What the kernel refused of the thread's scheduling.
    package var warnings: [String] = []
    /// How long before its time a packet's wait ends sleeping; known at the end.
    package var guardTime: Int64?
    /// `count`, `duration`, or `error` where a packet does not fit; nil while it sends.
    package var stoppedBy: String?

    package init() {}
  }

  /// Once a millisecond at most, so that sending is not held up.
  private static let publishInterval: Int64 = 1_000_000

  /// Nanoseconds by which the time in a packet may be ahead of when it is sent.
  private static let tolerance: Int64 = 1000

  private let shared = Mutex(State())
  private let queue: PacketQueue
  private let isStopped = Atomic<Bool>(false)
  private let isDone = DispatchSemaphore(value: 0)

  /// Starts at once. The socket must stay open until ``finish()``.
  package init(_ plan: Plan, to socket: UDPSocket.Sending) {
    // Two seconds' worth: disks may make the other thread wait.
    queue = PacketQueue(capacity: Int(min(max(2 * plan.pace.rate, 4096), 1_048_576)))
    Thread { [self] in
      let reason = run(plan, socket)
      shared.withLock { $0.stoppedBy = reason }
      isDone.signal()
    }.start()
  }

  /// The packets since the last time. A packet is among them before it is on its way.
  package func take() -> [SentPacket] { queue.take() }

  /// At most a millisecond old, or as old as the last packet; all is there once ``State/stoppedBy`` says why.
  package var state: State { shared.withLock { $0 } }

  /// Ends it, and waits until it has ended.
  package func finish() {
    isStopped.store(true, ordering: .relaxed)
    isDone.wait()
    isDone.signal()
  }

  private func run(_ plan: Plan, _ socket: UDPSocket.Sending) -> String {
    var state = State()
    state.warnings = plan.tuning.apply()
    ThreadTuning.setTimerSlack(1)
    let lead = plan.departure?.lead ?? 0
    // What is early anyway need not be on time.
    var wait = plan.departure == nil ? AdaptiveWait() : nil
    defer {
      state.guardTime = wait?.guardTime
      shared.withLock { $0 = state }
    }
    shared.withLock { $0 = state }
    let start = Instant<Monotonic>(nanoseconds: max(plan.start ?? 0, Instant<Monotonic>.now.nanoseconds + lead))
    var nextPublication = start.nanoseconds
    var schedule = Schedule(start: start, pace: plan.pace)
    let end = plan.duration.map { start.nanoseconds + $0 } ?? .max
    var packet = PreparedPacket(size: plan.size, key: plan.key, session: plan.session)
    let preparation = packet.timeToStamp()
    var nextEstimate = start.nanoseconds + 1_000_000_000
    var due = schedule.next()
    var number: UInt64 = 0
    var refused: UInt32 = 0
    while due.nanoseconds < end {
      if let count = plan.count, number >= count { return "count" }
      packet.number(UInt32(truncatingIfNeeded: number))
      // Before the wait, so that it is part of being late.
      while queue.isFull {
        if isStopped.load(ordering: .relaxed) { return "stopped" }
        usleep(100)
      }
      let target = due.nanoseconds - lead
      guard let now = sleep(until: Instant(nanoseconds: target - preparation), &wait)?.nanoseconds else {
        return "stopped"
      }
      // In the wake of a wait that is over, when nothing is late yet.
      if now >= end {
        state.overdue = PacedThread.count(from: due, &schedule, until: end, atMost: plan.count.map { $0 - number })
        return "duration"
      }
      var (time, actual) = (Int64(0), now)
      if now < target {
        // With the time that it will be, so that nothing is left to do then.
        time = Instant<Realtime>.now.nanoseconds + target - Instant<Monotonic>.now.nanoseconds
        packet.stamp(time)
        repeat { actual = Instant<Monotonic>.now.nanoseconds } while actual < target
      }
      if now >= target || actual - target > PacedThread.tolerance {
        time = Instant<Realtime>.now.nanoseconds
        packet.stamp(time)
        actual = Instant<Monotonic>.now.nanoseconds
      }
      let sent = SentPacket(
        number: number, due: due.nanoseconds, actual: actual, time: time, error: packet.error, refused: refused)
      queue.append(sent)
      let result = socket.send(packet.bytes, at: plan.departure?.time(at: due.nanoseconds))
      number += 1
      if result.error == 0 {
        state.sent += 1
      } else {
        refused &+= 1
        state.refused = (state.refused.count + (number > plan.uncounted ? 1 : 0), result.error)
      }
      if result.heard != 0 { state.heard = result.heard }
      let next = schedule.next()
      if next > due, actual >= next.nanoseconds { state.missed += 1 }
      if result.error == EMSGSIZE { return "error" }
      due = next
      if now >= nextPublication {
        shared.withLock { $0 = state }
        nextPublication = now + PacedThread.publishInterval
      }
      if now >= nextEstimate {
        packet.estimateError()
        nextEstimate = now + 1_000_000_000
      }
    }
    if let count = plan.count, number >= count { return "count" }
    return sleep(until: Instant(nanoseconds: end), &wait) != nil ? "duration" : "stopped"
  }

  /// - Returns: the clock when the wait was over; nil if it was stopped.
  private func sleep(until time: Instant<Monotonic>, _ wait: inout AdaptiveWait?) -> Instant<Monotonic>? {
    while !isStopped.load(ordering: .relaxed) {
      let step = Instant<Monotonic>.now.nanoseconds + 50_000_000
      if step >= time.nanoseconds {
        let now = wait?.wait(until: time) ?? AbsoluteSleep().wait(until: time)
        return isStopped.load(ordering: .relaxed) ? nil : now
      }
      _ = AbsoluteSleep().wait(until: Instant(nanoseconds: step))
    }
    return nil
  }

  private static func count(
    from first: Instant<Monotonic>, _ schedule: inout Schedule, until end: Int64, atMost limit: UInt64?
  ) -> UInt64 {
    var (due, count) = (first, UInt64(0))
    while due.nanoseconds < end, count < limit ?? .max { (due, count) = (schedule.next(), count + 1) }
    return count
  }
}

/// A test packet that is made before it is due.
private struct PreparedPacket {
  private(set) var bytes: [UInt8]
  private(set) var error = ErrorEstimate.now()
  private let key: TestKey?
  /// Of the time stamp in the packet.
  private let place: Int

  init(size: Int, key: TestKey?, session: UInt16) {
    bytes = TestPacket(sequence: 0, time: 0, error: error, session: session).bytes(size: size, key: key)
    self.key = key
    place = key == nil ? 4 : 16
  }

  mutating func number(_ sequence: UInt32) { Field.put(sequence, at: 0, in: &bytes) }

  mutating func estimateError() {
    error = .now()
    Field.put(error.bits, at: place + 8, in: &bytes)
  }

  /// Nanoseconds that ``stamp(_:)`` takes and a little more, so that it is done by then but for stalls.
  mutating func timeToStamp() -> Int64 {
    let times = (0..<11).map { _ in
      let start = Instant<Monotonic>.now.nanoseconds
      stamp(start)
      return Instant<Monotonic>.now.nanoseconds - start
    }
    return 2 * times.sorted()[times.count / 2] + 1000
  }

  mutating func stamp(_ time: Int64) {
    Field.put(time: time, at: place, in: &bytes)
    key?.sign(&bytes)
  }
}
