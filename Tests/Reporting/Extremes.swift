// SPDX-License-Identifier: GPL-2.0-or-later
import Foundation
import Recording

/// Numbers at which arithmetic breaks.
enum Extremes {
  /// As JSON has them; the last ones are no numbers of JSON.
  static let json = [
    "0", "1", "-1", "2147483647", "2147483648", "4294967295", "9007199254740992", "9007199254740993",
    "4611686018427387903", "4611686018427387904", "9223372036854775807", "9223372036854775808", "18446744073709551615",
    "-9223372036854775808", "1e308", "-1e308", "1e-308", "0.5", "1e19", "NaN", "Infinity",
  ]

  static let integers: [UInt64] = [
    0, 1, .max, 1 << 31 - 1, 1 << 31, 1 << 32 - 1, 1 << 53, 1 << 53 + 1, 1 << 62 - 1, 1 << 62, 1 << 63 - 1, 1 << 63,
    1 << 63 + 1,
  ]

  /// Offset and bytes of each number of an event, by its id; the event's own time comes first.
  static let fields: [UInt8: [(Int, Int)]] = [
    0: [(0, 8), (9, 1), (10, 2), (12, 4), (16, 4), (20, 4), (24, 8)],
    1: [(0, 8), (9, 1), (10, 2), (12, 4), (16, 4), (20, 4), (24, 8), (32, 8)],
    2: [(0, 8), (9, 1), (10, 1), (12, 4), (16, 2), (18, 2)],
    3: [(0, 8), (12, 4), (16, 8), (24, 8), (32, 8), (40, 8), (48, 8)],
    4: [(0, 8), (12, 4), (16, 8), (24, 8), (32, 8), (40, 8)],
    5: [(0, 8), (9, 1), (10, 2), (12, 4), (16, 8), (24, 8), (32, 8)],
    6: [(0, 8), (9, 1), (10, 2), (12, 4), (16, 8), (24, 8)],
    7: [(0, 8), (9, 1), (10, 2), (12, 4), (16, 4), (20, 4), (24, 8), (32, 8), (40, 1), (41, 1), (42, 2)],
    8: [(0, 8), (9, 1), (10, 2), (12, 4), (16, 8), (24, 8), (32, 8)],
  ]

  /// Of a packet's header: times, sizes, lost events, CPU, number.
  static let header = [(24, 8), (32, 8), (40, 8), (48, 8), (56, 8), (64, 4), (68, 4)]

  /// Where numbers stand in a JSON text, outside of strings.
  static func numbers(in json: String) -> [Range<String.Index>] {
    json.matches(of: /[:\[,\s](-?[0-9][0-9.eE+\-]*)(?=[,\s\]}])/).map { $0.1.startIndex..<$0.1.endIndex }
  }

  static func replaced(_ json: String, _ places: [(Range<String.Index>, String)]) -> String {
    var text = json
    for (range, value) in places.sorted(by: { $0.0.lowerBound > $1.0.lowerBound }) {
      text.replaceSubrange(range, with: value)
    }
    return text
  }

  static func put(_ value: UInt64, _ field: (offset: Int, size: Int), at base: Int = 0, in bytes: inout [UInt8]) {
    for index in 0..<field.size { bytes[base + field.offset + index] = UInt8(truncatingIfNeeded: value >> (8 * index)) }
  }
}

/// A session of a host, its guest and a tap that paired, with every kind of event and every field of the JSON files.
struct ExtremeSession {
  static let start: UInt64 = 1_000_000_000_000

  let folder: Folder
  /// Files by their place in the session, as they are written.
  private(set) var files: [String: [UInt8]] = [:]

  static let session = Session(
    id: "5b7f1c52-96a8-4b0e-9d6e-111111111111", members: ["host-a", "guest-b", "wire-c"], labels: ["run": "1"],
    commandLine: ["latprobe"], createdAt: 1_700_000_000)

