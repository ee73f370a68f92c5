// SPDX-License-Identifier: GPL-2.0-or-later
import Foundation
import Testing

/// Arrows between modules point down.
@Suite struct HouseTests {
  private static let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    .deletingLastPathComponent()
  private let house = House()

  private func text(_ path: String) throws -> String {
    try String(contentsOf: HouseTests.root.appending(path: path), encoding: .utf8)
  }

  /// Modules of Swift, by their folder's name.
  private func modules() throws -> [String] {
    try FileManager.default.contentsOfDirectory(atPath: HouseTests.root.appending(path: "Sources").path)
      .filter { $0.prefixMatch(of: /C[A-Z]/) == nil }.sorted()
  }

  private func files(_ module: String) -> [String] {
    let folder = HouseTests.root.appending(path: "Sources/\(module)")
    let names = FileManager.default.enumerator(atPath: folder.path)?.compactMap { $0 as? String } ?? []
    return names.filter { $0.hasSuffix(".swift") }.map { "Sources/\(module)/\($0)" }.sorted()
  }

  @Test func everyImportPointsDown() throws {
    var count = 0
    for module in try modules() {
      for path in files(module) {
        count += 1
        for complaint in house.complaints(module, source: try text(path), path: path) { Issue.record("\(complaint)") }
      }
    }
    #expect(count > 300, "the sources are not where they were")
  }

  @Test func everyDependencyPointsDownAndIsUsed() throws {
    let targets = House.targets(try text("Package.swift"))
    for module in try modules() {
      let target = try #require(targets.first { $0.name == module }, "Package.swift has no \(module)")
      let place = "Package.swift:\(target.line)"
      let imported = Set(try files(module).flatMap { House.imports(try text($0)).map(\.module) })
      for dependency in target.dependencies {
        if let complaint = house.complaint(module, imports: dependency) { Issue.record("\(place): \(complaint)") }
        #expect(imported.contains(dependency), "\(place): \(module) depends on \(dependency), and no file imports it")
      }
    }
  }

  @Test func everyFloorsModulesAreThere() throws {
    #expect(try House.floors.flatMap(\.self).sorted() == modules())
  }

  /// The table of ARCHITECTURE.md, from the top.
  @Test func theFloorsAreThoseOfArchitecture() throws {
    let rows = try text("ARCHITECTURE.md").split(separator: "\n").filter { $0.hasPrefix("|") }.dropFirst(2)
    let floors = rows.map { row in
      row.split(separator: "|")[1].matches(of: /`(\w+)`/).map { String($0.1) }
    }
    #expect(floors.reversed().map { $0.sorted() } == House.floors.map { $0.sorted() })
  }

  @Test func aWrongImportIsToldWithItsPlace() {
    let house = House([["Low"], ["Left", "Right"], ["High"]])
    let source = "// one\ninternal import Low\n@testable import Right\npackage import High\nimport struct Glibc.stat\n"
    #expect(
      house.complaints("Left", source: source, path: "a.swift") == [
        "a.swift:3: Left imports Right, its neighbour: move what both need to a floor below",
        "a.swift:4: Left imports High, which is above it",
      ])
    #expect(house.complaints("High", source: source, path: "a.swift").map { $0.prefix(10) } == ["a.swift:4:"])
    #expect(house.complaints("New", source: "import Low", path: "b.swift").first?.contains("has no floor") == true)
  }

  @Test func aManifestIsRead() {
    let targets = House.targets(
      """
      module("One", []),
      module(
        "Two", ["One", yams]),
      .executableTarget(
        name: "three",
        dependencies: [
          "One", "Two",
        ], path: "x"),
      """)
    #expect(targets.map(\.name) == ["One", "Two", "three"] && targets.map(\.line) == [1, 2, 4])
    #expect(targets.map(\.dependencies) == [[], ["One"], ["One", "Two"]])
  }
}
