// SPDX-License-Identifier: GPL-2.0-or-later
import Analysis
import Foundation
import Recording
import Testing
import VirtualLab

extension IntegrationSuites {
  /// Hardware time stamps of emulated NICs: whose time stamps are, and what is said where there are none. Nothing here
  /// tells how good a NIC's clock is.
  @Suite struct NICLabTests {
    /// A QEMU whose e1000e stamps every packet; released ones have a driver that is granted stamps which never come.
    private static let stampingQEMU = ProcessInfo.processInfo.environment["LATPROBE_QEMU"]
    private static let reason: Comment = "LATPROBE_QEMU names no QEMU whose NICs stamp packets"

    @Test func grantedAndNotDelivered() throws {
      try NICLab.with(nic: "e1000e") { lab in
        let complaint = "eth0 granted hardware time stamps and delivered none"
        let tap = try lab.tap("eth0 --filter icmp", "t") { try lab.ping(count: 23) }
        #expect(tap.status == 0 && tap.text.contains("warning: \(complaint): its 23 received packets"), "\(tap.text)")
        func state(_ recording: MachineRecording) -> String? { recording.machine.interfaces?.first?.hardware }
        let recorded = try lab.load("t")
        #expect(state(recorded) == "granted and not delivered")
        let both = recorded.wireStamps
        #expect([HookPoint.wireIn, .wireOut].map { hook in both.count { $0.stamp.hook == hook } } == [23, 23])
        let strict = try lab.tap("eth0 --filter icmp --require-hw", "r") { try lab.ping(count: 23) }
        #expect(strict.status == 1 && strict.text.contains("\nError: \(complaint)"), "\(strict.text)")
        let kept = try lab.load("r")
        #expect(kept.wireStamps.count == 23 && kept.wireStamps.allSatisfy { $0.clock == .kernel })
        #expect(kept.machine.hooks.map(\.name) == ["wire-in"] && state(kept) == "granted and not delivered")
        let pair = try lab.listen("pair --proto icmp wire-in=eth0 --require-hw --filter icmp", "q") {
          try lab.ping(count: 11)
        }
        #expect(pair.status == 1 && pair.text.contains("Error: \(complaint): its 11 received packets"), "\(pair.text)")
        let unpaired = try lab.load("q")
        #expect(unpaired.machine.ledger.first?.filtered == 11 && state(unpaired) == "granted and not delivered")

        let sent = try lab.latprobe("send 10.77.0.1 --rate 10 --count 11 --timestamps hardware --no-answers", "s")
        #expect(sent.status == 1 && sent.text.contains("\nError: \(complaint) for its 11 packets"), "\(sent.text)")
        let unstamped = try lab.load("s")
        let machine = unstamped.machine
        #expect(state(unstamped) == "granted and not delivered")
        #expect(machine.ledger == [LedgerRow(hook: "wire-out", cpu: 0, seen: 11, emitted: 0, lost: 11)])
        let counters = try #require(machine.interfaces?.first?.driverCounters)
        // One stamp is waited for at a time: the driver gives up, or leaves the next packets out.
        #expect(counters["tx_hwtstamp_skipped", default: 0] + counters["tx_hwtstamp_timeouts", default: 0] > 0)
        #expect(try lab.counters() == counters.mapValues(\.unsigned))
        #expect(try lab.setting() == "tx_type 0 rx_filter 0")
        // Nor does a killed one leave it changed.
        for command in ["tap eth0", "send 10.77.0.1 --timestamps hardware --no-answers"] {
          try lab.run("/usr/bin/latprobe \(command) -o /var/tmp/k --force >/tmp/k.log 2>&1 & echo $! >/tmp/k.pid")
          let isSet = "hwstamp_ctl -i eth0 | grep -Eq '(tx_type|rx_filter) [1-9]'"
          try lab.lab.host.wait(for: isSet, limit: 60)
          try lab.run("kill -KILL $(cat /tmp/k.pid)")
          try lab.lab.host.wait(for: "! \(isSet)", limit: 10)
        }
      }
    }

