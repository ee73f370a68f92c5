// SPDX-License-Identifier: GPL-2.0-or-later
#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

/// Pairs that are more than memory is to hold: on disk, to be read in order.
package final class PairSpill {
  /// Pairs that a recording may have without any on disk.
  package let limit: Int
  package private(set) var count = 0
  package private(set) var earliestStart = Int64.max
  package private(set) var latestEnd = Int64.min

  private let directory: String
  private let write: WriteCall
  private let byStart: SortedRuns<RecordedPair>
  private let byEnd: SortedRuns<RecordedPair>?

  /// Nothing is on disk before the first pair comes.
  ///
  /// - Parameters:
  ///   - directory: for files of 40 bytes a pair, with `byEnd` twice that, and up to 40 more while delays are summed up.
  ///   - byEnd: they will also be asked for in order of their ends.
  package init(
    in directory: String, byEnd: Bool, limit: Int = 1 << 20, write: @escaping WriteCall = systemWrite
  ) {
    self.directory = directory
    self.limit = limit
    self.write = write
    byStart = SortedRuns(in: directory, room: limit / 8, write: write) {
      ($0.name, $0.start, $0.end) < ($1.name, $1.start, $1.end)
    }
    self.byEnd = byEnd ? SortedRuns(in: directory, room: limit / 8, write: write) { $0.end < $1.end } : nil
  }

  /// A folder on a disk: /tmp may lie in memory.
  package static var temporaryDirectory: String {
    guard let name = unsafe getenv("TMPDIR"), unsafe name.pointee != 0 else { return "/var/tmp" }
    return unsafe String(cString: name)
  }

  /// Takes all pairs, and leaves none.
  package func take(_ pairs: inout [RecordedPair]) throws(RecordingError) {
    for pair in pairs {
      earliestStart = min(earliestStart, pair.start)
      latestEnd = max(latestEnd, pair.end)
    }
    try byEnd?.add(&pairs)
    try byStart.add(&pairs)
    count += pairs.count
    pairs.removeAll(keepingCapacity: true)
  }

  /// Name by name, each in order of the starts, then of the ends.
  package func forEachByStart(_ body: (RecordedPair) throws(RecordingError) -> Void) throws(RecordingError) {
    try byStart.forEach(body)
  }

  package func forEachByEnd(_ body: (RecordedPair) throws(RecordingError) -> Void) throws(RecordingError) {
    guard let byEnd else {
      throw RecordingError(.invalid, path: directory, "pairs were not kept in order of their ends")
    }
    try byEnd.forEach(body)
  }

  package func makeDelays() -> DelaySpill { DelaySpill(in: directory, limit: limit, write: write) }
}

/// Delays in order of time, on disk beyond a number that is held.
package final class DelaySpill {
  package private(set) var count = 0
  private let directory: String
  private let limit: Int
  private let write: WriteCall
  private let runs: SortedRuns<Int64>
  private var spill: Spill<Int64>?
  /// For what is computed of them.
  package let scratch: Scratch
  /// The last ones.
  private var held: [Int64] = []

  init(in directory: String, limit: Int, write: @escaping WriteCall) {
    self.directory = directory
    self.limit = limit
    self.write = write
    runs = SortedRuns(in: directory, room: limit / 8, write: write, by: <)
    scratch = Scratch(in: directory, limit: limit, write: write)
  }

  package func append(_ delay: Int64) throws(RecordingError) {
    if held.count == limit { try putAway() }
    held.append(delay)
    count += 1
  }

  /// All of them in order of time, where none is on disk.
  package var allHeld: [Int64]? { spill == nil ? held : nil }

  /// All of them in order of time, and ascending.
  package func finish() throws(RecordingError) -> (inOrder: StoredDelays, ascending: StoredDelays) {
    try putAway()
    held = []
    let sorted = try Spill<Int64>(in: directory, write: write)
    var part: [Int64] = []
    part.reserveCapacity(StoredDelays.pageSize)
    try runs.forEach { (delay) throws(RecordingError) in
      part.append(delay)
      if part.count == StoredDelays.pageSize {
        try sorted.append(part)
        part.removeAll(keepingCapacity: true)
      }
    }
    try sorted.append(part)
    let spill = if let spill { spill } else { try Spill<Int64>(in: directory, write: write) }
    return (StoredDelays(spill), StoredDelays(sorted))
  }

  private func putAway() throws(RecordingError) {
    let file = if let spill { spill } else { try Spill<Int64>(in: directory, write: write) }
    spill = file
    try file.append(held)
    try runs.add(&held)
    held.removeAll(keepingCapacity: true)
  }
}

/// Delays on disk, by number; a few pages of them are held.
///
/// Where the disk fails all further ones are 0, and ``failure`` says so.
package final class StoredDelays: RandomAccessCollection {
  static let pageSize = 1 << 14
  private static let pageCount = 4

  package private(set) var failure: RecordingError?
  package let startIndex = 0
  package let endIndex: Int
  private let spill: Spill<Int64>
  private var pages = [[Int64]](repeating: [], count: StoredDelays.pageCount)
  private var first = [Int](repeating: .max, count: StoredDelays.pageCount)
  private var current = 0
  private var oldest = 0

  init(_ spill: Spill<Int64>) {
    self.spill = spill
    endIndex = spill.count
  }

  package subscript(index: Int) -> Int64 {
    let begin = index & ~(StoredDelays.pageSize - 1)
    if first[current] != begin { turn(to: begin) }
    return failure == nil ? pages[current][index - begin] : 0
  }

  private func turn(to begin: Int) {
    if let page = first.firstIndex(of: begin) {
      current = page
      return
    }
    current = oldest
    oldest = (oldest + 1) % StoredDelays.pageCount
    first[current] = begin
    pages[current] = [Int64](repeating: 0, count: Swift.min(StoredDelays.pageSize, endIndex - begin))
    do throws(RecordingError) { try spill.read(from: begin, into: &pages[current]) } catch { failure = error }
  }
}
