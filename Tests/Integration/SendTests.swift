// SPDX-License-Identifier: GPL-2.0-or-later
import Foundation
import Recording
import Testing
import VirtualLab

extension IntegrationSuites {
  /// `latprobe send` on a veth pair, whose driver stamps by CLOCK_REALTIME.
  @Suite struct SendTests {
    private let bed: Testbed

    init() throws { bed = try Testbed() }

    private func send(_ name: String, _ arguments: String..., to host: String = "10.77.0.2") throws -> Output {
      try Command(
        [Testbed.latprobe, "send", host, "--netns", bed.a, "--no-answers", "-o", bed.path(name)] + arguments,
        in: bed.folder
      ).wait(limit: 30)
    }

    private func load(_ name: String) throws -> MachineRecording {
      let session = try bed.load(name)
      #expect(session.damage == [])
      return try session.only()
    }

    /// The packet is copied for taps before the driver gets it, and veth's driver stamps what it gets.
    @Test func theDriverStampsAfterTheTap() throws {
      let dump = try bed.dump(in: bed.a, "eth0", "udp dst port 862")
      let hooks = try bed.start([
        Testbed.latprobe, "record", "--topology", "host-nic", "--netns", bed.a, "--dev", "eth0", "--filter",
        "udp dst port 862", "-o", bed.path("h"),
      ])
      try hooks.expect("recording ")
      usleep(300_000)
      let output = try send("s", "--rate", "100", "--count", "97", "--timestamps", "kernel", "--size", "100")
      #expect(output.status == 0 && output.errors.contains("eth0: 97 packets sent, time stamps 97 by kernel\n"))
      usleep(1_500_000)
      try bed.finish(hooks)
      let captured = try dump.finish().packets
      let machine = try load("s")

      #expect(machine.machine.ledger == [LedgerRow(hook: "wire-out", cpu: 0, seen: 97, emitted: 97)])
      #expect(machine.machine.stoppedBy == "count" && machine.machine.interfaces?.first?.hardware == "not asked for")
      let stamps = machine.wireStamps
      #expect(stamps.count == 97 && stamps.allSatisfy { $0.clock == .kernel && $0.stamp.hook == .wireOut })
      #expect(stamps.allSatisfy { $0.stamp.length == 128 })
      // The same packets as in the capture and at the hook points.
      let times = Dictionary(captured.map { ($0.key, $0.time) }, uniquingKeysWith: { first, _ in first })
      #expect(times.count == 97 && Set(stamps.map(\.stamp.key)) == Set(times.keys))
      let handed = try load("h").stamps.filter { $0.hook == .txh1 }
      #expect(Set(handed.map(\.key)) == Set(times.keys))
      let gaps = stamps.compactMap { stamp in times[stamp.stamp.key].map { stamp.at - $0 } }.sorted()
      #expect(gaps[0] >= 0 && gaps[48] < 1_000_000, "\(gaps)")
      // Packet n is due n · 10 ms after the first, however late some of them were.
      let late = stamps.map(\.at).sorted().enumerated().map { $1 - Int64($0) * 10_000_000 }.sorted()
      #expect(late[48] - late[0] < 5_000_000, "\(late)")

      let tshark = try bed.run(
        "tshark", "-r", dump.path, "-d", "udp.port==862,twamp.test", "-T", "fields", "-e", "twamp.test.seq_number")
      #expect(tshark.split(separator: "\n").compactMap { Int($0) } == Array(0..<97))
    }

    /// The time before the send call, of the very packets.
    @Test func theProgramsOwnTime() throws {
      let dump = try bed.dump(in: bed.a, "eth0", "udp dst port 4862")
      let output = try send(
        "u", "--rate", "200", "--count", "100", "--timestamps", "user", to: "10.77.0.2:4862")
      #expect(output.status == 0, "\(output.errors)")
      usleep(1_500_000)
      let times = Dictionary(try dump.finish().packets.map { ($0.key, $0.time) }, uniquingKeysWith: { $1 })
      let machine = try load("u")
      #expect(machine.wireStamps.count == 100)
      for stamp in machine.wireStamps {
        #expect(stamp.clock == .reader && stamp.at <= times[stamp.stamp.key] ?? 0)
      }
    }

