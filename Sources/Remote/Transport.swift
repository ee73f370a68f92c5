// SPDX-License-Identifier: GPL-2.0-or-later
internal import CVsock
internal import Glibc

/// A system call's result where it is a descriptor, else the error.
private func checked(_ result: Int32, _ what: String, _ remedy: String = "") throws(RemoteError) -> Int32 {
  if result < 0 { throw RemoteError.system(what, errno, remedy) }
  return result
}

extension Endpoint {
  private static let connectTimeout: Int32 = 5000

  /// Connects to an agent.
  package func connect() throws(RemoteError) -> Connection {
    let descriptor =
      switch self {
      case .vsock(let cid, let port): try connectVsock(cid, port)
      case .tcp(let host, let port): try connectTCP(host, port)
      case .serial(let path): try openLine(path)
      case .unix(let path): try connectUNIX(path)
      }
    return Connection(descriptor, peer: description, mayHoldOldBytes: mayHoldOldBytes)
  }

  private func connectVsock(_ cid: UInt32?, _ port: UInt32) throws(RemoteError) -> Int32 {
    guard let cid else { throw RemoteError(.invalid, "'\(self)' names no guest: give vsock:CID, as in vsock:3") }
    let result = lp_vsock_connect(cid, port, Endpoint.connectTimeout)
    guard result >= 0 else {
      throw RemoteError.system(
        description, result, "is the guest running with this CID, and 'latprobe agent vsock:' in it?")
    }
    return result
  }

  private func connectTCP(_ host: String, _ port: UInt16) throws(RemoteError) -> Int32 {
    var last = RemoteError(.connection, "\(self): no address")
    for address in try addresses(host, port, listening: false) {
      do throws(RemoteError) {
        let file = try checked(socket(address.family, Int32(SOCK_STREAM.rawValue) | O_CLOEXEC, 0), description)
        do throws(RemoteError) {
          // Bounds connect(2) as well.
          try setTimeout(file, SO_SNDTIMEO)
          _ = try checked(
            unsafe address.withPointer { unsafe Glibc.connect(file, $0, $1) }, description, "is the agent running?")
          try setNoDelay(file)
          return file
        } catch {
          close(file)
          throw error
        }
      } catch { last = error }
    }
    throw last
  }

  private func connectUNIX(_ path: String) throws(RemoteError) -> Int32 {
    let address = try SocketAddress(path: path)
    let file = try checked(socket(AF_UNIX, Int32(SOCK_STREAM.rawValue) | O_CLOEXEC, 0), description)
    guard unsafe address.withPointer({ unsafe Glibc.connect(file, $0, $1) }) == 0 else {
      defer { close(file) }
      throw RemoteError.system(description, errno)
    }
    return file
  }

  /// A virtio-serial port (guest), a terminal line, or the UNIX socket of QEMU's chardev (host).
  func openLine(_ path: String) throws(RemoteError) -> Int32 {
    var status = stat()
    guard unsafe stat(path, &status) == 0 else { throw RemoteError.system(description, errno) }
    if status.st_mode & S_IFMT == S_IFSOCK { return try connectUNIX(path) }
    guard status.st_mode & S_IFMT == S_IFCHR else {
      throw RemoteError(.invalid, "\(self) is neither a character device nor a socket")
    }
    let file = try checked(unsafe open(path, O_RDWR | O_CLOEXEC | O_NOCTTY | O_NONBLOCK), description)
    var settings = termios()
    if unsafe tcgetattr(file, &settings) == 0 {
      unsafe cfmakeraw(&settings)
      _ = unsafe tcsetattr(file, TCSANOW, &settings)
    }
    return file
  }

  func addresses(_ host: String, _ port: UInt16, listening: Bool) throws(RemoteError) -> [SocketAddress] {
    var hints = unsafe addrinfo()
    unsafe hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
    unsafe hints.ai_flags = AI_NUMERICSERV | (listening ? AI_PASSIVE : 0)
    var list: UnsafeMutablePointer<addrinfo>?
    let error = unsafe getaddrinfo(host, "\(port)", &hints, &list)
    guard error == 0 else {
      throw RemoteError(.connection, "\(self): \(unsafe String(cString: gai_strerror(error)))")
    }
    defer { unsafe freeaddrinfo(list) }
    var found: [SocketAddress] = []
    var next = unsafe list
    while let entry = unsafe next {
      let bytes = unsafe UnsafeRawBufferPointer(
        start: entry.pointee.ai_addr, count: Int(entry.pointee.ai_addrlen))
      unsafe found.append(SocketAddress(family: entry.pointee.ai_family, bytes: Array(bytes)))
      unsafe next = entry.pointee.ai_next
    }
    return found
  }

  /// Clock exchanges are small messages: none may wait for another.
  func setNoDelay(_ file: Int32) throws(RemoteError) {
    var on: Int32 = 1
    _ = try checked(
      unsafe setsockopt(file, Int32(IPPROTO_TCP), TCP_NODELAY, &on, socklen_t(MemoryLayout<Int32>.size)), description)
  }

  private func setTimeout(_ file: Int32, _ option: Int32) throws(RemoteError) {
    var time = timeval(tv_sec: Int(Endpoint.connectTimeout / 1000), tv_usec: 0)
    _ = try checked(
      unsafe setsockopt(file, SOL_SOCKET, option, &time, socklen_t(MemoryLayout<timeval>.size)), description)
  }
}

/// A `sockaddr` of any family.
struct SocketAddress {
  var family: Int32
  var bytes: [UInt8]

  init(family: Int32, bytes: [UInt8]) {
    self.family = family
    self.bytes = bytes
  }

  /// `sockaddr_un`.
  init(path: String) throws(RemoteError) {
    let name = Array(path.utf8)
    guard name.count < 108, !name.contains(0) else {
      throw RemoteError(.invalid, "the path \(path) is too long for a UNIX socket (107 bytes)")
    }
    family = AF_UNIX
    bytes = unsafe withUnsafeBytes(of: sa_family_t(AF_UNIX)) { unsafe Array($0) } + name + [0]
  }

  func withPointer(_ body: (UnsafePointer<sockaddr>, socklen_t) -> Int32) -> Int32 {
    unsafe bytes.withUnsafeBytes { bytes in
      guard let base = bytes.baseAddress else { return -1 }
      return unsafe body(base.assumingMemoryBound(to: sockaddr.self), socklen_t(bytes.count))
    }
  }
}
