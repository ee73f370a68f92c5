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
  /// When the last of the machines started and the first one stopped.
  var started: UInt64
  var stopped: UInt64
}

/// The machines of a session that share one clock, their stamps in one time order.
struct ClockDomain {
  let machines: [Machine]
  let stamps: [Stamp]
  /// By slot of the session's ``PathSet``; nil where the hook point is not attached in this domain.
  let hooks: [HookState?]
  /// Slot by `HookPoint.rawValue`, 255 where it takes no part.
  let slots: [UInt8]
  let isNATProof: Bool

  init(recordings: [MachineRecording], order: [HookPoint]) {
    machines = recordings.map(\.machine)
    isNATProof = machines.contains { $0.identity == "nat-proof" }
    var stamps: [Stamp] = []
    if recordings.count == 1 {
      stamps = recordings[0].stamps
    } else {
      stamps.reserveCapacity(recordings.reduce(0) { $0 + $1.stamps.count })
      for recording in recordings { stamps.append(contentsOf: recording.stamps) }
    }
    if zip(stamps, stamps.dropFirst()).contains(where: { $0.time > $1.time }) {
      // Stable and linear for a few ascending runs.
      stamps.sort { $0.time < $1.time }
    }
    self.stamps = stamps

    var slots = [UInt8](repeating: 255, count: 256)
    var hooks = [HookState?](repeating: nil, count: order.count)
    for (slot, hook) in order.enumerated() {
      for recording in recordings {
        guard let state = HookState(hook, in: recording) else { continue }
        hooks[slot] = hooks[slot].map { $0.joined(with: state) } ?? state
      }
      if hooks[slot] != nil { slots[Int(hook.rawValue)] = UInt8(slot) }
    }
    self.hooks = hooks
    self.slots = slots
  }
}

extension HookState {
  /// Nil if the hook point is not attached in the recording.
  init?(_ hook: HookPoint, in recording: MachineRecording) {
    let machine = recording.machine
    guard let attached = machine.hooks.first(where: { $0.name == hook.name }), let way = attached.attachedAs else {
      return nil
    }
    let rows = machine.ledger.filter { $0.hook == hook.name }
    point = Point(hook: hook, machine: machine.name)
    isClean =
      rows.allSatisfy { $0.lost == 0 && $0.unbound == 0 } && (machine.missed[hook.name] ?? 0) == 0
      && machine.rotation.deletedStreams == 0 && recording.damage.isEmpty
    isPartial = attached.absentBecause != nil || way.contains("absent")
    started = machine.startedAt
    // Cut off: it recorded at least until its last stamp.
    stopped = machine.stoppedAt ?? recording.stamps.last?.time ?? machine.startedAt
  }

  func joined(with other: HookState) -> HookState {
    var result = self
    result.point.machine += "+" + other.point.machine
    result.isClean = isClean && other.isClean
    result.isPartial = isPartial || other.isPartial
    result.started = max(started, other.started)
    result.stopped = min(stopped, other.stopped)
    return result
  }
}