    /// It ends in time, and says what it did not send.
    @Test func aRateThatCannotBeKept() throws {
      let output = try send("r", "--rate", "1000000", "--duration", "300ms", "--timestamps", "kernel")
      #expect(output.status == 0)
      let match = try #require(
        output.errors.firstMatch(of: /warning: ([0-9]+) packets that were due/), "\(output.errors)")
      let machine = try load("r")
      let seen = try #require(machine.machine.ledger.first).seen.value
      #expect(machine.machine.stoppedBy == "duration" && seen + (Int(match.1) ?? 0) == 300_000, "\(output.errors)")
      let length = try #require(machine.machine.stoppedAt) - machine.machine.startedAt
      #expect(length < 3_000_000_000)
    }

    /// Every fourth packet is dropped before the driver: its stamp never comes.
    @Test func whatIsDroppedIsInTheLedger() throws {
      // The last byte of the sequence number, behind 8 bytes of UDP header.
      let rules = """
        table netdev t {
          chain c {
            type filter hook egress device "eth0" priority 0;
            udp dport 862 @th,88,8 & 3 == 3 drop
          }
        }

        """
      try rules.write(toFile: bed.path("drop.nft"), atomically: true, encoding: .utf8)
      try bed.run("ip", "netns", "exec", bed.a, "nft", "-f", bed.path("drop.nft"))
      let output = try send("l", "--rate", "500", "--count", "200", "--timestamps", "kernel")
      #expect(output.status == 0)
      #expect(output.errors.contains("warning: 50 of 200 packets have no time stamp: they were dropped"))
      let machine = try load("l")
      #expect(machine.machine.ledger == [LedgerRow(hook: "wire-out", cpu: 0, seen: 200, emitted: 150, lost: 50)])
      #expect(machine.wireStamps.count == 150 && machine.discardedByCPU[0] == 50)
    }

    @Test func whatCannotBeHadIsToldInOneLine() throws {
      for (arguments, text) in [
        (["--timestamps", "hardware"], "Error: eth0: the device has no hardware time stamps ("),
        (["--size", "1473"], "Error: 1473 bytes and their headers do not fit into a packet of eth0: give --size less"),
      ] {
        let output = try Command(
          [Testbed.latprobe, "send", "10.77.0.2", "--netns", bed.a, "--count", "1", "-o", bed.path("x")] + arguments,
          in: bed.folder
        ).wait(limit: 20)
        let lines = output.errors.split(separator: "\n").filter { $0.hasPrefix("Error") }
        #expect(output.status == 1 && lines.count == 1 && lines[0].hasPrefix(text), "\(output.errors)")
        #expect(!FileManager.default.fileExists(atPath: bed.path("x")))
      }
      let nowhere = try send("n", "--count", "1", to: "203.0.113.1")
      #expect(
        nowhere.status == 1 && nowhere.errors.hasPrefix("Error: no way to 203.0.113.1:862: "), "\(nowhere.errors)")
      #expect(!FileManager.default.fileExists(atPath: bed.path("n")))
      for arguments in [["[10.77.0.2"], ["10.77.0.2:0"], ["10.77.0.2", "--rate", "0"], ["10.77.0.2", "--size", "15"]] {
        let output = try Command([Testbed.latprobe, "send", "-o", bed.path("y")] + arguments, in: bed.folder).wait()
        #expect(output.status == 64, "\(output.errors)")
      }
      let fallen = try send("f", "--count", "5", to: "[fd77::2]:4862")
      // Of a device without a hardware clock nobody expects its time.
      #expect(fallen.status == 0 && !fallen.errors.contains("hardware"), "\(fallen.errors)")
      #expect(try load("f").wireStamps.map(\.clock) == Array(repeating: .kernel, count: 5))
    }
  }
}
