// SPDX-License-Identifier: GPL-2.0-or-later
import Foundation
import Recording

/// A directory that goes when the test ends.
final class Folder {
  let path: String

  init() throws {
    path = NSTemporaryDirectory() + "latprobe-reporting-" + UUID().uuidString
    try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
  }

  deinit { try? FileManager.default.removeItem(atPath: path) }

  func bytes(_ name: String) throws -> [UInt8] {
    Array(try Data(contentsOf: URL(fileURLWithPath: "\(path)/\(name)")))
  }

  /// To write in.
  func output() throws -> Recording.Folder { try Recording.Folder(path) }

  func text(_ name: String) throws -> String { String(decoding: try bytes(name), as: UTF8.self) }

  var names: [String] {
    get throws { try FileManager.default.contentsOfDirectory(atPath: path).sorted() }
  }
}
