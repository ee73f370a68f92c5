// SPDX-License-Identifier: GPL-2.0-or-later

/// A set of CPUs as the kernel writes it: `0-3,8`.
package struct CPUList: Sendable, Equatable, CustomStringConvertible {
  /// Of the kernel's CONFIG_NR_CPUS.
  private static let limit = 8192

  package private(set) var cpus: Set<Int>

  package init(_ cpus: Set<Int> = []) { self.cpus = cpus }

  /// What is no number or range, or runs backwards, is left out.
  package init(_ text: String) {
    cpus = []
    for range in text.split(separator: ",") {
      let ends = range.split(separator: "-", omittingEmptySubsequences: false).map {
        Int($0.filter { !$0.isWhitespace })
      }
      guard let first = ends.first.flatMap(\.self), let last = ends.last.flatMap(\.self), ends.count <= 2,
        (0...last).contains(first), last < CPUList.limit
      else { continue }
      cpus.formUnion(first...last)
    }
  }

  package var isEmpty: Bool { cpus.isEmpty }
  package func isSubset(of other: CPUList) -> Bool { cpus.isSubset(of: other.cpus) }
  package func intersection(_ other: CPUList) -> CPUList { CPUList(cpus.intersection(other.cpus)) }
  package func union(_ other: CPUList) -> CPUList { CPUList(cpus.union(other.cpus)) }

  /// As the kernel writes it; empty for none.
  package var description: String {
    var ranges: [ClosedRange<Int>] = []
    for cpu in cpus.sorted() {
      if let last = ranges.last, last.upperBound + 1 == cpu {
        ranges[ranges.count - 1] = last.lowerBound...cpu
      } else {
        ranges.append(cpu...cpu)
      }
    }
    return ranges.map { $0.count == 1 ? "\($0.lowerBound)" : "\($0.lowerBound)-\($0.upperBound)" }
      .joined(separator: ",")
  }
}