    @Test func virtioHasNoHardwareStamps() throws {
      try NICLab.with(nic: "virtio-net-pci", cpus: 2) { lab in
        try lab.expectChangesOfTheMachine()
        try lab.expectStampsOfALateProcessor()
        let tap = try lab.latprobe("tap eth0 --require-hw --duration 1s", "t")
        #expect(tap.status == 1 && tap.text.split(separator: "\n").count == 1, "\(tap.text)")
        #expect(tap.text.hasPrefix("Error: eth0: the device has no hardware time stamps ("), "\(tap.text)")
        try lab.expectDepartureTimes(packets: 97)
      }
    }

    /// The NIC's clock is 1 000 s ahead, so that nobody can take another one's time for its.
    @Test(.enabled(if: stampingQEMU != nil, reason)) func e1000eStampsEveryPacket() throws {
      try NICLab.with(nic: "e1000e", loop: true, qemu: Self.stampingQEMU) { lab in
        try lab.repeated { try lab.expectConstantsOfTwoClocks(frames: 53) }
        try lab.run("phc_ctl eth0 adj 1000")
        try lab.run("hwstamp_ctl -i eth0 -t 0 -r 12")
        try lab.fixNeighbours()
        try lab.forwardToDummy()
        try lab.repeated { try lab.expectPathAcrossClocks(packets: 53) }
        try lab.repeated { try lab.expectSentAndReceived(packets: 53) }
        try lab.repeated { try lab.expectStampsWhileTheDriverHasThePacket(packets: 23) }
        try lab.repeated { try lab.expectPairsOfAMirrorPort(echoes: 23) }
        try lab.repeated { try lab.expectRoundTrips(packets: 23) }
        #expect(try lab.setting() == "tx_type 0 rx_filter 12")
      }
    }

    @Test func igbStampsWhatItSends() throws {
      try NICLab.with(nic: "igb") { lab in
        let refusal = "eth0: the device refused hardware time stamps of all received packets (its driver stamps PTP"
        let strict = try lab.latprobe("tap eth0 --require-hw --duration 1s", "r")
        #expect(strict.status == 1 && strict.text.split(separator: "\n").count == 1, "\(strict.text)")
        #expect(strict.text.hasPrefix("Error: \(refusal)"), "\(strict.text)")
        let tap = try lab.tap("eth0 --filter icmp", "t") { try lab.ping(count: 23) }
        #expect(tap.status == 0 && tap.text.contains("warning: \(refusal)"), "\(tap.text)")
        #expect(try lab.load("t").wireStamps.allSatisfy { $0.clock == .kernel })

        try lab.run("phc_ctl eth0 adj 1000")
        try lab.repeated {
          let sent = try lab.latprobe("send 10.77.0.1 --rate 50 --count 211 --timestamps hardware --no-answers", "s")
          #expect(sent.status == 0, "\(sent.text)")
          let recording = try lab.load("s")
          let row = try #require(recording.machine.ledger.first)
          #expect(row.seen == 211 && row.lost == 211 - row.emitted, "\(sent.text)")
          #expect(recording.wireStamps.count == row.emitted.value)
          #expect(recording.wireStamps.allSatisfy { $0.clock == .hardware })
          try lab.expectAhead(recording, seconds: 1000)
          try need(row.emitted >= 209, sent.text)
        }
        try lab.repeated { try lab.expectOneWayDelaysOfADisciplinedClock() }
        #expect(try lab.setting() == "tx_type 0 rx_filter 0")
      }
    }
  }
}

/// A booted machine with one NIC, and this machine at the other end of the cable.
final class NICLab {
  let lab: VirtualLab
  private let scratch: URL
  private var recordings = 0

