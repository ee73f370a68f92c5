// SPDX-License-Identifier: GPL-2.0-or-later

/// Where numbers go that are too many to be held.
///
/// Where the disk fails all further ones are 0, and ``failure`` says so: whoever computes asks for it once, at the end.
package final class Scratch {
  package fileprivate(set) var failure: RecordingError?
  /// Numbers that are read and written at once: a multiple of 64.
  package let partSize: Int
  fileprivate let directory: String
  fileprivate let write: WriteCall

  init(in directory: String, limit: Int, write: @escaping WriteCall) {
    self.directory = directory
    self.write = write
    partSize = max(64, limit / 64 & ~63)
  }

  package func makeSeries<Value: BitwiseCopyable & AdditiveArithmetic>(of _: Value.Type) -> StoredSeries<Value> {
    StoredSeries(self)
  }
}

/// Numbers in order, on disk.
package final class StoredSeries<Value: BitwiseCopyable & AdditiveArithmetic> {
  package private(set) var count = 0
  package let scratch: Scratch
  private var spill: Spill<Value>?

  fileprivate init(_ scratch: Scratch) { self.scratch = scratch }

  package func append(_ values: [Value]) {
    count += values.count
    guard scratch.failure == nil else { return }
    do throws(RecordingError) {
      let file = if let spill { spill } else { try Spill<Value>(in: scratch.directory, write: scratch.write) }
      spill = file
      try file.append(values)
    } catch {
      scratch.failure = error
    }
  }

  package subscript(range: Range<Int>) -> [Value] {
    var values = [Value](repeating: .zero, count: range.count)
    guard let spill, scratch.failure == nil else { return values }
    do throws(RecordingError) { try spill.read(from: range.lowerBound, into: &values) } catch {
      scratch.failure = error
    }
    return values
  }
}
