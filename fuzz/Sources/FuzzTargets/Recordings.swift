// SPDX-License-Identifier: GPL-2.0-or-later
internal import Analysis
internal import Foundation
internal import Recording
internal import Reporting

extension FuzzTarget {
  static let recordings = [
    FuzzTarget("stream", "a stream of a recording (CTF packets)") { read(["host-a/ctf/stream_0_0": $0]) },
    FuzzTarget("machine", "machine.json") { read(["host-a/machine.json": $0]) },
    FuzzTarget("session", "session.json") { read(["session.json": $0]) },
    FuzzTarget("metadata", "the metadata of a recording") { read(["host-a/ctf/metadata": $0]) },
    FuzzTarget("repair", "a stream that is repaired, then read") { bytes in
      read(["host-a/ctf/stream_0_0": bytes]) { _ = try? repair(directory: $0) }
    },
  ]

  /// Reads, analyses, prints and judges a small recording in which files are replaced.
  private static func read(_ files: [String: [UInt8]], before prepare: (String) -> Void = { _ in }) {
    let folder = RecordingFolder(replacing: files)
    prepare(folder.path)
    guard let recorded = try? RecordedSession.load(paths: [folder.path]) else { return }
    guard
      let result = try? analyse(
        session: recorded.session, recordings: recorded.machines, options: AnalysisOptions())
    else { return }
    _ = Report.table(result, verbose: true)
    _ = Report.json(result).text
    _ = Gate.check(result, policy: policy)
  }

  private static let policy: Policy = {
    let requirements = ["* p99 < 1ms", "* loss < 1%", "* count > 10", "* max < 1s"].compactMap {
      try? Requirement(parsing: $0)
    }
    precondition(requirements.count == 4, "the requirements are read")
    return Policy(requirements: requirements)
  }()
}

/// A copy of a recording that the tests have, with other files in it.
private final class RecordingFolder {
  let path: String

  init(replacing files: [String: [UInt8]]) {
    let memory = "/dev/shm"
    let place = FileManager.default.isWritableFile(atPath: memory) ? memory : NSTemporaryDirectory()
    path = "\(place)/latprobe-fuzz-\(UUID().uuidString)"
    do {
      for (name, bytes) in RecordingFolder.original.merging(files, uniquingKeysWith: { $1 }) {
        let file = URL(fileURLWithPath: "\(path)/\(name)")
        try FileManager.default.createDirectory(at: file.deletingLastPathComponent(), withIntermediateDirectories: true)
        try Data(bytes).write(to: file)
      }
    } catch { preconditionFailure("\(path): \(error)") }
  }

  deinit { try? FileManager.default.removeItem(atPath: path) }

  private static let original: [String: [UInt8]] = {
    var root = URL(fileURLWithPath: #filePath)
    for _ in 0..<4 { root.deleteLastPathComponent() }
    let folder = root.appendingPathComponent("Tests/Fixtures/recording-5").path
    let names = (try? FileManager.default.subpathsOfDirectory(atPath: folder)) ?? []
    let files = names.compactMap { name in
      FileManager.default.contents(atPath: "\(folder)/\(name)").map { (name, [UInt8]($0)) }
    }
    precondition(!files.isEmpty, "\(folder) is there")
    return Dictionary(uniqueKeysWithValues: files)
  }()
}
