// SPDX-License-Identifier: GPL-2.0-or-later
import Analysis
import Foundation
import FoundationXML
import Recording
import Testing

@testable import Reporting

/// gnuplot is really run here; a machine without it fails.
@Suite struct PlotTests {
  private func check(_ names: [String], in folder: Folder) throws {
    for name in names {
      let png = try folder.bytes("plots/\(name).png")
      #expect(Array(png.prefix(8)) == [0x89, 0x50, 0x4E, 0x47, 0x0D, 0x0A, 0x1A, 0x0A], "\(name)")
      #expect(Array(png[16..<20]) == [0, 0, 0x04, 0xB0], "\(name) is 1200 pixels wide")
      #expect(png[20...23].reduce(0) { $0 << 8 | Int($1) } >= 700, "\(name) is 700 pixels high or more")
      #expect(png.count > 8_000 && png.count < 400_000, "\(name): \(png.count) bytes")
      let svg = XMLParser(data: Data(try folder.bytes("plots/\(name).svg")))
      #expect(svg.parse(), "\(name).svg: \(String(describing: svg.parserError))")
      #expect(try folder.text("plots/\(name).svg").contains("</svg>"))
    }
  }

  @Test func everyPictureIsDrawn() throws {
    let folder = try Folder()
    let notes = try Report.write(Synthetic.demo(), to: folder.path, delays: false)
    #expect(notes == [])
    try check(["ccdf-east-west", "ccdf-rx", "delay-east-west", "delay-rx", "pit-east-west", "pit-rx"], in: folder)
    let svg = try folder.text("plots/ccdf-east-west.svg")
    for text in ["txg2-txh0", "delay in µs", "packets that took longer", "testhost, Linux 6.18.5", "n = 49999"] {
      #expect(svg.contains(text), "\(text)")
    }
  }

  @Test func aPictureHasFiveLinesAtMostThatDashesTellApart() throws {
    let result = Synthetic.demo()
    let segments = result.segments.filter { $0.direction == "east-west" }
    let figure = Plots.ccdfFigure("east-west", segments, result)
    #expect(figure.data.count == 6, "five lines and the means")
    #expect((1...4).allSatisfy { figure.script.contains("dashtype \($0) title") })
    // End to end comes first, so that it lies behind the others.
    let lines = figure.script.split(separator: "\n").filter { $0.contains("with steps") }
    #expect(lines.count == 5 && lines.first?.contains("'txg0-rxg1, end to end'") == true)
    #expect(lines.last?.contains("'rxg0-rxg1'") == true)
    #expect(figure.script.contains("not drawn: txg2-txh0, rxh1-rxg0 (ccdf.csv)"))
  }

  @Test func groupsHavePicturesOfTheirOwn() throws {
    var result = Synthetic.demo()
    for name in ["10.0.0.1 -> 10.0.0.2", "fd::1 -> fd::2"] {
      var segment = Synthetic.segment(.txg1, .txg2, direction: "rx", delays: [5, 7, 900])
      segment.group = name
      result.groups.append(segment)
    }
    let group = "10.0.0.1 -> 10.0.0.2"
    let figure = Plots.ccdfFigure("rx", result.groups, result, group: group)
    #expect(figure.name == "ccdf-rx-10.0.0.1-to-10.0.0.2")
    #expect(figure.script.contains("direction rx, 10.0.0.1 → 10.0.0.2"))
    #expect(Plots.fileName("ccdf", "rx", group: "fd::1 -> fd::2", in: result) == "ccdf-rx-fd__1-to-fd__2")
  }

  @Test func namesCannotBreakTheScript() throws {
    let folder = try Folder()
    let name = "it's {a} `date` $b @c \"<&>\" \\ % #"
    var result = Synthetic.session([
      Synthetic.segment(.txg1, .txg2, direction: name, delays: Synthetic.realistic(997, median: 800, seed: 1)),
      Synthetic.segment(.txg1, .txg2, direction: "it's {a} `date`/$b @c \"<&>\" \\ % #", delays: [5, 7, 11]),
    ])
    result.machines[0].hostname = name + "\n\u{1B}"
    result.intervals = [Synthetic.intervals(.txg2, direction: name, mean: 12_000, count: 997, seed: 2)]
    #expect(try Report.write(result, to: folder.path, delays: false) == [])
    let made = try FileManager.default.contentsOfDirectory(atPath: folder.path + "/plots").filter {
      $0.hasSuffix(".png")
    }
    #expect(made.count == 5, "\(made)")
    #expect(made.allSatisfy { $0.hasPrefix("ccdf-it_s_") || $0.hasPrefix("delay-it_s_") || $0.hasPrefix("pit-it_s_") })
    try check(made.map { String($0.dropLast(4)) }, in: folder)
  }

