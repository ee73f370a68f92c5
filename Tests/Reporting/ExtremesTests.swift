// SPDX-License-Identifier: GPL-2.0-or-later
import Foundation
import Recording
import Testing

@testable import Analysis
@testable import Reporting

/// Every number that a file may hold at its extremes, alone and in pairs: a report or an error, never a trap.
///
/// `LATPROBE_EXTREMES` is how many sessions are made (240), `LATPROBE_SEED` which; a run of 10 000 is `make extremes`.
@Suite(.serialized) struct ExtremesTests {
  static let environment = ProcessInfo.processInfo.environment
  static let runs = environment["LATPROBE_EXTREMES"].flatMap { Int($0) } ?? 240
  static let seed = environment["LATPROBE_SEED"].flatMap { UInt64($0) } ?? 41
  /// What is done at the moment, for whoever looks for a trap.
  static let isTold = environment["LATPROBE_TELL"] != nil

  private struct Random: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
      state &+= 0x9E37_79B9_7F4A_7C15
      var z = state
      z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
      z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
      return z ^ (z >> 31)
    }
  }

  private static func tell(_ what: @autoclosure () -> String) {
    if isTold { FileHandle.standardError.write(Data("\(what())\n".utf8)) }
  }

  /// All that is made of a session but pictures by gnuplot.
  private func use(_ path: String, _ random: inout Random) throws {
    let begin = ContinuousClock.now
    let options = AnalysisOptions(
      matchWindow: [1, 1_000_000_000, 3_600_000_000_000, .max].randomElement(using: &random) ?? 1,
      pitBin: [1, 1_000, 3_600_000_000_000, 540_000_000_000_000_000, .max].randomElement(using: &random) ?? 1,
      byQueue: true)
    do {
      let recorded = try RecordedSession.load(paths: [path])
      var result = try analyse(session: recorded.session, recordings: recorded.machines, options: options)
      result.damage += recorded.damage
      _ = Report.table(result, verbose: true)
      _ = Report.json(result).text
      try Report.writeTables(of: result, to: Recording.Folder(path), delays: true)
      for direction in Report.directions(result) {
        let drawn = result.segments.filter {
          $0.direction == direction && $0.count > 1 && ($0.summary?.max ?? 0) > 0
        }
        if !drawn.isEmpty {
          _ = Plots.ccdfFigure(direction, drawn, result)
          _ = Plots.delayFigure(direction, drawn, result)
        }
        _ = Plots.pitFigure(direction, result)
      }
      var policy = Policy(
        requirements: try [
          "* p99 < 1s", "* mean > 1ns", "* loss < 1%", "* pdv p50 < 1us", "* ipdv max < 1s", "* count > 1",
        ]
        .map { try Requirement(parsing: $0) })
      var wide = Policy.Limits()
      (wide.ledgerLost, wide.unmatched, wide.ambiguous, wide.clockError) = (.max, 1, 1, 1)
      for limits in [Policy.Limits(), wide] {
        policy.limits = limits
        let report = Gate.check([result], policy: policy)
        _ = (report.text, report.json.text)
      }
    } catch is RecordingError {
    } catch is AnalysisError {}
    _ = try? repair(directory: path)
    #expect(ContinuousClock.now - begin < .seconds(10))
  }

  @Test func theSessionIsSound() throws {
    let made = try ExtremeSession()
    let recorded = try RecordedSession.load(paths: [made.folder.path])
    let result = try analyse(session: recorded.session, recordings: recorded.machines)
    #expect(recorded.machines.count == 3 && recorded.machines.allSatisfy { $0.impossible.isEmpty })
    #expect(result.clocks.first?.method != nil, "\(result.warnings)")
    #expect(result.segments.contains { $0.name == "txg2-txh0" && $0.count > 30 }, "\(result.segments.map(\.name))")
    #expect(result.segments.contains { $0.name == "round-trip" })
  }

  @Test func numbersOfTheFiles() throws {
    var random = Random(state: ExtremesTests.seed)
    let made = try ExtremeSession()
    let names = ["session.json"] + ExtremeSession.session.members.map { "\($0)/machine.json" }
    let texts = try names.map { try String(contentsOfFile: "\(made.folder.path)/\($0)", encoding: .utf8) }
    let places = texts.map(Extremes.numbers)
    #expect(places.map(\.count).reduce(0, +) > 120)
    // Each number once, then pairs.
    let all = places.indices.flatMap { file in places[file].indices.map { (file, $0) } }
    for run in 0..<ExtremesTests.runs / 2 {
      let first = run < all.count ? all[run] : all.randomElement(using: &random) ?? (0, 0)
      let chosen = [first] + (run % 2 == 0 && run < all.count ? [] : [all.randomElement(using: &random) ?? (0, 0)])
      var written = texts
      for file in Set(chosen.map(\.0)) {
        let mine = Dictionary(chosen.filter { $0.0 == file }.map { ($0.1, true) }, uniquingKeysWith: { $1 }).keys
        written[file] = Extremes.replaced(
          texts[file], mine.map { (places[file][$0], Extremes.json.randomElement(using: &random) ?? "0") })
        try Data(written[file].utf8).write(to: URL(fileURLWithPath: "\(made.folder.path)/\(names[file])"))
      }
      ExtremesTests.tell("files, run \(run): \(chosen.map { "\(names[$0.0]) \($0.1)" })")
      try use(made.folder.path, &random)
      for file in Set(chosen.map(\.0)) {
        try Data(texts[file].utf8).write(to: URL(fileURLWithPath: "\(made.folder.path)/\(names[file])"))
      }
    }
  }

  @Test func fieldsOfEvents() throws {
    var random = Random(state: ExtremesTests.seed &+ 1)
    for run in 0..<ExtremesTests.runs / 2 {
      // Times are hit more often than all the rest: they are what is reckoned with.
      let made = try ExtremeSession { name, events in
        for _ in 0..<Int.random(in: 1...2, using: &random) {
          let place = Int.random(in: events.indices, using: &random)
          guard let field = Extremes.fields[events[place][8]]?.randomElement(using: &random),
            let value = Extremes.integers.randomElement(using: &random)
          else { continue }
          ExtremesTests.tell("events, run \(run): \(name) event \(events[place][8]) \(field) = \(value)")
          Extremes.put(value, field, in: &events[place])
        }
      }
      if run % 3 == 0 {
        let path =
          "\(made.folder.path)/\(ExtremeSession.session.members.randomElement(using: &random) ?? "")/ctf/stream_0_0"
        guard var bytes = FileManager.default.contents(atPath: path).map({ [UInt8]($0) }) else { continue }
        for _ in 0..<Int.random(in: 1...2, using: &random) {
          guard let field = Extremes.header.randomElement(using: &random) else { continue }
          Extremes.put(Extremes.integers.randomElement(using: &random) ?? 0, field, in: &bytes)
        }
        try Data(bytes).write(to: URL(fileURLWithPath: path))
      }
      try use(made.folder.path, &random)
    }
  }

  @Test func impossibleNumbersAreDamageAndTheRestIsReported() throws {
    let made = try ExtremeSession()
    let path = "\(made.folder.path)/guest-b/machine.json"
    let text = try String(contentsOfFile: path, encoding: .utf8)
    let hostile = text.replacing("\"emitted\" : 46", with: "\"emitted\" : 18446744073709551615", maxReplacements: 1)
    try Data(hostile.utf8).write(to: URL(fileURLWithPath: path))
    let recorded = try RecordedSession.load(paths: [made.folder.path])
    #expect(recorded.machines.map(\.machine.name) == ["host-a", "wire-c"])
    #expect(recorded.leftOut.count == 1 && recorded.damage == recorded.leftOut)
    #expect(recorded.leftOut[0].contains("guest-b/machine.json: is damaged (wrong value at \"ledger.0.emitted\")"))
    // Of one machine alone there is no rest.
    #expect(throws: RecordingError.self) { try RecordedSession.load(paths: ["\(made.folder.path)/guest-b"]) }
  }

  @Test func timesBeyond62BitsAreDamage() throws {
    let made = try ExtremeSession { name, events in
      guard name == "host-a" else { return }
      Extremes.put(1 << 62, (0, 8), in: &events[events.count - 1])
    }
    let recorded = try RecordedSession.load(paths: [made.folder.path])
    #expect(recorded.machines[0].impossible.count == 1, "\(recorded.machines[0].damage)")
    #expect(recorded.machines[0].impossible.first?.contains("an impossible time") == true)
    #expect(!recorded.machines[0].stamps.isEmpty)
  }
}
