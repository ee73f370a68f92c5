// SPDX-License-Identifier: GPL-2.0-or-later
import Clocks
import Recording
import Wording

/// One recording, its times on the clock of its domain.
struct TimedRecording {
  /// Start, stop, drops and changes are times of the domain's clock, stamps only where there is no ``map``.
  var recording: MachineRecording
  /// The stamps' times on the machine's own clock; empty where that is the domain's.
  var ownTimes: [UInt64] = []
  /// From the stamps' times to the domain's clock; nil where they are of it.
  var map: ClockMap?
  /// ε of the mapping, nanoseconds; 0 where there is none.
  var error: Int64 = 0
  /// Number of the clock that its own times are of: that of the kernel, or one of its own for another clock of a tap's.
  var clock = 0
  /// A tap's: whose times the stamps are.
  var tapClock: TapClock?
  /// Hook points of which stamps were left out, so that a packet may be missing there.
  var incomplete: Set<HookPoint> = []
}

extension TimedRecording {
  /// On the domain's clock.
  var lastStampTime: UInt64? {
    guard let time = recording.lastStampTime, let map else { return recording.lastStampTime }
    return UInt64(clamping: map.host(Int64(clamping: time)) ?? map.covered.upperBound)
  }
}

/// The machines of a session on as few clocks as their recordings allow: guests are mapped onto their host's MONOTONIC.
struct SessionClocks {
  /// Recordings of one clock each.
  private(set) var domains: [[TimedRecording]] = []
  /// The guests, aligned or not, in the order of the recordings.
  private(set) var guests: [GuestClock] = []
  private(set) var warnings: [String] = []
  /// Why the clocks cannot be trusted, one line each.
  private(set) var faults: [String] = []
  /// Devices that taps of the session listened on, by the number that ``Stamp/cpu`` of their stamps has.
  private(set) var tapDevices: [TapDevice] = []

  init(_ recordings: [MachineRecording]) throws(RecordingError) {
    let kernels = SessionClocks.kernels(recordings)
    var numbers = TapClockNumbers(next: kernels.count)
    let timed = kernels.enumerated().map { number, members in
      let all = members.flatMap { TimedRecording.all(of: $0, kernel: number, &numbers, &warnings) }
      return TimedRecording.withTheTapsEnd(TimedRecording.stampedOnce(all), &warnings)
    }
    tapDevices = numbers.devices
    let host = GuestLink.host(of: kernels)
    // A tap's machine with no hook point is nobody's guest unless it can be told whose.
    let taps = kernels.indices.filter { place in
      guard kernels.count > 1, place != host, kernels[place].allSatisfy(\.isTap) else { return false }
      guard let host else { return true }
      let link = GuestLink(host: kernels[host], guest: kernels[place], isOnly: false)
      return link.pid == nil && link.peer == nil
    }
    let others = kernels.indices.filter { !taps.contains($0) }
    if others.count > 1, let host {
      domains = [timed[host]]
      for guest in others where guest != host {
        try align(
          kernels[guest], timed[guest], kernels[host], isOnly: others.count == 2, clocks: (guest: guest, host: host))
      }
    } else {
      domains = others.map { timed[$0] }
      if others.count > 1 {
        warnings.append(unaligned(others.map { name(kernels[$0]) }, because: "none of them is known to be the host"))
      }
    }
    for tap in taps {
      domains.append(timed[tap])
      warnings.append(
        unaligned(
          [name(kernels[tap]), "any other machine here"],
          because: "nothing compares them; tap devices of a machine whose hook points are recorded, or of its guest"))
    }
  }

  /// The recordings of each kernel: of one boot id, and of one product_uuid where they have any.
  ///
  /// Guests resumed from one snapshot of their memory share a boot id.
  private static func kernels(_ recordings: [MachineRecording]) -> [[MachineRecording]] {
    let strangers = GuestLink.strangers(recordings)
    var kernels: [[MachineRecording]] = []
    for recording in recordings {
      let known = kernels.firstIndex { members in
        members.allSatisfy { member in
          let uuids = Set([member, recording].compactMap { $0.machine.settings["product_uuid"]?.lowercased() })
          return member.machine.bootID == recording.machine.bootID && uuids.count < 2
            && !strangers.contains(member.machine.name) && !strangers.contains(recording.machine.name)
        }
      }
      if let known { kernels[known].append(recording) } else { kernels.append([recording]) }
    }
    return kernels
  }

