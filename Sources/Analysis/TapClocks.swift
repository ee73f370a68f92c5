// SPDX-License-Identifier: GPL-2.0-or-later
import Clocks
import Recording

/// A device that a tap listened on.
struct TapDevice: Equatable {
  /// Name of the tap's machine in the session.
  var machine: String
  var name: String
  /// Whether what comes in and what goes out are told apart.
  var isTwoWay: Bool
}

extension MachineRecording {
  /// Nothing but a tap.
  var isTap: Bool { machine.interfaces != nil || machine.captures != nil }
}

/// Gives each other clock of a kernel's machine a number that no kernel has, and each tapped device one of its own.
struct TapClockNumbers {
  private struct Key: Hashable {
    var kernel: Int
    var clock: TapClock
  }

  private var known: [Key: Int] = [:]
  private var next: Int
  private(set) var devices: [TapDevice] = []

  init(next: Int) { self.next = next }

  mutating func number(of clock: TapClock, kernel: Int) -> Int {
    let key = Key(kernel: kernel, clock: clock)
    if let number = known[key] { return number }
    defer { next += 1 }
    known[key] = next
    return next
  }

  /// Numbers the devices of a tap; returns what to add to ``WireStamp/interface``.
  mutating func add(_ machine: Machine) -> UInt16 {
    let first = devices.count
    for interface in (machine.interfaces ?? []).sorted(by: { $0.number < $1.number }) {
      devices.append(TapDevice(machine: machine.name, name: interface.name, isTwoWay: interface.hooks.count > 1))
    }
    return UInt16(clamping: first)
  }
}

extension TimedRecording {
  /// A recording with its times; a tap's is taken apart by clock.
  static func all(
    of recording: MachineRecording, kernel: Int, _ numbers: inout TapClockNumbers, _ warnings: inout [String]
  ) -> [TimedRecording] {
    guard !recording.wireStamps.isEmpty else { return [TimedRecording(recording: recording, clock: kernel)] }
    let firstDevice = numbers.add(recording.machine)
    return taps(recording, firstDevice, &warnings).map { clock, timed in
      var timed = timed
      timed.tapClock = clock
      timed.clock = timed.ownTimes.isEmpty ? kernel : numbers.number(of: clock, kernel: kernel)
      return timed
    }
  }

  /// A sender and a tap at one device both stamp what it sends: of a packet that has both, the better clock's stays.
  static func stampedOnce(_ recordings: [TimedRecording]) -> [TimedRecording] {
    var recordings = recordings
    for point in [HookPoint.wireIn, .wireOut] {
      func devices(_ place: Int) -> Set<String> {
        Set(recordings[place].recording.machine.hooks.first { $0.name == point.name }?.devices ?? [])
      }
      let taps = recordings.indices.filter { recordings[$0].tapClock != nil && !devices($0).isEmpty }
        .sorted { (recordings[$0].tapClock?.rank ?? 0) < (recordings[$1].tapClock?.rank ?? 0) }
      for (index, worse) in taps.enumerated() {
        for better in taps[..<index] where !devices(better).isDisjoint(with: devices(worse)) {
          let keys = Set(recordings[better].recording.stamps.filter { $0.hook == point }.map(\.key))
          recordings[worse].remove { $0.hook == point && keys.contains($0.key) }
        }
      }
    }
    return recordings
  }

  /// A sender's stamps say when its packets left their first device. Where a tap at another one says when they left the
  /// path, they are no second `wire-out`.
  static func withTheTapsEnd(_ recordings: [TimedRecording], _ warnings: inout [String]) -> [TimedRecording] {
    func end(_ place: Int) -> AttachedHook? {
      recordings[place].recording.machine.hooks.first { $0.name == HookPoint.wireOut.name }
    }
    func keys(_ place: Int) -> Set<UInt64> {
      Set(recordings[place].recording.stamps.filter { $0.hook == .wireOut }.map(\.key))
    }
    var kept = recordings
    let taps = recordings.indices.filter { recordings[$0].tapClock != nil && end($0) != nil }
    for sender in taps where end(sender)?.attachedAs == AttachedHook.bySocket {
      let own = Set(end(sender)?.devices ?? [])
      let others = taps.filter {
        end($0)?.attachedAs != AttachedHook.bySocket && own.isDisjoint(with: end($0)?.devices ?? [])
      }
      guard !others.isEmpty, case let sent = keys(sender), others.contains(where: { !keys($0).isDisjoint(with: sent) })
      else { continue }
      kept[sender].remove { $0.hook == .wireOut }
      kept[sender].recording.machine.hooks.removeAll { $0.name == HookPoint.wireOut.name }
      warnings.append(
        "\(recordings[sender].recording.machine.name): its own stamps are left out of the paths, as a tap says when its "
          + "packets left the last device")
    }
    return kept
  }

  private mutating func remove(where isUnwanted: (Stamp) -> Bool) {
    let kept = recording.stamps.indices.filter { !isUnwanted(recording.stamps[$0]) }
    guard kept.count < recording.stamps.count else { return }
    if !ownTimes.isEmpty { ownTimes = kept.map { ownTimes[$0] } }
    recording.stamps = kept.map { recording.stamps[$0] }
  }

  /// A device's stamps at one hook point.
  private struct Place: Hashable, Comparable {
    var hook: HookPoint
    var interface: UInt8

    init(_ wire: WireStamp) { (hook, interface) = (wire.stamp.hook, wire.interface) }

    static func < (a: Place, b: Place) -> Bool {
      (a.hook.rawValue, a.interface) < (b.hook.rawValue, b.interface)
    }
  }

