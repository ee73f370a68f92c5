// SPDX-License-Identifier: GPL-2.0-or-later
#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

/// A machine's folder as it is sent to another machine: its files one after the other.
package struct RecordingExport {
  package struct Entry: Sendable {
    package var file: RecordingFile
    /// Bytes.
    package var size: Int
  }

  /// `machine.json` first: what has come in part is then known for a machine's folder.
  package let entries: [Entry]
  private let directory: String

  /// - Parameter directory: `DIR/MACHINE`, closed by its recorder.
  package init(directory: String) throws(RecordingError) {
    self.directory = directory
    var foreign: [String] = []
    var files: [RecordingFile] = []
    for stream in try StreamFile.list("\(directory)/ctf", foreign: &foreign) {
      guard let cpu = UInt16(exactly: stream.cpu), let sequence = UInt32(exactly: stream.sequence) else { continue }
      files.append(.stream(cpu: cpu, sequence: sequence))
    }
    var entries: [Entry] = []
    for file in [.machine, .metadata] + files {
      let path = "\(directory)/\(file.path)"
      entries.append(Entry(file: file, size: try File(path, flags: O_NOFOLLOW).size(path)))
    }
    self.entries = entries
  }

  /// Hands over a file in pieces of at most `piece` bytes, and never more than its size in ``entries``.
  package func read<E>(
    _ entry: Entry, piece: Int, _ body: ([UInt8]) throws(E) -> Void
  ) throws where E: Error {
    let path = "\(directory)/\(entry.file.path)"
    let file = try File(path, flags: O_NOFOLLOW)
    var offset = 0
    while offset < entry.size {
      var bytes = [UInt8](repeating: 0, count: min(piece, entry.size - offset))
      let count = try unsafe bytes.withUnsafeMutableBufferPointer { (buffer) throws(RecordingError) in
        try unsafe file.read(into: UnsafeMutableRawBufferPointer(buffer), at: offset, path)
      }
      guard count == bytes.count else {
        throw RecordingError(.damaged, path: path, "became shorter while it was read")
      }
      try body(bytes)
      offset += count
    }
  }
}
