// SPDX-License-Identifier: GPL-2.0-or-later

/// The first frames: hello, welcome or refusal and, with a key, two proofs.
///
/// The host proves first, so that nobody who merely reaches an agent gets anything made with the key.
enum Handshake {
  static let magic = Array("LATPROBE".utf8)
  /// Versions of the protocol that this latprobe speaks.
  static let versions: ClosedRange<UInt16> = 1...1
  /// Nanoseconds that each side waits for all of it.
  static let timeout: Int64 = 5_000_000_000
  static let nonceSize = 32

  enum Kind {
    static let hello: UInt8 = 1
    static let welcome: UInt8 = 2
    static let proof: UInt8 = 3
    static let refusal: UInt8 = 4
  }

  struct Hello {
    var lowest: UInt16
    var highest: UInt16
    var hasKey: Bool
    var nonce: [UInt8]
    /// Of the program, for people.
    var release: String

    var payload: [UInt8] {
      var writer = WireWriter()
      writer.put(raw: Handshake.magic)
      writer.put(lowest)
      writer.put(highest)
      writer.put(UInt8(hasKey ? 1 : 0))
      writer.put(raw: nonce)
      writer.put(release, limit: Message.Limit.name)
      return writer.bytes
    }
  }

  struct Welcome {
    var version: UInt16
    var hasKey: Bool
    var nonce: [UInt8]
    /// The hello's nonce: this is the answer to it, and not an older one that lay in the line.
    var echo: [UInt8]
    var release: String

    var payload: [UInt8] {
      var writer = WireWriter()
      writer.put(raw: Handshake.magic)
      writer.put(raw: echo)
      writer.put(version)
      writer.put(UInt8(hasKey ? 1 : 0))
      writer.put(raw: nonce)
      writer.put(release, limit: Message.Limit.name)
      return writer.bytes
    }
  }

  struct Refusal {
    /// The hello's nonce; zeros where there was none.
    var echo: [UInt8]
    var reason: String

    var payload: [UInt8] {
      var writer = WireWriter()
      writer.put(raw: Handshake.magic)
      writer.put(raw: echo)
      writer.put(reason, limit: Message.Limit.line)
      return writer.bytes
    }
  }

  static func nonce() -> [UInt8] { (0..<nonceSize).map { _ in UInt8.random(in: 0...255) } }
}

extension Handshake.Hello {
  init(_ payload: [UInt8]) throws(RemoteError) {
    var reader = WireReader(payload)
    guard try reader.raw(Handshake.magic.count).elementsEqual(Handshake.magic) else {
      throw .violation("whoever speaks here is no latprobe")
    }
    lowest = try reader.number()
    highest = try reader.number()
    hasKey = try reader.flag()
    nonce = Array(try reader.raw(Handshake.nonceSize))
    release = try reader.text(limit: Message.Limit.name)
    // A later version may say more here.
    if highest <= Handshake.versions.upperBound { try reader.end() }
  }
}

extension Handshake.Welcome {
  init(_ payload: [UInt8]) throws(RemoteError) {
    var reader = WireReader(payload)
    guard try reader.raw(Handshake.magic.count).elementsEqual(Handshake.magic) else {
      throw .violation("whoever answers here is no latprobe agent")
    }
    echo = Array(try reader.raw(Handshake.nonceSize))
    version = try reader.number()
    hasKey = try reader.flag()
    nonce = Array(try reader.raw(Handshake.nonceSize))
    release = try reader.text(limit: Message.Limit.name)
    try reader.end()
  }
}

extension Handshake.Refusal {
  init(_ payload: [UInt8]) throws(RemoteError) {
    var reader = WireReader(payload)
    guard try reader.raw(Handshake.magic.count).elementsEqual(Handshake.magic) else {
      throw .violation("whoever answers here is no latprobe agent")
    }
    echo = Array(try reader.raw(Handshake.nonceSize))
    reason = try reader.text(limit: Message.Limit.line)
    try reader.end()
  }
}

