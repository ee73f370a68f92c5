// SPDX-License-Identifier: GPL-2.0-or-later
#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

/// Values in a file without a name: it goes with this, also where the program is killed.
package final class Spill: Sendable {
  private let directory: String
  private let file: File
  private let call: WriteCall

  package init(in directory: String, write: @escaping WriteCall) throws(RecordingError) {
    self.directory = directory
    call = write
    file = try Folder(directory).makeNamelessFile()
  }

  /// Writes values behind all that are there.
  package func append<Value: BitwiseCopyable>(_ values: [Value]) throws(RecordingError) {
    do throws(RecordingError) {
      try unsafe values.withUnsafeBufferPointer { (buffer) throws(RecordingError) in
        try unsafe file.write(UnsafeRawBufferPointer(buffer), directory, call: call)
      }
    } catch {
      guard error.kind == .diskFull else { throw error }
      throw RecordingError(
        .diskFull, path: directory, errno: error.errno,
        "no room for the temporary files of what is more than memory is to hold: free space, or name another folder by "
          + "TMPDIR, with -o by -o")
    }
  }

  /// Fills `values` with those from `index`; there must be as many.
  package func read<Value: BitwiseCopyable>(from index: Int, into values: inout [Value]) throws(RecordingError) {
    let size = MemoryLayout<Value>.stride
    let wanted = values.count * size
    let done = try unsafe values.withUnsafeMutableBufferPointer { (buffer) throws(RecordingError) in
      try unsafe file.read(into: UnsafeMutableRawBufferPointer(buffer), at: index * size, directory)
    }
    guard done == wanted else {
      throw RecordingError(.damaged, path: directory, "a temporary file ends early")
    }
  }
}

/// More values than memory is to hold, in order: sorted part by part as they come, merged as they are read.
///
/// Equal values stay in the order in which they came.
final class SortedRuns<Value: BitwiseCopyable> {
  private struct Run {
    var next: Int
    let end: Int
    var buffer: [Value]
    var place: Int
  }

  private let directory: String
  /// Values that are held of all runs together while they are merged.
  private let room: Int
  private let write: WriteCall
  private let isBefore: (Value, Value) -> Bool
  private var spill: Spill?
  private var count = 0
  private var runs: [(range: Range<Int>, first: Value)] = []

  init(
    in directory: String, room: Int, write: @escaping WriteCall, by isBefore: @escaping (Value, Value) -> Bool
  ) {
    self.directory = directory
    self.room = room
    self.write = write
    self.isBefore = isBefore
  }

  /// Sorts the values and puts them away.
  func add(_ values: inout [Value]) throws(RecordingError) {
    values.sort(by: isBefore)
    guard let first = values.first else { return }
    let file = if let spill { spill } else { try Spill(in: directory, write: write) }
    spill = file
    try file.append(values)
    runs.append((count..<count + values.count, first))
    count += values.count
  }

  /// - Complexity: O(n log r) for r runs.
  func forEach(_ body: (Value) throws(RecordingError) -> Void) throws(RecordingError) {
    guard let spill else { return }
    let room = max(16, room / runs.count)
    var readers: [Run] = []
    // The first values of all runs, the next one on top.
    var heap: [(value: Value, run: Int)] = []
    for (number, run) in runs.enumerated() {
      let size = min(room, run.range.count)
      readers.append(
        Run(
          next: run.range.lowerBound, end: run.range.upperBound, buffer: [Value](repeating: run.first, count: size),
          place: size))
      heap.append((run.first, number))
    }
    for index in heap.indices.reversed() { sink(index, in: &heap) }
    for index in readers.indices { _ = try SortedRuns.next(of: &readers[index], spill) }
    while let top = heap.first {
      try body(top.value)
      if let value = try SortedRuns.next(of: &readers[top.run], spill) {
        heap[0].value = value
      } else {
        let last = heap.removeLast()
        if !heap.isEmpty { heap[0] = last }
      }
      sink(0, in: &heap)
    }
  }

  private static func next(of run: inout Run, _ spill: Spill) throws(RecordingError) -> Value? {
    if run.place == run.buffer.count {
      guard run.next < run.end else { return nil }
      run.buffer.removeLast(max(0, run.buffer.count - (run.end - run.next)))
      try spill.read(from: run.next, into: &run.buffer)
      run.next += run.buffer.count
      run.place = 0
    }
    defer { run.place += 1 }
    return run.buffer[run.place]
  }

  private func sink(_ start: Int, in heap: inout [(value: Value, run: Int)]) {
    var index = start
    while true {
      var least = index
      for child in [2 * index + 1, 2 * index + 2] where child < heap.count && precedes(heap[child], heap[least]) {
        least = child
      }
      if least == index { return }
      heap.swapAt(index, least)
      index = least
    }
  }

  private func precedes(_ one: (value: Value, run: Int), _ other: (value: Value, run: Int)) -> Bool {
    if isBefore(one.value, other.value) { return true }
    return one.run < other.run && !isBefore(other.value, one.value)
  }
}
