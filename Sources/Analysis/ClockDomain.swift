// SPDX-License-Identifier: GPL-2.0-or-later
import Recording

/// What the recordings say about one hook point of a clock domain.
struct HookState {
  /// All machines that recorded the hook point, their names joined by `+`.
  var point: Point
  /// No stamp can be missing: nothing lost, skipped, unbound, rotated away or unreadable.
  var isClean = true
  /// One of the ways to reach it is absent on this kernel, so that a protocol may be missing altogether.
  var isPartial = false
  /// A tap's: whose times its stamps are.
  var tapClock: TapClock?
  /// Unit of the times where they are of capture files, nanoseconds; 0 where that is a nanosecond or finer.
  var step: Int64
  /// ε by clock of the machines that recorded it, 0 for the machine whose clock is the domain's.
  var errors: [Int: Int64]
  /// When the last of the machines started and the first one stopped, on the domain's clock.
  var started: UInt64
  var stopped: UInt64
  /// Its kernel told of every packet that it threw away.
  var tellsDrops: Bool
  /// When a device or namespace of it was not there in between, on the domain's clock; in order, and apart.
  var absences: [ClosedRange<UInt64>]
}

/// The machines of a session that share one clock or were brought to one.
struct ClockDomain {
  let recordings: [TimedRecording]
  var machines: [Machine] { recordings.map(\.recording.machine) }
  /// By slot of the session's ``PathSet``; nil where the hook point is not attached in this domain.
  let hooks: [HookState?]
  /// Slot by `HookPoint.rawValue`, 255 where it takes no part.
  private let slots: [UInt8]
  let isNATProof: Bool
  let drops: DropIndex

  init(recordings timed: [TimedRecording], order: [HookPoint]) {
    recordings = timed
    drops = DropIndex(timed.map(\.recording))
    isNATProof = timed.contains { $0.recording.machine.identity == Machine.natProof }
    var slots = [UInt8](repeating: 255, count: 256)
    var hooks = [HookState?](repeating: nil, count: order.count)
    for (slot, hook) in order.enumerated() {
      for recording in timed {
        guard let state = HookState(hook, in: recording) else { continue }
        hooks[slot] = hooks[slot].map { $0.joined(with: state) } ?? state
      }
      if hooks[slot] != nil { slots[Int(hook.rawValue)] = UInt8(slot) }
    }
    self.hooks = hooks
    self.slots = slots
  }

  /// The hook point's slot; nil where it takes no part.
  @inline(__always)
  func slot(of hook: HookPoint) -> Int? {
    let slot = slots[Int(hook.rawValue)]
    return slot == 255 ? nil : Int(slot)
  }

  /// Whether two hook points were recorded by one and the same machine's clock.
  func isOneClock(_ first: Int, _ second: Int) -> Bool {
    guard let start = hooks[first], let end = hooks[second] else { return false }
    return Set(start.errors.keys).union(end.errors.keys).count == 1
  }

  /// The largest clock error of a delay between two hook points, nanoseconds.
  func errorBound(_ first: Int, _ second: Int) -> Int64 {
    guard let start = hooks[first], let end = hooks[second] else { return 0 }
    var bound: Int64 = 0
    for (here, error) in start.errors {
      for (there, other) in end.errors where there != here { bound = max(bound, error + other) }
    }
    return bound + max(start.step, end.step)
  }

  /// The largest error of any machine's times, nanoseconds.
  var error: Int64 { hooks.compactMap { $0 }.map { ($0.errors.values.max() ?? 0) + $0.step }.max() ?? 0 }
}

extension HookState {
  /// Nil if the hook point is not attached in the recording.
  init?(_ hook: HookPoint, in timed: TimedRecording) {
    let recording = timed.recording
    let machine = recording.machine
    guard let attached = machine.hooks.first(where: { $0.name == hook.name }), let way = attached.attachedAs else {
      return nil
    }
    let rows = machine.ledger.filter { $0.hook == hook.name }
    point = Point(hook: hook, machine: machine.name)
    errors = [timed.clock: timed.error]
    isClean =
      rows.allSatisfy { $0.lost == 0 && $0.unbound == 0 } && (machine.missed[hook.name] ?? 0) == 0
      && machine.rotation.deletedStreams == 0 && recording.damage.isEmpty && !timed.incomplete.contains(hook)
      // What a ring for both directions dropped went nobody knows which way.
      && !(machine.interfaces ?? []).contains { $0.ringDrops > 0 && $0.hooks.contains(hook.name) }
    tapClock = timed.tapClock
    step = machine.captureStep(at: hook)
    isPartial = attached.absentBecause != nil || way.contains("absent")
    started = machine.startedAt
    // Cut off: it recorded at least until its last stamp.
    stopped = machine.stoppedAt ?? timed.lastStampTime ?? machine.startedAt
    tellsDrops = machine.drops != nil && machine.dropsLost == 0 && machine.rotation.deletedStreams == 0
    absences = HookState.united(machine.absences(at: hook.name))
  }

  /// The kernel took the stamps in its stack, which is behind the wire.
  var isInStack: Bool { tapClock == .realtime }

  /// Whether it did not record all of the match window from a time on: a packet of that time may be missing here.
  func isCutOff(_ time: UInt64, _ window: Int64) -> Bool {
    time &+ UInt64(window) > stopped || time < started || isAbsent(from: time, to: time &+ UInt64(window))
  }

  /// Whether a device was away at some moment in between.
  /// - Complexity: O(log n) in the number of absences.
  func isAbsent(from start: UInt64, to end: UInt64) -> Bool {
    let place = absences.partitioningIndex { $0.upperBound >= start }
    return place < absences.count && absences[place].lowerBound <= end
  }

  /// In order of time, and apart from each other.
  private static func united(_ absences: [ClosedRange<UInt64>]) -> [ClosedRange<UInt64>] {
    absences.sorted { $0.lowerBound < $1.lowerBound }.reduce(into: []) { united, next in
      if let last = united.last, next.lowerBound <= last.upperBound {
        united[united.count - 1] = last.lowerBound...max(last.upperBound, next.upperBound)
      } else {
        united.append(next)
      }
    }
  }

  func joined(with other: HookState) -> HookState {
    var result = self
    result.point.machine += "+" + other.point.machine
    result.errors.merge(other.errors) { max($0, $1) }
    result.isClean = isClean && other.isClean
    result.step = max(step, other.step)
    result.isPartial = isPartial || other.isPartial
    // Of two taps, the one whose stamps say less of the wire.
    result.tapClock = [tapClock, other.tapClock].compactMap { $0 }.max { $0.rank < $1.rank }
    result.started = max(started, other.started)
    result.stopped = min(stopped, other.stopped)
    result.tellsDrops = tellsDrops && other.tellsDrops
    result.absences = HookState.united(absences + other.absences)
    return result
  }
}
