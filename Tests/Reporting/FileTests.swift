// SPDX-License-Identifier: GPL-2.0-or-later
import Analysis
import Foundation
import Recording
import Testing

@testable import Reporting

@Suite struct FileTests {
  private func lines(_ name: String, in folder: Folder) throws -> [String] {
    try folder.text(name).split(separator: "\n", omittingEmptySubsequences: false).map { String($0) }
  }

  private func small() -> SessionResult {
    var segment = Synthetic.segment(.txg2, .txh0, share: 1, delays: [300, 100, 100, -7], spacing: 1_000)
    segment.lost = 2
    segment.cutOff = 1
    segment.errorBound = 3
    var result = Synthetic.session([segment, Synthetic.segment(.txh0, .rxh1, direction: "a,\"b\"", delays: [])])
    result.intervals = [
      PITHistogram(
        point: segment.from, direction: "tx", binWidth: 1_000, bins: [(index: 0, count: 2), (index: 12, count: 1)],
        count: 3, mean: 4_000)
    ]
    return result
  }

  @Test func csvFilesHoldRawNanoseconds() throws {
    let folder = try Folder()
    _ = try Report.write(small(), to: folder.path, delays: true)
    #expect(
      try folder.names == ["ccdf.csv", "delays.csv", "pit.csv", "plots", "report.json", "segments.csv"])
    #expect(
      try lines("delays.csv", in: folder) == [
        "packet,segment,direction,start_ns,delay_ns,error_ns",
        "0,txg2-txh0,tx,2000000000,300,3", "1,txg2-txh0,tx,2000001000,100,3", "2,txg2-txh0,tx,2000002000,100,3",
        "3,txg2-txh0,tx,2000003000,-7,3", "",
      ])
    #expect(
      try lines("ccdf.csv", in: folder) == [
        "segment,direction,delay_ns,ccdf", "txg2-txh0,tx,-7,0.75", "txg2-txh0,tx,100,0.25", "txg2-txh0,tx,300,0.0", "",
      ])
    #expect(
      try lines("pit.csv", in: folder) == [
        "hook,machine,direction,bin_ns,count", "txg2,both-testhost,tx,0,2", "txg2,both-testhost,tx,12000,1", "",
      ])
    let segments = try lines("segments.csv", in: folder)
    #expect(segments.count == 4)
    let columns = segments[0].split(separator: ",")
    let values = segments[1].split(separator: ",", omittingEmptySubsequences: false)
    #expect(columns.count == values.count)
    let row = Dictionary(uniqueKeysWithValues: zip(columns, values))
    let expected: [Substring: Substring] = [
      "segment": "txg2-txh0", "name": "txg2-txh0", "count": "4", "lost": "2", "cut_off": "1", "share": "1.0",
      "error_ns": "3",
      "min_ns": "-7", "max_ns": "300", "p50_ns": "100", "p99_ns": "300", "p99_high_ns": "", "p99_resolved": "false",
    ]
    for (column, value) in expected { #expect(row[column] == value, "\(column)") }
    #expect(
      segments[2].hasPrefix("txh0-rxh1,\"a,\"\"b\"\"\",both-testhost,both-testhost,true,0,0,0,0,0,0,0,,0,,,,,,,,,"))
  }

  /// Those of another recording must not lie beside this one's figures.
  @Test func delaysOfAnEarlierReportGo() throws {
    let folder = try Folder()
    _ = try Report.write(small(), to: folder.path, delays: true)
    #expect(try folder.names.contains("delays.csv"))
    _ = try Report.write(small(), to: folder.path, delays: false)
    #expect(try folder.names == ["ccdf.csv", "pit.csv", "plots", "report.json", "segments.csv"])
  }

  @Test func delaysOnlyOnRequest() throws {
    let folder = try Folder()
    _ = try Report.write(small(), to: folder.path + "/a/b//c/", delays: false)
    #expect(FileManager.default.fileExists(atPath: folder.path + "/a/b/c/segments.csv"))
    #expect(!FileManager.default.fileExists(atPath: folder.path + "/a/b/c/delays.csv"))
  }

  @Test(arguments: [0, 7, 10, 997, Int64.max, -1, -997, Int64.min])
  func integersAreWrittenAsSwiftWritesThem(_ number: Int64) throws {
    let folder = try Folder()
    var file = try OutputFile(in: folder.output(), "n")
    file.append(number)
    file.append(UInt8(ascii: " "))
    file.append(UInt64(bitPattern: number))
    try file.finish()
    #expect(try folder.text("n") == "\(number) \(UInt64(bitPattern: number))")
  }

  private func fill(_ folder: Folder) throws {
    var file = try OutputFile(in: folder.output(), "x.csv") { _, _ in
      errno = ENOSPC
      return -1
    }
    file.append("new")
    try file.finish()
  }

  @Test func aFullDiskIsAnErrorAndLeavesNoHalfFile() throws {
    let folder = try Folder()
    let error = #expect(throws: FileError.self) { try fill(folder) }
    #expect(
      error?.description == "cannot write \(folder.path)/x.csv: No space left on device; "
        + "free some space or choose another output directory")
    #expect(try folder.names == [])
  }

  @Test func aFileThatFailsKeepsTheOldOne() throws {
    let folder = try Folder()
    try folder.output().write("old", to: "x.csv")
    #expect(throws: FileError.self) { try fill(folder) }
    #expect(try folder.text("x.csv") == "old")
    try folder.output().write("new", to: "x.csv")
    #expect(try folder.text("x.csv") == "new")
    #expect(try folder.names == ["x.csv"])
  }

  @Test func aFileDroppedHalfwayIsRemoved() throws {
    let folder = try Folder()
    func half() throws {
      var file = try OutputFile(in: folder.output(), "x.csv")
      file.append("half")
      throw FileError("given up")
    }
    #expect(throws: FileError("given up")) { try half() }
    #expect(try folder.names == [])
  }

  /// A link, a pipe or another name of somebody's file in a report's place goes, and what it leads to stays.
  @Test func whatLiesInAReportsPlaceIsReplaced() throws {
    let (folder, other) = (try Folder(), try Folder())
    try other.output().write("mine", to: "file")
    let victim = other.path + "/file"
    for (number, name) in ["segments.csv", "report.json", "ccdf.csv", "pit.csv"].enumerated() {
      for place in [name, ".\(name).tmp"] {
        let path = "\(folder.path)/\(place)"
        switch number % 3 {
        case 0: try FileManager.default.createSymbolicLink(atPath: path, withDestinationPath: victim)
        case 1: try FileManager.default.linkItem(atPath: victim, toPath: path)
        default: #expect(unsafe mkfifo(path, 0o666) == 0)
        }
      }
    }
    try FileManager.default.createSymbolicLink(atPath: folder.path + "/plots", withDestinationPath: other.path)
    #expect(throws: FileError.self) { try Report.write(small(), to: folder.path, delays: false) }
    try FileManager.default.removeItem(atPath: folder.path + "/plots")
    _ = try Report.write(small(), to: folder.path, delays: false)
    #expect(try other.text("file") == "mine" && other.names == ["file"])
    #expect(try folder.text("segments.csv").contains("txg2-txh0"))
    #expect(try folder.names == ["ccdf.csv", "pit.csv", "plots", "report.json", "segments.csv"])
  }

  @Test func aFileInTheWayIsNamed() throws {
    let folder = try Folder()
    try folder.output().write("", to: "taken")
    for path in ["/taken", "/taken/deeper"] {
      let error = #expect(throws: FileError.self) {
        try Report.write(small(), to: folder.path + path, delays: false)
      }
      #expect(error?.description.contains("cannot create directory \(folder.path)/taken") == true)
      #expect(error?.description.contains("choose another output directory") == true)
    }
  }
}

