// SPDX-License-Identifier: GPL-2.0-or-later
import Recording

@testable import Analysis

/// A tap beside hook points in one session; times in nanoseconds from `Lab.start`, of whatever clock the stamps are.
struct WireLab {
  static let utc: Int64 = 1_700_000_000_000_000_000
  /// The hardware clock − CLOCK_REALTIME.
  static let ahead: Int64 = 37_000_000_000

  var recording: MachineRecording

  /// - Parameters:
  ///   - interfaces: name and hook points of each.
  ///   - devices: as in ``AttachedHook/devices``, at both points.
  init(
    _ interfaces: [(name: String, hooks: [String])], devices: [String] = [], name: String = "wire-lab",
    bootID: String = "boot-a"
  ) {
    var machine = Machine(name: name, role: "wire", hostname: "lab", bootID: bootID, topology: "wire")
    let hooks = ["wire-in", "wire-out"].filter { hook in interfaces.contains { $0.hooks.contains(hook) } }
    machine.hooks = hooks.map {
      AttachedHook(name: $0, attachedAs: "packet socket", watches: interfaces.map(\.name), devices: devices)
    }
    machine.paths =
      interfaces.count > 1 ? [Path(name: "wire", hooks: hooks)] : hooks.map { Path(name: $0, hooks: [$0]) }
    machine.interfaces = interfaces.enumerated().map { number, interface in
      TapInterface(
        number: UInt8(number), name: interface.name, hooks: interface.hooks, driver: "test", hardwareClock: 0,
        hardware: "granted")
    }
    machine.startedAt = Lab.start - 10_000_000_000
    machine.stoppedAt = Lab.stop
    recording = MachineRecording(machine: machine)
    for step in -10...50 {
      let time = Int64(Lab.start) + Int64(step) * 100_000_000
      recording.clockSamples.append(
        ClockSample(
          monotonic: UInt64(time), window: 60, monotonicRaw: time, realtime: time + Self.utc, tai: time,
          boottime: time, tsc: 0))
      recording.clockCrosses.append(
        ClockCross(
          time: UInt64(time), method: .precise, device: 0, window: 0, deviceTime: time + Self.utc + Self.ahead,
          realtime: time + Self.utc, monotonicRaw: time))
    }
  }

  mutating func stamp(
    _ hook: HookPoint, at time: Int64, key: UInt64, flow: UInt32 = 7, interface: UInt8 = 0,
    clock: WireClock = .hardware
  ) {
    let now = Int64(Lab.start) + time
    recording.wireStamps.append(
      WireStamp(
        stamp: Stamp(
          time: UInt64(now + 20_000), key: key, flow: flow, length: 100, headerLength: 28, cpu: UInt16(interface),
          hook: hook, kind: .udp),
        at: now + Self.utc + (clock == .hardware ? Self.ahead : 0), clock: clock, interface: interface))
  }

  static func analysed(_ tap: WireLab, _ labs: [Lab]) throws -> SessionResult {
    let session = Session(id: "lab", members: [], labels: [:], commandLine: [], createdAt: 0)
    return try analyse(session: session, recordings: labs.map(\.sorted) + [tap.recording])
  }
}

extension Lab {
  /// A hook point watches these devices.
  mutating func watch(_ devices: [String: [String]]) {
    for index in recording.machine.hooks.indices {
      recording.machine.hooks[index].devices = devices[recording.machine.hooks[index].name]
    }
  }
}
