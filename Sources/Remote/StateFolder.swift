// SPDX-License-Identifier: GPL-2.0-or-later
internal import FoundationEssentials
internal import Glibc

/// A new folder that only this user can enter, for one recording.
struct StateFolder {
  let path: String

  init(below directory: String) throws(RemoteError) {
    var name = Array("\(directory)/latprobe-XXXXXX".utf8CString)
    guard unsafe mkdtemp(&name) != nil else {
      throw RemoteError.system("a folder below \(directory)", errno, "give another --state")
    }
    path = String(decoding: name.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }

  /// With all that is in it; links are removed, not followed.
  func remove() { try? FileManager.default.removeItem(atPath: path) }
}
