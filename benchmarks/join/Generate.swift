// SPDX-License-Identifier: GPL-2.0-or-later
import ArgumentParser
import CLatprobeABI
import Recording

/// Writes a recording whose delays are planted: what the join has to find is known.
@main struct Generate: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "joinload", abstract: "Write a recording of made-up packets, to measure the join with.")

  @Option(help: "Directory to make.") var output: String
  @Option(help: "Stamps, about.") var stamps = 1_000_000
  @Option(help: "Packets a second of recorded time.") var rate = 100_000
  @Option(help: "Percentage of TCP packets.") var tcp = 50
  @Option(help: "Flows.") var flows = 16

  static let hooks = ["txg0", "txg1", "txg2", "txh0", "txh1", "rxh1", "rxg0", "rxg1"]
  private static let cpus = 4
  /// Stamps are sorted and written in slices of this length, nanoseconds.
  private static let slice: UInt64 = 10_000_000

  func run() throws {
    let session = Session(id: "join", members: ["made"], labels: [:], commandLine: ["joinload"], createdAt: 0)
    var machine = Machine(name: "made", role: "both", hostname: "made", bootID: "made", topology: "made")
    machine.hooks = Generate.hooks.map { AttachedHook(name: $0, attachedAs: "made") }
    machine.paths = [Path(name: "through", hooks: Generate.hooks)]
    let start: UInt64 = 1_000_000_000_000
    machine.startedAt = start
    try Session.prepare(directory: output, force: false)
    try session.write(to: output)
    let writer = try MachineWriter(directory: output, machine: machine, session: session, utcOffset: 0)
    var maker = Maker(flows: flows, tcp: tcp)
    var slices = [[lp_stamp]](repeating: [], count: Generate.cpus)
    var end = start + Generate.slice
    var packet: UInt64 = 0
    var emitted = [Int](repeating: 0, count: Generate.hooks.count)
    while emitted.reduce(0, +) < stamps {
      let time = start + 1_000_000 + packet * 1_000_000_000 / UInt64(rate)
      while time > end {
        try write(&slices, before: end, to: writer)
        end += Generate.slice
      }
      for (place, stamp) in maker.packet(packet, at: time) {
        slices[Int((packet &* 7 + UInt64(place) * 3) % UInt64(Generate.cpus))].append(stamp)
        emitted[place] += 1
      }
      packet += 1
    }
    try write(&slices, before: .max, to: writer)
    machine.stoppedAt = start + packet * 1_000_000_000 / UInt64(rate) + 2_000_000_000
    machine.ledger = zip(Generate.hooks, emitted).map {
      LedgerRow(hook: $0, cpu: 0, seen: UInt64($1), emitted: UInt64($1))
    }
    try writer.close(machine)
  }

  private func write(_ slices: inout [[lp_stamp]], before end: UInt64, to writer: MachineWriter) throws {
    for cpu in slices.indices {
      let ready = slices[cpu].filter { $0.time_ns < end }.sorted { $0.time_ns < $1.time_ns }
      slices[cpu].removeAll { $0.time_ns < end }
      try unsafe ready.withUnsafeBytes { try unsafe writer.append(cpu: cpu, bytes: $0) }
    }
  }
}

/// Makes packets, the same ones in every run.
private struct Maker {
  private var state: UInt64 = 1
  private var sequences: [UInt32]
  private let tcp: UInt64

  init(flows: Int, tcp: Int) {
    sequences = [UInt32](repeating: 1, count: flows)
    self.tcp = UInt64(tcp)
  }

  private mutating func random(_ limit: UInt64) -> UInt64 {
    state ^= state << 13
    state ^= state >> 7
    state ^= state << 17
    return state % limit
  }

  /// Its stamps by hook point: each segment takes 1 to 4 µs, one in a hundred up to 250 µs; one packet in a thousand is
  /// lost on the way.
  mutating func packet(_ number: UInt64, at time: UInt64) -> [(place: Int, stamp: lp_stamp)] {
    let flow = Int(number % UInt64(sequences.count))
    let isTCP = UInt64(flow) * 100 < tcp * UInt64(sequences.count)
    let payload: UInt32 = 1_448
    let lost = random(1_000) == 0 ? Int(random(6)) + 1 : Int.max
    var stamp = lp_stamp()
    stamp.event = UInt8(LP_EVENT_STAMP.rawValue)
    stamp.flow = UInt32(flow) + 1
    stamp.key = number &* 0x9E37_79B9_7F4A_7C15 | 1
    stamp.kind = UInt32(isTCP ? StampKind.tcp.rawValue : StampKind.udp.rawValue)
    stamp.header_words = isTCP ? 13 : 7
    stamp.length = payload + (isTCP ? 52 : 28)
    if isTCP {
      stamp.sequence = sequences[flow]
      sequences[flow] &+= payload
    }
    var time = time
    var stamps: [(place: Int, stamp: lp_stamp)] = []
    for (place, name) in Generate.hooks.enumerated() {
      if place == lost { break }
      time += 1_000 + random(3_000) + (random(100) == 0 ? random(250_000) : 0)
      stamp.time_ns = time
      stamp.hook = HookPoint(name: name)?.rawValue ?? 0
      if isTCP, name == "rxg1" {
        stamp.kind = UInt32(StampKind.tcpRange.rawValue)
        stamp.key = 0
        stamp.header_words = 0
        stamp.length = payload
      }
      stamps.append((place, stamp))
    }
    return stamps
  }
}