  @Test func aFolderNameCannotBreakGnuplot() throws {
    let folder = try Folder()
    let inner = "it's {a} \"b\" `c`"
    let segment = Synthetic.segment(.txg1, .txg2, delays: [3, 5, 700])
    #expect(try Report.write(Synthetic.session([segment]), to: "\(folder.path)/\(inner)", delays: false) == [])
    #expect(try folder.bytes("\(inner)/plots/ccdf-tx.png").count > 8_000)
  }

  @Test func extremesAreDrawn() throws {
    let folder = try Folder()
    let one = Synthetic.segment(.txg1, .txg2, direction: "one", delays: [1])
    let equal = Synthetic.segment(.txg1, .txg2, direction: "equal", delays: [Int64](repeating: 1_000, count: 23))
    let wide = Synthetic.segment(.txg1, .txg2, direction: "wide", delays: [-7, 0, 1, 1_000_000_000, 900_000_000_000])
    #expect(
      try Report.write(Synthetic.session([one, equal, wide]), to: folder.path, delays: false) == [
        "no plots for direction one: one packet makes no distribution"
      ])
    try check(["ccdf-equal", "delay-equal", "ccdf-wide", "delay-wide"], in: folder)
    #expect(try folder.text("plots/delay-wide.svg").contains("2 ≤ 0 ns not drawn"))
  }

  @Test func aDirectionWithoutDataIsLeftOutAndSaid() throws {
    let folder = try Folder()
    let empty = Synthetic.segment(.rxh1, .rxg0, direction: "rx", delays: [])
    let full = Synthetic.segment(.txg1, .txg2, delays: [100, 200, 300])
    let notes = try Report.write(Synthetic.session([full, empty]), to: folder.path, delays: false)
    #expect(notes == ["no plots for direction rx: no packet has a delay > 0 ns there"])
    let files = try FileManager.default.contentsOfDirectory(atPath: folder.path + "/plots")
    #expect(files.contains("ccdf-tx.png"))
    #expect(!files.contains { $0.contains("rx") })
  }

  @Test func withoutGnuplotTheRemedyIsNamed() throws {
    let folder = try Folder()
    let figures = ["a", "b"].map { Plots.Figure(name: $0, script: "", data: []) }
    let notes = try Gnuplot.draw(figures, in: folder.output(), by: Drawer("no-such-gnuplot"))
    #expect(
      notes == [
        "no plots: gnuplot is not installed; install gnuplot (Debian: apt install gnuplot-nox) "
          + "and run 'gnuplot *.gp' in \(folder.path)"
      ])
  }

  @Test func aFailingScriptIsReported() throws {
    let folder = try Folder()
    let figure = Plots.Figure(name: "bad", script: "plot nonsense((\n", data: [])
    let notes = try Gnuplot.draw([figure], in: folder.output())
    #expect(notes.count == 1)
    #expect(notes.first?.hasPrefix("no plot bad: gnuplot failed (") == true)
    #expect(notes.first?.contains("line ") == true)
    #expect(try folder.names == [])
  }

  /// Whatever a script says: it starts no program and writes no file.
  @Test(arguments: [
    "system 'touch PROOF'", "set print 'PROOF'; print 1", "set output 'PROOF'", "print system('expr 4000 + 242')",
  ])
  func aScriptReachesNothing(_ line: String) throws {
    let folder = try Folder()
    let script = line.replacingOccurrences(of: "PROOF", with: "\(folder.path)/proof") + "\nset terminal svg\nplot 1\n"
    try #require(FileManager.default.fileExists(atPath: folder.path))
    let outcome = Drawer.shared.draw(script)
    #expect(try folder.names == [])
    if case .failed(let said) = outcome { #expect(!said.contains("4242")) }
  }

  /// gnuplot itself reads the scripts and data that lie beside the pictures.
  @Test func theFilesDrawAgainByHand() throws {
    let folder = try Folder()
    _ = try Report.write(Synthetic.demo(), to: folder.path, delays: false)
    let before = try folder.bytes("plots/ccdf-rx.svg")
    try FileManager.default.removeItem(atPath: folder.path + "/plots/ccdf-rx.svg")
    let gnuplot = Process()
    gnuplot.executableURL = URL(fileURLWithPath: "/usr/bin/env")
    gnuplot.arguments = ["gnuplot", "ccdf-rx.gp"]
    gnuplot.currentDirectoryURL = URL(fileURLWithPath: folder.path + "/plots")
    try gnuplot.run()
    gnuplot.waitUntilExit()
    #expect(gnuplot.terminationStatus == 0)
    #expect(try folder.bytes("plots/ccdf-rx.svg") == before)
  }

  @Test func longIntervalsAreCountedBeyondTheEdge() throws {
    let far = PITHistogram(
      point: Point(hook: .txg2, machine: Synthetic.machine), direction: "tx", binWidth: 1_000,
      bins: [(index: 3, count: 500), (index: 999_999, count: 497)], count: 997, mean: 5e8)
    var result = Synthetic.session([Synthetic.segment(.txg1, .txg2, delays: [1])])
    result.intervals = [far]
    let figure = try #require(Plots.pitFigure("tx", result))
    #expect(figure.data.first?.text == "# txg2: middle_us,count\n3.5,500\n")
    #expect(figure.script.contains("packets per 1 µs"))
    #expect(figure.script.contains("497 beyond the right edge"))
    #expect(Plots.binHolding(0.5, of: far) == 3)
    #expect(Plots.binHolding(0.999, of: far) == 999_999)
    // A picture with nothing in it says nothing.
    result.intervals[0].bins = [(index: 4_000, count: 500), (index: 4_004, count: 497)]
    let slow = try #require(Plots.pitFigure("tx", result))
    #expect(slow.data.first?.text == "# txg2: middle_us,count\n4002.5,997\n")
    #expect(slow.script.contains("packets per 5 µs") && !slow.script.contains("beyond"))
  }

  @Test func wideAxesLabelFewerDecades() {
    let tics = Gnuplot.logarithmicTics(0.3...200_000, mostDecades: 4)
    #expect(tics.split(separator: ",").count { !$0.contains("''") } == 3, "\(tics)")
  }
}

