// SPDX-License-Identifier: GPL-2.0-or-later

/// Merging of runs of stamps, each in order of time, into one.
enum StampMerge {
  /// Equal times keep the order of their runs.
  /// - Complexity: O(n log k) for n stamps in k runs.
  static func merge(_ runs: [[Stamp]]) -> [Stamp] {
    var runs = runs
    while runs.count > 1 {
      var next: [[Stamp]] = []
      next.reserveCapacity((runs.count + 1) / 2)
      var i = 0
      while i + 1 < runs.count {
        next.append(merge(runs[i], runs[i + 1]))
        // Free early: a level would double the memory otherwise.
        runs[i] = []
        runs[i + 1] = []
        i += 2
      }
      if i < runs.count { next.append(runs[i]) }
      runs = next
    }
    return runs.first ?? []
  }

  private static func merge(_ a: [Stamp], _ b: [Stamp]) -> [Stamp] {
    guard let end = a.last, let begin = b.first else { return a.isEmpty ? b : a }
    if end.time <= begin.time { return a + b }
    return unsafe [Stamp](unsafeUninitializedCapacity: a.count + b.count) { out, count in
      var i = 0
      var j = 0
      while i < a.count && j < b.count {
        if b[j].time < a[i].time {
          unsafe out.initializeElement(at: i + j, to: b[j])
          j += 1
        } else {
          unsafe out.initializeElement(at: i + j, to: a[i])
          i += 1
        }
      }
      while i < a.count {
        unsafe out.initializeElement(at: i + j, to: a[i])
        i += 1
      }
      while j < b.count {
        unsafe out.initializeElement(at: i + j, to: b[j])
        j += 1
      }
      count = i + j
    }
  }
}
