// SPDX-License-Identifier: GPL-2.0-or-later
import Recording

@testable import Analysis

/// A host and a guest with known clocks, whose packets go both ways; times in nanoseconds from the start of the run.
struct TwoMachines {
  static let guestHooks = ["txg1", "txg2", "rxg0", "rxg1"]
  static let hostHooks = ["txh0", "txh1", "rxh0", "rxh1"]
  static let paths = [
    Path(name: "tx", hooks: ["txg1", "txg2", "txh0", "txh1"]),
    Path(name: "rx", hooks: ["rxh0", "rxh1", "rxg0", "rxg1"]),
  ]
  static let length: Int64 = 4_000_000_000
  static let hostBoot: Int64 = 1_000_000_000_000
  static let guestBoot: Int64 = 7_000_000_000
  static let wall: Int64 = 1_700_000_000_000_000_000

  /// The guest's MONOTONIC runs faster by this from the middle of the run on.
  var guestSlewPPM: Int64 = 0
  /// The guest's REALTIME is set forward by this in the middle of the run.
  var guestStep: Int64 = 0
  /// What KVM says about the counter is wrong by this many ticks.
  var wrongTicks: Int64 = 0
  var pid = 4242
  var hasCounters = true
  var hasCrosses = true
  var hasExchanges = true
  var guestName = "guest-a"
  var guestBootID = "boot-guest"
  var guestUUID: String?

  func hostTime(_ time: Int64) -> UInt64 { UInt64(TwoMachines.hostBoot + time) }
  func hostRaw(_ time: Int64) -> Int64 { TwoMachines.hostBoot + time + time / 100_000 }
  func hostTicks(_ time: Int64) -> UInt64 { UInt64(5_000_000_000_000 + 3 * time) }
  /// 30 ppm faster than the host's.
  func guestRaw(_ time: Int64) -> Int64 { TwoMachines.guestBoot + time + time * 3 / 100_000 }
  func guestTime(_ time: Int64) -> UInt64 {
    let slewed = max(0, time - TwoMachines.length / 2) * guestSlewPPM / 1_000_000
    return UInt64(guestRaw(time) + slewed)
  }
  func guestTicks(_ time: Int64) -> UInt64 { hostTicks(time) - 4_000_000_000_000 }
  func guestRealtime(_ time: Int64) -> Int64 {
    Int64(guestTime(time)) + TwoMachines.wall + (time >= TwoMachines.length / 2 ? guestStep : 0)
  }

  static func packetTime(_ number: Int) -> Int64 { Int64(number) * 4_000_000 + 10_000_000 }

  /// 40 µs and up from machine to machine, 2 µs within.
  func crossing(_ number: Int) -> Int64 { 40_000 + Int64(number % 97) * 1_000 }

  func host() -> MachineRecording {
    var recording = machine("host-lab", "host", "boot-host", TwoMachines.hostHooks)
    recording.machine.startedAt = hostTime(0)
    recording.machine.stoppedAt = hostTime(TwoMachines.length)
    for number in 0..<983 {
      let (sent, key) = (TwoMachines.packetTime(number), UInt64(number))
      let there = sent + 2_000 + crossing(number)
      recording.stamps.append(stamp(hostTime(there), .txh0, key + 1_000_000, flow: 1))
      recording.stamps.append(stamp(hostTime(there + 2_000), .txh1, key + 1_000_000, flow: 1))
      recording.stamps.append(stamp(hostTime(sent + 1_000_000), .rxh0, key + 2_000_000, flow: 2))
      recording.stamps.append(stamp(hostTime(sent + 1_002_000), .rxh1, key + 2_000_000, flow: 2))
    }
    recording.clockSamples = samples().map { time in
      ClockSample(
        monotonic: hostTime(time), window: 100, monotonicRaw: hostRaw(time),
        realtime: Int64(hostTime(time)) + TwoMachines.wall, tai: 0, boottime: Int64(hostTime(time)),
        tsc: hostTicks(time))
    }
    if hasCounters {
      recording.guestCounters = samples().map {
        GuestCounter(
          time: hostTime($0), guest: UInt32(pid), vcpu: 0, offset: -4_000_000_000_000 + wrongTicks, ratio: 0,
          fractionBits: 0)
      }
      recording.machine.guests = [Guest(pid: pid, name: "a")]
    }
    if hasExchanges {
      recording.machine.peers = [Peer(number: 3, machine: guestName, bootID: guestBootID, url: "vsock:42")]
      recording.clockExchanges = stride(from: 1_000_000, to: TwoMachines.length, by: 20_000_000).map { time in
        ClockExchange(
          time: hostTime(time), peer: 3, sent: hostRaw(time), peerReceived: guestRaw(time + 30_000),
          peerSent: guestRaw(time + 31_000), received: hostRaw(time + 71_000))
      }
    }
    return recording
  }

  func guest() -> MachineRecording {
    var recording = machine(guestName, "guest", guestBootID, TwoMachines.guestHooks)
    recording.machine.startedAt = guestTime(0)
    recording.machine.stoppedAt = guestTime(TwoMachines.length)
    recording.machine.settings["product_uuid"] = guestUUID
    for number in 0..<983 {
      let (sent, key) = (TwoMachines.packetTime(number), UInt64(number))
      recording.stamps.append(stamp(guestTime(sent), .txg1, key + 1_000_000, flow: 1))
      recording.stamps.append(stamp(guestTime(sent + 2_000), .txg2, key + 1_000_000, flow: 1))
      let there = sent + 1_002_000 + crossing(number)
      recording.stamps.append(stamp(guestTime(there), .rxg0, key + 2_000_000, flow: 2))
      recording.stamps.append(stamp(guestTime(there + 2_000), .rxg1, key + 2_000_000, flow: 2))
    }
    recording.clockSamples = samples().map { time in
      ClockSample(
        monotonic: guestTime(time), window: 100, monotonicRaw: guestRaw(time), realtime: guestRealtime(time), tai: 0,
        boottime: Int64(guestTime(time)), tsc: guestTicks(time))
    }
    if hasCrosses {
      recording.clockCrosses = samples().map { time in
        ClockCross(
          time: guestTime(time), method: .precise, device: 0, window: 0,
          deviceTime: Int64(hostTime(time)) + TwoMachines.wall, realtime: guestRealtime(time),
          monotonicRaw: guestRaw(time))
      }
    }
    return recording
  }

  func analysed() throws -> SessionResult { try TwoMachines.analyse([host(), guest()]) }

  static func analyse(_ recordings: [MachineRecording]) throws -> SessionResult {
    let session = Session(id: "lab", members: [], labels: [:], commandLine: [], createdAt: 0)
    return try Analysis.analyse(session: session, recordings: recordings)
  }

  private func samples() -> [Int64] { Array(stride(from: 0, through: TwoMachines.length, by: 100_000_000)) }

  private func machine(_ name: String, _ role: String, _ bootID: String, _ hooks: [String]) -> MachineRecording {
    var machine = Machine(name: name, role: role, hostname: name, bootID: bootID, topology: "kvm-vhost")
    machine.hooks = hooks.map { AttachedHook(name: $0, attachedAs: "tp_btf:test") }
    machine.paths = TwoMachines.paths
    return MachineRecording(machine: machine)
  }

  private func stamp(_ time: UInt64, _ hook: HookPoint, _ key: UInt64, flow: UInt32) -> Stamp {
    Stamp(time: time, key: key, flow: flow, length: 100, headerLength: 28, hook: hook, kind: .udp)
  }
}
