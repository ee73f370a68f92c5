// SPDX-License-Identifier: GPL-2.0-or-later

/// A long sequence of which only the latest elements are kept; each has its number in the whole of it, from 0.
struct Window<Element> {
  /// Number of the first element that is kept.
  private(set) var start = 0
  /// How many there were in all.
  private(set) var end = 0
  private var ring: [Element]
  private let filler: Element

  init(filler: Element) {
    self.filler = filler
    ring = [Element](repeating: filler, count: 1_024)
  }

  var isEmpty: Bool { start == end }

  subscript(number: Int) -> Element {
    @inline(__always) get { ring[number & (ring.count - 1)] }
    @inline(__always) _modify { yield &ring[number & (ring.count - 1)] }
  }

  mutating func append(_ element: Element) {
    if end - start == ring.count { grow() }
    ring[end & (ring.count - 1)] = element
    end += 1
  }

  /// Forgets all before `number`.
  mutating func drop(to number: Int) { start = max(start, min(number, end)) }

  private mutating func grow() {
    var larger = [Element](repeating: filler, count: 2 * ring.count)
    for number in start..<end { larger[number & (larger.count - 1)] = ring[number & (ring.count - 1)] }
    ring = larger
  }
}
