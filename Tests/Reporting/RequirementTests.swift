// SPDX-License-Identifier: GPL-2.0-or-later
import Foundation
import Testing

@testable import Reporting

@Suite struct RequirementTests {
  @Test(arguments: [
    ("txg2-txh0 p99 < 200us", "txg2-txh0", Requirement.Metric.quantile(0.99), Requirement.Operator.less, 200_000.0),
    ("txg2-txh0 p99.9<=1.1ms", "txg2-txh0", .quantile(0.999), .lessOrEqual, 1_100_000),
    ("  * p99.999 < 2 s ", "*", .quantile(0.99999), .less, 2e9),
    ("tx?2-* p0.1 >= 100ns", "tx?2-*", .quantile(0.001), .greaterOrEqual, 100),
    ("a-b p50 > 3 µs", "a-b", .quantile(0.5), .greater, 3_000),
    ("a-b mean<5μs", "a-b", .mean, .less, 5_000),
    ("a-b sd < 1us", "a-b", .standardDeviation, .less, 1_000),
    ("a-b mad < 1us", "a-b", .medianAbsoluteDeviation, .less, 1_000),
    ("a-b min >= 0ns", "a-b", .min, .greaterOrEqual, 0),
    ("a-b max < 4.7ms", "a-b", .max, .less, 4_700_000),
    ("a-b loss <= 0.1%", "a-b", .loss, .lessOrEqual, 0.001),
    ("a-b loss < 0.001", "a-b", .loss, .less, 0.001),
    ("a-b count >= 997", "a-b", .count, .greaterOrEqual, 997),
  ])
  func reads(
    _ text: String, _ segment: String, _ metric: Requirement.Metric, _ comparison: Requirement.Operator,
    _ threshold: Double
  ) throws {
    let requirement = try Requirement(parsing: text)
    #expect(requirement.segment == segment)
    #expect(requirement.direction == nil)
    #expect(requirement.metric == metric)
    #expect(requirement.comparison == comparison)
    #expect(requirement.threshold == threshold)
  }

  @Test(arguments: [
    ("stamp/round-trip pdv p99 < 50us", Requirement.Quantity.pdv, Requirement.Metric.quantile(0.99), 50_000.0),
    ("a-b ipdv min > -1.5 ms", .ipdv, .min, -1_500_000), ("a-b ipdv mean<= 3us", .ipdv, .mean, 3_000),
    ("a-b ipdv-abs p99.9 < 2us", .absoluteIPDV, .quantile(0.999), 2_000),
    ("pdv p99 < 1us", .delay, .quantile(0.99), 1_000),
  ])
  func variation(
    _ text: String, _ quantity: Requirement.Quantity, _ metric: Requirement.Metric, _ threshold: Double
  ) throws {
    let requirement = try Requirement(parsing: text)
    #expect(requirement.quantity == quantity && requirement.metric == metric && requirement.threshold == threshold)
    let isNamed = quantity != .delay
    #expect(requirement.metricName == (isNamed ? "\(quantity.rawValue) \(metric.name)" : metric.name))
  }

  @Test func keepsDirectionAndText() throws {
    let requirement = try Requirement(parsing: " east-*/txg2-txh0   p99 <200 us")
    #expect(requirement.direction == "east-*")
    #expect(requirement.segment == "txg2-txh0")
    #expect(requirement.text == "east-*/txg2-txh0 p99 <200 us")
    #expect(requirement.thresholdText == "200 µs")
  }