  private mutating func align(
    _ guest: [MachineRecording], _ timed: [TimedRecording], _ host: [MachineRecording], isOnly: Bool,
    clocks: (guest: Int, host: Int)
  ) throws(RecordingError) {
    let link = GuestLink(host: host, guest: guest, isOnly: isOnly)
    let alignment = Alignment(link.input(host: host, guest: guest))
    var clock = GuestClock(guest: name(guest), host: name(host))
    clock.clocks = clocks
    let best = alignment.best
    var span: ClosedRange<Int64>?
    if let best {
      var mapped: [TimedRecording] = []
      let recorded = recordedTime(host)
      for var timed in timed {
        let outside = try timed.map(by: best, host: recorded, span: &span)
        if outside > 0 {
          warnings.append(
            "\(timed.recording.machine.name): \(outside) stamps lie more than 10 s outside of its clock samples: left out"
          )
        }
        mapped.append(timed)
      }
      let error = best.maximumError(over: span ?? best.covered)
      for index in mapped.indices { mapped[index].error += error }
      domains[0] += mapped
      clock.method = best.method.rawValue
      clock.error = error
      clock.driftPPM = best.driftPPM
      clock.samples = best.samples
    } else {
      domains.append(timed)
      warnings.append(
        unaligned([clock.guest, clock.host], because: alignment.interruption?.description ?? reasons(alignment)))
    }
    for outcome in alignment.outcomes { add(outcome, best, span, &clock) }
    if let interruption = alignment.interruption { faults.append("\(clock.guest): \(interruption)") }
    guests.append(clock)
  }

  private mutating func add(
    _ outcome: Alignment.Outcome, _ best: ClockMap?, _ span: ClosedRange<Int64>?, _ clock: inout GuestClock
  ) {
    var method = GuestClock.Method(name: outcome.method.rawValue)
    method.failure = outcome.failure?.description
    if let map = outcome.map {
      method.samples = map.samples
      method.driftPPM = map.driftPPM
      method.error = map.maximumError(over: span ?? map.covered)
      if let best, best.method != map.method {
        let found = best.disagreement(with: map, over: span ?? best.covered)
        method.disagreement = found.difference
        method.allowance = found.allowance
        if !found.isAllowed {
          let line =
            "\(clock.guest): the clock alignments by \(best.method.rawValue) and \(map.method.rawValue) differ by "
            + "\(Words.duration(found.difference)), their errors allow \(Words.duration(found.allowance))"
          warnings.append(line)
          faults.append(line)
        }
      }
    }
    clock.methods.append(method)
  }

  private func name(_ recordings: [MachineRecording]) -> String {
    recordings.map(\.machine.name).joined(separator: "+")
  }

  private func unaligned(_ names: [String], because reason: String) -> String {
    "clocks of \(names.joined(separator: " and ")) are not aligned: segments between them are left out (\(reason))"
  }

  private func reasons(_ alignment: Alignment) -> String {
    alignment.outcomes.map { "\($0.method.rawValue): \($0.failure?.description ?? "")" }.joined(separator: "; ")
  }

  /// When all machines of a kernel recorded.
  private func recordedTime(_ recordings: [MachineRecording]) -> ClosedRange<Int64> {
    let start = recordings.map { Int64(clamping: $0.machine.startedAt) }.max() ?? 0
    let stop = recordings.map { Int64(clamping: $0.machine.stoppedAt ?? $0.lastStampTime ?? 0) }.min() ?? 0
    return start...max(start, stop)
  }
}

extension TimedRecording {
  /// Puts all times on the host's clock; stamps out of the map's reach are left out, and counted.
  /// - Parameters:
  ///   - host: when the host recorded; only there the error matters.
  ///   - span: grows to the guest times of the stamps in that time.
  fileprivate mutating func map(
    by map: ClockMap, host: ClosedRange<Int64>, span: inout ClosedRange<Int64>?
  ) throws(RecordingError) -> Int {
    var feed = try StampFeed([self])
    self.map = map
    var cursor = map.cursor()
    var block: [TimedStamp] = []
    var outside = 0
    while try feed.next(&block) {
      for timed in block {
        let own = Int64(clamping: timed.stamp.time)
        guard let time = cursor.host(own) else {
          outside += 1
          continue
        }
        if host.contains(time) {
          span = span.map { min($0.lowerBound, own)...max($0.upperBound, own) } ?? own...own
        }
      }
    }
    func mapped(_ time: UInt64) -> UInt64 {
      // Out of reach only where no stamp is either: the nearest time that is mapped serves.
      let own = Int64(clamping: time)
      let near = min(max(own, map.covered.lowerBound), map.covered.upperBound)
      return UInt64(clamping: map.host(own) ?? map.host(near) ?? own)
    }
    recording.machine.startedAt = mapped(recording.machine.startedAt)
    recording.machine.stoppedAt = recording.machine.stoppedAt.map(mapped)
    recording.drops = recording.drops.compactMap { drop in
      var drop = drop
      guard let time = map.host(Int64(clamping: drop.time)) else { return nil }
      drop.time = UInt64(clamping: time)
      return drop
    }
    recording.machine.changes = recording.machine.changes?.map { change in
      var change = change
      change.time = mapped(change.time)
      return change
    }
    return outside
  }
}
