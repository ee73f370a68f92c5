// SPDX-License-Identifier: GPL-2.0-or-later
import Foundation
import Glibc
import Recording
import Testing
import VirtualLab

extension IntegrationSuites {
  /// Devices whose packets begin with the IP header.
  @Suite struct TunnelTests {
    private let bed: Testbed

    /// `t0` is a tun device in `br`; its far end is a script.
    init() throws {
      bed = try Testbed()
      try bed.run("ip", "-n", bed.bridge, "tuntap", "add", "t0", "mode", "tun")
      try bed.run("ip", "-n", bed.bridge, "addr", "add", "10.99.0.1/24", "dev", "t0")
      try bed.run("ip", "-n", bed.bridge, "link", "set", "t0", "up")
    }

    private func start(_ command: String, _ name: String) throws -> Command {
      let started = try bed.start(
        [Testbed.latprobe] + command.split(separator: " ").map(String.init)
          + ["--netns", bed.bridge, "--filter", "icmp and host 10.99.0.2", "-o", bed.path(name), "t0"])
      try started.expect("ing on ")
      return started
    }

    @Test func packetsOfATunAreStampedAndPaired() throws {
      let programs = try [start("tap", "t"), start("pair --proto icmp", "p")]
      usleep(300_000)
      try bed.run(
        "ip", "netns", "exec", bed.bridge, "python3", Testbed.fixture("tun_echoes.py"), "t0", "10.99.0.2", "10.99.0.1",
        "23")
      usleep(300_000)
      for program in programs {
        program.signal(SIGINT)
        let output = try program.wait(limit: 20)
        #expect(output.status == 0, "\(output.errors)")
      }
      let tapped = try bed.load("t").only()
      #expect(tapped.machine.ledger.map(\.emitted) == [23, 23] && tapped.machine.interfaces?.first?.otherFrames == 0)
      // IP header, ICMP header and 8 bytes.
      #expect(tapped.wireStamps.count == 46 && tapped.wireStamps.allSatisfy { $0.stamp.length == 36 })
      #expect(try bed.load("p").only().tally("paired") == 23)
      for option in [["--filter", "icmp"], ["--by", "port"]] {
        let refused = try bed.start([Testbed.latprobe, "report", bed.path("p")] + option).wait(limit: 20)
        #expect(refused.status == 1 && refused.errors.contains("\(option[0]): pairs of requests and answers keep no"))
      }
    }

    @Test func aFilterOfEthernetIsToldAsSuch() throws {
      let output = try bed.latprobe(
        "tap", "--netns", bed.bridge, "t0", "--filter", "ether host 02:00:00:00:00:99", "-o", bed.path("x"))
      #expect(output.status == 1, "\(output.errors)")
      #expect(
        output.errors.hasPrefix("Error: t0 has packets without an Ethernet header: filter 'ether"), "\(output.errors)")
    }

    /// A tun device can be given the type of any other one: IEEE 802.11 with radiotap (803), here.
    @Test func otherFramesAreToldAsSuch() throws {
      try bed.run("ip", "-n", bed.bridge, "link", "set", "t0", "down")
      let script = """
        import fcntl, struct
        tun = open("/dev/net/tun", "r+b", buffering=0)
        fcntl.ioctl(tun, 0x400454CA, struct.pack("16sH22x", b"t0", 0x1001))
        fcntl.ioctl(tun, 0x400454CD, 803)
        """
      try bed.run("ip", "netns", "exec", bed.bridge, "python3", "-c", script)
      for command in [["tap"], ["pair", "--proto", "icmp"]] {
        let output = try bed.start(
          [Testbed.latprobe] + command + ["--netns", bed.bridge, "t0", "-o", bed.path("x")]
        ).wait(limit: 20)
        #expect(output.status == 1, "\(output.errors)")
        #expect(output.errors.hasPrefix("Error: t0: frames of this kind of device cannot be read"), "\(output.errors)")
      }
    }

    @Test func aTunIsNoPortForACalibration() throws {
      let output = try bed.latprobe(
        "tap", "--netns", bed.bridge, "--calibrate", "t0", "va", "-o", bed.path("x"))
      #expect(output.status == 1 && output.errors.contains("Error: t0 has no Ethernet"), "\(output.errors)")
    }
  }
}
