// SPDX-License-Identifier: GPL-2.0-or-later

/// Merging of runs of stamps, each in order of time, into one.
enum StampMerge {
  /// Where a run stands: its next stamp's time first, so that the least head is the next stamp.
  private struct Head {
    var time: UInt64
    var run: Int
    var next: Int

    @inline(__always)
    static func < (a: Head, b: Head) -> Bool { a.time != b.time ? a.time < b.time : a.run < b.run }
  }

  /// Equal times keep the order of their runs. Each stamp is written once: recordings are larger than
  /// caches, so a second pass over them would cost more than the heap.
  /// - Complexity: O(n log k) for n stamps in k runs; O(n) where the runs interleave in long stretches.
  static func merge(_ runs: [[Stamp]]) -> [Stamp] {
    if runs.count < 2 { return runs.first ?? [] }
    var heap: [Head] = []
    for (index, run) in runs.enumerated() {
      if let first = run.first { heap.append(Head(time: first.time, run: index, next: 0)) }
    }
    for i in heap.indices.reversed() { sink(&heap, i) }
    return unsafe [Stamp](unsafeUninitializedCapacity: runs.reduce(0) { $0 + $1.count }) { out, count in
      while var head = heap.first {
        let rival = rival(heap)
        unsafe runs[head.run].withUnsafeBufferPointer { run in
          repeat {
            unsafe out.initializeElement(at: count, to: run[head.next])
            count += 1
            head.next += 1
            if head.next == run.count { break }
            unsafe head.time = run[head.next].time
          } while rival.map { head < $0 } ?? true
        }
        if head.next < runs[head.run].count {
          heap[0] = head
        } else {
          let last = heap.removeLast()
          if heap.isEmpty { break }
          heap[0] = last
        }
        sink(&heap, 0)
      }
    }
  }

  /// The least head but for the first.
  private static func rival(_ heap: [Head]) -> Head? {
    switch heap.count {
    case ...1: nil
    case 2: heap[1]
    default: heap[1] < heap[2] ? heap[1] : heap[2]
    }
  }

  private static func sink(_ heap: inout [Head], _ start: Int) {
    var i = start
    while true {
      var least = i
      for child in (2 * i + 1)...(2 * i + 2) where child < heap.count && heap[child] < heap[least] { least = child }
      if least == i { return }
      heap.swapAt(i, least)
      i = least
    }
  }
}
