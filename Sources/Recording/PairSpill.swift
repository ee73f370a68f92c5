// SPDX-License-Identifier: GPL-2.0-or-later

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

  /// Where what is computed of them goes, by the same limit.
  package func makeScratch() -> Scratch { Scratch(in: directory, limit: limit, write: write) }
}