  @Test(arguments: [
    ("", 1, "expected a segment"),
    ("   ", 4, "expected a segment"),
    ("< 3us", 1, "expected a segment"),
    ("a/b/c p99 < 1us", 1, "expected SEGMENT or DIRECTION/SEGMENT"),
    ("/b p99 < 1us", 1, "expected SEGMENT or DIRECTION/SEGMENT"),
    ("txg2-txh0", 10, "expected a metric"),
    ("txg2-txh0 q99 < 1us", 11, "expected a metric"),
    ("txg2-txh0 p < 1us", 11, "expected a metric"),
    ("txg2-txh0 p9x < 1us", 11, "expected a metric"),
    ("txg2-txh0 pinf < 1us", 11, "expected a metric"),
    ("txg2-txh0 p-5 < 1us", 11, "expected a metric"),
    ("txg2-txh0 p0 < 1us", 11, "expected a percentile between p0 and p100"),
    ("txg2-txh0 p100 < 1us", 11, "expected a percentile between p0 and p100"),
    ("txg2-txh0 p100.5 < 1us", 11, "expected a percentile between p0 and p100"),
    ("txg2-txh0 < 1us", 11, "expected a metric"),
    ("txg2-txh0 p99", 14, "expected <, <=, > or >=, found the end"),
    ("txg2-txh0 p99 200us", 15, "expected <, <=, > or >=, found '2'"),
    ("txg2-txh0 p99 == 200us", 15, "expected <, <=, > or >=, found '=='"),
    ("txg2-txh0 p99 <> 200us", 15, "expected <, <=, > or >=, found '<>'"),
    ("txg2-txh0 p99 =< 200us", 15, "expected <, <=, > or >=, found '=<'"),
    ("txg2-txh0 p99 <", 16, "expected a number, found the end"),
    ("txg2-txh0 p99 < us", 17, "expected a number, found 'u'"),
    ("txg2-txh0 p99 < -3us", 17, "expected a number, found '-'"),
    ("txg2-txh0 p99 < nan", 17, "expected a number, found 'n'"),
    ("txg2-txh0 p99 < 1.2.3us", 17, "expected a number"),
    ("txg2-txh0 p99 < .5us", 17, "expected a number"),
    ("txg2-txh0 p99 < 200", 20, "expected a unit of time"),
    ("txg2-txh0 p99 < 200 %", 21, "expected a unit of time"),
    ("txg2-txh0 p99 < 200min", 20, "expected a unit of time"),
    ("txg2-txh0 p99 < 1e3us", 18, "expected a unit of time"),
    ("txg2-txh0 loss < 3us", 19, "expected % or no unit"),
    ("txg2-txh0 loss < 101%", 18, "a loss lies between 0 and 1"),
    ("txg2-txh0 loss < 1.5", 18, "a loss lies between 0 and 1"),
    ("txg2-txh0 count < 3us", 20, "expected no unit behind a count"),
    ("txg2-txh0 p99 < 200us and more", 23, "expected the end, found 'a'"),
    ("a-b pdv < 1us", 9, "expected a metric"),
    ("a-b delay p99 < 1us", 5, "expected a metric"),
    ("a-b pdv loss < 1%", 9, "expected a metric (p50 … p99.999, mean, sd, mad, min, max), found 'loss'"),
    ("a-b pdv p99 < -1us", 15, "expected a number, found '-'"),
    ("a-b ipdv p99 < --1us", 17, "expected a number, found '-'"),
  ])
  func refuses(_ text: String, _ column: Int, _ message: String) {
    let error = #expect(throws: RequirementError.self) { try Requirement(parsing: text) }
    #expect(error?.column == column)
    #expect(error?.message.hasPrefix(message) == true, "\(error?.message ?? "")")
    #expect(error?.description.contains("\n") == false)
  }

  @Test(arguments: [
    ("*", "", true), ("*", "txg2-txh0", true), ("txg2-*", "txg2-txh0", true), ("*-txh0", "txg2-txh0", true),
    ("t*2-*0", "txg2-txh0", true), ("txg?-txh?", "txg2-txh0", true), ("txg?", "txg", false), ("?", "", false),
    ("txg2-txh0", "txg2-txh1", false), ("*a*b*c", "xxaxxbxxcxxc", true), ("*a*b*c", "xxaxxbxx", false),
    ("**", "x", true), ("[a]", "a", false), (".*", "ab", false), ("", "", true), ("", "a", false),
  ])
  func globs(_ pattern: String, _ name: String, _ matches: Bool) {
    #expect(Requirement.glob(pattern, matches: name) == matches)
  }

  @Test func aPatternOfManyStarsIsQuick() {
    let pattern = String(repeating: "*a", count: 200) + "b"
    #expect(!Requirement.glob(pattern, matches: String(repeating: "a", count: 5_000)))
  }
}

@Suite struct PolicyTests {
  @Test func readsEverything() throws {
    let policy = try Policy(
      yaml: """
        # what we promise
        require:
          - txg2-txh0 p99 < 200us
          - "* loss <= 0.1%"
        alpha: 0.01
        limits:
          ledger_lost: 2
          unmatched: 0.5%
          ambiguous: 0.02
          clock_error: 20 %
        """, name: "policy.yaml")
    #expect(policy.requirements.map(\.text) == ["txg2-txh0 p99 < 200us", "* loss <= 0.1%"])
    #expect(policy.alpha == 0.01)
    #expect(policy.limits.ledgerLost == 2)
    #expect(policy.limits.unmatched == 0.005)
    #expect(policy.limits.ambiguous == 0.02)
    #expect(policy.limits.clockError == 0.2)
  }

