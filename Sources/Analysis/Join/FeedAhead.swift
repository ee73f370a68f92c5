// SPDX-License-Identifier: GPL-2.0-or-later
import Foundation
import Recording
import Synchronization

/// A ``StampFeed`` that a thread of its own reads a few blocks ahead, while those before are looked at.
///
/// Until the thread has begun, blocks are read where they are asked for: so also where no thread can be started.
final class FeedAhead {
  private let ahead: Ahead

  init(_ recordings: [TimedRecording]) throws(RecordingError) {
    let ahead = Ahead(try StampFeed(recordings))
    self.ahead = ahead
    Thread.detachNewThread { ahead.readAll() }
  }

  deinit { ahead.end() }

  /// The next stamps, block by block; nil at the end, after which there is none to be asked for.
  func next() throws(RecordingError) -> [TimedStamp]? {
    let block = try ahead.next().get()
    return block.isEmpty ? nil : block
  }
}

/// What the thread shares with ``FeedAhead``, which goes as soon as nobody asks for more.
private final class Ahead: Sendable {
  typealias Block = Result<[TimedStamp], RecordingError>
  /// Blocks that wait, at most.
  private static let most = 4

  private let feed: Mutex<StampFeed>
  /// Set while ``feed`` is held: from then on only the thread reads.
  private let hasThread = Atomic(false)
  private let isEnded = Atomic(false)
  /// Blocks that wait, an empty one or a failure as the last.
  private let waiting = Mutex<[Block]>([])
  private let filled = DispatchSemaphore(value: 0)
  private let room = DispatchSemaphore(value: 0)

  init(_ feed: sending StampFeed) { self.feed = Mutex(feed) }

  /// What the thread does.
  func readAll() {
    // Here, since a semaphore must not end below the number that it is made with.
    for _ in 0..<Ahead.most { room.signal() }
    var isMore = true
    while isMore {
      room.wait()
      if isEnded.load(ordering: .relaxed) { return }
      let block = feed.withLock { feed in
        hasThread.store(true, ordering: .relaxed)
        return Ahead.read(&feed)
      }
      if case .success(let stamps) = block { isMore = !stamps.isEmpty } else { isMore = false }
      waiting.withLock { $0.append(block) }
      filled.signal()
    }
  }

  private static func read(_ feed: inout StampFeed) -> Block {
    var block: [TimedStamp] = []
    block.reserveCapacity(StampFeed.blockSize)
    do throws(RecordingError) {
      _ = try feed.next(&block)
      return .success(block)
    } catch {
      return .failure(error)
    }
  }

  func next() -> Block {
    if !hasThread.load(ordering: .relaxed) {
      let own = feed.withLock { feed in hasThread.load(ordering: .relaxed) ? nil : Ahead.read(&feed) }
      if let own { return own }
    }
    filled.wait()
    defer { room.signal() }
    return waiting.withLock { $0.removeFirst() }
  }

  func end() {
    isEnded.store(true, ordering: .relaxed)
    room.signal()
  }
}