  /// A tap's stamps on the machine's CLOCK_MONOTONIC: one recording for each clock that its devices were stamped by.
  ///
  /// Stamps of two clocks are not mixed at one hook point of one device: those of the clock that most packets have are taken,
  /// and the others are left out and told. A capture file's clock is nobody's: its times stay as they are.
  private static func taps(
    _ recording: MachineRecording, _ firstDevice: UInt16, _ warnings: inout [String]
  ) -> [(clock: TapClock, timed: TimedRecording)] {
    var counts: [Place: [TapClock: Int]] = [:]
    for wire in recording.wireStamps { counts[Place(wire), default: [:]][TapClock(wire), default: 0] += 1 }
    let clocks = counts.mapValues { $0.max { ($0.value, $1.key.rank) < ($1.value, $0.key.rank) }?.key ?? .file }
    var incomplete: Set<HookPoint> = []
    for (place, clock) in clocks.sorted(by: { $0.key < $1.key }) {
      let others = (counts[place] ?? [:]).filter { $0.key != clock }.sorted { $0.key.rank < $1.key.rank }
      if !others.isEmpty { incomplete.insert(place.hook) }
      for (other, count) in others {
        warnings.append(
          "\(recording.machine.name): \(count) stamps at \(place.hook.name) are of \(other), the others of \(clock): left out"
        )
      }
    }
    // Where nothing passed, packets that should have are lost, by whichever clock.
    let idle = Set(recording.machine.hooks.compactMap { HookPoint(name: $0.name) })
      .subtracting(clocks.keys.map(\.hook))
    var places: [TapClock: Set<Place>] = [:]
    for (place, clock) in clocks { places[clock, default: []].insert(place) }
    var stamps: [TapClock: [WireStamp]] = [:]
    for wire in recording.wireStamps where clocks[Place(wire)] == TapClock(wire) {
      stamps[TapClock(wire), default: []].append(wire)
    }
    var used = places.keys.sorted { $0.rank < $1.rank }
    if used.count > TapClock.limit {
      warnings.append(
        "\(recording.machine.name): its stamps are of \(used.count) clocks: all but \(TapClock.limit) are left out")
      used = Array(used.prefix(TapClock.limit))
    }
    return used.compactMap { clock in
      do throws(AlignmentError) {
        var timed = try tap(
          recording, clock, stamps[clock] ?? [], places[clock] ?? [], idle: clock == used.first ? idle : [], firstDevice
        )
        timed.incomplete = incomplete
        return (clock, timed)
      } catch {
        warnings.append("\(recording.machine.name): stamps of \(clock) are left out: \(error)")
        return nil
      }
    }
  }

  private static func tap(
    _ recording: MachineRecording, _ clock: TapClock, _ stamps: [WireStamp], _ places: Set<Place>,
    idle: Set<HookPoint>, _ firstDevice: UInt16
  ) throws(AlignmentError) -> TimedRecording {
    let map = try clock.map(recording)
    var timed = TimedRecording(recording: recording)
    var placed: [(stamp: Stamp, own: Int64)] = []
    for wire in stamps {
      guard let time = map.map({ $0.monotonic(wire.at) }) ?? wire.at, time >= 0, wire.at >= 0 else { continue }
      var stamp = wire.stamp
      stamp.time = UInt64(time)
      stamp.cpu = firstDevice &+ UInt16(wire.interface)
      placed.append((stamp, wire.at))
    }
    placed.sort { $0.stamp.time < $1.stamp.time }
    timed.recording.stored = nil
    timed.recording.stamps = placed.map(\.stamp)
    let hooks = idle.union(places.map(\.hook))
    timed.recording.machine.hooks.removeAll { HookPoint(name: $0.name).map { !hooks.contains($0) } ?? false }
    if let map, let first = placed.first?.own, let last = placed.last?.own {
      timed.ownTimes = placed.map { UInt64($0.own) }
      timed.error = map.maximumError(over: min(first, last)...max(first, last))
    }
    return timed
  }
}

/// A clock that a tap's stamps may be of.
enum TapClock: Hashable, CustomStringConvertible {
  /// N of /dev/ptpN.
  case hardware(UInt16)
  /// CLOCK_REALTIME, by whoever took it.
  case realtime
  /// UTC of a card or a capturing program.
  case adapted
  case file

  /// Of one machine; each is compared with each.
  static let limit = 64

  init(_ wire: WireStamp) {
    self =
      switch wire.clock {
      case .file: .file
      case .reader, .kernel: .realtime
      case .hardware: .hardware(wire.device)
      case .adapted: .adapted
      }
  }

  /// The best first.
  var rank: Int {
    switch self {
    case .hardware(let device): Int(device)
    case .adapted: 1 << 17
    case .realtime: 1 << 18
    case .file: 1 << 19
    }
  }

  /// As in ``WireClock/name``, the reader's time being the kernel's.
  var provenance: String {
    switch self {
    case .hardware: WireClock.hardware.name
    case .realtime: WireClock.kernel.name
    case .adapted: WireClock.adapted.name
    case .file: WireClock.file.name
    }
  }

  var description: String {
    switch self {
    case .hardware(let device): "the hardware clock ptp\(device)"
    case .realtime: "CLOCK_REALTIME"
    case .adapted: "a clock that was brought to UTC"
    case .file: "a capture file"
    }
  }

  /// To the machine's CLOCK_MONOTONIC; nil for a clock that is on its own.
  fileprivate func map(_ recording: MachineRecording) throws(AlignmentError) -> LocalMap? {
    switch self {
    case .file, .adapted: return nil
    case .realtime: return try LocalMap.realtime(recording.readings)
    case .hardware(let device):
      let crosses = recording.clockCrosses.filter { $0.device == device }.map {
        DeviceReading(device: $0.deviceTime, realtime: Instant(nanoseconds: $0.realtime), window: Int64($0.window))
      }
      return try LocalMap.device(recording.readings, crosses)
    }
  }
}
