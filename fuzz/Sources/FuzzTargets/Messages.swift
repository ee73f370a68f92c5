// SPDX-License-Identifier: GPL-2.0-or-later
internal import Remote
internal import TestPackets

extension FuzzTarget {
  static let messages = [
    FuzzTarget("message", "a frame of the agent's protocol and the message in it") { bytes in
      guard let frame = try? Frame.decode(bytes[...], seal: nil)?.frame,
        let message = try? Message(type: frame.type, payload: frame.payload)
      else { return }
      precondition(message.payload == frame.payload, "a message comes back as it went")
    },
    FuzzTarget("endpoint", "an agent's address") { _ = try? Endpoint(String(decoding: $0, as: UTF8.self)) },
    FuzzTarget("test-packet", "a STAMP test packet, and an answer to one") { bytes in
      for isAuthenticated in [false, true] { _ = TestPacket(payload: bytes, isAuthenticated: isAuthenticated) }
      _ = Reflection(payload: bytes)
      _ = Reflection(payload: bytes, key: TestKey(bytes: [1, 2, 3]))
    },
  ]
}