@Suite struct DistributionTests {
  @Test func logarithmicBinsHoldEverySampleOnce() {
    let delays = Synthetic.realistic(9_973, median: 800, seed: 4).sorted()
    let bins = Distribution.logarithmicBins(Column(delays))
    #expect(bins.reduce(0) { $0 + $1.count } == 9_973)
    for bin in bins {
      #expect(bin.low < bin.high)
      #expect(bin.count == delays.filter { $0 >= bin.low && $0 < bin.high }.count)
    }
    for (bin, next) in zip(bins, bins.dropFirst()) { #expect(bin.high <= next.low) }
  }

  @Test func logarithmicBinsHaveRoundDecades() {
    let bins = Distribution.logarithmicBins([1, 10, 99, 100, 1_000, Int64.max])
    #expect(bins.map(\.low).starts(with: [1, 10, 89, 100, 1_000]))
    #expect(Distribution.logarithmicBins([-5, 0]) == [])
  }

  @Test func drawnCCDFReachesTheMaximum() {
    let corners = Distribution.drawnCCDF([-3, 5, 5, 7, 100])
    #expect(
      corners == [
        Distribution.Corner(value: 5, fraction: 0.8), Distribution.Corner(value: 5, fraction: 0.4),
        Distribution.Corner(value: 7, fraction: 0.2), Distribution.Corner(value: 100, fraction: 0.2),
      ])
    #expect(Distribution.drawnCCDF([0, -1]) == [])
    #expect(Distribution.drawnCCDF([9]).map(\.value) == [9, 9])
  }
}
