// SPDX-License-Identifier: GPL-2.0-or-later
internal import CNetns
internal import Glibc

/// A network device as rtnetlink describes it.
package struct Link: Sendable, Equatable {
  package var index: Int
  package var name: String
  /// `veth`, `bridge`, `tun`, …; empty for a plain device.
  package var kind: String
  package var isUp: Bool
  /// False where a cable is out, or a veth's other end down; devices without the notion have one.
  package var hasCarrier: Bool
  /// Whether its frames begin with an Ethernet header; loopback's do.
  package var isEthernet: Bool
  /// Index of the other end (or lower device); nil where there is none.
  package var peerIndex: Int?
  /// The id that this namespace has given to the peer's; nil: the same namespace.
  package var peerNamespaceID: Int?
  /// Index of the bridge (or bond, or Open vSwitch datapath) that it is a port of; nil where there is none.
  package var masterIndex: Int?

  package init(
    index: Int, name: String, kind: String = "", isUp: Bool = true, hasCarrier: Bool = true, isEthernet: Bool = true,
    peerIndex: Int? = nil,
    peerNamespaceID: Int? = nil, masterIndex: Int? = nil
  ) {
    self.index = index
    self.name = name
    self.kind = kind
    self.isUp = isUp
    self.hasCarrier = hasCarrier
    self.isEthernet = isEthernet
    self.peerIndex = peerIndex
    self.peerNamespaceID = peerNamespaceID
    self.masterIndex = masterIndex
  }
}

