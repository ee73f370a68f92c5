// SPDX-License-Identifier: GPL-2.0-or-later
import Foundation
import Recording
import Testing
import VirtualLab

extension IntegrationSuites {
  /// `tap --calibrate` on a veth pair, whose two ends are joined as ports are by a cable.
  @Suite struct CalibrationTests {
    private let bed: Testbed

    init() throws {
      bed = try Testbed()
      try bed.run("ip", "-n", bed.a, "link", "add", "p0", "type", "veth", "peer", "name", "p1")
      for port in ["p0", "p1"] { try bed.run("ip", "-n", bed.a, "link", "set", port, "up") }
    }

    /// Calibrates p0 and p1. Where others' work makes the frames' delays move together, they give no interval, as they
    /// should, and further ones are sent.
    /// - Returns: what the last time said, and how many packets p0 sent in it.
    private func loop(_ frames: Int) throws -> (output: Output, sent: Int) {
      var tries = 0
      while true {
        tries += 1
        let before = try packets("p0", "tx")
        let output = try bed.latprobe(
          "tap", "--netns", bed.a, "--calibrate", "p0", "p1", "--count", "\(frames)", "-o", bed.path("loop"), "--force")
        guard output.errors.contains("give no interval"), tries < 5 else {
          return (output, try packets("p0", "tx") - before)
        }
      }
    }

    private func packets(_ device: String, _ direction: String) throws -> Int {
      let text = try bed.run("ip", "-n", bed.a, "-s", "-j", "link", "show", device)
      let match = try #require(text.firstMatch(of: try Regex("\"\(direction)\":\\{\"bytes\":\\d+,\"packets\":(\\d+)")))
      return Int(match[1].substring ?? "") ?? 0
    }

    @Test func aLoopIsFittedAndApplied() throws {
      let (output, sent) = try loop(299)
      #expect(output.status == 0, "\(output.errors)")
      // The kernel of a new device sends some packets of its own.
      #expect(299...320 ~= sent)
      #expect(output.text.hasPrefix("p0 (kernel) to p1 (kernel): "), "\(output.text)")
      #expect(output.text.contains("asymmetry: ") && output.text.contains("hold for the kernel's path at this load"))
      let found = try Calibration.load(bed.path("loop/calibration.json"))
      #expect(found.ports.map(\.name) == ["p0", "p1"] && found.ports.allSatisfy { $0.driver == "veth" })
      for direction in found.directions {
        #expect(direction.count == 299 && direction.lost == 0 && direction.error == 0 && !direction.isHardware)
        #expect(direction.least > 0 && direction.interval[0] >= direction.least)
        #expect(direction.interval[0] <= direction.constant && direction.constant <= direction.interval[1])
      }

      // On the frames themselves: the raw recording stays, and half of the delays are below zero then.
      let raw = try bed.report("loop")
      let json = try bed.latprobe(
        "report", bed.path("loop"), "--calibration", bed.path("loop/calibration.json"), "--json")
      #expect(json.status == 0, "\(json.errors)")
      let decoder = JSONDecoder()
      decoder.keyDecodingStrategy = .convertFromSnakeCase
      let corrected = try decoder.decode(Report.self, from: Data(json.text.utf8))
      for (direction, constant) in zip(["p0-net-p1", "p1-net-p0"], found.directions.map { Double($0.constant) }) {
        let plain = try raw.segment("wire-out-wire-in", direction)
        #expect(plain.count == 299 && plain.p50Ns == constant)
        #expect(try corrected.segment("wire-out-wire-in", direction).p50Ns == 0)
      }
      let table = try bed.latprobe("report", bed.path("loop"), "--calibration", bed.path("loop/calibration.json"))
      #expect(table.text.contains("Constant  p0-net-p1 wire-out-wire-in: −") && table.text.contains("s in every"))
    }

    @Test func whatCannotBeCalibrated() throws {
      func calibrate(_ arguments: String...) throws -> Output {
        try bed.start(
          [Testbed.latprobe, "tap", "--netns", bed.a, "--calibrate", "--count", "20", "-o", bed.path("x"), "--force"]
            + arguments
        ).wait(limit: 20)
      }
      let unlooped = try calibrate("p0", "eth0")
      #expect(
        unlooped.status == 1 && unlooped.errors.contains("Error: no frame came from p0 to eth0"), "\(unlooped.errors)")
      let software = try calibrate("p0", "p1", "--require-hw")
      #expect(software.status == 1 && software.errors.contains("p0: the device has no hardware time stamps"))
      #expect(try calibrate("p0", "nope").errors.contains("no device 'nope' here"))
      for other in ["p0", "wire-in=p1"] {
        let output = try calibrate("p0", other)
        #expect(output.status == 64 && output.errors.contains("the two devices that a cable joins"), "\(output.errors)")
      }
    }

    @Test func aCalibrationOfOtherPortsIsRefused() throws {
      let (output, _) = try loop(100)
      #expect(output.status == 0, "\(output.errors)")
      let tap = try bed.start([Testbed.latprobe, "tap", "--netns", bed.bridge, "va", "vb", "-o", bed.path("w")])
      try tap.expect("listening on")
      try bed.run("ip", "netns", "exec", bed.a, "ping", "-q", "-c", "10", "-i", "0.01", "10.77.0.2")
      usleep(300_000)
      tap.signal(SIGINT)
      #expect(try tap.wait(limit: 20).status == 0)
      let report = try bed.latprobe("report", bed.path("w"), "--calibration", bed.path("loop/calibration.json"))
      #expect(report.status == 1 && report.errors.contains("so it was not applied"), "\(report.errors)")
      let missing = try bed.latprobe("report", bed.path("w"), "--calibration", bed.path("w/session.json"))
      #expect(missing.status == 1 && missing.errors.contains("session.json"), "\(missing.errors)")
    }
  }
}