@Suite struct JSONTests {
  private func object(_ value: JSONValue) throws -> [String: Any] {
    try #require(try JSONSerialization.jsonObject(with: Data(value.text.utf8)) as? [String: Any])
  }

  /// Keys that a schema requires of an object, and of the objects in its lists.
  private func missing(_ value: Any, _ schema: [String: Any], _ root: [String: Any], at path: String) -> [String] {
    var schema = schema
    if let reference = schema["$ref"] as? String, let definitions = root["$defs"] as? [String: Any] {
      schema = definitions[String(reference.dropFirst("#/$defs/".count))] as? [String: Any] ?? [:]
    }
    var found: [String] = []
    if let object = value as? [String: Any] {
      let properties = schema["properties"] as? [String: Any] ?? [:]
      for key in schema["required"] as? [String] ?? [] where object[key] == nil { found.append("\(path).\(key)") }
      for (key, inner) in object {
        if let rule = properties[key] as? [String: Any] {
          found += missing(inner, rule, root, at: "\(path).\(key)")
        } else if schema["additionalProperties"] as? Bool == false {
          found.append("\(path).\(key) is not in the schema")
        }
      }
    } else if let list = value as? [Any], let rule = schema["items"] as? [String: Any] {
      for (index, inner) in list.enumerated() { found += missing(inner, rule, root, at: "\(path)[\(index)]") }
    }
    return found
  }

