// SPDX-License-Identifier: GPL-2.0-or-later
internal import CVsock
internal import Glibc

/// What an agent listens on. A line (virtio-serial) has one peer, which is there whenever it speaks.
package final class Listener {
  private let endpoint: Endpoint
  private static let backlog: Int32 = 64
  /// −1 for a line.
  private let descriptor: Int32
  /// The open line while nobody speaks on it: closing it would drop what comes meanwhile.
  private var line: Descriptor?
  /// The socket file, to be removed.
  private let path: String?

  /// Whether several hosts can connect at once.
  var isShared: Bool { descriptor >= 0 }

  package init(_ endpoint: Endpoint) throws(RemoteError) {
    self.endpoint = endpoint
    line = nil
    var path: String?
    switch endpoint {
    case .vsock(let cid, let port):
      guard cid == nil else {
        throw RemoteError(.invalid, "an agent listens on vsock: or vsock::PORT; the CID is the host's to give")
      }
      let result = lp_vsock_listen(port)
      guard result >= 0 else {
        throw RemoteError.system(
          "\(endpoint)", result, "does the guest have a vsock device and the module vmw_vsock_virtio_transport?")
      }
      descriptor = result
    case .tcp(let host, let port): descriptor = try Listener.listenTCP(endpoint, host, port)
    case .unix(let name):
      descriptor = try Listener.listenUNIX(endpoint, name)
      path = name
    case .serial(let path):
      line = Descriptor(try endpoint.openLine(path))
      descriptor = -1
    }
    self.path = path
    if descriptor >= 0 { _ = fcntl(descriptor, F_SETFL, O_NONBLOCK) }
  }

  deinit {
    if descriptor >= 0 { close(descriptor) }
    if let path { unsafe unlink(path) }
  }

  private static func listenTCP(_ endpoint: Endpoint, _ host: String, _ port: UInt16) throws(RemoteError) -> Int32 {
    guard let address = try endpoint.addresses(host, port, listening: true).first else {
      throw RemoteError(.connection, "\(endpoint): no address")
    }
    let file = socket(address.family, Int32(SOCK_STREAM.rawValue) | O_CLOEXEC, 0)
    var on: Int32 = 1
    unsafe setsockopt(file, SOL_SOCKET, SO_REUSEADDR, &on, socklen_t(MemoryLayout<Int32>.size))
    guard file >= 0, unsafe address.withPointer({ unsafe bind(file, $0, $1) }) == 0, listen(file, Listener.backlog) == 0
    else {
      let error = errno
      if file >= 0 { close(file) }
      throw RemoteError.system("\(endpoint)", error)
    }
    return file
  }

  private static func listenUNIX(_ endpoint: Endpoint, _ path: String) throws(RemoteError) -> Int32 {
    let address = try SocketAddress(path: path)
    let file = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue) | O_CLOEXEC, 0)
    let mask = umask(0o077)
    var bound = unsafe file >= 0 && address.withPointer({ unsafe bind(file, $0, $1) }) == 0
    if !bound, errno == EADDRINUSE, isAbandoned(path, address) {
      unsafe unlink(path)
      bound = unsafe address.withPointer({ unsafe bind(file, $0, $1) }) == 0
    }
    let error = errno
    umask(mask)
    guard bound, listen(file, Listener.backlog) == 0 else {
      let number = bound ? errno : error
      if file >= 0 { close(file) }
      throw RemoteError.system(
        "\(endpoint)", number, number == EADDRINUSE ? "another agent has it, or left it: remove \(path)" : "")
    }
    return file
  }

  /// Whether it is a socket of ours that nobody listens on: an agent that was killed leaves it.
  private static func isAbandoned(_ path: String, _ address: SocketAddress) -> Bool {
    var status = stat()
    guard unsafe lstat(path, &status) == 0, status.st_mode & S_IFMT == S_IFSOCK, status.st_uid == geteuid() else {
      return false
    }
    let file = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue) | O_CLOEXEC, 0)
    defer { close(file) }
    return unsafe address.withPointer({ unsafe connect(file, $0, $1) }) != 0 && errno == ECONNREFUSED
  }

  /// The next host; nil if none came within `timeout` milliseconds.
  package func accept(timeout: Int32) throws(RemoteError) -> Connection? {
    guard descriptor >= 0 else { return try acceptLine(timeout) }
    var entry = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
    guard unsafe poll(&entry, 1, timeout) > 0 else { return nil }
    if case .vsock = endpoint {
      var cid: UInt32 = 0
      let file = unsafe lp_vsock_accept(descriptor, &cid)
      guard file >= 0 else { return nil }
      // A process of this guest, or another guest, is not the host.
      guard cid == LP_VSOCK_HOST else {
        close(file)
        return nil
      }
      return Connection(file, peer: "the host (\(endpoint))")
    }
    var from = sockaddr_storage()
    var size = socklen_t(MemoryLayout<sockaddr_storage>.size)
    let file = unsafe withUnsafeMutablePointer(to: &from) { pointer in
      unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { unsafe Glibc.accept(descriptor, $0, &size) }
    }
    guard file >= 0 else {
      // Out of descriptors, say: the next try comes no sooner than without a host.
      usleep(UInt32(timeout) * 1000)
      return nil
    }
    _ = fcntl(file, F_SETFD, FD_CLOEXEC)
    if case .tcp = endpoint {
      try? endpoint.setNoDelay(file)
      let (address, port) = Listener.name(&from, size)
      return Connection(file, peer: "the host at \(address), port \(port) (\(endpoint))", address: address)
    }
    return Connection(file, peer: "the host (\(endpoint)\(Listener.owner(of: file)))")
  }

  /// Numeric address and port.
  private static func name(_ from: inout sockaddr_storage, _ size: socklen_t) -> (address: String, port: String) {
    var address = [CChar](repeating: 0, count: Int(NI_MAXHOST))
    var port = [CChar](repeating: 0, count: 8)
    let error = unsafe withUnsafePointer(to: &from) { pointer in
      unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        unsafe getnameinfo(
          $0, size, &address, socklen_t(address.count), &port, socklen_t(port.count), NI_NUMERICHOST | NI_NUMERICSERV)
      }
    }
    func text(_ bytes: [CChar]) -> String {
      String(decoding: bytes.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }
    return error == 0 ? (text(address), text(port)) : ("?", "?")
  }

  /// Who has the other end of a UNIX socket, for people.
  private static func owner(of file: Int32) -> String {
    // struct ucred: process, user, group.
    var who: [Int32] = [0, 0, 0]
    var size = socklen_t(3 * MemoryLayout<Int32>.size)
    guard unsafe getsockopt(file, SOL_SOCKET, SO_PEERCRED, &who, &size) == 0 else { return "" }
    return ", user \(UInt32(bitPattern: who[1])), process \(who[0])"
  }

  private func acceptLine(_ timeout: Int32) throws(RemoteError) -> Connection? {
    guard case .serial(let path) = endpoint else { return nil }
    let open: Descriptor
    if let kept = line.take() { open = kept } else { open = Descriptor(try endpoint.openLine(path)) }
    var entry = pollfd(fd: open.number, events: Int16(POLLIN), revents: 0)
    let count = unsafe poll(&entry, 1, timeout)
    if count > 0, Int32(entry.revents) & POLLIN != 0, Int32(entry.revents) & POLLHUP == 0 {
      return Connection(open.release(), peer: "the host (\(endpoint))", mayHoldOldBytes: true)
    }
    line = consume open
    // A port whose host end is closed answers at once.
    if count > 0 { usleep(UInt32(timeout) * 1000) }
    return nil
  }
}
