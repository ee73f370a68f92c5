// SPDX-License-Identifier: GPL-2.0-or-later
import Foundation
import Recording
import Testing
import VirtualLab

extension IntegrationSuites {
  /// However a recording ends, what it has can be read, and is not taken for more than it is.
  @Suite(.serialized) struct RobustnessTests {
    /// Bytes on disk below a folder, as `du` counts them.
    private func size(_ path: String, _ bed: Testbed) throws -> Int {
      try #require(Int(bed.run("du", "-s", "-B1", path).prefix { $0.isNumber }))
    }

    /// Bytes of the files in `ctf`, which `--max-size` bounds.
    private func streamBytes(_ path: String) -> Int {
      let files = FileManager.default.subpaths(atPath: path) ?? []
      return files.filter { $0.contains("/ctf/") }.reduce(0) { sum, file in
        let attributes = try? FileManager.default.attributesOfItem(atPath: "\(path)/\(file)")
        return sum + ((attributes?[.size] as? Int) ?? 0)
      }
    }

    /// Kills a recording in full traffic; babeltrace2 reads what `repair` leaves, with the counts that latprobe gives.
    @Test func killedRecordingsAreReadable() throws {
      let bed = try Testbed()
      let recording = try bed.record("r")
      let flood = try bed.startFlood(seconds: 60)
      let end = Date().addingTimeInterval(60)
      while try size(bed.path("r"), bed) < 3 << 20, Date() < end { usleep(20_000) }
      recording.signal(SIGKILL)
      _ = try recording.wait(limit: 5)
      flood.signal(SIGKILL)
      let report = try bed.report("r")
      #expect(report.warnings.contains { $0.contains("cut off") }, "\(report.warnings)")
      #expect(report.recording.byType["stamp"] ?? 0 > 5000, "\(report.recording)")
      let segment = try report.segment("txg1-txg2")
      #expect(segment.count > 1000 && segment.lost == 0, "\(segment)")
      let gate = try bed.latprobe("gate", bed.path("r"), "--require", "txg1-txg2 p50 < 1s")
      #expect(gate.status == 3 && gate.text.contains("INVALID") && gate.text.contains("cut off"), "\(gate)")
      #expect(try bed.latprobe("repair", bed.path("r")).status == 0)
      let babeltrace = try bed.attempt("babeltrace2", bed.path("r"))
      #expect(babeltrace.status == 0, "\(babeltrace.errors)")
      let lines = babeltrace.text.split(separator: "\n").count
      #expect(UInt64(lines) == report.recording.eventsTotal)
      #expect(try bed.report("r").recording.eventsTotal == report.recording.eventsTotal)
      #expect(try bed.latprobe("repair", bed.path("r")).errors.contains("nothing to repair"))
    }

    @Test func aFullDiskEndsTheRunAndKeepsWhatThereIs() throws {
      let bed = try Testbed()
      let disk = bed.path("disk")
      try FileManager.default.createDirectory(atPath: disk, withIntermediateDirectories: true)
      try bed.run("mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", disk)
      defer { _ = try? bed.attempt("umount", disk) }
      let recording = try bed.record("disk/r", "--duration", "8s")
      let flood = try bed.startFlood(seconds: 8)
      let output = try recording.wait(limit: 10)
      flood.signal(SIGKILL)
      #expect(output.status == 1)
      let last = output.errors.split(separator: "\n").last ?? ""
      #expect(
        last.hasPrefix("Error: ") && last.contains(disk) && last.lowercased().contains("no space"), "\(output.errors)")
      let machine = try bed.load("disk/r").only()
      #expect(machine.machine.stoppedBy == "disk full" && machine.machine.stoppedAt != nil)
      #expect(machine.stamps.count > 5000)
      let report = try bed.report("disk/r")
      #expect(report.recording.byType["stamp"] ?? 0 > 5000)
      #expect(report.warnings.contains { $0.contains("disk full") }, "\(report.warnings)")
      let gate = try bed.latprobe("gate", bed.path("disk/r"), "--require", "txg1-txg2 p50 < 1s")
      #expect(gate.status == 3 && gate.text.contains("INVALID"), "\(gate)")
    }

    @Test func theBoundOnDiskHolds() throws {
      let bed = try Testbed()
      let bound = 4 << 20
      let recording = try bed.record("r", "--max-size", "4M")
      let flood = try bed.startFlood(seconds: 90)
      var largest = 0
      // sockperf takes a while to begin; then a second is some ten times the bound, on a machine that is idle.
      var end = Date().addingTimeInterval(60)
      while case let rest = end.timeIntervalSinceNow, rest > 0 {
        largest = max(largest, streamBytes(bed.path("r")))
        if largest > bound / 2, rest > 5 { end = Date().addingTimeInterval(5) }
        usleep(2000)
      }
      flood.signal(SIGKILL)
      try bed.finish(recording)
      largest = max(largest, streamBytes(bed.path("r")))
      #expect(largest <= bound && largest > bound / 4, "\(largest)")
      let machine = try bed.load("r").only()
      #expect(machine.machine.rotation.deletedStreams > 0 && machine.machine.rotation.deletedEvents > 1000)
      // Every stamp is on disk or was deleted and counted.
      let emitted = machine.machine.ledger.sum(\.emitted)
      let kept = machine.eventsByType.values.sum()
      #expect(kept < emitted && kept + machine.machine.rotation.deletedEvents >= emitted)
      #expect(try bed.report("r").warnings.contains { $0.contains("rotation deleted") })
    }

