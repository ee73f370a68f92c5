// SPDX-License-Identifier: GPL-2.0-or-later
import Foundation
import Recording
import Testing
import VirtualLab

extension IntegrationSuites {
  /// The host of a guest whose device QEMU serves: a script in QEMU's place writes the tap.
  @Suite struct TapTests {
    private static let script = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
      .deletingLastPathComponent().appendingPathComponent("Fixtures/tap_frames.py").path

    /// A tap `tap0` on the testbed's bridge; `va` plays the NIC.
    private func testbed() throws -> Testbed {
      let bed = try Testbed()
      try bed.run("ip", "-n", bed.bridge, "tuntap", "add", "tap0", "mode", "tap")
      try bed.run("ip", "-n", bed.bridge, "link", "set", "tap0", "master", "br0", "up")
      return bed
    }

    @Test func framesFromAndToATapPassTheHostsHookPoints() throws {
      let bed = try testbed()
      let recording = try bed.start([
        Testbed.latprobe, "record", "--topology", "kvm-user", "--side", "host", "--netns", bed.bridge, "--dev", "va",
        "--filter", "udp port 5001", "-o", bed.path("r"),
      ])
      try recording.expect("recording ")
      // Broadcast, so that no neighbour has to be known.
      try bed.run("ip", "netns", "exec", bed.bridge, "python3", TapTests.script, "tap0", "23", limit: 20)
      try bed.finish(recording)
      let machine = try bed.load("r").only()
      func stamps(_ hook: HookPoint) -> [Stamp] { machine.stamps.filter { $0.hook == hook } }
      #expect(stamps(.txh0).count == 23 && stamps(.txh1).map(\.key) == stamps(.txh0).map(\.key))
      #expect(zip(stamps(.txh0), stamps(.txh1)).allSatisfy { $0.time <= $1.time && $0.length == 36 && $1.length == 36 })
      // A broadcast goes to all ports of the bridge but its own.
      #expect(stamps(.rxh1).isEmpty)
      let absent = machine.machine.hooks.first { $0.name == "txh2" }
      #expect(absent?.attachedAs == nil && absent?.absentBecause?.contains("va") == true)
    }

    @Test func theSideMustBeNamedAndTheTapMustExist() throws {
      let bed = try testbed()
      for (arguments, text) in [
        ([], "--side host or --side guest"), (["--side", "host", "--tap", "tap7", "--dev", "va"], "no device 'tap7'"),
        (["--side", "host", "--netns", bed.bridge], "Name it with --dev"),
        (["--side", "guest", "--tap", "tap0"], "--tap is for the host"),
      ] {
        let output = try bed.start(
          [Testbed.latprobe, "record", "--topology", "kvm-vhost", "-o", bed.path("x")] + arguments
        )
        .wait()
        #expect(output.status == 1 && output.errors.contains(text), "\(output.errors)")
      }
    }
  }
}
