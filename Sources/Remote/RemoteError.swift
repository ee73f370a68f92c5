// SPDX-License-Identifier: GPL-2.0-or-later
internal import Glibc

/// What went wrong between host and guest, in one line: what, where, what to do.
package struct RemoteError: Error, CustomStringConvertible, Sendable, Equatable {
  package enum Kind: Sendable {
    /// The connection cannot be made, or is gone.
    case connection
    /// The other side did not speak in time.
    case timeout
    /// The other side broke the protocol: nothing it says is trusted any more.
    case protocolViolation
    /// The other side refused, or could not do, what it was asked for.
    case refused
    /// An argument, a key file or the like on this side.
    case invalid
    /// The user did not want to wait any longer.
    case cancelled
  }

  package var kind: Kind
  package var description: String

  package init(_ kind: Kind, _ description: String) {
    self.kind = kind
    self.description = description
  }

  static func violation(_ description: String) -> RemoteError { RemoteError(.protocolViolation, description) }

  /// - Parameter code: errno, positive or negative.
  static func system(_ operation: String, _ code: Int32, _ remedy: String = "") -> RemoteError {
    let text = unsafe String(cString: strerror(abs(code)))
    return RemoteError(.connection, "\(operation): \(text)" + (remedy.isEmpty ? "" : "; \(remedy)"))
  }
}
