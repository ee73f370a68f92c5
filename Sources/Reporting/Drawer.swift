// SPDX-License-Identifier: GPL-2.0-or-later
internal import CDrawer
internal import Glibc
internal import Recording
internal import Synchronization

/// Runs gnuplot by a process apart, without privileges: as nobody where this is root, with no file to write and no program
/// to start.
package final class Drawer: Sendable {
  package enum Outcome: Sendable, Equatable {
    case picture([UInt8])
    /// There is no such program.
    case missing
    case notRun(String)
    /// What it said.
    case failed(String)
  }

  /// It starts with the first use: to be done before this process gives up privileges or filters its system calls.
  package static let shared = Drawer("gnuplot")

  /// Of a user without files and programs.
  private static let nobody: UInt32 = 65534
  private static let longestPicture = 64 << 20
  private static let longestComplaint = 64 << 10

  private let socket: Mutex<Int32>

  init(_ program: String) {
    socket = Mutex(unsafe lp_drawer_start(program, Drawer.nobody, Drawer.nobody))
  }

  deinit { socket.withLock { if $0 >= 0 { close($0) } } }

  /// Has it started.
  package func start() {}

  func draw(_ script: String) -> Outcome {
    socket.withLock { socket in
      guard socket >= 0 else { return .notRun(Drawer.text(socket)) }
      let bytes = Array(script.utf8)
      var (picture, complaint) = (Int32(-1), Int32(-1))
      let result = unsafe lp_drawer_draw(socket, bytes, bytes.count, &picture, &complaint)
      defer { for file in [picture, complaint] where file >= 0 { close(file) } }
      switch result {
      case 0: return .picture(Drawer.content(picture, Drawer.longestPicture))
      case -ENOENT: return .missing
      case ..<0: return .notRun(Drawer.text(result))
      case 256...: return .failed("it was ended by signal \(result - 256)")
      default: return .failed(String(decoding: Drawer.content(complaint, Drawer.longestComplaint), as: UTF8.self))
      }
    }
  }

  private static func text(_ error: Int32) -> String { unsafe String(cString: strerror(-error)) }

  private static func content(_ file: Int32, _ limit: Int) -> [UInt8] {
    var content: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 64 << 10)
    while content.count < limit {
      let count = unsafe read(file, &chunk, chunk.count)
      if count < 0 && errno == EINTR { continue }
      guard count > 0 else { break }
      content += chunk[..<count]
    }
    return content
  }
}