extension Connection {
  /// The host's part.
  mutating func greet(key: SharedKey?, release: String) throws(RemoteError) {
    // The agent's patience, and a step more for its answer.
    deadline = Connection.now + 2 * Handshake.timeout
    defer { deadline = nil }
    let hello = Handshake.Hello(
      lowest: Handshake.versions.lowerBound, highest: Handshake.versions.upperBound, hasKey: key != nil,
      nonce: Handshake.nonce(), release: release)
    try send(type: Handshake.Kind.hello, hello.payload)
    let frame = try answer(to: hello)
    let welcome = try Handshake.Welcome(frame.payload)
    guard welcome.echo == hello.nonce, Handshake.versions.contains(welcome.version) else {
      throw .violation("\(peer) answers what was not asked")
    }
    peerVersion = welcome.release
    guard welcome.hasKey == (key != nil) else { throw .violation("\(peer) has dropped the key") }
    guard let key else { return }
    let transcript = hello.payload + frame.payload
    try send(type: Handshake.Kind.proof, key.derive("latprobe proof of the host", transcript))
    let proof = try handshakeFrame(Handshake.Kind.proof)
    guard key.isValid(proof.payload, "latprobe proof of the agent", transcript) else {
      throw RemoteError(.refused, "\(peer) has another key")
    }
    seal(
      outgoing: key.seal("latprobe frames of the host", transcript),
      incoming: key.seal("latprobe frames of the agent", transcript))
  }

  /// The agent's part. What the host does not get right it is told, and this throws.
  mutating func welcome(key: SharedKey?, release: String) throws(RemoteError) {
    var nonce = [UInt8](repeating: 0, count: Handshake.nonceSize)
    do throws(RemoteError) {
      if mayHoldOldBytes, try !skip(to: Handshake.magic, within: Handshake.timeout) { throw silence }
      let frame = try handshakeFrame(Handshake.Kind.hello)
      let hello = try Handshake.Hello(frame.payload)
      nonce = hello.nonce
      peerVersion = hello.release
      let version = try Handshake.version(for: hello, key: key, release: release)
      let welcome = Handshake.Welcome(
        version: version, hasKey: key != nil, nonce: Handshake.nonce(), echo: hello.nonce, release: release)
      try send(type: Handshake.Kind.welcome, welcome.payload)
      guard let key else { return }
      let transcript = frame.payload + welcome.payload
      let proof = try handshakeFrame(Handshake.Kind.proof)
      guard key.isValid(proof.payload, "latprobe proof of the host", transcript) else {
        throw RemoteError(.refused, "the agent has another key")
      }
      try send(type: Handshake.Kind.proof, key.derive("latprobe proof of the agent", transcript))
      seal(
        outgoing: key.seal("latprobe frames of the agent", transcript),
        incoming: key.seal("latprobe frames of the host", transcript))
    } catch {
      refuse(error.description, echo: nonce)
      throw error
    }
  }

  /// Turns a host away before anything was agreed on.
  mutating func refuse(_ reason: String, echo: [UInt8] = Array(repeating: 0, count: Handshake.nonceSize)) {
    _ = try? send(type: Handshake.Kind.refusal, Handshake.Refusal(echo: echo, reason: reason).payload)
  }

  /// The welcome; on a line that may hold old bytes, the one that answers `hello`.
  private mutating func answer(to hello: Handshake.Hello) throws(RemoteError) -> Frame {
    if mayHoldOldBytes, try !skip(to: Handshake.magic + hello.nonce, within: Handshake.timeout) { throw silence }
    return try handshakeFrame(Handshake.Kind.welcome)
  }

  private var silence: RemoteError {
    RemoteError(
      .timeout, "\(peer) does not answer: is 'latprobe agent' running there, and not busy with another host?")
  }

  private mutating func handshakeFrame(_ type: UInt8) throws(RemoteError) -> Frame {
    guard let frame = try frame(within: Handshake.timeout) else { throw silence }
    if frame.type == Handshake.Kind.refusal {
      throw RemoteError(.refused, "\(peer): \(try Handshake.Refusal(frame.payload).reason)")
    }
    guard frame.type == type else { throw .violation("\(peer) sent a frame of type \(frame.type) in the handshake") }
    return frame
  }
}

extension Handshake {
  /// The protocol version for a host, or why there is none.
  fileprivate static func version(for hello: Hello, key: SharedKey?, release: String) throws(RemoteError) -> UInt16 {
    let version = min(hello.highest, versions.upperBound)
    guard version >= max(hello.lowest, versions.lowerBound) else {
      throw RemoteError(
        .refused,
        "the agent (latprobe \(release)) speaks protocol \(versions.lowerBound) to \(versions.upperBound), "
          + "the host (latprobe \(hello.release)) \(hello.lowest) to \(hello.highest): update the older one")
    }
    switch (key != nil, hello.hasKey) {
    case (true, false): throw RemoteError(.refused, "the agent asks for a key: give its --key-file")
    case (false, true): throw RemoteError(.refused, "the agent was started without --key-file: leave it out here too")
    default: return version
    }
  }
}