    @Test func whatIsThereIsNotOverwrittenUnlessForced() throws {
      let bed = try Testbed()
      #expect(try bed.record("r", "--duration", "300ms").wait(limit: 10).status == 0)
      let first = try bed.load("r").session.id
      let again = [
        Testbed.latprobe, "record", "--netns", bed.a, "--netns", bed.b, "-o", bed.path("r"), "--duration", "300ms",
      ]
      let refused = try bed.start(again).wait(limit: 10)
      #expect(refused.status == 1 && refused.errors.contains(bed.path("r")) && refused.errors.contains("--force"))
      #expect(try bed.load("r").session.id == first)
      #expect(try bed.start(again + ["--force"]).wait(limit: 10).status == 0)
      #expect(try bed.load("r").session.id != first)
      // Somebody's own files are no recording to replace.
      let own = bed.path("own")
      try FileManager.default.createDirectory(atPath: own, withIntermediateDirectories: true)
      try Data("mine".utf8).write(to: URL(fileURLWithPath: "\(own)/thesis.txt"))
      for force in [[], ["--force"]] {
        let output = try bed.start(Array(again.prefix(7)) + [own, "--duration", "300ms"] + force).wait(limit: 10)
        #expect(output.status == 1 && output.errors.contains(own), "\(output)")
        #expect(FileManager.default.contents(atPath: "\(own)/thesis.txt") == Data("mine".utf8))
      }
    }

    /// A recording at work is not replaced; one that is there does not go for arguments that cannot be kept.
    @Test func forceKeepsWhatItCannotReplace() throws {
      let bed = try Testbed()
      let recording = try bed.record("r")
      let again = [
        Testbed.latprobe, "record", "--netns", bed.a, "--netns", bed.b, "-o", bed.path("r"), "--duration", "300ms",
        "--force",
      ]
      let refused = try bed.start(again).wait(limit: 10)
      #expect(
        refused.status == 1 && refused.errors.contains("another latprobe is starting or recording there"), "\(refused)")
      let table = try bed.latprobe("report", bed.path("r"), "-o", bed.path("out"))
      #expect(table.text.contains("still being recorded") && !table.text.contains("cut off"), "\(table)")
      let gate = try bed.latprobe("gate", bed.path("r"), "--require", "* loss < 1%")
      #expect(gate.status == 3 && !gate.text.contains("cut off"), "\(gate)")
      try bed.finish(recording)
      let session = try bed.load("r")
      #expect(try session.only().damage.isEmpty)
      let tooSmall = try bed.start(again + ["--max-size", "10k"]).wait(limit: 10)
      #expect(tooSmall.status == 64 && tooSmall.errors.contains("--max-size takes 80k or more"), "\(tooSmall)")
      #expect(try bed.load("r").session == session.session)
    }

    /// A disk without room for the start: the next one finds nothing in its way.
    @Test func aFailedStartLeavesNothing() throws {
      let bed = try Testbed()
      let disk = bed.path("disk")
      try FileManager.default.createDirectory(atPath: disk, withIntermediateDirectories: true)
      try bed.run("mount", "-t", "tmpfs", "-o", "size=60k", "tmpfs", disk)
      defer { _ = try? bed.attempt("umount", disk) }
      for _ in 0..<2 {
        let output = try bed.start([
          Testbed.latprobe, "record", "--netns", bed.a, "--netns", bed.b, "-o", "\(disk)/r", "--duration", "300ms",
        ]).wait(limit: 10)
        #expect(output.status == 1 && output.errors.contains("no room for a recording"), "\(output)")
        #expect(!FileManager.default.fileExists(atPath: "\(disk)/r"))
      }
    }

    @Test(arguments: [(SIGTERM, "SIGTERM"), (SIGINT, "SIGINT")]) func signalsEndARecordingInOrder(
      _ number: Int32, _ name: String
    ) throws {
      let bed = try Testbed()
      let recording = try bed.record("r")
      let flood = try bed.startFlood(seconds: 60)
      let end = Date().addingTimeInterval(60)
      while try size(bed.path("r"), bed) < 3 << 20, Date() < end { usleep(20_000) }
      defer { flood.signal(SIGKILL) }
      recording.signal(number)
      let output = try recording.wait(limit: 5)
      #expect(output.status == 0 && output.errors.contains("stopped by \(name)"), "\(output)")
      let machine = try bed.load("r").only()
      #expect(machine.machine.stoppedBy == name && machine.damage.isEmpty)
      // All that the hooks handed over is on disk.
      let emitted = machine.machine.ledger.sum(\.emitted)
      #expect(emitted > 10_000 && Count(machine.stamps.count) == emitted)
    }

    @Test func aCountEndsTheRecording() throws {
      let bed = try Testbed()
      try bed.startPingPongServer()
      let recording = try bed.record("r", "--count", "499")
      try bed.pingPong()
      let output = try recording.wait(limit: 5)
      #expect(output.status == 0 && output.errors.contains("stopped by count"), "\(output)")
      let most = try bed.report("r").hooks.map(\.emitted).max() ?? 0
      #expect(most >= 499)
      #expect(try bed.load("r").only().machine.stoppedBy == "count")
    }

    @Test func aDurationEndsTheRecording() throws {
      let bed = try Testbed()
      let output = try bed.record("r", "--duration", "1s").wait(limit: 10)
      #expect(output.status == 0 && output.errors.contains("stopped by duration"), "\(output)")
      let machine = try bed.load("r").only().machine
      let time = Double(try #require(machine.stoppedAt) - machine.startedAt) / 1e9
      // The last round may have to wait for a processor.
      #expect(time >= 1 && time < 10, "\(time) s")
    }
  }
}
