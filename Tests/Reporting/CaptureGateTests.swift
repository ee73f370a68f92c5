// SPDX-License-Identifier: GPL-2.0-or-later
import Analysis
import Recording
import Testing

@testable import Reporting

/// What a gate and a report say of recordings of capture files.
@Suite struct CaptureGateTests {
  private func session(
    resolution: String = "10^-9 s", packets: [String: Int] = [:], change: (inout SessionResult) -> Void = { _ in }
  ) -> SessionResult {
    var segment = Synthetic.segment(.wireIn, .wireOut, delays: Synthetic.spread(count: 1_000, bad: 0))
    segment.name = "dns"
    var result = Synthetic.session([segment])
    let interface = Capture.Interface(
      number: 0, name: nil, hook: "wire-in", linkType: 1, snapLength: 0, resolution: resolution, timeSource: "file",
      packets: 2_000, stamps: 0, drops: nil)
    result.machines[0].captures = [
      Capture(file: "a.pcap", format: "pcap", interfaces: [interface], skipped: [:], error: nil)
    ]
    result.machines[0].pairing = PairingAccount(
      names: [], protocols: [PairingAccount.Tally(name: "dns", counts: ["requests": 1_000, "paired": 1_000])],
      packets: packets.merging(["packets": 2_000]) { $1 })
    change(&result)
    return result
  }

  private func check(_ text: String, _ result: SessionResult) throws -> GateCheck {
    let report = Gate.check(result, policy: Policy(requirements: [try Requirement(parsing: text)]))
    return try #require(report.runs.first?.checks.first)
  }

  @Test func aSoundCapturePasses() throws {
    #expect(try check("dns p50 < 1us", session()).verdict == .pass)
    #expect(try check("dns loss < 1%", session()).verdict == .pass)
  }

  @Test func missingPacketsMakeItInvalid() throws {
    let missing = session { $0.hooks[0].ledger.lost = 7 }
    let found = try check("dns p50 < 1us", missing)
    #expect(found.verdict == .invalid && found.reason?.contains("7 packets are missing from the capture") == true)
    #expect(found.remedy?.contains("--sample") == false)
  }

  /// Neither a tap nor pairing at devices has --sample.
  @Test func whatARingDroppedHasNoSampling() throws {
    let dropped = session {
      $0.hooks[0].ledger.lost = 7
      $0.machines[0].captures = nil
      $0.machines[0].interfaces = []
    }
    let found = try check("dns p50 < 1us", dropped)
    #expect(found.verdict == .invalid && found.remedy?.contains("--filter") == true)
    #expect(found.remedy?.contains("--sample") == false)
  }

  @Test func aCoarseUnitMakesItInvalid() throws {
    let coarse = session(resolution: "10^-3 s") { $0.segments[0].errorBound = 1_000_000 }
    let found = try check("dns p50 < 50us", coarse)
    #expect(found.verdict == .invalid && found.remedy?.contains("time-stamp-precision=nano") == true)
    #expect(try check("dns p50 < 10ms", coarse).verdict == .pass)
  }

  @Test func fragmentsMakeALossInvalidAndNothingElse() throws {
    let fragments = session(packets: ["fragments": 3])
    let found = try check("dns loss < 1%", fragments)
    #expect(found.verdict == .invalid && found.reason?.contains("3 IP fragments") == true)
    #expect(try check("dns p50 < 1us", fragments).verdict == .pass)
  }

  @Test func aTornCaptureIsNoFullDisk() throws {
    let torn = session {
      $0.machines[0].stoppedBy = "error"
      $0.machines[0].captures?[0].error = "a.pcap: byte 99: ends within a record"
    }
    let found = try check("dns p50 < 1us", torn)
    #expect(found.verdict == .invalid && found.reason?.contains("a.pcap: byte 99") == true)
    #expect(found.remedy?.contains("disk") == false)
    let full = try check("dns p50 < 1us", session { $0.machines[0].stoppedBy = "disk full" })
    #expect(full.verdict == .invalid && full.remedy == "make room on the disk and record again")
    let other = try check("dns p50 < 1us", session { $0.machines[0].stoppedBy = "error" })
    #expect(other.verdict == .invalid && other.remedy?.contains("disk") == false)
  }

  @Test func theReportTellsOfOddPackets() {
    let plain = Report.table(session())
    #expect(!plain.contains("of 2000 packets"))
    let text = Report.table(session(resolution: "10^-6 s", packets: ["fragments": 3, "truncated": 2, "not_ip": 9]))
    let unread = Report.leftOut(["not_ip": 9, "link_type_127": 5, "malformed": 0])
    #expect(unread == "not ip 9 (link type 127 is not read: 5)")
    #expect(text.contains("of 2000 packets: not ip 9, fragments 3, truncated 2"), "\(text)")
    #expect(text.contains("the unit of the captures' times"))
  }
}
