// SPDX-License-Identifier: GPL-2.0-or-later
import Foundation
import Synchronization

/// The results in the order of `items`, made on several processors; on few, as each may take some memory.
///
/// Threads of its own: Dispatch sets the priorities of its threads, and a reader of foreign files may do that no more.
func concurrentMap<Item: Sendable, Result: Sendable>(
  _ items: [Item], _ transform: @escaping @Sendable (Item) -> Result
) -> [Result] {
  let mostThreads = 4
  let work = ConcurrentWork<Result>(count: items.count)
  let count = min(mostThreads, items.count, ProcessInfo.processInfo.activeProcessorCount)
  guard count > 1 else { return items.map(transform) }
  // Where a thread cannot be started the others do its part.
  for _ in 1..<count {
    Thread.detachNewThread {
      while let number = work.take() {
        work.finish(number, transform(items[number]))
        work.ended.signal()
      }
    }
  }
  var own = 0
  while let number = work.take() {
    work.finish(number, transform(items[number]))
    own += 1
  }
  for _ in own..<items.count { work.ended.wait() }
  return work.results
}

private final class ConcurrentWork<Result: Sendable>: Sendable {
  let ended = DispatchSemaphore(value: 0)
  private let count: Int
  private let next = Atomic(0)
  private let finished: Mutex<[Result?]>

  init(count: Int) {
    self.count = count
    finished = Mutex([Result?](repeating: nil, count: count))
  }

  func take() -> Int? {
    let number = next.add(1, ordering: .relaxed).oldValue
    return number < count ? number : nil
  }

  func finish(_ number: Int, _ result: Result) { finished.withLock { $0[number] = result } }

  var results: [Result] { finished.withLock { $0.compactMap(\.self) } }
}
