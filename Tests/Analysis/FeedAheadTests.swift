// SPDX-License-Identifier: GPL-2.0-or-later
import Recording
import Testing

@testable import Analysis

/// What a thread reads ahead is what is read where it is asked for.
@Suite struct FeedAheadTests {
  private func recording(_ count: Int) -> [TimedRecording] {
    var lab = Lab()
    for number in 0..<count { lab.stamp(.txg1, at: Int64(number), key: UInt64(number), flow: 1) }
    return [TimedRecording(recording: lab.recording)]
  }

  /// None, less than a block, and more blocks than may wait.
  @Test(arguments: [0, 1, StampFeed.blockSize, 9 * StampFeed.blockSize + 1])
  func everyBlockComesInOrder(count: Int) throws {
    let recordings = recording(count)
    var feed = try StampFeed(recordings)
    let ahead = try FeedAhead(recordings)
    var block: [TimedStamp] = []
    var found = 0
    while try feed.next(&block) {
      let same = try #require(try ahead.next())
      #expect(same.map(\.stamp) == block.map(\.stamp) && same.map(\.own) == block.map(\.own))
      found += same.count
    }
    #expect(try ahead.next() == nil)
    #expect(found == count)
  }

  /// Whoever asks for no more is not waited for.
  @Test(arguments: 0..<6) func itMayEndEarly(blocks: Int) throws {
    let ahead = try FeedAhead(recording(9 * StampFeed.blockSize))
    for _ in 0..<blocks { #expect(try ahead.next()?.count == StampFeed.blockSize) }
  }
}
