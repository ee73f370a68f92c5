// SPDX-License-Identifier: GPL-2.0-or-later
internal import FoundationEssentials
internal import Glibc
internal import Recording

/// A new folder that only this user can enter, for one recording.
package struct StateFolder {
  let path: String

  init(below directory: String) throws(RemoteError) {
    let letters = Array("abcdefghijklmnopqrstuvwxyz0123456789")
    do throws(RecordingError) {
      let folder = try Folder(directory)
      let name = "latprobe-" + String((0..<6).map { _ in letters[Int.random(in: letters.indices)] })
      path = try folder.makeFolder(name).path
    } catch { throw StateFolder.complaint(directory, error) }
  }

  /// Whether recordings may lie there, before there are any.
  package static func check(_ directory: String) throws(RemoteError) {
    do throws(RecordingError) { _ = try Folder(directory) } catch { throw complaint(directory, error) }
  }

  private static func complaint(_ directory: String, _ error: RecordingError) -> RemoteError {
    // What record would say offers an option that an agent has not.
    let reason =
      error.kind == .foreign ? "another user could exchange what is written there" : error.description
    return RemoteError(.invalid, "--state \(directory): \(reason); give another one")
  }

  /// What lies below `directory` of recordings that no host has taken: how many, and their bytes.
  ///
  /// Folders of other users are none of ours: anybody may make one in `/var/tmp`.
  static func kept(below directory: String) -> (count: Int, size: Int) {
    let files = FileManager.default
    var kept = (count: 0, size: 0)
    for name in (try? files.contentsOfDirectory(atPath: directory)) ?? [] {
      let folder = "\(directory)/\(name)"
      guard name.hasPrefix("latprobe-"), name.utf8.count == 15, let status = status(folder),
        status.st_mode & S_IFMT == S_IFDIR, status.st_uid == geteuid()
      else { continue }
      kept.count += 1
      for path in (try? files.subpathsOfDirectory(atPath: folder)) ?? [] {
        guard let status = self.status("\(folder)/\(path)"), status.st_mode & S_IFMT == S_IFREG else { continue }
        kept.size += Int(status.st_size)
      }
    }
    return kept
  }

  /// Of the entry itself, not of what it links to.
  private static func status(_ path: String) -> stat? {
    var status = stat()
    return unsafe lstat(path, &status) == 0 ? status : nil
  }

  /// With all that is in it; links are removed, not followed.
  func remove() { try? FileManager.default.removeItem(atPath: path) }
}
