// SPDX-License-Identifier: GPL-2.0-or-later
import Recording
import Testing

@testable import Remote

@Suite struct MessageTests {
  static let samples: [Message] = [
    .prepare(sampleRequest()), .start, .ping(id: 7), .stop, .pull, .acknowledge,
    .prepared(
      PreparedRecording(machine: "guest-b", hostname: "b", bootID: "boot", hooks: ["txg1"], warnings: ["no txg0: ä"])),
    .started, .pong(id: 7, received: 5, sent: -6), .progress(RemoteProgress()),
    .stopped(reason: "duration", directory: "/var/tmp/x"), .file(.machine, size: 1), .file(.metadata, size: 0),
    .file(.stream(cpu: 65535, sequence: .max), size: .max), .data([]), .data([1, 2, 3]), .sent(files: 3, bytes: 9),
    .deleted, .failed("why"),
  ]

  @Test func allComeBackAsTheyWent() throws {
    #expect(Set(MessageTests.samples.map(\.kind)) == Set(Message.Kind.allCases))
    for message in MessageTests.samples {
      #expect(try Message(type: message.kind.rawValue, payload: message.payload) == message)
    }
  }

  @Test func goldenBytes() {
    #expect(
      Message.pong(id: 1, received: 2, sent: -1).payload
        == [1, 0, 0, 0, 0, 0, 0, 0] + [2, 0, 0, 0, 0, 0, 0, 0] + [UInt8](repeating: 255, count: 8))
    #expect(
      Message.file(.stream(cpu: 3, sequence: 258), size: 5).payload == [2, 3, 0, 2, 1, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0])
    #expect(Message.failed("no").payload == [2, 0, 0x6e, 0x6f])
    let request = sampleRequest().bytes
    #expect(request[0..<2] == [36, 0] && request[38..<44] == [4, 0, 0x76, 0x65, 0x74, 0x68])
    #expect(request[44..<76].elementsEqual(0..<32))
  }

  /// Too short or too long: refused, whatever the type.
  @Test func theSizeMustFit() {
    for message in MessageTests.samples where message.kind != .data {
      for count in 0..<message.payload.count {
        #expect(throws: RemoteError.self) {
          try Message(type: message.kind.rawValue, payload: Array(message.payload.prefix(count)))
        }
      }
      #expect(throws: RemoteError.self) { try Message(type: message.kind.rawValue, payload: message.payload + [0]) }
    }
  }

  @Test func randomBytesNeverCrash() {
    var generator = Seeded(state: 1)
    var accepted = 0
    for _ in 0..<20_000 {
      let count = Int.random(in: 0..<80, using: &generator)
      let payload = (0..<count).map { _ in UInt8.random(in: 0...255, using: &generator) }
      let type = UInt8.random(in: 0...60, using: &generator)
      if let message = try? Message(type: type, payload: payload) {
        accepted += 1
        #expect(message.payload == payload, "\(message)")
      }
    }
    // Types whose payload is free or short come through: it was not all refused at the door.
    #expect(accepted > 100)
  }

  /// Changes one byte of a good message: refused, or another good message.
  @Test func changedBytesNeverCrash() {
    var generator = Seeded(state: 2)
    for message in MessageTests.samples {
      for _ in 0..<500 where !message.payload.isEmpty {
        var payload = message.payload
        payload[Int.random(in: 0..<payload.count, using: &generator)] = UInt8.random(in: 0...255, using: &generator)
        if let other = try? Message(type: message.kind.rawValue, payload: payload) { #expect(other.payload == payload) }
      }
    }
  }

  @Test func theHostCannotNamePaths() {
    for topology in ["../veth", "/etc/passwd", "a/b", "veth.yaml", ".", "..", "", ".hidden"] {
      var request = sampleRequest()
      request.topology = topology
      #expect(throws: RemoteError.self, "\(topology)") { try Message(type: 16, payload: request.bytes) }
    }
    for device in ["", "a/b", "a b", "a\tb"] {
      var request = sampleRequest()
      request.devices = [device]
      // A control character is sent as a question mark, which is a name.
      if device == "a\tb" { continue }
      #expect(throws: RemoteError.self, "\(device)") { try Message(type: 16, payload: request.bytes) }
    }
    for session in ["", "a b", "../x", ".hidden", "5b7f1c52-96a8-4b0e-9d6e-11111111111/"] {
      var request = sampleRequest()
      request.session = session
      #expect(throws: RemoteError.self, "\(session)") { try Message(type: 16, payload: request.bytes) }
    }
    var request = sampleRequest()
    request.oneIn = 0
    #expect(throws: RemoteError.self) { try Message(type: 16, payload: request.bytes) }
    for size: UInt32 in [1, 2048, 5000, 1 << 31] {
      var request = sampleRequest()
      request.bufferSize = size
      #expect(throws: RemoteError.self) { try Message(type: 16, payload: request.bytes) }
    }
  }

  @Test func theGuestCannotNamePaths() {
    for name in ["../x", "a/b", ".x", "", "a\u{0}b"] {
      let prepared = PreparedRecording(machine: name, hostname: "", bootID: "", hooks: [], warnings: [])
      if name.contains("\u{0}") { continue }
      #expect(throws: RemoteError.self, "\(name)") {
        try Message(type: 32, payload: Message.prepared(prepared).payload)
      }
    }
    // Kinds of files that no recording has.
    for bytes: [UInt8] in [[3, 0, 0, 0, 0, 0, 0], [0, 1, 0, 0, 0, 0, 0], [1, 0, 0, 1, 0, 0, 0]] {
      #expect(throws: RemoteError.self) { try Message(type: 37, payload: bytes + [UInt8](repeating: 0, count: 8)) }
    }
  }

  /// What the other side says ends up on a terminal.
  @Test func textsArePrintable() throws {
    for bytes: [UInt8] in [[0x1b, 0x5b], [0x0a], [0xc2, 0x9b], [0xe2, 0x80, 0xae], [0xff], [0xc0, 0x80]] {
      #expect(throws: RemoteError.self, "\(bytes)") { try Message(type: 48, payload: [UInt8(bytes.count), 0] + bytes) }
    }
    #expect(throws: RemoteError.self) { try Message(type: 48, payload: [1, 2] + [UInt8](repeating: 65, count: 513)) }
    // The writer makes them so, and cuts them between characters.
    let long = Message.failed("a\nb\u{1b}" + String(repeating: "ä", count: 400)).payload
    let back = try Message(type: 48, payload: long)
    #expect(back == .failed("a?b?" + String(repeating: "ä", count: 254)))
  }
}

extension RecordRequest {
  fileprivate var bytes: [UInt8] { Message.prepare(self).payload }
}
