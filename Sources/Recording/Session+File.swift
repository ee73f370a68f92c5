// SPDX-License-Identifier: GPL-2.0-or-later
import FoundationEssentials

/// Reading and writing of the two JSON files, and of the directories that hold them.
enum JSONFile {
  /// Far above what a machine with thousands of CPUs needs (100 bytes a ledger row).
  static let limit = 64 << 20

  private struct FormatOnly: Decodable {
    var format: Int
  }

  static func encode(_ value: some Encodable, _ path: String) throws(RecordingError) -> [UInt8] {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
    do {
      return [UInt8](try encoder.encode(value)) + [UInt8(ascii: "\n")]
    } catch {
      throw RecordingError(.invalid, path: path, "cannot be written as JSON: \(error)")
    }
  }

  /// Looks at the format number first: a newer file may lack what this version wants.
  ///
  /// What the types allow and what cannot be all the same is damage too: ``Checked``.
  static func decode<Value: Decodable>(_ type: Value.Type, _ path: String, reads: Int) throws(RecordingError) -> Value {
    let data = Data(try Files.read(path, limit: limit))
    let format: Int
    do {
      format = try JSONDecoder().decode(FormatOnly.self, from: data).format
    } catch {
      throw RecordingError(
        .damaged, path: path,
        "is not a file that latprobe wrote (no JSON object with a format number): record again, or restore it from a copy"
      )
    }
    if format > reads { throw .newer(path, format: format, reads: reads) }
    guard format >= 1 else { throw RecordingError(.damaged, path: path, "has format \(format), which never existed") }
    let value: Value
    do {
      value = try JSONDecoder().decode(type, from: data)
    } catch {
      throw damaged(path, explain(error))
    }
    if let problem = (value as? any Checked)?.problem { throw damaged(path, problem) }
    return value
  }

  private static func damaged(_ path: String, _ why: String) -> RecordingError {
    RecordingError(.damaged, path: path, "is damaged (\(why)): restore it from a copy")
  }

  private static func explain(_ error: any Error) -> String {
    switch error {
    case DecodingError.keyNotFound(let key, _): "no \"\(key.stringValue)\""
    case DecodingError.typeMismatch(_, let context), DecodingError.valueNotFound(_, let context),
      DecodingError.dataCorrupted(let context):
      "wrong value at \"\(context.codingPath.map { $0.intValue.map { "\($0)" } ?? $0.stringValue }.joined(separator: "."))\""
    default: "not decodable"
    }
  }
}

extension Session {
  package static let fileName = "session.json"

  /// Writes `session.json` into `directory`, whole or not at all; one of another session that is there already stays.
  package func write(to directory: String) throws(RecordingError) {
    let folder = try Folder(directory)
    let bytes = try JSONFile.encode(self, folder.path(of: Session.fileName))
    let file = try NewFile(in: folder, Session.fileName)
    try file.write(bytes)
    try file.finish(onlyNew: (try? Session.load(from: directory))?.id != id)
  }

  /// Reads `directory/session.json`.
  package static func load(from directory: String) throws(RecordingError) -> Session {
    let path = "\(directory)/\(fileName)"
    guard try Files.target(path) != nil else {
      throw RecordingError(
        .notARecording, path: directory,
        "is not a latprobe recording (no \(fileName)): give the directory that `latprobe record -o` wrote")
    }
    return try JSONFile.decode(Session.self, path, reads: currentFormat)
  }

  /// Makes `directory` ready for a new recording: creates it, or takes an empty one.
  ///
  /// - Parameter force: remove a recording that is there. Only files that latprobe itself writes go;
  ///   a directory without `session.json`, a machine's folder with other files in it, or one that is being recorded, is
  ///   refused untouched.
  package static func prepare(directory: String, force: Bool) throws(RecordingError) {
    try check(directory: directory, force: force)
    if force { try RecordingRemoval(directory).remove() }
  }

  /// Throws where ``prepare(directory:force:)`` would; creates the directory, but removes nothing yet.
  package static func check(directory: String, force: Bool) throws(RecordingError) {
    if let type = try Files.target(directory), type != .directory {
      throw RecordingError(.exists, path: directory, "exists and is not a directory: choose another -o")
    }
    try check(Folder(directory, making: true), force: force)
  }

  static func check(_ folder: borrowing Folder, force: Bool) throws(RecordingError) {
    let directory = folder.path
    // Left by a start that was killed.
    if try folder.names().allSatisfy({ $0 == RecordingRemoval.sessionLeftover }) { return }
    guard force else {
      throw RecordingError(
        .exists, path: directory, "is not empty: choose another -o, or replace the recording in it with --force")
    }
    guard folder.type(fileName) == .file,
      (try? JSONFile.decode(Session.self, folder.path(of: fileName), reads: .max)) != nil
    else {
      throw RecordingError(
        .exists, path: directory,
        "is not empty and not a latprobe recording, so --force leaves it alone: choose another -o")
    }
    _ = try RecordingRemoval(directory)
  }
}
