// SPDX-License-Identifier: GPL-2.0-or-later
import Analysis
import Foundation
import Recording
import Testing

@testable import Reporting

/// PDV and IPDV in every output.
@Suite struct VariationTests {
  /// Round trips of a sender: 100 ns and now and then 300 ns.
  private func result(count: Int = 1_000, bad: Int = 0, error: Int64 = 0) -> SessionResult {
    var segment = Synthetic.segment(
      .wireIn, .wireOut, direction: "stamp", neighbour: false, delays: Synthetic.spread(count: count, bad: bad))
    segment.name = "round-trip"
    segment.isNumbered = true
    segment.errorBound = error
    segment.successive = Column(zip(segment.delays, segment.delays.dropFirst()).map { $1 - $0 })
    segment.successiveVariation = SuccessiveVariation(segment.successive)
    return Synthetic.session([segment])
  }

  private func check(_ text: String, _ result: SessionResult) throws -> GateCheck {
    let report = Gate.check(result, policy: Policy(requirements: [try Requirement(parsing: text)]))
    return try #require(report.runs.first?.checks.first)
  }

  @Test func gates() throws {
    let run = result(count: 10_000, bad: 50)
    for (text, verdict, measured) in [
      ("stamp/round-trip pdv p99 < 100ns", Verdict.pass, 0.0), ("round-trip pdv p50 > 1ns", .fail, 0),
      ("round-trip pdv p99.9 < 100ns", .fail, 200), ("round-trip pdv max <= 200ns", .pass, 200),
      ("round-trip p99 < 100ns", .fail, 100), ("round-trip ipdv min >= -200ns", .pass, -200),
      ("round-trip ipdv max < 200ns", .fail, 200), ("round-trip ipdv p50 <= 0ns", .pass, 0),
      ("round-trip ipdv-abs p95 < 100ns", .pass, 0), ("round-trip ipdv-abs p99.9 < 100ns", .fail, 200),
      ("round-trip pdv mean < 2ns", .pass, 1), ("round-trip ipdv p99.99 > -1us", .pass, 200),
    ] {
      let check = try check(text, run)
      #expect(check.verdict == verdict && check.measured == measured, "\(text): \(check)")
      #expect(check.count == (text.contains("ipdv") ? 9_999 : 10_000))
    }
  }

  /// A difference of two delays may be off by both their errors.
  @Test func theClocksErrorCountsTwice() throws {
    let run = result(error: 60)
    #expect(try check("round-trip p99 < 1us", run).verdict == .pass)
    #expect(try check("round-trip pdv p99 < 1us", run).reason?.hasPrefix("the clock error ±120 ns is more") == true)
    #expect(try check("round-trip ipdv p1 > -1us", run).verdict == .invalid)
    #expect(try check("round-trip ipdv p99 < 2us", run).verdict == .pass)
  }

  @Test func withoutNumbersIPDVIsInvalid() throws {
    let run = Synthetic.session([Synthetic.segment(.txg2, .txh0, delays: [1, 2, 3])])
    let none = try check("txg2-txh0 ipdv p50 < 1us", run)
    #expect(none.verdict == .invalid && none.reason?.contains("in succession") == true && none.count == 0)
    #expect(try check("txg2-txh0 pdv max < 1us", run).verdict == .pass)
    let empty = try check("txg2-txh0 pdv p50 < 1us", Synthetic.session([Synthetic.segment(.txg2, .txh0, delays: [])]))
    #expect(empty.verdict == .invalid && empty.reason?.hasPrefix("no samples") == true)
  }

  @Test func theTableHasABlockForASender() throws {
    let text = Report.table(result(bad: 20))
    let lines = text.split(separator: "\n").map(String.init)
    let header = try #require(lines.first { $0.contains("PDV p99.9") }, "\(text)")
    #expect(lines.allSatisfy { $0.count <= 100 })
    let row = try #require(lines.drop { $0 != header }.dropFirst().first)
    let cells = row.split(separator: " ").filter { $0 != "ns" }
    #expect(
      cells.count == 8 && cells.first == "round-trip" && cells.suffix(4) == ["-200", "0", "200", "200"], "\(row)")
    #expect(!Report.table(Synthetic.demo()).contains("PDV"))
  }

  @Test func jsonAndCSV() throws {
    let json = try #require(
      JSONSerialization.jsonObject(with: Data(Report.json(result(bad: 20, error: 3)).text.utf8)) as? [String: Any])
    let segment = try #require((json["segments"] as? [[String: Any]])?.first)
    let pdv = try #require(segment["pdv"] as? [String: Any])
    let ipdv = try #require(segment["ipdv"] as? [String: Any])
    #expect(pdv["min_ns"] as? Int == 0 && pdv["max_ns"] as? Int == 200 && pdv["error_ns"] as? Int == 6)
    #expect(ipdv["count"] as? Int == 999 && ipdv["min_ns"] as? Int == -200 && ipdv["abs_p99_ns"] as? Int == 200)
    let names = Report.variationColumns
    let cells = Report.variationCells(try #require(result(bad: 20).segments.first))
    let row = Dictionary(uniqueKeysWithValues: zip(names, cells))
    #expect(names.count == cells.count && row["pdv_p50_ns"] == 0 && row["pdv_p99_9_ns"] == 200)
    #expect(row["ipdv_count"] == 999 && row["ipdv_min_ns"] == -200 && row["ipdv_abs_p99_ns"] == 200)
  }
}
