// SPDX-License-Identifier: GPL-2.0-or-later
import Foundation
import Glibc
import Testing

@testable import Remote

@Suite struct HandshakeTests {
  private let key = Result { try SharedKey(bytes: Array("0123456789abcdef".utf8)) }
  private let other = Result { try SharedKey(bytes: Array("0123456789abcdeg".utf8)) }

  /// What host and agent make of each other: their error, nil for none, after a message each way.
  private func meet(host: SharedKey?, agent: SharedKey?, noise: [UInt8] = []) throws -> (RemoteError?, RemoteError?) {
    let (a, b) = try ends()
    if !noise.isEmpty { #expect(unsafe write(a, noise, noise.count) == noise.count) }
    let isLine = !noise.isEmpty
    let background = Background<RemoteError?> {
      var connection = Connection(b, peer: "host", mayHoldOldBytes: isLine)
      do throws(RemoteError) {
        try connection.welcome(key: agent, release: "1")
        #expect(try connection.receive(within: 5_000_000_000) == .ping(id: 5))
        try connection.send(.started)
      } catch { return error }
      return nil
    }
    var connection = Connection(a, peer: "agent", mayHoldOldBytes: isLine)
    var failure: RemoteError?
    do throws(RemoteError) {
      try connection.greet(key: host, release: "2")
      #expect(connection.peerVersion == "1")
      try connection.send(.ping(id: 5))
      #expect(try connection.receive(within: 5_000_000_000) == .started)
    } catch { failure = error }
    return (failure, try background.wait())
  }

  @Test func withoutAndWithAKey() throws {
    #expect(try meet(host: nil, agent: nil) == (nil, nil))
    #expect(try meet(host: try key.get(), agent: try key.get()) == (nil, nil))
  }

  /// A line on which an earlier conversation broke off.
  @Test func oldBytesAreSkipped() throws {
    let old = Frame(type: 38, number: 5, payload: [UInt8](repeating: 1, count: 99)).encoded(seal: nil)
    #expect(try meet(host: nil, agent: nil, noise: Array(old.dropFirst(3))) == (nil, nil))
  }

  /// A line that never falls silent is not listened to for ever.
  @Test func oldBytesWithoutEnd() throws {
    let (a, b) = try ends()
    let flood = Background<Bool> {
      let noise = [UInt8](repeating: 7, count: 4096)
      while unsafe send(a, noise, noise.count, Int32(MSG_NOSIGNAL)) > 0 {}
      close(a)
      return true
    }
    let search = Background<Bool> {
      var connection = Connection(b, peer: "host", mayHoldOldBytes: true)
      return try connection.skip(to: Handshake.magic, within: 100_000_000)
    }
    #expect(try !search.wait())
    #expect(try flood.wait())
  }

  @Test func keysMustAgree() throws {
    let (host, agent) = try meet(host: try key.get(), agent: try other.get())
    #expect(host?.kind == .refused && host?.description.contains("another key") == true)
    #expect(agent?.kind == .refused)
    let without = try meet(host: nil, agent: try key.get())
    #expect(without.0?.description.contains("give its --key-file") == true)
    let alone = try meet(host: try key.get(), agent: nil)
    #expect(alone.0?.description.contains("without --key-file") == true)
  }

  /// Who answers the host without knowing the key, or claims that none is needed, gets nothing.
  @Test func anImpostorIsNoAgent() throws {
    for dropsKey in [true, false] {
      let (a, b) = try ends()
      let key = try key.get()
      let background = Background<RemoteError?> {
        var connection = Connection(a, peer: "agent")
        do throws(RemoteError) { try connection.greet(key: key, release: "1") } catch { return error }
        return nil
      }
      var impostor = Connection(b, peer: "host")
      let hello = try Handshake.Hello(try #require(try impostor.frame(within: 5_000_000_000)).payload)
      let welcome = Handshake.Welcome(
        version: 1, hasKey: !dropsKey, nonce: Handshake.nonce(), echo: hello.nonce, release: "")
      try impostor.send(type: Handshake.Kind.welcome, welcome.payload)
      if !dropsKey {
        // The host's own proof sent back is not the agent's.
        let proof = try #require(try impostor.frame(within: 5_000_000_000))
        try impostor.send(type: Handshake.Kind.proof, proof.payload)
      }
      #expect(try background.wait() != nil)
    }
  }

  @Test(arguments: [(0, 0), (2, 9), (9, 2)] as [(UInt16, UInt16)])
  func versionsMustMeet(_ lowest: UInt16, _ highest: UInt16) throws {
    let hello = Handshake.Hello(
      lowest: lowest, highest: highest, hasKey: false, nonce: Handshake.nonce(), release: "7.0")
    let reason = try refusal(of: hello.payload)
    #expect(reason.contains("update the older one") && reason.contains("7.0"))
  }

  /// A newer host says more in its hello: it is still told the version.
  @Test func aNewerHelloIsUnderstood() throws {
    let hello = Handshake.Hello(lowest: 2, highest: 3, hasKey: false, nonce: Handshake.nonce(), release: "7.0")
    #expect(try refusal(of: hello.payload + [1, 2, 3]).contains("update the older one"))
  }

  private func refusal(of hello: [UInt8]) throws -> String {
    let (a, b) = try ends()
    let background = Background<RemoteError?> {
      var connection = Connection(b, peer: "host")
      do throws(RemoteError) { try connection.welcome(key: nil, release: "1") } catch { return error }
      return nil
    }
    var host = Connection(a, peer: "agent")
    try host.send(type: Handshake.Kind.hello, hello)
    let frame = try #require(try host.frame(within: 5_000_000_000))
    #expect(frame.type == Handshake.Kind.refusal)
    #expect(try background.wait() != nil)
    return try Handshake.Refusal(frame.payload).reason
  }

  @Test func whatIsNoLatprobeIsTurnedAway() throws {
    var generator = Seeded(state: 3)
    let noises: [[UInt8]] =
      [Array("GET / HTTP/1.1\r\nHost: a\r\n\r\n".utf8), [UInt8](repeating: 0, count: 100)]
      + (0..<50).map { _ in (0..<64).map { _ in UInt8.random(in: 0...255, using: &generator) } }
    for noise in noises {
      let (a, b) = try ends()
      #expect(unsafe write(a, noise, noise.count) == noise.count)
      shutdown(a, Int32(SHUT_WR))
      var connection = Connection(b, peer: "host")
      #expect(throws: RemoteError.self) { try connection.welcome(key: nil, release: "1") }
      close(a)
    }
  }

  /// Frames are numbered: one that is left out, repeated or put elsewhere ends the conversation.
  @Test func numbersAreInOrder() throws {
    for numbers: [UInt64] in [[1], [0, 0], [0, 2]] {
      let (a, b) = try ends()
      for number in numbers {
        let bytes = Frame(type: 17, number: number, payload: []).encoded(seal: nil)
        #expect(unsafe write(a, bytes, bytes.count) == bytes.count)
      }
      var connection = Connection(b, peer: "host")
      #expect(throws: RemoteError.self) {
        for _ in numbers { _ = try connection.receive(within: 1_000_000_000) }
      }
      close(a)
    }
  }

  @Test func aClosedConnectionIsAnErrorAndNoSignal() throws {
    let (a, b) = try ends()
    close(a)
    var connection = Connection(b, peer: "host")
    #expect(throws: RemoteError.self) { try connection.receive(within: 1_000_000_000) }
    #expect(throws: RemoteError.self) { for _ in 0..<3 { try connection.send(.start) } }
  }
}
