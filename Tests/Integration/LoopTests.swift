// SPDX-License-Identifier: GPL-2.0-or-later
import Foundation
import Testing
import VirtualLab

extension IntegrationSuites {
  /// One forged packet makes no two programs answer each other for ever.
  @Suite struct LoopTests {
    private let bed: Testbed
    private static let script = Testbed.fixture("odd_reflector.py")

    init() throws { bed = try Testbed() }

    private func reflect(in namespace: String, _ address: String, _ more: String...) throws -> Command {
      let reflector = try bed.start(
        [Testbed.latprobe, "reflect", "--netns", namespace, "--listen", "\(address):5000"] + more)
      try reflector.expect("reflecting on ")
      return reflector
    }

    private func forge(_ size: Int, from source: String) throws {
      try bed.run(
        "ip", "netns", "exec", bed.a, "/usr/bin/python3", LoopTests.script, "forge", source, "10.77.0.2:5000", "\(size)"
      )
    }

    /// The last line: packets, and of them answered.
    private func counts(_ reflector: Command) throws -> (received: Int, answered: Int, text: String) {
      reflector.signal(SIGINT)
      let output = try reflector.wait(limit: 10)
      let match = try #require(output.errors.firstMatch(of: /([0-9]+) packets, ([0-9]+) answered/), "\(output.errors)")
      return (Int(match.1) ?? -1, Int(match.2) ?? -1, output.errors)
    }

    @Test(arguments: [(16, false), (44, false), (44, true), (1400, false)])
    func twoReflectors(size: Int, isStateful: Bool) throws {
      let more = isStateful ? ["--stateful"] : ["--rate-limit", "1000000"]
      let first = try reflect(in: bed.a, "10.77.0.1", more[0] + (more.count > 1 ? "=\(more[1])" : ""))
      let second = try reflect(in: bed.b, "10.77.0.2", more[0] + (more.count > 1 ? "=\(more[1])" : ""))
      try forge(size, from: "10.77.0.1:5000")
      usleep(500_000)
      let (one, other) = (try counts(first), try counts(second))
      #expect(other.received == 1 && other.answered == 1, "\(other.text)")
      #expect(one.received == 1 && one.answered == 0 && one.text.contains("1 answers themselves"), "\(one.text)")
    }

    /// Whatever a service makes of an answer, it gets no more than a few dozen.
    @Test(arguments: ["zero", "echo", "count", "chargen", "port"])
    func otherServices(kind: String) throws {
      let service = try bed.start(in: bed.a, "/usr/bin/python3", LoopTests.script, kind, "10.77.0.1", "6000")
      try service.expect("ready")
      let reflector = try reflect(in: bed.b, "10.77.0.2")
      try forge(44, from: "10.77.0.1:6000")
      usleep(1_500_000)
      let (received, answered, text) = try counts(reflector)
      #expect(received >= 2 && received == answered + 1, "\(text)")
      #expect(answered < (kind == "port" ? 300 : 100), "\(text)")
      // A sender from the same address is answered as ever.
      let next = try bed.reflect()
      let output = try bed.latprobe(
        "send", "10.77.0.2", "--netns", bed.a, "--timestamps", "kernel", "--rate", "500", "--count", "97", "-o",
        bed.path("s"))
      #expect(output.status == 0 && output.errors.contains("97 of 97 answered"), "\(output.errors)")
      next.signal(SIGINT)
      _ = try next.wait(limit: 10)
    }
  }
}