  @Test func defaultsAreThoseOfTheDesign() throws {
    let policy = try Policy(yaml: "require: [a-b p50 < 1s]", name: "p")
    #expect(policy.alpha == 0.05)
    #expect(policy.limits.ledgerLost == 0)
    #expect(policy.limits.unmatched == 0.001)
    #expect(policy.limits.ambiguous == 0.01)
    #expect(policy.limits.clockError == 0.1)
  }

  @Test(arguments: [
    ("", "p.yaml:1:1: the file is empty"),
    ("# nothing\n", "p.yaml:1:1: the file is empty"),
    ("- a-b p50 < 1s\n", "p.yaml:1:1: expected a mapping with require, alpha or limits"),
    ("require: a-b p50 < 1s\n", "p.yaml:1:10: expected a list of requirements"),
    ("require: []\n", "p.yaml:1:10: the list is empty"),
    ("alpha: 0.05\nrequired:\n  - a\n", "p.yaml:2:1: unknown key 'required'; did you mean 'require'?"),
    ("require:\n  - a-b p50 < 1s\n  - a-b p99 ! 1s\n", "p.yaml:3:13: expected <, <=, > or >="),
    ("require:\n  - 'a-b p50 < 1x'\n", "p.yaml:2:17: expected a unit of time"),
    ("require:\n  - {a: b}\n", "p.yaml:2:5: expected a requirement as text"),
    ("alpha: 0.5\n", "p.yaml:1:8: alpha: expected a number between 0 and 0.5"),
    ("alpha: 0\n", "p.yaml:1:8: alpha: expected"),
    ("alpha: nan\n", "p.yaml:1:8: alpha: expected"),
    ("alpha: [1]\n", "p.yaml:1:8: alpha: expected"),
    ("limits: 3\n", "p.yaml:1:9: expected a mapping with ledger_lost"),
    ("limits:\n  lost: 0\n", "p.yaml:2:3: unknown key 'lost'; expected ledger_lost"),
    ("limits:\n  ledger_lost: -1\n", "p.yaml:2:16: ledger_lost: expected a whole number"),
    ("limits:\n  unmatched: lots\n", "p.yaml:2:14: unmatched: expected a percentage"),
    ("limits:\n  ambiguous: 101%\n", "p.yaml:2:14: ambiguous: expected a percentage"),
    ("limits:\n  clock_error: -1%\n", "p.yaml:2:16: clock_error: expected a percentage"),
    ("limits:\n  unmatched: nan\n", "p.yaml:2:14: unmatched: expected a percentage"),
    ("alpha: 0.05\nalpha: 0.06\n", "p.yaml:1:1: key `alpha` occurs more than once"),
    ("require: [a\n", "p.yaml:2:1: did not find expected"),
    ("a: \"\n", "correct the YAML syntax"),
    ("a: *b\n", "p.yaml:1:4: anchors and aliases"), ("- &a [x]\n- ? *a\n  : 1\n", "anchors and aliases"),
    ("require: [\"\\e[31mx p50 < 1s\"]", "p.yaml:1:11: text with control characters"), ("", "empty; expected require"),
  ])
  func refuses(_ yaml: String, _ message: String) {
    let error = #expect(throws: PolicyError.self) { try Policy(yaml: yaml, name: "p.yaml") }
    let line = error?.description ?? ""
    #expect(line.hasPrefix("p.yaml"), "\(line)")
    #expect(line.contains(message), "\(line)")
    #expect(!line.contains("\n"), "\(line)")
  }

  @Test func fileErrorsNameTheFile() throws {
    let folder = try Folder()
    let missing = #expect(throws: PolicyError.self) { try Policy.load(path: folder.path + "/none.yaml") }
    #expect(missing?.description == "\(folder.path)/none.yaml: no such file: check the path")
    let directory = #expect(throws: PolicyError.self) { try Policy.load(path: folder.path) }
    #expect(directory?.description == "\(folder.path): is a directory: name a policy file (YAML)")
    let binary = folder.path + "/binary.yaml"
    try Data([0xFF, 0xFE, 0x00]).write(to: URL(fileURLWithPath: binary))
    let unreadable = #expect(throws: PolicyError.self) { try Policy.load(path: binary) }
    #expect(unreadable?.description.contains("not UTF-8") == true)
    let good = folder.path + "/good.yaml"
    try Data("require: [a-b p50 < 1s]\n".utf8).write(to: URL(fileURLWithPath: good))
    #expect(try Policy.load(path: good).requirements.count == 1)
  }
}
