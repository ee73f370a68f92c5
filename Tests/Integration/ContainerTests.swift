// SPDX-License-Identifier: GPL-2.0-or-later
import Foundation
import Testing
import VirtualLab

extension IntegrationSuites {
  /// A container with a published port, seen from outside: `a` is the container, `br` its host with NAT, `b` the outside.
  @Suite struct ContainerTests {
    /// The state that crun keeps of a running container; gone when released.
    private final class Container {
      let name: String
      private let folder: String

      init(_ bed: Testbed) throws {
        name = bed.a
        folder = "/run/crun/\(bed.a)"
        let process = try bed.start(in: bed.a, "sh", "-c", "echo $$ >'\(bed.path("pid"))'; echo ready; exec sleep 60")
        try process.expect("ready")
        let pid = try String(contentsOfFile: bed.path("pid"), encoding: .utf8).filter(\.isNumber)
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        try "{\"pid\": \(pid), \"bundle\": \"/\"}".write(toFile: "\(folder)/status", atomically: true, encoding: .utf8)
      }

      deinit { try? FileManager.default.removeItem(atPath: folder) }
    }

    private func publishing() throws -> Testbed {
      let bed = try Testbed(routed: true)
      let rules = """
        table ip nat {
          chain prerouting {
            type nat hook prerouting priority dstnat
            tcp dport 8080 dnat to 10.77.1.1:5201
          }
          chain postrouting {
            type nat hook postrouting priority srcnat
            oifname "vb" masquerade
          }
        }
        """
      try rules.write(toFile: bed.path("nat.nft"), atomically: true, encoding: .utf8)
      try bed.run("ip", "netns", "exec", bed.bridge, "nft", "-f", bed.path("nat.nft"))
      try bed.run("ip", "netns", "exec", bed.b, "ping", "-c", "1", "-W", "5", "10.77.1.1")
      return bed
    }

    @Test func aPublishedPortIsFollowedFromTheNICToTheApplication() throws {
      let bed = try publishing()
      let container = try Container(bed)
      let server = try bed.start(in: bed.a, "iperf3", "-s", "-p", "5201", "--forceflush")
      try server.expect("Server listening")
      let recording = try bed.start(
        in: bed.bridge, Testbed.latprobe, "record", "--container", container.name, "--dev", "vb", "-o", bed.path("r"))
      try recording.expect("recording ")
      usleep(300_000)
      try bed.run(
        "ip", "netns", "exec", bed.b, "iperf3", "-c", "10.77.2.254", "-p", "8080", "-t", "1", "-b", "20M", "-l", "8K")
      usleep(1_200_000)
      try bed.finish(recording)
      #expect(recording.errors.contains("container \(container.name) (crun): process "), "\(recording.errors)")
      // Its process may not be looked at once privileges are given up, and is there all the same.
      #expect(!recording.errors.contains("lost its name"), "\(recording.errors)")
      #expect(recording.errors.contains("eth0 ↔ va") && recording.errors.contains("outside by vb"))
      #expect(recording.errors.contains("--no-nat"))
      let report = try bed.report("r")
      // 20 Mbit/s in writes of 8 KiB: about 300 in a second.
      for (name, direction) in [("rxh0-rxg1", "rx"), ("rxh0-rxh1", "rx"), ("txg1-txh1", "tx")] {
        let segment = try report.segment(name, direction)
        #expect(segment.count > 250 && segment.lost == 0 && segment.unmatched == 0, "\(segment)")
      }
    }

    @Test func whatCannotBeFollowedIsSaid() throws {
      let bed = try publishing()
      let container = try Container(bed)
      let record = ["ip", "netns", "exec", bed.bridge, Testbed.latprobe, "record", "-o", bed.path("r")]
      for (arguments, exit, words) in [
        (["--container", "no-such"], 1, ["no container 'no-such' runs; there are", container.name]),
        (["--container", container.name], 1, ["no default route", "--dev", "--topology veth"]),
        (["--container", container.name, "--dev", "none0"], 1, ["none0", "--dev"]),
        (["--container", container.name, "--side", "host"], 64, ["--container", "--side"]),
        (["--topology", "container"], 1, ["--container"]),
      ] as [([String], Int32, [String])] {
        let output = try bed.start(record + arguments).wait(limit: 20)
        let line = output.errors.split(separator: "\n").last.map(String.init) ?? ""
        #expect(output.status == exit && line.hasPrefix("Error: "), "\(output)")
        for word in words { #expect(line.contains(word), "\(line)") }
      }
    }
  }
}
