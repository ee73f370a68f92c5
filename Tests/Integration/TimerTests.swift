// SPDX-License-Identifier: GPL-2.0-or-later
import Analysis
import Foundation
import Glibc
import Recording
import Testing
import VirtualLab

extension IntegrationSuites {
  /// `latprobe timer`, and its recording as others read it.
  @Suite struct TimerTests {
    private let bed: Testbed

    init() throws { bed = try Testbed() }

    @Test func aRecordingLikeAnyOther() throws {
      let output = try bed.latprobe(
        "timer", "--samples", "200", "--interval", "200us", "--load", "idle,io", "--io-dir", bed.path(""), "-o",
        bed.path("t"))
      #expect(output.status == 0, "\(output.errors)")
      #expect(output.errors.contains("io: hybrid sleeps end "), "\(output.errors)")
      let recorded = try RecordedSession.load(paths: [bed.path("t")])
      #expect(recorded.damage == [])
      let result = try analyse(session: recorded.session, recordings: recorded.machines)
      for load in ["idle", "io"] {
        let costs = result.segments.filter { $0.direction == "timer-cost-\(load)" }
        #expect(costs.count == 8 && costs.contains { $0.name == "rdtsc" || $0.name == "cntvct" })
        #expect(costs.allSatisfy { $0.count == 2000 }, "\(costs.map { ($0.name, $0.count) })")
        let misses = result.segments.filter { $0.direction == "timer-miss-\(load)" }
        #expect(misses.map(\.name) == ["clock-nanosleep", "nanosleep-slack-1ns", "hybrid"])
        #expect(misses.allSatisfy { $0.count == 200 && ($0.summary?.min ?? -1) >= 0 })
        // The table says the same: median and maximum of one of them.
        let lines = output.text.split(separator: "\n")
        let start = try #require(lines.firstIndex(of: "timer-miss-\(load)"))
        let row = lines[start...].first { $0.contains("clock-nanosleep") }
        #expect(row?.split(separator: " ").dropFirst().first == "200", "\(output.text)")
      }
      #expect(try bed.latprobe("gate", bed.path("t"), "--require", "timer-miss-idle/hybrid p50 < 1s").status == 0)
      #expect(try bed.latprobe("gate", bed.path("t"), "--require", "timer-miss-idle/hybrid min > 1s").status == 2)
      let report = try bed.latprobe("report", bed.path("t"), "-o", bed.path("report"))
      #expect(report.status == 0, "\(report.errors)")
      #expect(FileManager.default.fileExists(atPath: bed.path("report/plots/ccdf-timer-miss-idle.png")))
    }

    /// What was measured before Ctrl-C is kept.
    @Test func interrupted() throws {
      let command = try bed.start([
        Testbed.latprobe, "timer", "--samples", "100000", "--load", "idle", "-o", bed.path("t"),
      ])
      // The clocks are read by then, and the sleeps take minutes.
      usleep(8_000_000)
      command.signal(SIGINT)
      let output = try command.wait(limit: 20)
      #expect(output.status == 0, "\(output.errors)")
      let machine = try #require(RecordedSession.load(paths: [bed.path("t")]).machines.first)
      #expect(machine.machine.stoppedBy == "SIGINT" && machine.pairs.count > 800_000)
    }

    @Test func wrongChoices() throws {
      for (arguments, exit, words) in [
        (["--load", "heavy"], 64, "no load 'heavy'; there are idle, cpu, io"),
        (["--fifo", "100"], 64, "--fifo takes a priority from 1 to 99"),
        (["--samples", "1"], 64, "takes a number from 2"), (["--force"], 64, "go with -o"),
        (["--io-dir", "/nowhere"], 1, "/nowhere: no file for the I/O load there"),
      ] as [([String], Int32, String)] {
        let output = try bed.start([Testbed.latprobe, "timer", "--samples", "2"] + arguments).wait(limit: 20)
        #expect(output.status == exit && output.errors.contains(words), "\(arguments): \(output)")
      }
    }
  }
}
