// SPDX-License-Identifier: GPL-2.0-or-later
import Foundation
import Recording
import Testing

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

@Suite struct SpillTests {
  private func pairs(_ range: Range<Int>) -> [RecordedPair] {
    range.map { RecordedPair(name: 0, start: Int64($0), end: Int64($0) + 7, last: nil, isRepeated: $0 % 2 == 0) }
  }

  @Test func filesHaveNoNames() throws {
    let scratch = try Scratch()
    let spill = PairSpill(in: scratch.path, byEnd: true, limit: 100)
    var part = pairs(0..<100)
    try spill.take(&part)
    #expect(try FileManager.default.contentsOfDirectory(atPath: scratch.path).isEmpty)
  }

  #if canImport(Glibc)
    /// The kernel tells of every name that comes into the folder: there is none at any moment at which a kill may come.
    @Test func filesNeverHadNames() throws {
      let scratch = try Scratch()
      // O_TMPFILE, which not every file system knows; there a name for a moment cannot be helped.
      let nameless = unsafe open(scratch.path, O_DIRECTORY | 0o20_000_000 | O_RDWR, 0o600)
      guard nameless >= 0 else { return }
      close(nameless)
      let watch = inotify_init1(O_NONBLOCK)
      defer { close(watch) }
      #expect(unsafe inotify_add_watch(watch, scratch.path, UInt32(IN_CREATE)) >= 0)
      func names() -> Int {
        var events = [UInt8](repeating: 0, count: 4_096)
        return unsafe read(watch, &events, events.count)
      }
      try scratch.put("seen", [])
      #expect(names() > 0)
      try Spill(in: scratch.path, write: systemWrite).append([1, 2, 3])
      #expect(names() == -1 && errno == EAGAIN)
    }
  #endif

  @Test func aFullDiskIsOneClearLine() throws {
    let scratch = try Scratch()
    let spill = PairSpill(in: scratch.path, byEnd: false, limit: 100) { descriptor, bytes in
      errno = ENOSPC
      return -1
    }
    var part = pairs(0..<100)
    let problem = try #require(throws: RecordingError.self) { try spill.take(&part) }
    #expect(problem.kind == .diskFull && problem.path == scratch.path && problem.description.contains("TMPDIR"))
    #expect(!problem.description.contains("\n") && !problem.description.contains("--max-size"))
    #expect(spill.count == 0)
  }

  @Test func aMissingFolderIsNamed() throws {
    let spill = PairSpill(in: "/nonexistent/folder", byEnd: false, limit: 100)
    var part = pairs(0..<100)
    let problem = try #require(throws: RecordingError.self) { try spill.take(&part) }
    #expect(problem.description.hasPrefix("/nonexistent/folder") && problem.errno == ENOENT)
  }

  @Test func nothingIsWrittenBeforeThePairsAreTooMany() throws {
    let spill = PairSpill(in: "/nonexistent/folder", byEnd: true, limit: 100)
    try spill.forEachByStart { _ in Issue.record("there is no pair") }
    #expect(spill.count == 0)
  }
}
