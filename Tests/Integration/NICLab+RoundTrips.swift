// SPDX-License-Identifier: GPL-2.0-or-later
import Foundation
import Recording
import Testing
import VirtualLab

extension NICLab {
  /// Packets that are answered, sent and received by the NIC's clock.
  func expectRoundTrips(packets: Int) throws {
    let reflector = try lab.startOutside([Testbed.latprobe, "reflect", "--stateful"])
    defer { reflector.signal(SIGTERM) }
    try reflector.expect("reflecting on ")
    let sent = try latprobe("send 10.77.0.1 --rate 10 --count \(packets) --timestamps hardware", "v")
    #expect(sent.status == 0 && sent.text.contains("round trip by hardware time: p50 "), "\(sent.text)")
    let recording = try load("v")
    var trips: [UInt32: [UInt16: RecordedPair]] = [:]
    for pair in recording.pairs {
      if let number = pair.number { trips[number, default: [:]][pair.name] = pair }
    }
    for pairs in trips.values {
      let (whole, rest, intended) = (try #require(pairs[0]), try #require(pairs[1]), try #require(pairs[2]))
      let length = whole.end - whole.start
      // The NIC is between the program that sends and the reflector.
      #expect(rest.end - rest.start < length && 0 < rest.end - rest.start, "\(length) \(rest)")
      #expect(length <= intended.end - intended.start, "\(length) \(intended)")
    }
    let tally = recording.machine.pairing?.protocols.first { $0.name == "stamp" }
    #expect(
      tally?.counts["paired"]?.value == trips.count && tally?.counts["requests"]?.value == packets, "\(sent.text)")
    try need(trips.count * 10 >= packets * 9, sent.text)
  }

  /// phc2sys disciplines CLOCK_REALTIME by the NIC's clock, so that the kernel says S = 1: one-way delays have an error.
  func expectOneWayDelaysOfADisciplinedClock() throws {
    func start(_ command: String, _ name: String) throws {
      try run("{ \(command) & echo $! >/tmp/\(name).pid; wait $!; } >/tmp/\(name).log 2>&1 &")
    }
    try start("phc2sys -s eth0 -c CLOCK_REALTIME -O 0 -R 4 -m -l 6", "phc2sys")
    defer { for name in ["phc2sys", "reflect"] { _ = try? run("kill $(cat /tmp/\(name).pid)") } }
    try lab.host.wait(for: "grep -q ' s[12] ' /tmp/phc2sys.log", limit: 30)
    try start("latprobe reflect --listen 127.0.0.1", "reflect")
    try lab.host.wait(for: "grep -q '^reflecting' /tmp/reflect.log", limit: 30)
    let sent = try latprobe("send 127.0.0.1 --rate 20 --count 23 --timestamps kernel", "o")
    #expect(sent.status == 0)
    try need(sent.text.contains("(S = 1), and off by +-"), sent.text)
    let pairing = try #require(try load("o").machine.pairing)
    let errors = pairing.names.compactMap(\.error)
    #expect(pairing.names.suffix(2).map(\.name) == ["one-way-forward", "one-way-backward"])
    // maxerror grows by 500 ppm since the last update, twice.
    #expect(errors.count == 2 && errors.allSatisfy { 0 < $0 && $0 < 20_000_000 }, "\(errors)")
    let recording = try load("o")
    #expect(recording.pairs.count { $0.name == 4 } == 23 && recording.pairs.count { $0.name == 5 } == 23)
    #expect(recording.pairs.allSatisfy { $0.end - $0.start >= -(errors.first ?? 0) })
  }
}
