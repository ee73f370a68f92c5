// SPDX-License-Identifier: GPL-2.0-or-later

/// Where an agent listens, or where a host finds it: one grammar for both (`docs/agent.md`).
package enum Endpoint: Sendable, Equatable, CustomStringConvertible {
  /// `vsock:CID[:PORT]`; an agent leaves the CID out.
  case vsock(cid: UInt32?, port: UInt32)
  /// `serial:PATH`: a virtio-serial port in the guest, the UNIX socket of QEMU's chardev on the host.
  case serial(path: String)
  /// `tcp:HOST[:PORT]`, IPv6 addresses in brackets; asks for a key.
  case tcp(host: String, port: UInt16)
  /// `unix:PATH`, within one machine.
  case unix(path: String)

  package static let defaultPort: UInt16 = 5211

  package init(_ text: String) throws(RemoteError) {
    guard let colon = text.firstIndex(of: ":") else { throw Endpoint.wrong(text) }
    let rest = text[text.index(after: colon)...]
    switch text[..<colon] {
    case "vsock": self = try Endpoint.vsock(rest, text)
    case "tcp": self = try Endpoint.tcp(rest, text)
    case "serial" where !rest.isEmpty: self = .serial(path: String(rest))
    case "unix" where !rest.isEmpty: self = .unix(path: String(rest))
    default: throw Endpoint.wrong(text)
    }
  }

  /// Whether anybody on the way could speak in the other side's place.
  package var needsKey: Bool {
    if case .tcp = self { true } else { false }
  }

  /// A byte stream that no connection begins: what an earlier peer left may still lie in it.
  var mayHoldOldBytes: Bool {
    if case .serial = self { true } else { false }
  }

  package var description: String {
    switch self {
    case .vsock(let cid, let port): "vsock:\(cid.map { "\($0)" } ?? ""):\(port)"
    case .serial(let path): "serial:\(path)"
    case .tcp(let host, let port): host.contains(":") ? "tcp:[\(host)]:\(port)" : "tcp:\(host):\(port)"
    case .unix(let path): "unix:\(path)"
    }
  }

  private static func vsock(_ rest: Substring, _ text: String) throws(RemoteError) -> Endpoint {
    let parts = rest.split(separator: ":", omittingEmptySubsequences: false)
    let port = parts.count == 2 ? number(parts[1]) : UInt32(defaultPort)
    guard parts.count <= 2, let port, port < .max else { throw wrong(text) }
    if parts[0].isEmpty { return .vsock(cid: nil, port: port) }
    guard let cid = number(parts[0]), cid < .max else { throw wrong(text) }
    return .vsock(cid: cid, port: port)
  }

  private static func tcp(_ rest: Substring, _ text: String) throws(RemoteError) -> Endpoint {
    var host = rest
    var port: UInt32? = UInt32(defaultPort)
    if rest.first == "[" {
      guard let end = rest.firstIndex(of: "]") else { throw wrong(text) }
      host = rest[rest.index(after: rest.startIndex)..<end]
      let tail = rest[rest.index(after: end)...]
      if !tail.isEmpty { port = tail.first == ":" ? number(tail.dropFirst()) : nil }
    } else if let colon = rest.lastIndex(of: ":") {
      host = rest[..<colon]
      port = number(rest[rest.index(after: colon)...])
      if host.contains(":") { throw wrong(text) }
    }
    guard !host.isEmpty, let port, let port = UInt16(exactly: port), port > 0 else { throw wrong(text) }
    return .tcp(host: String(host), port: port)
  }

  private static func number(_ text: Substring) -> UInt32? {
    text.utf8.allSatisfy { UInt8(ascii: "0")...UInt8(ascii: "9") ~= $0 } ? UInt32(text) : nil
  }

  private static func wrong(_ text: String) -> RemoteError {
    RemoteError(
      .invalid,
      "'\(text)' is no address of an agent: give vsock:CID[:PORT], serial:PATH, tcp:HOST[:PORT] or unix:PATH")
  }
}