/// A network namespace: where it was found, and its inode number, which is what the kernel calls it.
package struct NetworkNamespace: Sendable, Equatable, Hashable {
  /// For people: the name under /run/netns, `pid 123`, a path, or `this namespace`.
  package var label: String
  package var path: String
  package var inode: UInt32

  private init?(label: String, path: String) {
    var status = stat()
    guard unsafe stat(path, &status) == 0 else { return nil }
    self.label = label
    self.path = path
    inode = UInt32(truncatingIfNeeded: status.st_ino)
  }

  /// The same by a path that leads there as long as the calling thread is in it.
  var here: NetworkNamespace {
    var namespace = self
    namespace.path = NetworkNamespace.threadPath
    return namespace
  }

  private static let threadPath = "/proc/thread-self/ns/net"

  /// Where the calling thread is, which may have gone into another one than the process's.
  package static func ofThread() throws(KernelError) -> NetworkNamespace {
    guard let namespace = NetworkNamespace(label: "this namespace", path: threadPath) else {
      throw KernelError("\(threadPath) cannot be read: is /proc mounted?")
    }
    return namespace
  }

  package static func current() throws(KernelError) -> NetworkNamespace {
    guard let namespace = NetworkNamespace(label: "this namespace", path: "/proc/self/ns/net") else {
      throw KernelError("/proc/self/ns/net cannot be read: is /proc mounted?")
    }
    return namespace
  }

  /// - Parameter name: a name under /run/netns, a process id (a container's), or a path.
  package static func named(_ name: String) throws(KernelError) -> NetworkNamespace {
    let path =
      name.contains("/") ? name : name.allSatisfy(\.isNumber) ? "/proc/\(name)/ns/net" : "/run/netns/\(name)"
    if let namespace = NetworkNamespace(label: name, path: path) { return namespace }
    throw KernelError(
      "no network namespace '\(name)' (\(path) is not there); see 'ip netns list', or give a container's process id")
  }

  /// A process's, under another name; nil where there is no such process, or none that may be looked at.
  package static func of(process: Int, label: String) -> NetworkNamespace? {
    NetworkNamespace(label: label, path: "/proc/\(process)/ns/net")
  }

  /// Every namespace that can be found: named ones first, then those of processes, without repeats.
  package static func all() -> [NetworkNamespace] {
    var found: [NetworkNamespace] = []
    var inodes: Set<UInt32> = []
    func add(_ namespace: NetworkNamespace?) {
      if let namespace, inodes.insert(namespace.inode).inserted { found.append(namespace) }
    }
    for name in System.list("/run/netns") { add(NetworkNamespace(label: name, path: "/run/netns/\(name)")) }
    add(NetworkNamespace(label: "this namespace", path: "/proc/self/ns/net"))
    for name in System.list("/proc") where name.allSatisfy(\.isNumber) {
      add(NetworkNamespace(label: "pid \(name)", path: "/proc/\(name)/ns/net"))
    }
    return found
  }

  /// This thread is in the namespace from now on; files below /sys stay those of the old one.
  package func enter() throws(KernelError) {
    let file = unsafe open(path, O_RDONLY | O_CLOEXEC)
    guard file >= 0 else { throw KernelError.system("namespace \(label) (\(path))", errno) }
    defer { close(file) }
    let result = lp_enter_netns(file)
    guard result == 0 else {
      throw KernelError.system("namespace \(label) cannot be entered", result, "entering needs CAP_SYS_ADMIN")
    }
  }

  /// Devices by which the default routes leave, IPv4's first, each once.
  package func defaultRouteDevices() throws(KernelError) -> [String] {
    let home = unsafe open(NetworkNamespace.threadPath, O_RDONLY | O_CLOEXEC)
    guard home >= 0 else { throw KernelError.system("this namespace", errno) }
    defer { close(home) }
    try enter()
    defer { _ = lp_enter_netns(home) }
    func rows(_ file: String) -> [[Substring]] {
      System.read("/proc/thread-self/net/\(file)")?.split(separator: "\n").map {
        $0.split(whereSeparator: \.isWhitespace)
      } ?? []
    }
    // Of route destination and mask are fields 1 and 7; of ipv6_route the prefix's length is field 1, its name the last.
    let four = rows("route").filter { $0.count > 7 && $0[1] == "00000000" && $0[7] == "00000000" }.map { $0[0] }
    let six = rows("ipv6_route").filter { $0.count > 9 && $0[0].allSatisfy { $0 == "0" } && $0[1] == "00" }.map {
      $0[9]
    }
    return (four + six).reduce(into: []) { names, name in
      if name != "lo", !names.contains(String(name)) { names.append(String(name)) }
    }
  }

  /// The namespace opened; it lives at least as long.
  func withFile<T>(_ body: (Int32) throws(KernelError) -> T) throws(KernelError) -> T {
    let file = unsafe open(path, O_RDONLY | O_CLOEXEC)
    guard file >= 0 else { throw KernelError.system("namespace \(label) (\(path))", errno) }
    defer { close(file) }
    var status = stat()
    guard unsafe fstat(file, &status) == 0, UInt32(truncatingIfNeeded: status.st_ino) == inode else {
      throw KernelError("namespace \(label) is another one by now (\(path)); try again")
    }
    return try body(file)
  }

  /// Whether its path still leads to it, as far as its number tells.
  ///
  /// Once privileges are given up, a process with more of them may not be looked at: it is there all the same.
  var isNamed: Bool {
    var status = stat()
    guard unsafe stat(path, &status) == 0 else { return errno == EACCES || errno == EPERM }
    return UInt32(truncatingIfNeeded: status.st_ino) == inode
  }

  private func withSocket<T>(_ body: (Int32) -> T) throws(KernelError) -> T {
    try withFile { (file) throws(KernelError) in try withSocket(in: file, body) }
  }

  private func withSocket<T>(in file: Int32, _ body: (Int32) -> T) throws(KernelError) -> T {
    let socket = lp_netlink_open(file)
    guard socket >= 0 else {
      throw KernelError.system("namespace \(label) cannot be entered", socket, "entering needs CAP_SYS_ADMIN")
    }
    defer { close(socket) }
    return body(socket)
  }

  /// What no other namespace has had or will have: its number (``inode``) comes again once it is gone. Nil before Linux 5.14.
  package func cookie() throws(KernelError) -> UInt64? {
    try withSocket { socket in
      var cookie: UInt64 = 0
      return unsafe lp_netns_cookie(socket, &cookie) == 0 ? cookie : nil
    }
  }

  package func links() throws(KernelError) -> [Link] {
    try unsafe all(lp_link(), "devices") { socket, links, capacity in unsafe lp_links(socket, links, capacity) }
      .map { Link($0) }
  }

  /// Addresses and the indexes of the links that have them.
  func addresses() throws(KernelError) -> [LinkAddress] {
    try unsafe all(lp_link_change(), "addresses") { socket, addresses, capacity in
      unsafe lp_addresses(socket, addresses, capacity)
    }
    .map { LinkAddress($0) }
  }

  /// All that `read` finds, which fills a buffer as far as it reaches and says how many there are.
  private func all<T>(
    _ empty: T, _ what: String, _ read: (Int32, UnsafeMutablePointer<T>, Int) -> Int32
  ) throws(KernelError) -> [T] {
    var found = [T](repeating: empty, count: 1024)
    while true {
      let count = try withSocket { socket in
        unsafe found.withUnsafeMutableBufferPointer { buffer in
          guard let base = buffer.baseAddress else { return Int32(0) }
          return unsafe read(socket, base, buffer.count)
        }
      }
      guard count >= 0 else { throw KernelError.system("\(what) of namespace \(label)", count) }
      if count <= found.count { return Array(found.prefix(Int(count))) }
      // More may have come meanwhile.
      found = Array(repeating: empty, count: Int(count) * 2)
    }
  }

  package func link(named name: String) throws(KernelError) -> Link {
    let links = try links()
    if let link = links.first(where: { $0.name == name }) { return link }
    throw KernelError(
      "no device '\(name)' in \(label); there are \(links.map(\.name).joined(separator: " "))")
  }

  /// The namespace that this one knows under `id`.
  package func namespace(withID id: Int, among candidates: [NetworkNamespace]) throws(KernelError) -> NetworkNamespace?
  {
    try withSocket { socket in
      candidates.first { candidate in
        let file = unsafe open(candidate.path, O_RDONLY | O_CLOEXEC)
        guard file >= 0 else { return false }
        defer { close(file) }
        return lp_nsid_of(socket, file) == Int32(id)
      }
    }
  }
}

/// An address that a link has.
package struct LinkAddress: Sendable, Hashable {
  /// The link's.
  package var index: Int
  /// 16 bytes, IPv4's as ::ffff:10.0.0.1.
  package var bytes: [UInt8]

  package init(index: Int, bytes: [UInt8]) { (self.index, self.bytes) = (index, bytes) }

  init(_ change: lp_link_change) {
    index = Int(change.link.index)
    bytes = unsafe withUnsafeBytes(of: change.address) { unsafe Array($0) }
  }
}

extension Link {
  init(_ link: lp_link) {
    func text<T>(_ characters: T) -> String {
      unsafe withUnsafeBytes(of: characters) { unsafe String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
    }
    self.init(
      index: Int(link.index), name: text(link.name), kind: text(link.kind), isUp: link.up != 0,
      hasCarrier: link.carrier != 0, isEthernet: link.ethernet != 0,
      peerIndex: link.peer_index > 0 && link.peer_index != link.index || link.peer_nsid >= 0
        ? Int(link.peer_index) : nil,
      peerNamespaceID: link.peer_nsid >= 0 ? Int(link.peer_nsid) : nil,
      masterIndex: link.master_index > 0 ? Int(link.master_index) : nil)
  }
}
