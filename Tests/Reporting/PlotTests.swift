// SPDX-License-Identifier: GPL-2.0-or-later
import Analysis
import Foundation
import Recording
import Testing

@testable import Reporting

/// gnuplot is really run here; a machine without it fails.
@Suite struct PlotTests {
  @Test func demoDrawsEveryPicture() async throws {
    let folder = try Folder()
    let notes = try await Report.write(Synthetic.demo(), to: folder.path + "/report", delays: false)
    #expect(notes == [])
    for name in ["ccdf-east-west", "ccdf-rx", "delay-east-west", "delay-rx", "pit-east-west", "pit-rx"] {
      let png = try Data(contentsOf: URL(fileURLWithPath: "\(folder.path)/report/plots/\(name).png"))
      #expect(Array(png.prefix(8)) == [0x89, 0x50, 0x4E, 0x47, 0x0D, 0x0A, 0x1A, 0x0A], "\(name)")
      #expect(png.count > 8_000 && png.count < 400_000, "\(name): \(png.count) bytes")
      #expect(Array(png[16..<20]) == [0, 0, 0x04, 0xB0], "\(name) is 1200 pixels wide")
    }
  }
}

/// A directory that goes when the test ends.
final class Folder {
  let path: String

  init() throws {
    path = NSTemporaryDirectory() + "latprobe-reporting-" + UUID().uuidString
    try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    if let keep = ProcessInfo.processInfo.environment["LATPROBE_KEEP"] { print("\(keep) \(path)") }
  }

  deinit {
    if ProcessInfo.processInfo.environment["LATPROBE_KEEP"] == nil { try? FileManager.default.removeItem(atPath: path) }
  }
}
