// SPDX-License-Identifier: GPL-2.0-or-later
import Foundation
import VirtualLab

extension Testbed {
  /// Records 20 000 small datagrams from a to b within a second: about 140 stamps a millisecond.
  func recordFlood(_ name: String, _ arguments: String...) throws {
    let server = try start(in: b, "sockperf", "sr", "-i", "10.77.0.2", "-p", "5001")
    try server.expect("using recvfrom")
    let recording = try start(
      [Testbed.latprobe, "record", "--topology", "veth", "--netns", a, "--netns", b, "-o", path(name)] + arguments)
    try recording.expect("recording ")
    usleep(300_000)
    try run(
      "ip", "netns", "exec", a, "sockperf", "tp", "-i", "10.77.0.2", "-p", "5001", "-t", "1", "--mps=20000", "-m", "14")
    try finish(recording)
  }
}