  static func machine(_ name: String) -> Machine {
    var machine = Machine(
      name: name, role: name.contains("wire") ? "wire" : name.contains("guest") ? "guest" : "host", hostname: name,
      bootID: "boot-\(name)", topology: "kvm-vhost")
    machine.startedAt = start - 1_000_000_000
    machine.stoppedAt = start + 3_000_000_000
    machine.stoppedBy = "duration"
    machine.stampCost = 100.5
    machine.cpus = 2
    let hooks =
      name.contains("wire") ? ["wire-in", "wire-out"] : name.contains("guest") ? ["txg1", "txg2"] : ["txh0", "txh1"]
    machine.hooks = hooks.map { AttachedHook(name: $0, attachedAs: "tp_btf:test", devices: ["1:2"]) }
    machine.paths =
      name.contains("wire")
      ? [Path(name: "wire", hooks: hooks)] : [Path(name: "tx", hooks: ["txg1", "txg2", "txh0", "txh1"])]
    for cpu in 0..<2 {
      for hook in hooks {
        machine.ledger.append(
          LedgerRow(hook: hook, cpu: cpu, seen: 50, filtered: 1, sampledOut: 1, emitted: 46, lost: 1, unbound: 1))
      }
    }
    machine.missed = [hooks[0]: 1, hooks[1]: 0]
    machine.rotation = Machine.Rotation(deletedStreams: 1, deletedEvents: 2, deletedBytes: 3, deletedDiscarded: 4)
    machine.unwritten = 1
    var change = Change(time: start + 1_000_000_000, .down, device: "eth0", namespace: "n", id: "1:2")
    change.hooks = [hooks[0]]
    change.by = 5
    change.cpu = 1
    machine.changes = [change]
    machine.sampling.oneIn = 2
    return machine
  }

  static var guest: Guest {
    var guest = Guest(pid: 77, name: "b")
    guest.vsockCID = 3
    guest.bootID = "boot-guest-b"
    guest.threads = [
      Guest.Thread(kind: "vcpu", id: 78, name: "CPU 0", vcpu: 0, cpus: "0-1", policy: "SCHED_FIFO", priority: 1)
    ]
    return guest
  }

  static var pairing: PairingAccount {
    let counts = [
      "requests": 30, "paired": 23, "unanswered": 3, "abandoned": 1, "evicted": 1, "own_drops": 1, "ambiguous": 1,
      "repeated_requests": 1, "repeated_responses": 1, "lost_forward": 1, "lost_backward": 1, "clock_steps": 1,
      "clock_jumps": 1, "refused": 1, "overdue": 1,
    ]
    return PairingAccount(
      names: [
        PairingAccount.Name(name: "round-trip", ofProtocol: "stamp"),
        PairingAccount.Name(name: "one-way-forward", ofProtocol: "stamp", error: 500),
        PairingAccount.Name(name: "pacing", ofProtocol: "pacing"),
      ],
      protocols: [
        PairingAccount.Tally(name: "stamp", counts: counts), PairingAccount.Tally(name: "pacing", counts: counts),
      ],
      packets: ["packets": 60, "fragments": 1, "out_of_order": 1, "steps_back": 1, "truncated": 1])
  }

  /// - Parameter change: of the events of a machine, each one record.
  init(_ change: (String, inout [[UInt8]]) -> Void = { _, _ in }) throws {
    folder = try Folder()
    try ExtremeSession.session.write(to: folder.path)
    for name in ExtremeSession.session.members {
      var machine = ExtremeSession.machine(name)
      if name == "host-a" {
        machine.guests = [ExtremeSession.guest]
        machine.peers = [Peer(number: 1, machine: "guest-b", bootID: "boot-guest-b", url: "vsock:3")]
      }
      if name == "wire-c" {
        var interface = TapInterface(
          number: 1, name: "eth0", hooks: ["wire-in", "wire-out"], driver: "e1000", hardwareClock: 0,
          hardware: "granted")
        interface.clocks = ["kernel": 40]
        interface.ringDrops = 1
        interface.deviceDrops = 1
        interface.otherFrames = 1
        interface.driverCounters = ["tx_timeouts": 1]
        machine.interfaces = [interface]
        machine.captures = [
          Capture(
            file: "a.pcap", format: "pcap",
            interfaces: [
              Capture.Interface(
                number: 0, name: "eth0", hook: "wire-in", linkType: 1, snapLength: 96, resolution: "10^-6 s",
                timeSource: "file", packets: 40, stamps: 40, drops: 1)
            ], skipped: ["no time": 1], error: nil)
        ]
        machine.pairing = ExtremeSession.pairing
      }
      var events = ExtremeSession.events(of: name)
      change(name, &events)
      let writer = try MachineWriter(
        directory: folder.path, machine: machine, session: ExtremeSession.session, utcOffset: 0,
        options: .init(packetSize: 4096))
      for event in events { try writer.append(cpu: 0, event) }
      writer.discarded(cpu: 0, total: 2)
      try writer.close(machine)
    }
  }

