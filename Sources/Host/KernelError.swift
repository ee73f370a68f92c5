// SPDX-License-Identifier: GPL-2.0-or-later
internal import Glibc

/// What went wrong with the kernel, in one line: what, where, what to do.
package struct ProbingError: Error, CustomStringConvertible, Sendable {
  package var description: String

  package init(_ description: String) { self.description = description }

  /// - Parameter code: errno, positive or negative.
  static func system(_ operation: String, _ code: Int32, _ remedy: String = "") -> ProbingError {
    let text = unsafe String(cString: strerror(abs(code)))
    return ProbingError("\(operation): \(text)" + (remedy.isEmpty ? "" : "; \(remedy)"))
  }
}
