// SPDX-License-Identifier: GPL-2.0-or-later
import Recording

/// Ascending values of a column, of which a part is at hand.
private struct Run {
  var values: ArraySlice<Int64>
  var next: Int
  let end: Int
}

extension Column<Int64> {
  /// The values in ascending order, where the column's are: held, or sorted run by run on disk and merged.
  /// - Complexity: O(n log r) for r runs; there is one where all values are held.
  package func ascending() -> Column<Int64> {
    guard let scratch, count > scratch.limit / 2 else {
      var values: [Int64] = []
      values.reserveCapacity(count)
      forEachPart { part, _ in values += part }
      guard scratch != nil else { return Column(values.ascending()) }
      var result = Column(on: scratch)
      result.append(contentsOf: values.ascending())
      return result
    }
    var runs = Column(on: scratch)
    var ends: [Int] = []
    var run: [Int64] = []
    func end() {
      runs.append(contentsOf: run.ascending())
      ends.append(runs.count)
      run.removeAll(keepingCapacity: true)
    }
    forEachPart { part, own in
      run += part[..<own]
      if run.count >= scratch.limit / 2 { end() }
    }
    if !run.isEmpty { end() }
    return runs.merged(ends)
  }

  /// Merges ascending runs that end at the given places. What merges a recording's pairs asks a closure for each comparison;
  /// here there are as many values as packets at all hook points, and what is compared is known.
  private func merged(_ ends: [Int]) -> Column<Int64> {
    guard ends.count > 1, let scratch else { return self }
    let room = Swift.max(64, Swift.min(scratch.partSize, scratch.limit / ends.count))
    func refill(_ run: inout Run) {
      let end = Swift.min(run.next + room, run.end)
      run.values = values(run.next..<end)[...]
      run.next = end
    }
    var runs = zip([0] + ends, ends).map { Run(values: [], next: $0, end: $1) }
    // The least values of all runs; the next one lies on top.
    var heap: [(value: Int64, run: Int)] = []
    for number in runs.indices {
      refill(&runs[number])
      if let value = runs[number].values.popFirst() { heap.append((value, number)) }
    }
    func sink(_ start: Int) {
      var index = start
      let top = heap[start]
      while true {
        var child = 2 * index + 1
        guard child < heap.count else { break }
        if child + 1 < heap.count, heap[child + 1].value < heap[child].value { child += 1 }
        guard heap[child].value < top.value else { break }
        heap[index] = heap[child]
        index = child
      }
      heap[index] = top
    }
    for index in heap.indices.reversed() { sink(index) }
    var result = Column(on: scratch)
    while let (value, number) = heap.first {
      result.append(value)
      if runs[number].values.isEmpty { refill(&runs[number]) }
      if let next = runs[number].values.popFirst() {
        heap[0].value = next
      } else {
        let last = heap.removeLast()
        if heap.isEmpty { break }
        heap[0] = last
      }
      sink(0)
    }
    return result
  }
}

extension Array where Element == Int64 {
  /// The values in ascending order.
  ///
  /// Trade: delays differ in few of their 64 bits, so that a radix sort of two or three passes takes a fifth of the time of
  /// a sort by comparison.
  /// - Complexity: O(n) for each 11 bits in which the values differ; 16 bytes a value.
  func ascending() -> [Int64] {
    let fewest = 1_024
    guard count >= fewest, let least = self.min(), let most = self.max() else { return sorted() }
    let bits = 11
    let digits = 1 << bits
    let range = UInt64(bitPattern: most &- least)
    var (from, to) = (self, [Int64](repeating: 0, count: count))
    var shift: UInt64 = 0
    while shift < 64, range >> shift != 0 {
      var places = [Int](repeating: 0, count: digits)
      for value in from {
        places[Int(truncatingIfNeeded: UInt64(bitPattern: value &- least) >> shift) & (digits - 1)] += 1
      }
      var sum = 0
      for digit in places.indices { (places[digit], sum) = (sum, sum + places[digit]) }
      for value in from {
        let digit = Int(truncatingIfNeeded: UInt64(bitPattern: value &- least) >> shift) & (digits - 1)
        to[places[digit]] = value
        places[digit] += 1
      }
      swap(&from, &to)
      shift += UInt64(bits)
    }
    return from
  }
}
