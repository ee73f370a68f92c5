// SPDX-License-Identifier: GPL-2.0-or-later
import Foundation

/// Which module may import which: only those of floors below its own.
struct House {
  /// From the ground up. A module of a floor knows none of its neighbours.
  static let floors: [[String]] = [
    // Files and what is in them, times, words.
    ["Clocks", "Digests", "PlainYAML", "Recording", "Wording"],
    // Protocols, hook points, waiting: nearly pure.
    ["Pairing", "Timing", "Topology"],
    // What producers share.
    ["Host", "Stamping", "TestPackets"],
    ["Collecting"],
    // Producers of records.
    ["Probing", "RFC2544", "Remote", "Tap", "Traffic"],
    ["Analysis"],
    ["Reporting"],
    // The commands.
    ["latprobe"],
  ]

  let floors: [[String]]

  init(_ floors: [[String]] = House.floors) { self.floors = floors }

  func floor(of module: String) -> Int? { floors.firstIndex { $0.contains(module) } }

  /// Why one module may not import another; nil where it may. Modules of C are the ground, and packages are not ours.
  func complaint(_ module: String, imports other: String) -> String? {
    guard let own = floor(of: module) else { return "\(module) has no floor: give it one in Tests/House/House.swift" }
    guard let floor = floor(of: other), floor >= own else { return nil }
    return floor == own
      ? "\(module) imports \(other), its neighbour: move what both need to a floor below"
      : "\(module) imports \(other), which is above it"
  }

  /// One line for each import that points up or aside.
  ///
  /// - Parameter path: for people.
  func complaints(_ module: String, source: String, path: String) -> [String] {
    House.imports(source).compactMap { line, other in
      complaint(module, imports: other).map { "\(path):\(line): \($0)" }
    }
  }

  static func imports(_ source: String) -> [(line: Int, module: String)] {
    source.split(separator: "\n", omittingEmptySubsequences: false).enumerated().compactMap { place, text in
      let found = text.prefixMatch(of: /\s*(?:@\w+ )*(?:\w+ )?import (?:struct |class |enum |func |protocol )?(\w+)/)
      return found.map { (place + 1, String($0.1)) }
    }
  }

  /// Targets of a manifest and what they depend on, with the line on which each begins.
  static func targets(_ manifest: String) -> [(line: Int, name: String, dependencies: [String])] {
    let start = /(?:\bmodule\(\s*|\.executableTarget\(\s*name: )"(\w+)",\s*(?:dependencies: )?\[([^\]]*)\]/
    return manifest.matches(of: start).map { match in
      let line = manifest[..<match.range.lowerBound].count { $0 == "\n" } + 1
      let names = match.2.matches(of: /"(\w+)"/).map { String($0.1) }
      return (line, String(match.1), names)
    }
  }
}
