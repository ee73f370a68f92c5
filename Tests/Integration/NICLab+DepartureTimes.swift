// SPDX-License-Identifier: GPL-2.0-or-later
import Foundation
import Recording
import Testing

extension NICLab {
  /// fq and etf send packets at their times, which they get 200 ms early; etf drops those that come too late.
  func expectDepartureTimes(packets: Int) throws {
    try fixNeighbours()
    func send(_ lead: String) throws -> (status: Int32, text: String, lateness: [Int64], dropped: Int) {
      let sent = try latprobe("send 10.77.0.1 --rate 50 --count \(packets) --txtime \(lead) --no-answers", "d")
      guard sent.status == 0 else { return (sent.status, sent.text, [], 0) }
      let recording = try load("d")
      let counts = recording.machine.pairing?.protocols.first { $0.name == "pacing" }?.counts ?? [:]
      #expect(counts["requests"]?.value == packets)
      let lateness = recording.pairs.filter { $0.name == 3 }.map { $0.end - $0.start }
      return (sent.status, sent.text, lateness, counts["dropped_late", default: 0].value)
    }
    let refused = try send("1ms")
    #expect(
      refused.status == 1 && refused.text.hasPrefix("Error: eth0: its queueing discipline is "), "\(refused.text)")
    try run("tc qdisc replace dev eth0 root fq")
    let paced = try send("200ms")
    #expect(paced.lateness.count == packets && paced.dropped == 0, "\(paced.text)")
    #expect(paced.lateness.allSatisfy { $0 > -10_000 }, "\(paced.lateness)")
    // The last of them leave after the time in which stamps come otherwise.
    let early = try send("1500ms")
    #expect(early.lateness.count == packets && !early.text.contains("warning: "), "\(early.text)")
    #expect(early.lateness.allSatisfy { $0 > -10_000 }, "\(early.lateness)")
    try run("tc qdisc replace dev eth0 root fq flow_limit 5")
    let few = try send("200ms")
    #expect(
      few.lateness.count < packets && few.text.contains("fq at once, which drops those beyond 5: "), "\(few.text)")
    try run("tc qdisc replace dev eth0 root etf clockid CLOCK_TAI delta 50000000")
    // Without hardware it sends as much early; what is later than its time then is dropped.
    let timed = try send("200ms")
    #expect(timed.lateness.count == packets - timed.dropped && timed.dropped < 20, "\(timed.text)")
    #expect(timed.lateness.allSatisfy { $0 > -50_010_000 }, "\(timed.lateness)")
    let late = try send("1us")
    #expect(late.dropped > 0 && late.lateness.count == packets - late.dropped, "\(late.text)")
    #expect(late.text.contains("warning: \(late.dropped) packets were dropped by the device's queue"), "\(late.text)")
  }
}
