// SPDX-License-Identifier: GPL-2.0-or-later

/// Something that takes bytes of others: whatever they are, it must neither trap nor hang nor take memory that the bytes
/// do not account for.
package struct FuzzTarget: Sendable {
  /// Also the name of its folder of seeds.
  package let name: String
  /// What is read.
  package let summary: String
  package let run: @Sendable ([UInt8]) -> Void

  init(_ name: String, _ summary: String, _ run: @escaping @Sendable ([UInt8]) -> Void) {
    (self.name, self.summary, self.run) = (name, summary, run)
  }

  package static let all: [FuzzTarget] = captures + streams + recordings + texts + messages

  package static func named(_ name: String) -> FuzzTarget? { all.first { $0.name == name } }
}
