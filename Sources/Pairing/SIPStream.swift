// SPDX-License-Identifier: GPL-2.0-or-later

/// The two ends of a leg as stations: addresses, since the ports of a message and its answer may differ; with ports where
/// both stations are on one address.
func legEnds(_ from: Endpoint, _ to: Endpoint) -> (from: Endpoint, to: Endpoint) {
  if from.address == to.address { return (from, to) }
  return (Endpoint(address: from.address, port: 0), Endpoint(address: to.address, port: 0))
}

/// On the way of a message.
struct SIPHop {
  var from: Endpoint
  var to: Endpoint
  var vlans = VLANTags()
  /// When its first byte came.
  var first: Int64
  /// When it was complete.
  var last: Int64
}

/// Who takes SIP messages, however they came.
protocol SIPDialogue: DatagramDialogue {
  var book: Book { get }
  func take(_ message: SIPMessage, _ hop: SIPHop)
  /// Messages may have passed that nobody could read.
  func missed(from: Endpoint, to: Endpoint, _ time: Int64, count: Int)
}

extension SIPDialogue {
  func take(_ packet: Dissected, isRequest: Bool) {
    // Empty lines keep a NAT's binding alive (RFC 5626).
    guard packet.payloadLength > 4 else { return }
    do {
      take(
        try SIPMessage(packet.payload),
        SIPHop(
          from: packet.source, to: packet.destination, vlans: packet.vlans, first: packet.time, last: packet.time))
    } catch {
      if error == .short && packet.isCut { book.tally.truncated += 1 } else { book.tally.malformed += 1 }
      missed(from: packet.source, to: packet.destination, packet.time, count: 1)
    }
  }

  func refuse(_ quoted: Dissected) {
    // The request's answer, were there one, would come the other way.
    missed(from: quoted.destination, to: quoted.source, quoted.time, count: 1)
  }
}

/// SIP on a TCP connection, requests and answers in both directions.
final class SIPStream: StreamDialogue {
  private let dialogue: any SIPDialogue
  private let ends: StreamEnds
  private var readers: (client: SIPReader, server: SIPReader) = (SIPReader(), SIPReader())
  private var messages: (client: SIPMessage?, server: SIPMessage?)
  /// Of each side a message has begun that is not complete.
  private var hasBegun = (client: false, server: false)

  init(_ dialogue: any SIPDialogue, _ ends: StreamEnds) {
    self.dialogue = dialogue
    self.ends = ends
  }

  func step(_ side: Side, _ bytes: ByteView) -> StreamStep {
    guard let (line, next) = bytes.line(from: 0) else { return .more }
    var reader = side == .client ? readers.client : readers.server
    let hadStarted = reader.hasStarted
    let reads = reader.read(line)
    let isWhole = reader.isWhole
    if side == .client { readers.client = isWhole ? SIPReader() : reader }
    if side == .server { readers.server = isWhole ? SIPReader() : reader }
    guard reads else { return .malformed }
    guard hadStarted || reader.hasStarted else { return .pass(next) }
    if side == .client { hasBegun.client = true } else { hasBegun.server = true }
    guard isWhole else { return .part(next) }
    guard let message = try? reader.message() else { return .malformed }
    // Without a length there is no body, or else what follows is no SIP.
    let body = message.contentLength ?? 0
    guard body < 1 << 24 else { return .malformed }
    if side == .client { messages.client = message } else { messages.server = message }
    return .end(next + body)
  }

  func message(_ side: Side, _ times: StreamMessage) -> StreamFit {
    guard let message = side == .client ? messages.client : messages.server else { return .mismatch }
    let (from, to) = side == .client ? (ends.client, ends.server) : (ends.server, ends.client)
    if side == .client { hasBegun.client = false } else { hasBegun.server = false }
    dialogue.take(
      message, SIPHop(from: from, to: to, vlans: ends.vlans, first: times.first, last: times.complete))
    return .fits
  }

  func unread(_ side: Side, _ time: Int64) {
    let (from, to) = side == .client ? (ends.client, ends.server) : (ends.server, ends.client)
    dialogue.missed(from: from, to: to, time, count: .max)
  }

  // Messages are told apart by what stands in them, in tables of all connections.
  func repeated(_ side: Side, _ range: Range<Int>) {}
  var waiting: Int { 0 }
  func forget(as fate: Fate, _ time: Int64) {
    let all = fate != .unanswered
    if all || hasBegun.client { unread(.client, time) }
    if all || hasBegun.server { unread(.server, time) }
    readers = (SIPReader(), SIPReader())
    hasBegun = (false, false)
  }
}
