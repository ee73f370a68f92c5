// SPDX-License-Identifier: GPL-2.0-or-later

/// Why a capture cannot be read on: one line with what, where and what to do.
package struct CaptureError: Error, Sendable, Equatable, CustomStringConvertible {
  package var path: String
  /// Byte of the (uncompressed) content; nil where no place is to blame.
  package var offset: Int?
  package var message: String

  package init(path: String, offset: Int? = nil, _ message: String) {
    self.path = path
    self.offset = offset
    self.message = message
  }

  package var description: String { path + (offset.map { ": byte \($0)" } ?? "") + ": \(message)" }
}