  /// 40 packets from the guest through the host to the tap, TCP and UDP, and what tells of the clocks meanwhile.
  static func events(of name: String) -> [[UInt8]] {
    var events: [[UInt8]] = []
    func event(_ id: UInt8, _ size: Int, _ time: UInt64, _ values: [(Int, Int, UInt64)]) {
      var bytes = [UInt8](repeating: 0, count: size)
      Extremes.put(time, (0, 8), in: &bytes)
      bytes[8] = id
      for (offset, length, value) in values { Extremes.put(value, (offset, length), in: &bytes) }
      events.append(bytes)
    }
    // The guest's clocks are 5 s behind.
    let shift: UInt64 = name == "guest-b" ? 5_000_000_000 : 0
    let begin = start - shift
    for number in 0..<40 as Range<UInt64> {
      let time = begin + number * 50_000_000
      let isTCP = number % 3 == 0
      let word: UInt64 = isTCP ? 152 | 13 << 20 | 2 << 28 : 128 | 7 << 20 | 1 << 28
      let common: [(Int, Int, UInt64)] = [
        (12, 4, word), (16, 4, 7 + number % 3), (20, 4, isTCP ? number * 100 : 0), (24, 8, 1000 + number),
      ]
      let hooks: [UInt64] = name == "guest-b" ? [2, 3] : name == "host-a" ? [4, 5] : [12, 13]
      let first: UInt64 = name == "guest-b" ? 0 : name == "host-a" ? 20_000 : 60_000
      for (place, hook) in hooks.enumerated() {
        let at = time + first + UInt64(place) * 7_000
        if name == "wire-c" {
          event(7, 48, at, common + [(9, 1, hook), (32, 8, 1_700_000_000_000_000_000 + at), (40, 1, 2), (41, 1, 1)])
        } else if number % 10 == 9, place == 0 {
          event(1, 40, at + 1_000, common + [(9, 1, hook), (32, 8, at)])
        } else {
          event(0, 32, at, common + [(9, 1, hook)])
        }
      }
      event(
        3, 56, time,
        [
          (12, 4, 80), (16, 8, time + 3), (24, 8, 1_700_000_000_000_000_000 + time),
          (32, 8, 1_700_000_037_000_000_000 + time),
          (40, 8, time), (48, 8, 2 * (time + shift)),
        ])
      if name == "host-a" {
        event(
          4, 48, time + 9,
          [
            (12, 4, 1), (16, 8, time - 40_000), (24, 8, time - 5_000_000_000 - 20_000),
            (32, 8, time - 5_000_000_000 - 19_000),
            (40, 8, time + 3),
          ])
        event(6, 32, time + 11, [(10, 2, 0), (12, 4, 77), (16, 8, 0)])
      } else {
        event(
          5, 40, time + 13,
          [
            (9, 1, 1), (12, 4, 900), (16, 8, 1_700_000_000_000_000_000 + time + shift),
            (24, 8, 1_700_000_000_000_000_000 + time),
            (32, 8, time + 3),
          ])
      }
      if name == "wire-c" {
        event(
          8, 40, time + 30_000,
          [
            (9, 1, 6), (10, 2, number % 3), (12, 4, number), (16, 8, time), (24, 8, time + 30_000),
            (32, 8, time + 31_000),
          ])
      }
      if number < 3 { event(2, 56, time + 15, [(9, 1, 4), (10, 1, 17), (12, 4, 7 + number), (16, 2, 1), (18, 2, 2)]) }
    }
    return events
  }
}
