// SPDX-License-Identifier: GPL-2.0-or-later
import Analysis
import Foundation
import Recording
import Testing

@testable import Reporting

@Suite struct ClockReportTests {
  /// A segment from a guest to its host with an error of 700 ns, 300 independent delays of 100 µs.
  func session() -> SessionResult {
    var segment = Synthetic.segment(.txg2, .txh0, delays: [Int64](repeating: 100_000, count: 300))
    segment.errorBound = 700
    var result = Synthetic.session([segment])
    result.clockMethod = "tsc"
    result.clockError = 700
    var clock = GuestClock(guest: "guest-a", host: Synthetic.machine)
    clock.method = "tsc"
    clock.error = 700
    clock.driftPPM = -1.25
    clock.samples = 23
    clock.packetsAllow = (-41_000, nil)
    var used = GuestClock.Method(name: "tsc")
    used.error = 700
    used.samples = 23
    var other = GuestClock.Method(name: "ptp_kvm")
    other.error = 900
    other.disagreement = 43
    other.allowance = 1_600
    var failed = GuestClock.Method(name: "exchange")
    failed.failure = "no messages were exchanged: record with --guest"
    clock.methods = [used, other, failed]
    result.clocks = [clock]
    return result
  }

  func guest() -> Guest {
    var guest = Guest(pid: 4_242, name: "web")
    guest.backend = "vhost-net"
    guest.taps = ["tap0"]
    guest.threads = [
      Guest.Thread(kind: "vcpu", id: 4_250, name: "CPU 0/KVM", vcpu: 0, cpus: "2", policy: "SCHED_FIFO", priority: 50),
      Guest.Thread(kind: "vhost", id: 4_251, name: "vhost-4242", cpus: "0-3", policy: "SCHED_OTHER", priority: 0),
      Guest.Thread(kind: "other", id: 4_252, name: "worker", cpus: "0-3", policy: "SCHED_OTHER", priority: 0),
    ]
    return guest
  }

  @Test func theTableTellsMethodErrorAndWhatOtherMethodsSay() {
    let text = Report.table(session()).split(separator: "\n").map { $0.trimmingCharacters(in: .whitespaces) }
      .joined(separator: " ")
    #expect(
      text.contains(
        "Clock     guest-a aligned with \(Synthetic.machine) by tsc, error at most ±700 ns, drift -1.250 ppm, 23 samples, "
          + "ptp_kvm differs by 43 ns of ±1.60 µs allowed"), "\(text)")
    var result = session()
    result.clockMethod = nil
    var lost = GuestClock(guest: "guest-b", host: Synthetic.machine)
    lost.method = nil
    result.clocks.append(lost)
    #expect(Report.table(result).contains("guest-b is not aligned with \(Synthetic.machine)"))
  }

  @Test func theTableTellsWhereTheThreadsOfAGuestRun() {
    var result = session()
    result.machines[0].guests = [guest()]
    let text = Report.table(result).split(separator: "\n").map { $0.trimmingCharacters(in: .whitespaces) }
      .joined(separator: " ")
    #expect(
      text.contains(
        "Guest     web (process 4242), vhost-net, tap0: vCPU 0 on CPU 2 SCHED_FIFO 50, vhost-4242 on CPU 0-3 SCHED_OTHER Clock"
      ),
      "\(text)")
  }

  @Test func jsonKeepsEveryMethod() throws {
    var result = session()
    result.machines[0].guests = [guest()]
    result.clockFaults = ["a fault"]
    let data = Data(Report.json(result).text.utf8)
    let report = try #require(try JSONSerialization.jsonObject(with: data) as? [String: Any])
    let clock = try #require(report["clock"] as? [String: Any])
    #expect(clock["method"] as? String == "tsc" && clock["error_ns"] as? Int == 700)
    #expect(clock["faults"] as? [String] == ["a fault"])
    let guest = try #require((clock["guests"] as? [[String: Any]])?.first)
    #expect(guest["drift_ppm"] as? Double == -1.25 && guest["samples"] as? Int == 23)
    let allow = try #require(guest["packets_allow_ns"] as? [Any])
    #expect(allow[0] as? Int == -41_000 && allow[1] is NSNull)
    let methods = try #require(guest["methods"] as? [[String: Any]])
    #expect(methods.map { $0["name"] as? String } == ["tsc", "ptp_kvm", "exchange"])
    #expect(methods[1]["disagreement_ns"] as? Int == 43 && methods[1]["allowance_ns"] as? Int == 1_600)
    #expect(methods[2]["error_ns"] is NSNull && methods[2]["failure"] as? String != nil)
    let machine = try #require((report["machines"] as? [[String: Any]])?.first)
    let threads = try #require((machine["guests"] as? [[String: Any]])?.first?["threads"] as? [[String: Any]])
    #expect(threads.map { $0["priority"] as? Int } == [50, 0, 0] && threads[1]["vcpu"] is NSNull)
  }

  @Test func aClockFaultMakesEveryVerdictInvalid() throws {
    let policy = Policy(requirements: [try Requirement(parsing: "txg2-txh0 p50 < 200us")])
    var result = session()
    #expect(Gate.check(result, policy: policy).verdict == .pass)
    result.clockFaults = ["guest-a: the clock alignments by tsc and ptp_kvm differ"]
    let report = Gate.check(result, policy: policy)
    #expect(report.verdict == .invalid)
    #expect(report.runs[0].checks[0].reason?.contains("tsc and ptp_kvm differ") == true)
  }

  @Test func theClockErrorBetweenMachinesCountsAgainstTheThreshold() throws {
    func verdict(_ text: String) throws -> Verdict {
      Gate.check(session(), policy: Policy(requirements: [try Requirement(parsing: text)])).verdict
    }
    // 10 % of 7 µs are 700 ns.
    #expect(try verdict("txg2-txh0 p50 > 7001ns") == .pass)
    #expect(try verdict("txg2-txh0 p50 > 6999ns") == .invalid)
  }
}
