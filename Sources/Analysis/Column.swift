// SPDX-License-Identifier: GPL-2.0-or-later
package import Recording
import Synchronization

/// Values in order, as many as there are: of more than a ``Scratch`` lets a column hold, the earlier ones are on disk.
///
/// Of copies, at most one may be appended to. Where the disk fails values read are 0, and ``Scratch/failure`` says so.
package struct Column<Value: BitwiseCopyable & Sendable & AdditiveArithmetic>: Sendable {
  /// A part that was read last, for whoever asks for single values.
  private final class Stored: Sendable {
    let spill: Spill?
    let count = Atomic(0)
    let last = Mutex<(begin: Int, part: [Value])>((-1, []))

    init(_ spill: Spill?) { self.spill = spill }
  }

  /// Nil: all are held.
  let scratch: Scratch?
  private var stored: Stored?
  /// Values on disk, whole parts; the others are held.
  private var storedCount = 0
  private var held: [Value] = []
  /// At how many held ones there is a question whether to go on holding them.
  private var turn = Int.max

  package init(on scratch: Scratch? = nil) {
    self.scratch = scratch
    if let scratch { turn = scratch.partSize }
  }

  package init(_ values: [Value]) {
    scratch = nil
    held = values
  }

  package var count: Int { storedCount + held.count }

  package mutating func append(_ value: Value) {
    held.append(value)
    if held.count == turn { makeRoom() }
  }

  package mutating func append(contentsOf values: some Sequence<Value>) {
    for value in values { append(value) }
  }

  private mutating func makeRoom() {
    guard let scratch else { return }
    let size = scratch.partSize * MemoryLayout<Value>.stride
    turn += scratch.partSize
    if scratch.hold(size), held.count < scratch.limit / 4 { return }
    scratch.release(held.count / scratch.partSize * size)
    let stored = self.stored ?? Stored(scratch.makeSpill())
    self.stored = stored
    let before = stored.count.exchange(storedCount + held.count, ordering: .relaxed)
    precondition(before == storedCount, "two copies of a column were appended to")
    do throws(RecordingError) { try stored.spill?.append(held) } catch { scratch.fail(error) }
    storedCount += held.count
    held.removeAll(keepingCapacity: true)
    turn = scratch.partSize
  }

  // MARK: Reading

  /// Hands out all values in turn: a part's own ones, and up to `overlap` of those that follow.
  ///
  /// A part that is not the last one has a multiple of 64.
  package func forEachPart(overlap: Int = 0, _ body: (_ part: [Value], _ own: Int) -> Void) {
    guard let scratch, storedCount > 0 else { return body(held, held.count) }
    for begin in stride(from: 0, to: count, by: scratch.partSize) {
      let end = Swift.min(begin + scratch.partSize, count)
      body(values(begin..<Swift.min(end + overlap, count)), end - begin)
    }
  }

  /// A column of as many values, made part by part and put where this one's are.
  package func map<Result>(_ transform: (Value) -> Result) -> Column<Result> {
    var result = Column<Result>(on: scratch)
    forEachPart { part, _ in for value in part { result.append(transform(value)) } }
    return result
  }

  func values(_ range: Range<Int>) -> [Value] {
    if range.lowerBound >= storedCount {
      return Array(held[range.lowerBound - storedCount..<range.upperBound - storedCount])
    }
    let end = Swift.min(range.upperBound, storedCount)
    var values = [Value](repeating: .zero, count: end - range.lowerBound)
    if scratch?.failure == nil {
      do throws(RecordingError) { try stored?.spill?.read(from: range.lowerBound, into: &values) } catch {
        scratch?.fail(error)
      }
    }
    return end < range.upperBound ? values + held[..<(range.upperBound - storedCount)] : values
  }
}

extension Column: RandomAccessCollection {
  package var startIndex: Int { 0 }
  package var endIndex: Int { count }

  package subscript(index: Int) -> Value {
    if index >= storedCount { return held[index - storedCount] }
    guard let scratch, let stored else { return .zero }
    let begin = index - index % scratch.partSize
    return stored.last.withLock { last in
      if last.begin != begin { last = (begin, values(begin..<begin + scratch.partSize)) }
      return last.part[index - begin]
    }
  }

  package struct Iterator: IteratorProtocol {
    private let column: Column
    private var part: [Value]
    private var place = 0
    /// Of the part behind this one.
    private var behind: Int

    fileprivate init(_ column: Column) {
      self.column = column
      part = column.storedCount == 0 ? column.held : []
      behind = part.count
    }

    package mutating func next() -> Value? {
      if place == part.count {
        guard behind < column.count, let scratch = column.scratch else { return nil }
        part = column.values(behind..<Swift.min(behind + scratch.partSize, column.count))
        behind += part.count
        place = 0
      }
      defer { place += 1 }
      return part[place]
    }
  }

  package func makeIterator() -> Iterator { Iterator(self) }
}

extension Column: Equatable {
  package static func == (one: Column, other: Column) -> Bool { one.elementsEqual(other) }
  package static func == (one: Column, other: [Value]) -> Bool { one.elementsEqual(other) }
}

extension Column: ExpressibleByArrayLiteral {
  package init(arrayLiteral values: Value...) { self.init(values) }
}
