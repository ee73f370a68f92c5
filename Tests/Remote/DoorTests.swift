// SPDX-License-Identifier: GPL-2.0-or-later
import Foundation
import Glibc
import Synchronization
import Testing

@testable import Remote

/// Who only knocks keeps nobody out.
@Suite struct DoorTests {
  private final class Lines: Sendable {
    private let lines = Mutex<[String]>([])
    func say(_ line: String) { lines.withLock { $0.append(line) } }
    var all: [String] { lines.withLock { $0 } }
  }

  private static let key = Result { try SharedKey(bytes: [UInt8](repeating: 5, count: 32)) }

  /// A door on TCP, at a port that is free.
  private func listener() throws -> (Listener, Endpoint) {
    for _ in 0..<100 {
      let endpoint = Endpoint.tcp(host: "127.0.0.1", port: .random(in: 20_000...60_000))
      if let listener = try? Listener(endpoint) { return (listener, endpoint) }
    }
    throw RemoteError(.connection, "no port is free")
  }

  private func knock(_ endpoint: Endpoint, _ bytes: [UInt8] = []) throws -> Descriptor {
    guard case .tcp(let host, let port) = endpoint,
      let address = try endpoint.addresses(host, port, listening: false).first
    else { throw RemoteError(.invalid, "no address") }
    let file = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    #expect(unsafe address.withPointer { unsafe Glibc.connect(file, $0, $1) } == 0)
    if !bytes.isEmpty { #expect(unsafe Glibc.send(file, bytes, bytes.count, Int32(MSG_NOSIGNAL)) == bytes.count) }
    return Descriptor(file)
  }

  /// Six who say nothing, and six who begin a hello: hosts come in one after the other, each at once.
  @Test func idlePeersKeepNobodyOut() throws {
    let key = try DoorTests.key.get()
    let (listener, endpoint) = try listener()
    let lines = Lines()
    let door = Door(listener, key: key, release: "1", say: lines.say)
    let sockets = try (0..<12).map { number in
      try knock(endpoint, number < 6 ? [] : [UInt8](repeating: 0, count: 20)).release()
    }
    defer { for file in sockets { close(file) } }
    let begin = Date()
    for _ in 0..<9 {
      let host = Background<Bool> {
        var connection = try endpoint.connect()
        try connection.greet(key: key, release: "2")
        try connection.send(.prepare(sampleRequest()))
        _ = try? connection.receive(within: 200_000_000)
        return true
      }
      var guest: Door.Guest?
      for _ in 0..<100 where guest == nil { guest = try door.next(wait: 100) }
      let isServed = guest?.request == sampleRequest()
      #expect(isServed)
      guest = nil
      #expect(try host.wait())
    }
    // Nine times five seconds for each of the twelve, if they were served in turn.
    #expect(Date().timeIntervalSince(begin) < 40)
    let words = lines.all
    #expect(words.count { $0.contains("the host at 127.0.0.1, port ") && $0.contains("is connected") } == 9, "\(words)")
    // Of one address no more than so many: the oldest went.
    #expect(words.contains { $0.contains("was turned away: too many others came after it") }, "\(words)")
  }

  /// A byte now and then is no more than none: all of a handshake has an end.
  @Test func dripsHaveAnEnd() throws {
    let (listener, endpoint) = try listener()
    let lines = Lines()
    let door = Door(listener, key: try DoorTests.key.get(), release: "1", timeout: 300_000_000, say: lines.say)
    let file = try knock(endpoint).release()
    let drip = Background<Int> {
      for count in 0..<200 {
        guard unsafe Glibc.send(file, [UInt8(0)], 1, Int32(MSG_NOSIGNAL)) == 1 else { return count }
        usleep(50_000)
      }
      return 200
    }
    for _ in 0..<200 where lines.all.isEmpty { #expect(try door.next(wait: 20) == nil) }
    #expect(lines.all.count == 1 && lines.all[0].hasPrefix("the host at 127.0.0.1, port "), "\(lines.all)")
    #expect(try drip.wait() < 200)
    close(file)
  }

  /// Whoever knocks without end fills no log.
  @Test func linesAreBounded() throws {
    let (listener, endpoint) = try listener()
    let lines = Lines()
    let door = Door(listener, key: nil, release: "1", say: lines.say)
    for _ in 0..<100 {
      _ = try knock(endpoint, Array("GET / HTTP/1.1\r\n\r\n".utf8))
      #expect(try door.next(wait: 1) == nil)
    }
    for _ in 0..<20 { #expect(try door.next(wait: 20) == nil) }
    #expect(1...20 ~= lines.all.count, "\(lines.all.count)")
  }
}
