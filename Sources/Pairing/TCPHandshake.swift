// SPDX-License-Identifier: GPL-2.0-or-later

/// The handshake of TCP connections: SYN to SYN/ACK, and SYN/ACK to the client's ACK.
final class TCPHandshake: DatagramDialogue {
  private struct Key: Hashable {
    var ends: ExchangeEnds
    var vlans: VLANTags
  }
  private enum State {
    /// Not seen.
    case none
    case waiting
    /// It has its answer, or is counted otherwise.
    case settled
  }
  /// A packet that asks for an answer: the SYN, or the SYN/ACK.
  private struct Opening {
    var state = State.none
    var sequence: UInt32 = 0
    /// What may be acknowledged of it: itself, and its payload.
    var length = 1
    /// Of the first copy.
    var time: Int64 = 0
    var isRepeated = false

    func isTaken(by acknowledgment: UInt32) -> Bool {
      let taken = Int(Int32(bitPattern: acknowledgment &- sequence))
      return taken > 0 && taken <= length
    }
  }
  private struct Handshake {
    var ends: ExchangeEnds
    var syn = Opening()
    var synACK = Opening()
    /// What the SYN/ACK acknowledges.
    var acknowledgment: UInt32 = 0
    /// An acknowledgment of the client's that came while no SYN/ACK was there.
    var early: (acknowledgment: UInt32, time: Int64)?
    /// When the first of these packets came.
    var time: Int64
  }
  private let book: Book
  private let (opening, confirming): (PairName, PairName)
  private let ports: Set<UInt16>
  private let disorder: Int64
  private var handshakes: BoundedTable<Key, Handshake>
  /// The tags of those that have some, by their ends.
  private var tagged: BoundedTable<ExchangeEnds, VLANTags>
  private static let timeout: Int64 = 60_000_000_000
  /// Behind a handshake that is complete, further copies are those that the network made.
  private static let repeatWindow: Int64 = 100_000_000
  /// A client that is only told by an acknowledgment has sent no more than this in its first packets.
  private static let firstWindow = 1 << 20

  /// - Parameter ports: of servers; empty: any.
  init(_ book: Book, ports: [UInt16], limits: PairingLimits) {
    self.book = book
    (opening, confirming) = (book.named("tcp-syn-synack"), book.named("tcp-synack-ack"))
    self.ports = Set(ports)
    disorder = limits.disorder
    handshakes = BoundedTable(limit: limits.pending)
    tagged = BoundedTable(limit: limits.pending)
  }

  func take(_ packet: Dissected, isRequest: Bool) {
    guard case .tcp(let header) = packet.transport else { return }
    expire(packet.time)
    if header.isRST { return reset(packet, header) }
    if header.isSYN {
      let (client, server) =
        header.isACK ? (packet.destination, packet.source) : (packet.source, packet.destination)
      guard ports.isEmpty || ports.contains(server.port) else { return }
      let ends = ExchangeEnds(client: client, server: server)
      if header.isACK { synACK(packet, header, ends) } else { syn(packet, header, ends) }
    } else if header.isACK {
      acknowledge(packet, header)
    }
  }

  // MARK: The three packets

  private func syn(_ packet: Dissected, _ header: Dissected.TCPHeader, _ ends: ExchangeEnds) {
    let key = Key(ends: ends, vlans: packet.vlans)
    let length = 1 + packet.payloadLength
    if let known = handshakes[key], known.syn.state != .none, known.syn.sequence == header.sequence,
      !isOver(known, packet.time)
    {
      book.count(opening) { $0.repeatedRequests += 1 }
      handshakes.update(key) {
        $0.syn.isRepeated = true
        $0.syn.length = max($0.syn.length, length)
      }
      return
    }
    var syn = Opening(state: .waiting, sequence: header.sequence, length: length, time: packet.time)
    book.count(opening) { $0.requests += 1 }
    // Its answer was stamped a little before it, or in the same tick.
    if let place = place(ends, packet.vlans), let known = handshakes[place], known.syn.state == .none,
      syn.isTaken(by: known.acknowledgment), span(from: known.synACK.time, to: packet.time) <= disorder
    {
      settle(syn, known.synACK.time, opening, ends)
      syn.state = .settled
      return handshakes.update(place) { $0.syn = syn }
    }
    begin(Handshake(ends: ends, syn: syn, time: packet.time), key)
  }

  /// Whether a SYN with the same number is another connection's: this one's client has no reason to send it again.
  private func isOver(_ handshake: Handshake, _ time: Int64) -> Bool {
    handshake.synACK.state == .settled && span(from: handshake.synACK.time, to: time) > TCPHandshake.repeatWindow
  }

  private func synACK(_ packet: Dissected, _ header: Dissected.TCPHeader, _ ends: ExchangeEnds) {
    let key = place(ends, packet.vlans) ?? Key(ends: ends, vlans: packet.vlans)
    let known = handshakes[key]
    if let known, known.synACK.state != .none, known.synACK.sequence == header.sequence {
      book.count(confirming) { $0.repeatedRequests += 1 }
      handshakes.update(key) { $0.synACK.isRepeated = true }
      return
    }
    let synACK = Opening(
      state: opensItself(packet, header) ? .settled : .waiting, sequence: header.sequence,
      length: 1 + packet.payloadLength, time: packet.time)
    let asks = synACK.state == .waiting ? 1 : 0
    guard var handshake = known, handshake.syn.state != .none, handshake.syn.isTaken(by: header.acknowledgment) else {
      var new = Handshake(ends: ends, synACK: synACK, time: packet.time)
      new.acknowledgment = header.acknowledgment
      book.count(confirming) { $0.requests += asks }
      return begin(new, Key(ends: ends, vlans: packet.vlans))
    }
    guard handshake.synACK.state == .none else {
      // A second answer, with another number.
      book.count(opening) { $0.repeatedResponses += 1 }
      if handshake.synACK.state == .waiting { handshakes.update(key) { $0.synACK.sequence = header.sequence } }
      return
    }
    if handshake.syn.state == .waiting { settle(handshake.syn, packet.time, opening, ends) }
    handshake.syn.state = .settled
    (handshake.synACK, handshake.acknowledgment) = (synACK, header.acknowledgment)
    book.count(confirming) { $0.requests += asks }
    if asks > 0, let early = handshake.early, isConfirmed(handshake.synACK, by: early.acknowledgment),
      span(from: early.time, to: packet.time) <= disorder
    {
      settle(synACK, early.time, confirming, ends)
      handshake.synACK.state = .settled
    }
    handshakes.update(key) { $0 = handshake }
  }