  init(nic: String, cpus: Int = 1, loop: Bool = false, qemu: String? = nil) throws {
    scratch = FileManager.default.temporaryDirectory.appendingPathComponent("latprobe-nic-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: scratch, withIntermediateDirectories: true)
    let tree = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
      .deletingLastPathComponent().path
    var options = LabOptions(tree: tree, latprobe: Testbed.latprobe)
    options.programs += try ["phc_ctl", "hwstamp_ctl", "phc2sys"].map(Testbed.program) + ["ethtool"]
    options.qemu = qemu ?? options.qemu
    let scenario = try Scenario.parse(
      """
      format: 1
      name: nic
      summary: a machine with one NIC
      host: {kernel: "6.12", cpus: \(cpus), memory: 512, nic: \(nic), loop: \(loop)}
      recording: {topology: host-nic}
      workload: []
      """, file: "test")
    lab = try VirtualLab(scenario, options)
  }

  deinit { try? FileManager.default.removeItem(at: scratch) }

  /// As ``LabRun/with(_:_:)``.
  static func with(
    nic: String, cpus: Int = 1, loop: Bool = false, qemu: String? = nil, _ body: (NICLab) throws -> Void
  ) throws {
    try VirtualLab.again(onRetry: { print("lab: beginning again, because \($0)") }) {
      try body(NICLab(nic: nic, cpus: cpus, loop: loop, qemu: qemu))
    }
  }

  /// Emulation stalls now and then: what it may have spoilt is measured again, twice at most. What must hold in any case
  /// is asked with `#expect`.
  func repeated(_ measure: () throws -> Void) throws {
    for _ in 1...2 {
      do { return try measure() } catch let error as Unmet { print("lab: measuring again, because \(error)") }
    }
    try measure()
  }

  @discardableResult
  func run(_ line: String) throws -> String { try lab.host.run(line) }

  /// Ten echo requests a second from outside.
  func ping(_ address: String = "10.77.0.2", count: Int) throws {
    _ = try lab.startOutside(["ping", "-q", "-i", "0.1", "-c", "\(count)", address]).wait(limit: 60)
  }

  /// Runs `latprobe tap` while `body` runs.
  func tap(_ arguments: String, _ name: String, _ body: () throws -> Void) throws -> (status: Int32, text: String) {
    try listen("tap \(arguments)", name, body)
  }

  /// Runs a command of latprobe that listens while `body` runs.
  func listen(
    _ command: String, _ name: String, _ body: () throws -> Void
  ) throws -> (status: Int32, text: String) {
    let log = "/tmp/\(name).log"
    let tap = "/usr/bin/latprobe \(command) -o /var/tmp/\(name) --force"
    try run("rm -f \(log).status")
    try run("{ \(tap) & echo $! >\(log).pid; wait $!; echo $? >\(log).status; } >\(log) 2>&1 &")
    try lab.host.wait(
      for: "[ -s \(log).status ] || grep -Eq '^(listening|pairing) on|^(recording|sending) ' \(log)", limit: 60)
    try body()
    usleep(300_000)
    try run("kill -TERM $(cat \(log).pid)")
    try lab.host.wait(for: "[ -s \(log).status ]", limit: 60)
    return (try #require(Int32(try run("cat \(log).status").prefix { $0.isNumber })), try run("cat \(log)"))
  }

  /// Runs latprobe, which records into a folder of that name.
  func latprobe(_ arguments: String, _ name: String) throws -> (status: Int32, text: String) {
    let (status, output) = try lab.host.attempt("latprobe \(arguments) -o /var/tmp/\(name) --force 2>&1", limit: 60)
    return (status, String(decoding: output, as: UTF8.self))
  }

  func load(_ name: String) throws -> MachineRecording {
    let here = scratch.appendingPathComponent(name).path
    try? FileManager.default.removeItem(atPath: here)
    try lab.host.fetch("/var/tmp/\(name)", into: here)
    let session = try RecordedSession.load(paths: [here])
    #expect(session.damage == [])
    return try session.only()
  }

  /// As hwstamp_ctl shows it.
  func setting() throws -> String {
    let text = try run("hwstamp_ctl -i eth0")
    return text.split(separator: "\n").dropFirst().joined(separator: " ")
  }

  /// As ethtool counts since the boot.
  func counters() throws -> [String: UInt64] {
    let text = try run("ethtool -S eth0")
    let pairs = text.matches(of: /([a-z_]*tstamp[a-z_]*): ([0-9]+)/).compactMap { match in
      UInt64(match.2).map { (String(match.1), $0) }
    }
    return Dictionary(pairs, uniquingKeysWith: { $1 })
  }

  /// One register holds the time of a received packet until it is read: no ARP may come right before another one.
  func fixNeighbours() throws {
    try run(
      "ip neighbour replace 10.77.0.1 lladdr $(ip neighbour show 10.77.0.1 | cut -d' ' -f5) dev eth0 nud permanent")
    try lab.runOutside("ip neighbour replace 10.77.0.2 lladdr 52:54:00:77:00:02 dev nic0 nud permanent")
  }

  /// What comes in for 10.77.1.2 goes out by a second device.
  func forwardToDummy() throws {
    for line in [
      "ip link set dummy0 up", "ip address add 10.77.1.1/24 dev dummy0",
      "ip neighbour add 10.77.1.2 lladdr 02:00:00:00:00:02 dev dummy0", "sysctl -qw net.ipv4.ip_forward=1",
    ] {
      try run(line)
    }
    try lab.runOutside("ip route add 10.77.1.0/24 via 10.77.0.2")
  }

  /// Two more ports that a cable joins, each with a clock of its own, 500 s apart: the time through the cable by both.
  func expectConstantsOfTwoClocks(frames: Int) throws {
    for (port, ahead) in [("eth1", 1500), ("eth2", 2000)] {
      try run("ip link set \(port) addrgenmode none up")
      try run("phc_ctl \(port) adj \(ahead)")
    }
    for port in ["eth1", "eth2"] { try lab.host.wait(for: "grep -q up /sys/class/net/\(port)/operstate", limit: 30) }
    let output = try latprobe("tap --calibrate eth1 eth2 --require-hw --count \(frames)", "loop")
    #expect(output.status == 0, "\(output.text)")
    let recording = try load("loop")
    #expect(Set(recording.clockCrosses.map(\.device)).count == 2)
    let found = try Calibration.load(scratch.appendingPathComponent("loop/calibration.json").path)
    #expect(Set(found.ports.map(\.hardwareClock)).count == 2)
    for direction in found.directions {
      #expect(direction.isHardware && direction.error > 0, "\(direction)")
      #expect(direction.interval[0] <= direction.constant && direction.constant <= direction.interval[1])
      #expect(direction.constant >= -direction.error && direction.constant < 10_000_000, "\(direction)")
      try need(direction.count * 10 >= frames * 9, "\(direction)")
    }
  }

  /// In by the NIC's clock, out by the kernel's: the report brings them together.
  func expectPathAcrossClocks(packets: Int) throws {
    var offsets: [Offset] = []
    let tap = try tap("eth0 dummy0 --filter icmp", "p") {
      let ping = try lab.startOutside(["ping", "-q", "-i", "0.1", "-c", "\(packets)", "10.77.1.2"])
      for _ in 0..<5 {
        usleep(800_000)
        offsets.append(try Offset(try run("phc_ctl eth0 cmp")))
      }
      _ = try ping.wait(limit: 60)
    }
    #expect(tap.status == 0, "\(tap.text)")
    let recording = try load("p")
    let (entered, left) = (
      recording.wireStamps.filter { $0.stamp.hook == .wireIn && $0.interface == 0 },
      recording.wireStamps.filter { $0.stamp.hook == .wireOut && $0.interface == 1 }
    )
    #expect(entered.count == packets && left.count == packets, "\(tap.text)")
    let stamped = try expectHardware(entered)
    #expect(left.allSatisfy { $0.clock == .kernel })
    let times = Dictionary(left.map { ($0.stamp.key, $0.at) }, uniquingKeysWith: { $1 })
    for stamp in entered where stamp.clock == .hardware {
      let ahead = stamp.at - (try #require(times[stamp.stamp.key]))
      #expect(abs(ahead - 1_000_000_000_000) < 10_000_000_000, "\(ahead)")
    }
    let session = try RecordedSession.load(paths: [scratch.appendingPathComponent("p").path])
    let result = try analyse(session: session.session, recordings: session.machines)
    let segment = try #require(result.segments.first { $0.name == "wire-in-wire-out" }, "\(result.warnings)")
    #expect(segment.count == stamped, "\(result.warnings)")
    let summary = try #require(segment.summary)
    #expect(summary.min >= -segment.errorBound && summary.min < 10_000_000, "\(summary) ± \(segment.errorBound)")
    try expectAgreement(recording, offsets)
  }

  /// Every packet has a hardware stamp, but for one that came right behind another, when emulation had stalled: the
  /// NIC's register for the time of a packet is one deep.
  private func expectHardware(_ stamps: [WireStamp]) throws -> Int {
    let times = stamps.map { $0.clock == .hardware ? $0.at - 1_000_000_000_000 : $0.at }
    let order = stamps.indices.sorted { times[$0] < times[$1] }
    #expect(stamps[order[0]].clock == .hardware)
    for (before, index) in zip(order, order.dropFirst()) where stamps[index].clock != .hardware {
      #expect(times[index] - times[before] < 20_000_000, "\(stamps[index])")
    }
    let stamped = stamps.count { $0.clock == .hardware && $0.device == 0 }
    try need(stamped * 10 >= stamps.count * 9, "\(stamped) of \(stamps.count)")
    return stamped
  }

  /// linuxptp's reading of the two clocks, and the recording's at the same time.
  ///
  /// phc_ctl takes the best of nine readings of the same kind and does not say how long it took: a reading that was
  /// interrupted may be off.
  private func expectAgreement(_ recording: MachineRecording, _ offsets: [Offset]) throws {
    let crosses = recording.clockCrosses
    let differences = try offsets.map { offset -> (distance: Int64, allowance: Int64) in
      let after = try #require(crosses.firstIndex { $0.time >= offset.at })
      let (a, b) = (crosses[max(0, after - 1)], crosses[after])
      let (first, second) = (a.deviceTime - a.realtime, b.deviceTime - b.realtime)
      let share = a.time == b.time ? 0 : Double(Int64(offset.at) - Int64(a.time)) / Double(b.time - a.time)
      let here = first + Int64(Double(second - first) * share)
      // Both readings' windows, and what the clocks drifted meanwhile: phc_ctl says when to the millisecond.
      return (abs(here - offset.ahead), Int64(max(a.window, b.window)) + abs(second - first))
    }
    #expect(differences.count { $0.distance <= $0.allowance } * 2 > differences.count, "\(differences)")
    #expect(differences.allSatisfy { $0.distance < 1_000_000 }, "\(differences)")
  }

  /// A tap and a sender on one device do not disturb each other: every packet has its hardware stamp both ways.
  func expectSentAndReceived(packets: Int) throws {
    // Nobody there would be told by packets that come in.
    let sink =
      "import socket, time; s = socket.socket(type=socket.SOCK_DGRAM); s.bind(('10.77.0.1', 862)); time.sleep(60)"
    let receiver = try lab.startOutside(["python3", "-c", sink])
    defer { receiver.signal(SIGTERM) }
    var sent: (status: Int32, text: String)?
    let received = try tap("eth0 --require-hw --filter icmp", "i") {
      let ping = try lab.startOutside(["ping", "-q", "-i", "0.1", "-c", "\(packets)", "10.77.0.2"])
      sent = try latprobe("send 10.77.0.1 --rate 10 --count \(packets) --timestamps hardware --no-answers", "s")
      _ = try ping.wait(limit: 60)
    }
    #expect(sent?.status == 0, "\(sent?.text ?? "")")
    let (incoming, outgoing) = (try load("i"), try load("s"))
    #expect(incoming.wireStamps.count == packets, "\(received.text)")
    let stamped = try expectHardware(incoming.wireStamps)
    #expect(received.status == (stamped == packets ? 0 : 1), "\(received.text)")
    #expect(outgoing.wireStamps.allSatisfy { $0.clock == .hardware })
    for recording in [incoming, outgoing] { try expectAhead(recording, seconds: 1000) }
    let count = outgoing.wireStamps.count
    #expect(outgoing.machine.ledger.first?.lost == Count(packets - count))
    try need(count == packets, sent?.text ?? "")
  }

  /// Requests and answers of others both come in: they are paired by the NIC's clock, which is 1 000 s ahead.
  func expectPairsOfAMirrorPort(echoes: Int) throws {
    let script = Testbed.fixture("mirrored_echoes.py")
    let pair = try listen("pair --proto icmp wire-in=eth0 --require-hw --filter icmp", "m") {
      let mirror = try lab.startOutside(["python3", script, "nic0", "\(echoes)", "50"])
      #expect(try mirror.wait(limit: 60).status == 0)
    }
    let recording = try load("m")
    let row = try #require(recording.machine.ledger.first)
    #expect(row.hook == "wire-in" && row.seen == Count(2 * echoes) && row.lost == 0, "\(pair.text)")
    #expect(recording.machine.interfaces?.first?.clocks == ["hardware": row.emitted], "\(pair.text)")
    #expect(pair.status == (row.emitted == row.seen ? 0 : 1), "\(pair.text)")
    let now = (Int64(try run("date +%s").prefix { $0.isNumber }) ?? 0) * 1_000_000_000
    for found in recording.pairs {
      #expect(abs(found.end - now - 1_000_000_000_000) < 60_000_000_000, "\(found)")
      #expect(found.end - found.start > 40_000_000, "\(found)")
    }
    try need(recording.pairs.count * 10 >= echoes * 9, pair.text)
  }

  /// The same packets at the hook points of the kernel: the NIC stamps each after the driver has got it and before the
  /// driver gives it back.
  func expectStampsWhileTheDriverHasThePacket(packets: Int) throws {
    let hooks = try lab.startRecording(
      ["--topology", "host-nic", "--dev", "eth0", "--filter", "udp dst port 862"], in: "/var/tmp/k")
    usleep(500_000)
    let sent = try latprobe("send 10.77.0.1 --rate 10 --count \(packets) --timestamps hardware --no-answers", "w")
    usleep(500_000)
    try hooks.stop()
    let (kernel, wire) = (try load("k"), try load("w"))
    var times: [UInt64: [HookPoint: Int64]] = [:]
    for stamp in kernel.stamps { times[stamp.key, default: [:]][stamp.hook] = Int64(stamp.time) }
    let sample = try #require(wire.clockSamples.first)
    var compared = 0
    for stamp in wire.wireStamps where stamp.clock == .hardware {
      let cross = try #require(wire.clockCrosses.min { abs($0.deviceTime - stamp.at) < abs($1.deviceTime - stamp.at) })
      let time = stamp.at - cross.deviceTime + cross.realtime - sample.realtime + Int64(sample.monotonic)
      let hooks = try #require(
        times[stamp.stamp.key],
        "\(kernel.stamps.count) stamps, \(kernel.machine.ledger), \(kernel.machine.changes ?? [])")
      guard let taken = hooks[.txh1], let released = hooks[.txh2] else { continue }
      compared += 1
      // The clocks' readings are good to a microsecond.
      #expect(taken - 5_000 <= time && time <= released + 5_000, "\(time - taken) \(released - time)")
    }
    try need(compared * 10 >= packets * 9, "\(compared) of \(packets): \(sent.text)")
  }

  /// How far the stamps are ahead of CLOCK_REALTIME, by when they were read.
  func expectAhead(_ recording: MachineRecording, seconds: Int64) throws {
    let sample = try #require(recording.clockSamples.first)
    for stamp in recording.wireStamps where stamp.clock == .hardware {
      let read = sample.realtime + Int64(stamp.stamp.time) - Int64(sample.monotonic)
      #expect(abs(stamp.at - read - seconds * 1_000_000_000) < 10_000_000_000)
    }
  }
}

/// `phc_ctl[TIME]: offset from CLOCK_REALTIME is -Nns`: by how much the device's clock is behind, and when.
private struct Offset {
  /// Nanoseconds of CLOCK_MONOTONIC.
  var at: UInt64
  var ahead: Int64

  init(_ text: String) throws {
    let match = try #require(
      text.firstMatch(of: /phc_ctl\[([0-9]+)\.([0-9]{3})\].* is (?:approximately )?(-?[0-9]+)ns/))
    let (seconds, milliseconds) = (try #require(UInt64(match.1)), try #require(UInt64(match.2)))
    at = seconds * 1_000_000_000 + milliseconds * 1_000_000
    ahead = -(try #require(Int64(match.3)))
  }
}
