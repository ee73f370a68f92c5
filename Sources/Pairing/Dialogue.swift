// SPDX-License-Identifier: GPL-2.0-or-later

/// A protocol over datagrams: UDP, ICMP, or TCP segment by segment.
protocol DatagramDialogue: AnyObject {
  /// - Parameter isRequest: it goes to a port of the server.
  func take(_ packet: Dissected, isRequest: Bool)
  /// The network says that it could not deliver this packet, of which it quotes the beginning.
  func refuse(_ quoted: Dissected)
  /// The capture is over.
  func finish()
}

extension DatagramDialogue {
  func refuse(_ quoted: Dissected) {}
}

enum Side {
  case client
  case server

  var other: Side { self == .client ? .server : .client }
}

/// Between whom a TCP connection is.
struct StreamEnds {
  var client: Endpoint
  var server: Endpoint
  var vlans = VLANTags()
}

/// What a protocol makes of the bytes of a TCP stream that lie before it.
enum StreamStep {
  /// More bytes are needed to tell: there is no line end in these, or none is looked for.
  case more
  /// More bytes are needed to tell, though there may be a line end in these.
  case short
  /// It depends on the other side what the bytes mean.
  case wait
  /// So many bytes belong to no message.
  case pass(Int)
  /// So many bytes belong to the message that goes on behind them; may reach beyond the bytes at hand.
  case part(Int)
  /// So many bytes finish the message.
  case end(Int)
  /// Not this protocol's language.
  case malformed
  /// From here on the connection speaks something else, or its answers can no longer be told apart.
  case leave
}

/// Whether requests and answers fit together behind a message.
enum StreamFit {
  case fits
  case mismatch
  /// From here on the connection speaks something else.
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
  /// False where the connection, or what is known of it, ended before the message.
  var isWhole = true
}

/// A protocol on one TCP connection.
protocol StreamDialogue: AnyObject {
  func step(_ side: Side, _ bytes: ByteView) -> StreamStep
  /// The message that the last ``step(_:_:)`` of this side finished is complete.
  func message(_ side: Side, _ message: StreamMessage) -> StreamFit
  /// Bytes of the stream came once more.
  func repeated(_ side: Side, _ range: Range<Int>)
  /// Payload of this side was passed over.
  func unread(_ side: Side, _ time: Int64)
  /// Whether the end of the stream completes the message that has begun.
  func endsAtClose(_ side: Side) -> Bool
  /// What is known of the connection ended within this answer, of which the last ``step(_:_:)`` has read a part at least.
  func cutOff(_ answer: StreamMessage) -> StreamFit
  /// Requests that wait for an answer.
  var waiting: Int { get }
  /// Forgets everything: what has begun, and the requests that wait, which are counted.
  func forget(as fate: Fate, _ time: Int64)
}

extension StreamDialogue {
  func unread(_ side: Side, _ time: Int64) {}
  func endsAtClose(_ side: Side) -> Bool { false }
  func cutOff(_ answer: StreamMessage) -> StreamFit { .fits }
}
