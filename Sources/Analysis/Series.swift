// SPDX-License-Identifier: GPL-2.0-or-later
internal import Recording

/// Numbers in order, held or on disk: what is computed of them is the same.
enum Series<Element: BitwiseCopyable & AdditiveArithmetic> {
  case held([Element])
  case stored(StoredSeries<Element>)

  var count: Int {
    switch self {
    case .held(let values): values.count
    case .stored(let values): values.count
    }
  }

  subscript(index: Int) -> Element {
    switch self {
    case .held(let values): values[index]
    case .stored(let values): values[index..<index + 1][0]
    }
  }

  /// Hands out all numbers in turn: a part's own ones, and up to `overlap` of those that follow.
  ///
  /// A part that is not the last one has a multiple of 64.
  func forEachPart(overlap: Int = 0, _ body: (_ part: [Element], _ own: Int) -> Void) {
    switch self {
    case .held(let values): body(values, values.count)
    case .stored(let values):
      for begin in stride(from: 0, to: values.count, by: values.scratch.partSize) {
        let end = min(begin + values.scratch.partSize, values.count)
        body(values[begin..<min(end + overlap, values.count)], end - begin)
      }
    }
  }

  /// A series made of this one's parts, where this one is.
  func map<Result: BitwiseCopyable & AdditiveArithmetic>(
    _ transform: (_ part: [Element], _ own: Int) -> [Result]
  ) -> Series<Result> {
    switch self {
    case .held(let values): return .held(transform(values, values.count))
    case .stored(let values):
      let results = values.scratch.makeSeries(of: Result.self)
      forEachPart { part, own in results.append(transform(part, own)) }
      return .stored(results)
    }
  }
}