  private func schema(_ name: String) throws -> [String: Any] {
    let docs = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
      .deletingLastPathComponent().appendingPathComponent("docs/schema/\(name).schema.json")
    return try #require(try JSONSerialization.jsonObject(with: Data(contentsOf: docs)) as? [String: Any])
  }

  @Test func reportKeepsToItsSchema() throws {
    let schema = try schema("report")
    #expect(missing(try object(Report.json(Synthetic.demo())), schema, schema, at: "report") == [])
    #expect(missing(try object(Report.json(Synthetic.session())), schema, schema, at: "report") == [])
    var aligned = ClockReportTests().session()
    aligned.segments[0].queues = Column(aligned.segments[0].delays.indices.map { UInt16($0 % 2) })
    aligned.machines[0].guests = [ClockReportTests().guest()]
    #expect(missing(try object(Report.json(aligned)), schema, schema, at: "report") == [])
    aligned.segments[0].successiveVariation = SuccessiveVariation([1, -2, 3])
    #expect(missing(try object(Report.json(aligned)), schema, schema, at: "report") == [])
    aligned.machines[0].pairing = PairingAccount(
      names: [], protocols: [PairingAccount.Tally(name: "stamp", counts: ["requests": 3, "disordered": 1])],
      packets: ["packets": 3])
    let written = try object(Report.json(aligned))
    #expect(missing(written, schema, schema, at: "report") == [])
    let pairing = (written["machines"] as? [[String: Any]])?.first?["pairing"] as? [String: Any]
    let tally = (pairing?["protocols"] as? [[String: Any]])?.first
    #expect(tally?["counts"] as? [String: Int] == ["requests": 3, "disordered": 1])
    var corrected = try WireTableTests().result()
    corrected.calibrations = [WireTableTests.applied]
    #expect(missing(try object(Report.json(corrected)), schema, schema, at: "report") == [])
  }

  @Test func gateKeepsToItsSchema() throws {
    let schema = try schema("gate")
    var requirements: [Requirement] = []
    for text in ["* p99 < 1us", "nothing p50 < 1s", "* loss < 1%", "* mean < 1us"] {
      requirements.append(try Requirement(parsing: text))
    }
    let report = Gate.check([Synthetic.demo(), Synthetic.session()], policy: Policy(requirements: requirements))
    #expect(missing(try object(report.json), schema, schema, at: "gate") == [])
  }

