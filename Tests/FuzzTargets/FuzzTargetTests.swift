// SPDX-License-Identifier: GPL-2.0-or-later
import Foundation
import FuzzTargets
import Testing

/// What the fuzzer has as seeds, and what it has found, is read by every build, whether it has a fuzzer or not.
@Suite struct FuzzTargetTests {
  private static let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    .deletingLastPathComponent().appendingPathComponent("fuzz/seeds")

  private static func inputs(_ target: String) throws -> [(name: String, bytes: [UInt8])] {
    let folder = folder.appendingPathComponent(target).path
    return try FileManager.default.contentsOfDirectory(atPath: folder).sorted().map { name in
      (name, try [UInt8](Data(contentsOf: URL(fileURLWithPath: "\(folder)/\(name)"))))
    }
  }

  @Test(arguments: FuzzTarget.all.map(\.name)) func seedsAreRead(name: String) throws {
    let target = try #require(FuzzTarget.named(name))
    let inputs = try Self.inputs(name)
    #expect(!inputs.isEmpty, "a target without a seed finds little")
    for input in inputs {
      target.run(input.bytes)
      // Cut short, and with each extreme of a number in its midst.
      target.run(Array(input.bytes.prefix(input.bytes.count / 2)))
      for extreme: UInt8 in [0x00, 0x7f, 0x80, 0xff] {
        var bytes = input.bytes
        for index in bytes.indices.dropFirst(bytes.count / 2).prefix(8) { bytes[index] = extreme }
        target.run(bytes)
      }
    }
  }

  @Test func everyFolderOfSeedsHasATarget() throws {
    let folders = try FileManager.default.contentsOfDirectory(atPath: Self.folder.path)
    #expect(Set(folders) == Set(FuzzTarget.all.map(\.name)))
  }
}
