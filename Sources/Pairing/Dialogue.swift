// SPDX-License-Identifier: GPL-2.0-or-later

/// A protocol over datagrams: UDP, ICMP, or TCP segment by segment.
protocol DatagramDialogue: AnyObject {
  /// - Parameter isRequest: it goes to a port of the server.
  func take(_ packet: Dissected, isRequest: Bool)
  /// The capture is over.
  func finish()
}

enum Side {
  case client
  case server

  var other: Side { self == .client ? .server : .client }
}

/// What a protocol makes of the bytes of a TCP stream that lie before it.
enum StreamStep {
  /// More bytes are needed to tell.
  case more
  /// So many bytes belong to the message that goes on behind them; may reach beyond the bytes at hand.
  case part(Int)
  /// So many bytes finish the message.
  case end(Int)
  /// Not this protocol's language.
  case malformed
  /// From here on the connection speaks something else, or its answers can no longer be told apart.
  case leave
}

/// One message of a TCP stream.
struct StreamMessage {
  /// The packet with the first byte.
  var first: Int64
  /// The packet that made it complete, or brought the last of it.
  var complete: Int64
  /// Offsets in the stream.
  var range: Range<Int>
  /// Some of it came more than once before it was complete.
  var isRepeated: Bool
  /// False where the connection ended before the message.
  var isWhole = true
}

/// A protocol on one TCP connection.
protocol StreamDialogue: AnyObject {
  func step(_ side: Side, _ bytes: ByteView) -> StreamStep
  /// The message that the last ``step(_:_:)`` of this side finished is complete.
  /// - Returns: false if requests and answers no longer fit together.
  func message(_ side: Side, _ message: StreamMessage) -> Bool
  /// Bytes of the stream came once more.
  func repeated(_ side: Side, _ range: Range<Int>)
  /// Whether the end of the stream completes the message that has begun.
  func endsAtClose(_ side: Side) -> Bool
  /// The connection ended within this answer, of which the last ``step(_:_:)`` has read a part at least.
  func cutOff(_ answer: StreamMessage)
  /// Requests that wait for an answer.
  var waiting: Int { get }
  /// Forgets everything: what has begun, and the requests that wait; returns how many those were.
  func forget() -> Int
}

extension StreamDialogue {
  func endsAtClose(_ side: Side) -> Bool { false }
  func cutOff(_ answer: StreamMessage) {}
}