  /// Both ends opened at once (RFC 9293, 3.5): the sender of this SYN/ACK has sent a SYN, and is asked for no more.
  private func opensItself(_ packet: Dissected, _ header: Dissected.TCPHeader) -> Bool {
    let ends = ExchangeEnds(client: packet.source, server: packet.destination)
    guard let own = place(ends, packet.vlans).flatMap({ handshakes[$0] }) else { return false }
    return own.syn.state != .none && own.syn.sequence == header.sequence
  }

  private func acknowledge(_ packet: Dissected, _ header: Dissected.TCPHeader) {
    let ends = ExchangeEnds(client: packet.source, server: packet.destination)
    guard let key = place(ends, packet.vlans), let known = handshakes[key] else { return }
    if known.synACK.state == .none {
      if known.early == nil, known.syn.state != .none {
        handshakes.update(key) { $0.early = (header.acknowledgment, packet.time) }
      }
      return
    }
    guard known.synACK.state == .waiting, isConfirmed(known.synACK, by: header.acknowledgment) else { return }
    settle(known.synACK, packet.time, confirming, ends)
    handshakes.update(key) { $0.synACK.state = .settled }
  }

  /// The first packet that is seen of the client may acknowledge what the server sent behind its SYN/ACK.
  private func isConfirmed(_ synACK: Opening, by acknowledgment: UInt32) -> Bool {
    let taken = Int(Int32(bitPattern: acknowledgment &- synACK.sequence))
    return taken > 0 && taken <= TCPHandshake.firstWindow
  }

  /// A reset is an answer, too, if its receiver accepts it (RFC 9293, 3.10.7.3).
  private func reset(_ packet: Dissected, _ header: Dissected.TCPHeader) {
    let toClient = ExchangeEnds(client: packet.destination, server: packet.source)
    if let key = place(toClient, packet.vlans), let known = handshakes[key], known.syn.state == .waiting,
      header.isACK && known.syn.isTaken(by: header.acknowledgment)
    {
      book.lose(opening, .refused)
      return handshakes.update(key) { $0.syn.state = .settled }
    }
    for (ends, isServer) in [
      (toClient, true), (ExchangeEnds(client: packet.source, server: packet.destination), false),
    ] {
      guard let key = place(ends, packet.vlans), let known = handshakes[key], known.synACK.state == .waiting else {
        continue
      }
      let expected = isServer ? known.synACK.sequence &+ 1 : known.acknowledgment
      guard header.sequence == expected else { continue }
      book.lose(confirming, .refused)
      handshakes.update(key) { $0.synACK.state = .settled }
    }
  }

  func refuse(_ quoted: Dissected) {
    guard case .tcp(let header) = quoted.transport else { return }
    let ends = ExchangeEnds(client: quoted.source, server: quoted.destination)
    guard let key = place(ends, quoted.vlans), let known = handshakes[key], known.syn.state == .waiting,
      known.syn.sequence == header.sequence
    else { return }
    book.lose(opening, .refused)
    handshakes.update(key) { $0.syn.state = .settled }
  }

  // MARK: The table

  /// Of the handshake of a packet: one with the same tags, else one where either has none.
  private func place(_ ends: ExchangeEnds, _ vlans: VLANTags) -> Key? {
    let key = Key(ends: ends, vlans: vlans)
    if handshakes[key] != nil { return key }
    let other = Key(ends: ends, vlans: vlans.isEmpty ? tagged[ends] ?? vlans : VLANTags())
    return handshakes[other] != nil ? other : nil
  }

  private func begin(_ handshake: Handshake, _ key: Key) {
    if !key.vlans.isEmpty { _ = tagged.insert(key.vlans, for: key.ends) }
    if let old = handshakes.remove(key) { close(old, .unanswered) }
    if let evicted = handshakes.insert(handshake, for: key) { close(evicted, .evicted) }
  }

  private func settle(_ opening: Opening, _ time: Int64, _ name: PairName, _ ends: ExchangeEnds) {
    book.settle(
      Pair(
        name: name.name, start: opening.time, end: time, endLast: time,
        label: .number("sequence", opening.sequence), retransmitted: opening.isRepeated, client: ends.client,
        server: ends.server), of: name)
  }

  private func close(_ old: Handshake, _ fate: Fate) {
    if old.syn.state == .waiting { book.lose(opening, fate) }
    if old.synACK.state == .waiting { book.lose(confirming, fate) }
    if old.synACK.state != .none && old.syn.state == .none { book.tally.unmatchedResponses += 1 }
  }

  private func expire(_ now: Int64) {
    while let old = handshakes.popOldest(where: { span(from: $0.time, to: now) > TCPHandshake.timeout }) {
      close(old, .unanswered)
    }
  }

  func finish() { for left in handshakes.removeAll() { close(left, .unanswered) } }
}
