// SPDX-License-Identifier: GPL-2.0-or-later

/// A protocol of one's own: what tells requests from answers, and one exchange from another (docs/pairing.md).
package struct PairingRule: Sendable, Equatable {
  package enum Transport: String, Sendable, CaseIterable {
    case udp
    /// Segment by segment: a message must not share its segment, nor begin behind another one.
    case tcp
  }
  /// Bytes of the payload.
  package struct Field: Sendable, Equatable {
    package var offset: Int
    package var length: Int
    /// As many bytes as the field; nil: all bits.
    package var mask: [UInt8]?
  }
  package struct Condition: Sendable, Equatable {
    package var field: Field
    package var value: [UInt8]
  }
  package struct Message: Sendable, Equatable {
    /// All must hold.
    package var conditions: [Condition] = []
    /// Empty: the first ``defaultKey`` bytes of the payload, and its length.
    package var key: [Field] = []
  }
  package var name: String
  package var transport: Transport
  /// Of the server.
  package var ports: [UInt16]
  package var request = Message()
  package var response = Message()
  /// Nanoseconds after which a request counts as unanswered.
  package var timeout: Int64 = 60_000_000_000

  package static let defaultKey = 32

  package init(name: String, transport: Transport, ports: [UInt16]) {
    self.name = name
    self.transport = transport
    self.ports = ports
  }
}

extension PairingRule.Field {
  enum Value {
    case bytes([UInt8])
    /// The field lies beyond what was captured, or beyond the payload.
    case cut
    case absent
  }

  func value(_ packet: Dissected) -> Value {
    guard offset + length <= packet.payloadLength else { return .absent }
    guard offset + length <= packet.payload.count else { return .cut }
    let bytes = packet.payload[offset..<offset + length].bytes
    guard let mask else { return .bytes(bytes) }
    return .bytes(zip(bytes, mask).map { $0 & $1 })
  }
}

/// Pairs by a rule.
final class RuleDialogue: DatagramDialogue {
  private let rule: PairingRule
  private var exchanges: KeyedExchanges
  private let name: PairName

  init(_ book: Book, rule: PairingRule, limits: PairingLimits) {
    self.rule = rule
    exchanges = KeyedExchanges(book, limits, timeout: rule.timeout)
    name = book.named(rule.name)
  }

  func take(_ packet: Dissected, isRequest: Bool) {
    guard packet.payloadLength > 0 else { return }
    // Both ports may be the server's: then an answer is what a request waits for.
    if isRequest, rule.ports.contains(packet.source.port), case .match(let match) = read(rule.response, packet),
      exchanges.isWaiting(answerKey(packet, match))
    {
      return take(packet, match, isRequest: false)
    }
    switch read(isRequest ? rule.request : rule.response, packet) {
    case .match(let match): take(packet, match, isRequest: isRequest)
    case .other: break
    case .short: exchanges.unreadable(packet, isCut: false)
    case .cut: exchanges.unreadable(packet, isCut: true)
    }
  }

  private func take(_ packet: Dissected, _ match: [UInt8], isRequest: Bool) {
    if isRequest {
      exchanges.request(requestKey(packet, match), name: name, label: .bytes(match), time: packet.time)
    } else {
      exchanges.response(answerKey(packet, match), time: packet.time, last: packet.time)
    }
  }

  private func requestKey(_ packet: Dissected, _ match: [UInt8]) -> ExchangeKey {
    ExchangeKey(client: packet.source, server: packet.destination, match: match, vlans: packet.vlans)
  }

  private func answerKey(_ packet: Dissected, _ match: [UInt8]) -> ExchangeKey {
    ExchangeKey(client: packet.destination, server: packet.source, match: match, vlans: packet.vlans)
  }

  func refuse(_ quoted: Dissected) {
    if case .match(let match) = read(rule.request, quoted), exchanges.refuse(requestKey(quoted, match)) { return }
    exchanges.missed(ExchangeEnds(client: quoted.source, server: quoted.destination), quoted.time, count: 1)
  }

  private enum Reading {
    /// The key.
    case match([UInt8])
    /// Not this kind of message.
    case other
    /// The payload, or what was captured of it, ends before the key.
    case short
    case cut
  }

  private func read(_ message: PairingRule.Message, _ packet: Dissected) -> Reading {
    for condition in message.conditions {
      switch condition.field.value(packet) {
      case .bytes(let bytes): guard bytes == condition.value else { return .other }
      case .absent: return .other
      case .cut: return .cut
      }
    }
    var match: [UInt8] = []
    for field in message.key {
      switch field.value(packet) {
      case .bytes(let bytes): match += bytes
      case .absent: return .short
      case .cut: return .cut
      }
    }
    if message.key.isEmpty {
      let length = packet.payloadLength
      // Fewer bytes than the other side's are another key.
      guard packet.payload.count >= min(length, PairingRule.defaultKey) else { return .cut }
      match = packet.payload.prefix(PairingRule.defaultKey).bytes
      match += [16, 8, 0].map { (shift: Int) in UInt8(truncatingIfNeeded: length >> shift) }
    }
    return .match(match)
  }

  func finish() { exchanges.finish() }
}
