// SPDX-License-Identifier: GPL-2.0-or-later
internal import Glibc

/// What went wrong with the kernel, in one line: what, where, what to do.
package struct KernelError: Error, CustomStringConvertible, Sendable {
  package var description: String

  package init(_ description: String) { self.description = description }

  /// A device of this thread's network namespace that is not there.
  package init(missing device: String) {
    self.init("no device '\(device)' here; see 'ip link', or name its namespace with --netns")
  }

  /// - Parameter code: errno, positive or negative.
  package static func system(_ operation: String, _ code: Int32, _ remedy: String = "") -> KernelError {
    let text = unsafe String(cString: strerror(abs(code)))
    return KernelError("\(operation): \(text)" + (remedy.isEmpty ? "" : "; \(remedy)"))
  }
}
