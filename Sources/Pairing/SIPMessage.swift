// SPDX-License-Identifier: GPL-2.0-or-later

/// A SIP message as far as pairing looks at it.
struct SIPMessage {
  enum Failure: Error {
    case malformed
    /// The end of the bytes came before all that is needed.
    case short
  }
  /// nil: a request.
  var status: Int?
  /// Of the CSeq: the method that an answer answers to.
  var method: String
  var callID: [UInt8]
  /// Of From, in requests and answers alike; empty where From has none, nil where it was not seen.
  var fromTag: [UInt8]?
  var number: Int
  /// What the header says of the body, and where that begins; nil where the header has not ended.
  var contentLength: Int?
  var header: Int?

  init(_ bytes: ByteView) throws(Failure) {
    guard let (start, first) = bytes.line(from: 0) else { throw .short }
    let isResponse = start.starts(with: "SIP/2.0 ")
    if isResponse {
      guard let number = start.words(2).last?.number, (100..<700).contains(number) else { throw .malformed }
      status = number
    } else {
      let words = start.words(4)
      guard words.count == 3, words[2].starts(with: "SIP/2.0") else { throw .malformed }
    }
    var callID: ByteView?
    var sequence: (number: Int, method: String)?
    var at = first
    while let (line, next) = bytes.line(from: at) {
      at = next
      if line.isEmpty {
        header = at
        break
      }
      guard let colon = line.firstIndex(of: UInt8(ascii: ":")) else { continue }
      let (name, value) = (line[0..<colon].trimmed, line.dropFirst(colon + 1).trimmed)
      if name.isWord("call-id") || name.isWord("i") {
        callID = value
      } else if name.isWord("from") || name.isWord("f") {
        fromTag = SIPMessage.tag(of: value)
      } else if name.isWord("cseq") {
        let words = value.words(2)
        guard words.count == 2, let number = words[0].number, words[1].count <= 24, let method = words[1].text,
          method.utf8.allSatisfy({ (0x41...0x5a).contains($0) || $0 == 0x2d })
        else { throw .malformed }
        sequence = (number, method)
      } else if name.isWord("content-length") || name.isWord("l") {
        guard let length = value.number else { throw .malformed }
        contentLength = length
      }
    }
    guard let callID, let sequence else { throw header == nil ? .short : .malformed }
    guard !callID.isEmpty, callID.count <= 256 else { throw .malformed }
    self.callID = callID.bytes
    (number, method) = sequence
    if !isResponse {
      guard let verb = start.words(1).first?.text, verb == method else { throw .malformed }
    }
  }

  /// The tag behind an address, `"A" <sip:a@x>;tag=7` or `sip:a@x;tag=7`.
  private static func tag(of value: ByteView) -> [UInt8] {
    var rest = value
    while let end = rest.firstIndex(of: UInt8(ascii: ">")) { rest = rest.dropFirst(end + 1) }
    while let semicolon = rest.firstIndex(of: UInt8(ascii: ";")) {
      rest = rest.dropFirst(semicolon + 1)
      let parameter = rest.prefix(rest.firstIndex(of: UInt8(ascii: ";")) ?? rest.count)
      guard let equals = parameter.firstIndex(of: UInt8(ascii: "=")) else { continue }
      if parameter.prefix(equals).trimmed.isWord("tag") {
        return parameter.dropFirst(equals + 1).trimmed.prefix(256).bytes
      }
    }
    return []
  }

  /// `INVITE`, `180-INVITE`: the method, or status and the method answered to.
  var name: String { status.map { "\($0)-\(method)" } ?? method }

  var label: String { "\(ByteView(callID).text ?? "?") \(number) \(method)" }

  /// What all copies of it, and all answers to it, have in common.
  var match: [UInt8] { callID + [0] + Array("\(number) \(method)".utf8) }
}

/// The two ends of a leg as stations: addresses, since the ports of a message and its answer may differ; with ports where
/// both stations are on one address.
func legEnds(_ from: Endpoint, _ to: Endpoint) -> (from: Endpoint, to: Endpoint) {
  if from.address == to.address { return (from, to) }
  return (Endpoint(address: from.address, port: 0), Endpoint(address: to.address, port: 0))
}

/// Who takes SIP messages, however they came.
protocol SIPDialogue: DatagramDialogue {
  var book: Book { get }
  /// - Parameters:
  ///   - first: when its first byte came.
  ///   - last: when it was complete.
  func take(_ message: SIPMessage, from: Endpoint, to: Endpoint, first: Int64, last: Int64)
}

extension SIPDialogue {
  func take(_ packet: Dissected, isRequest: Bool) {
    // Empty lines keep a NAT's binding alive (RFC 5626).
    guard packet.payload.count > 4 else { return }
    do {
      let message = try SIPMessage(packet.payload)
      take(message, from: packet.source, to: packet.destination, first: packet.time, last: packet.time)
    } catch {
      if error == .short && packet.isCut { book.tally.truncated += 1 } else { book.tally.malformed += 1 }
    }
  }
}

/// SIP on a TCP connection, requests and answers in both directions.
final class SIPStream: StreamDialogue {
  private let dialogue: any SIPDialogue
  private let client: Endpoint
  private let server: Endpoint
  private var messages: (client: SIPMessage?, server: SIPMessage?)

  init(_ dialogue: any SIPDialogue, client: Endpoint, server: Endpoint) {
    self.dialogue = dialogue
    self.client = client
    self.server = server
  }

  func step(_ side: Side, _ bytes: ByteView) -> StreamStep {
    if bytes[0] == 0x0d || bytes[0] == 0x0a { return .part(1) }
    let message: SIPMessage
    do {
      message = try SIPMessage(bytes)
    } catch {
      return error == .short ? .more : .malformed
    }
    guard let header = message.header else { return .more }
    guard let body = message.contentLength, body < 1 << 24 else { return .malformed }
    if side == .client { messages.client = message } else { messages.server = message }
    return .end(header + body)
  }

  func message(_ side: Side, _ times: StreamMessage) -> Bool {
    let (message, from, to) =
      side == .client ? (messages.client, client, server) : (messages.server, server, client)
    guard let message else { return false }
    dialogue.take(message, from: from, to: to, first: times.first, last: times.complete)
    return true
  }

  // Messages are told apart by what stands in them, in tables of all connections.
  func repeated(_ side: Side, _ range: Range<Int>) {}
  var waiting: Int { 0 }
  func forget() -> Int { 0 }
}