  /// The keys scripts rely on, as the interface contract names them.
  @Test func contractKeys() throws {
    let report = try object(Report.json(Synthetic.demo()))
    let segments = try #require(report["segments"] as? [[String: Any]])
    #expect(segments.count == 9)
    for key in [
      "name", "direction", "from_machine", "to_machine", "count", "lost", "unmatched", "ambiguous", "duplicate", "late",
      "share", "error_ns", "n_eff", "min_ns", "mean_ns", "sd_ns", "mad_ns", "half_iqr_ns", "p50_ns", "p90_ns",
      "p99_ns", "p99_9_ns", "p99_99_ns", "max_ns", "intervals", "resolved", "cut_off",
    ] {
      for segment in segments { #expect(segment[key] != nil, "\(key)") }
    }
    for key in ["intervals", "resolved"] {
      #expect(
        (segments[0][key] as? [String: Any])?.keys.sorted() == ["p50", "p90", "p99", "p99_9", "p99_99"], "\(key)")
    }
    let hooks = try #require(report["hooks"] as? [[String: Any]])
    for key in ["name", "machine", "attached_as", "seen", "filtered", "sampled_out", "emitted", "lost", "missed"] {
      for hook in hooks { #expect(hook[key] != nil, "\(key)") }
    }
    let recording = try #require(report["recording"] as? [String: Any])
    for key in ["events_total", "by_type", "discarded_by_cpu"] { #expect(recording[key] != nil, "\(key)") }
    let clock = try #require(report["clock"] as? [String: Any])
    #expect(clock["method"] as? String == "same clock")
    #expect(clock["error_ns"] as? Int == 0)
    #expect(report["warnings"] as? [String] == [])
  }

  @Test func whatCannotBeGivenIsNull() throws {
    var result = Synthetic.session([Synthetic.segment(.txg2, .txh0, delays: [])])
    result.clockMethod = nil
    result.clockError = nil
    result.hooks[0].attachedAs = nil
    let report = try object(Report.json(result))
    let segment = try #require((report["segments"] as? [[String: Any]])?.first)
    for key in ["share", "n_eff", "min_ns", "mean_ns", "sd_ns", "mad_ns", "p50_ns", "p99_99_ns", "max_ns"] {
      #expect(segment[key] is NSNull, "\(key)")
    }
    #expect((segment["resolved"] as? [String: Bool])?["p50"] == false)
    #expect((segment["intervals"] as? [String: Any])?["p50"] is NSNull)
    #expect((report["clock"] as? [String: Any])?["method"] is NSNull)
    #expect((report["clock"] as? [String: Any])?["error_ns"] is NSNull)
    let absent = HookResult(
      point: Point(hook: .txh2, machine: Synthetic.machine), attachedAs: nil, absentBecause: "no stamp",
      ledger: LedgerRow(hook: "txh2", cpu: 0), missed: 0)
    result.hooks = [absent]
    let hook = try #require((try object(Report.json(result))["hooks"] as? [[String: Any]])?.first)
    for key in ["attached_as", "seen", "lost", "missed"] { #expect(hook[key] is NSNull, "\(key)") }
    let single = Synthetic.session([Synthetic.segment(.txg2, .txh0, delays: [5])])
    let one = try #require((try object(Report.json(single))["segments"] as? [[String: Any]])?.first)
    #expect(one["sd_ns"] is NSNull)
    #expect(one["p50_ns"] as? Int == 5)
  }

  @Test func eventsAreCounted() throws {
    var result = Synthetic.session()
    result.eventsByType = ["stamp": 997, "flow": 23]
    result.discardedByCPU = ["both-testhost": [0: 5, 1: 0]]
    let recording = try #require(try object(Report.json(result))["recording"] as? [String: Any])
    #expect(recording["events_total"] as? Int == 1_020)
    #expect(recording["by_type"] as? [String: Int] == ["stamp": 997, "flow": 23])
    #expect(recording["discarded_by_cpu"] as? [String: [String: Int]] == ["both-testhost": ["0": 5, "1": 0]])
  }

  @Test func textIsValidForAnyStringAndNumber() throws {
    let hostile = "\"\\\n\r\t\u{0}\u{1B}\u{7F}µ🦆/"
    let value = JSONValue.fields([
      (hostile, .string(hostile)), ("nan", .number(.nan)), ("inf", .number(.infinity)),
      ("max", .unsigned(.max)), ("min", .integer(.min)), ("empty", .fields([])), ("none", .array([])),
    ])
    let object = try object(value)
    #expect(object[hostile] as? String == hostile)
    #expect(object["nan"] is NSNull)
    #expect(object["inf"] is NSNull)
    #expect((object["max"] as? NSNumber)?.uint64Value == .max)
    #expect((object["min"] as? NSNumber)?.int64Value == .min)
    #expect((object["none"] as? [Any])?.isEmpty == true)
  }
}
